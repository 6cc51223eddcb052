"""A rooted lab: it stands, it is healthy, it is what its inventory says, and nothing of it stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from netchecks.errors import LabError
from netchecks.lab import state, sweep, up, why_not_rooted
from netchecks.lab.labs import take_down

needs_root = pytest.mark.skipif(bool(why_not_rooted()), reason=why_not_rooted() or "-")
ROOT = Path(__file__).parents[2]


def sh(lab, place, script, **more):
    return lab.exec(place, ["sh", "-c", script], capture_output=True, text=True, **more)


def ssh(lab, node, script):
    return sh(lab, "controller", f"ssh -F {lab.state.folder}/ssh_config {node} '{script}'")


def family(pid):
    """Give (pid, start) of a process and all below it."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append((one, state.start_of(one)))
        left += children.get(one, [])
    return found


def wait(condition, seconds=15):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def test_every_vm_answers_the_controller_in_both_families(rooted_lab):
    rooted_lab.await_healthy(5)
    for last in (142, 143, 144, 145):
        done = sh(rooted_lab, "controller", f"ping -c1 -W2 10.20.0.{last} && ping -c1 -W2 fd20::{last}")
        assert done.returncode == 0, done.stdout
    assert sh(rooted_lab, "controller", "ping -c1 -W2 -M do -s 1472 10.20.0.145").returncode == 0, "full size"


def test_nodes_and_guests_see_their_segment(rooted_lab):
    for place in ("node1", "vm44"):
        done = sh(rooted_lab, place, "for a in 10.20.0.1 10.20.0.142 fd20::1 fd20::145 10.20.200.2; do ping -c1 -W2 $a || exit 1; done")
        assert done.returncode == 0, f"{place}: {done.stdout}"


def test_names_inside_and_outside_are_answered(rooted_lab):
    script = "dig +short gw.lab.test; dig +short vm42.lab.test AAAA; dig +short @fd20::53 www.example.org"
    for place in ("controller", "node1", "node2"):
        assert sh(rooted_lab, place, script).stdout.split() == ["10.20.0.1", "fd20::142", "203.0.113.80"]


def test_a_node_is_a_host_with_systemd_sshd_and_sudo(rooted_lab):
    assert ssh(rooted_lab, "node1", "hostname; id -un; sudo -n id -un; systemctl is-active ssh").stdout.split() == [
        "node1", "lab", "root", "active",
    ]
    assert sh(rooted_lab, "node2", "systemctl is-system-running").stdout.strip() == "running"
    assert sh(rooted_lab, "node1", "ps -eo comm= | sort -u").stdout.split()[0] != ""
    assert "guest.py" not in sh(rooted_lab, "node1", "ps -eo args=").stdout, "a node sees its own processes only"


def test_only_the_right_host_key_is_accepted(rooted_lab):
    with rooted_lab.fault("ssh-host-key-changed"):
        done = ssh(rooted_lab, "node1", "true")
        assert done.returncode == 255
        assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr
    assert ssh(rooted_lab, "node1", "true").returncode == 0


def test_virsh_is_real_with_and_without_sudo(rooted_lab):
    for command in ("virsh", "sudo -n virsh", "virsh -r", "sudo -n virsh -r"):
        assert ssh(rooted_lab, "node1", f"{command} list --all --name").stdout.split() == ["vm42", "vm43"], command
        assert "vm44_net0   bridge   br0" in ssh(rooted_lab, "node2", f"{command} domiflist vm44").stdout
    assert ssh(rooted_lab, "node2", "virsh domstate vm45").stdout.strip() == "running"


def test_the_machine_s_sysctls_are_safe_in_a_node(rooted_lab):
    done = sh(rooted_lab, "node1", "echo 1 >/proc/sys/fs/file-max")
    assert done.returncode != 0
    assert "Read-only" in done.stderr
    assert sh(rooted_lab, "node1", "cat /proc/sys/net/bridge/bridge-nf-call-iptables || echo 0").stdout.strip() == "0"


def test_the_inventory_says_what_is_built(rooted_lab):
    data = yaml.safe_load(rooted_lab.inventory.read_text())
    for name, vm in data["vms"].items():
        (nic,) = vm["interfaces"]
        inside = sh(rooted_lab, name, "ip -br link show eth0; ip -br addr show eth0").stdout
        assert nic["mac"] in inside
        assert all(f"{address}/" in inside for address in nic["addresses"])
        assert f"{nic['tap']}" in sh(rooted_lab, vm["node"], "bridge link").stdout
    for name in ("node1", "node2"):
        links = sh(rooted_lab, name, "ip -br addr show br0").stdout
        assert all(address in links for address in data["nodes"][name]["links"]["br0"]["addresses"])


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
@pytest.mark.parametrize("place", ["controller", "node1", "vm42", "lab"])
def test_a_command_s_exit_status_comes_back(rooted_lab, place, script, status):
    assert sh(rooted_lab, place, script).returncode == status


def test_arguments_reach_the_command_as_they_are(rooted_lab):
    text = "$(reboot); rm -rf / 'x' \"y\" \n"
    assert rooted_lab.exec("node1", ["printf", "%s", text], capture_output=True, text=True).stdout == text


def test_an_unknown_place_lists_what_there_is(rooted_lab):
    with pytest.raises(LabError, match="controller"):
        rooted_lab.exec("node9", ["true"])


def test_a_signal_to_exec_reaches_the_command(rooted_lab):
    line = rooted_lab.wrap("vm42", ["sh", "-c", "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"])
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.communicate(timeout=10)[0] == "got it\n"
        assert process.returncode == 7


def test_a_killed_exec_leaves_no_command_behind(rooted_lab):
    with subprocess.Popen(rooted_lab.wrap("vm42", ["sleep", "3600"])) as process:
        assert wait(lambda: len(family(process.pid)) > 1)
        below = family(process.pid)
        process.kill()
        process.wait()
        assert wait(lambda: not any(state.start_of(pid) == start for pid, start in below))


@needs_root
def test_nothing_of_a_lab_stays(tmp_path):
    before = sorted(Path("/etc").iterdir())
    lab = up("vmhost-switching", rooted=True, state_dir=tmp_path)
    everything = family(lab.state.holder)
    assert len(everything) > 12
    assert Path(lab.state.cgroup, "node1").is_dir()
    netns = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    assert f"nc-{lab.id}" not in netns + links, "nothing of the lab is in the machine's own network"
    lab.down()
    lab.down()
    assert not any(state.start_of(pid) == start for pid, start in everything)
    assert not Path(lab.state.cgroup).exists()
    assert list(tmp_path.iterdir()) == []
    assert sorted(Path("/etc").iterdir()) == before
    mounts = Path("/proc/self/mounts").read_text().splitlines()  # other tests mount their own meanwhile
    assert [line for line in mounts if f"nc-{lab.id}" in line or str(tmp_path) in line] == []
    assert lab.state.inotify == 0, "two nodes need no more of the machine than it gives"
    with pytest.raises(LabError, match="does not stand"):
        lab.exec("vm42", ["true"])


SCRIPT = """
import sys, time
from netchecks.lab import up
with up("vmhost-switching", rooted=True, state_dir=sys.argv[1]) as lab:
    print(lab.state.holder, lab.state.cgroup, flush=True)
    time.sleep(600)
"""


@needs_root
@pytest.mark.parametrize("end", [
    pytest.param(signal.SIGKILL, id="killed"), pytest.param(signal.SIGTERM, id="terminated"),
    pytest.param(signal.SIGINT, id="interrupted", marks=pytest.mark.slow),
])
def test_a_lab_goes_with_its_maker(tmp_path, end):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env=environment) as maker:
        holder, cgroup = maker.stdout.readline().split()
        everything = family(int(holder))
        maker.send_signal(end)
        maker.wait(30)
    assert wait(lambda: not any(state.start_of(pid) == start for pid, start in everything))
    if end == signal.SIGKILL:  # nobody could remove the folder and the empty cgroup: the next one does
        (folder,) = tmp_path.iterdir()
        os.utime(folder, (0, 0))
        assert sweep(tmp_path) == [folder.name]
    assert list(tmp_path.iterdir()) == []
    assert not Path(cgroup).exists()


@needs_root
def test_two_labs_do_not_meet(rooted_lab, tmp_path):
    with up("many-nodes", rooted=False, count=2, state_dir=tmp_path, name="other") as other:
        assert other.inventory.parent.name == "other"
        with pytest.raises(LabError, match="other"):
            up("many-nodes", rooted=False, state_dir=tmp_path, name="other")
        assert sh(other, "lab", "ip netns").stdout != sh(rooted_lab, "lab", "ip netns").stdout
    rooted_lab.await_healthy(5)


@needs_root
def test_a_lab_that_cannot_be_built_leaves_nothing(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nname: bad\ntitle: t\nplaces: {c: {controller: true, routes: [{to: default, via: 10.9.9.9}]}}\n")
    with pytest.raises(LabError, match="bad could not be built"):
        up(str(bad), rooted=False, state_dir=tmp_path / "labs")
    assert list((tmp_path / "labs").iterdir()) == []


def test_the_last_lab_takes_the_folder_of_labs_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one, two = (state.State(state.new_folder(None, name), name, "", rooted=False) for name in ("t1", "t2"))
    take_down(one)
    assert two.folder.is_dir()
    take_down(two)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Up", "a-b", "", "x" * 13])
def test_a_lab_s_name_is_short_and_plain(tmp_path, name):
    with pytest.raises(LabError, match="expected 1 to 12"):
        state.new_folder(tmp_path, name)


def test_a_folder_that_would_break_mount_options_is_refused(tmp_path):
    with pytest.raises(LabError, match="--state-dir"):
        state.new_folder(tmp_path / "a,upperdir=b", "t1")


def test_a_damaged_state_is_one_readable_error(tmp_path):
    folder = state.new_folder(tmp_path, "t1")
    (folder / "lab.json").write_text('{"folder": 7')
    with pytest.raises(LabError, match=r"lab\.json"):
        state.load(folder)


@needs_root
@pytest.mark.slow
def test_fifty_nodes_stand_and_are_reached(tmp_path):
    with up("nodes-50", rooted=True, state_dir=tmp_path) as lab:
        assert len(lab.topology.nodes()) == 50
        assert ssh(lab, "node50", "hostname").stdout.strip() == "node50"
        assert sh(lab, "node37", "systemctl is-system-running").stdout.strip() == "running"
