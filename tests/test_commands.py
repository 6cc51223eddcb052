"""``netchecks commands`` prints what would run, and its sudoers file allows that and nothing else."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from netchecks import commands, send, sudoers
from netchecks.cli import main
from netchecks.collecting import arguments, collect
from netchecks.models.subjects import Connection, Node
from netchecks.script import Alternative, Job, command_line

INVENTORY = """
version: 1
nodes:
  node[1-2]: {connection: ssh, user: monitor, sudo: true}
  gw: {connection: ssh, user: root, roles: [router]}
networks:
  lan: {kind: switching, bridge: br0, uplink: eth0, nodes: ["node[1-2]"], subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}]}
vms:
  vm1: {node: node1, domain: "dom,a:b=c", tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:01", addresses: [10.20.0.11]}]}
"""

#: Arguments that sudoers has a special meaning for, each character of it.
NASTY = (
    "a,b", "a:b", "a=b", "a\\b", "\\", "*", "?", "[a]", "!x", "^x$", "#c", "a  b", "\ta", " lead", "trail ", "a\nb", "\n\n x",
    "'q'", '"q"', "$(reboot)", "; rm -rf /", "%wheel", "é", "{}", "-",
)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    file = tmp_path / "inventory.yaml"
    file.write_text(INVENTORY, encoding="utf-8")
    return file


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["commands", *arguments]) == 0
    return capsys.readouterr().out


def test_every_command_of_the_plan_is_printed_as_it_is_sent(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, f"--inventory-file={inventory}")
    found = {one.node.name: one for one in _collected(inventory)}
    assert list(found) == ["node1", "node2", "gw"]
    for one in found.values():
        assert one.commands
        for planned in one.commands:
            for way in planned.job.ways:
                line = shlex.join(command_line(planned.job, way, sudo=one.node.connection.sudo))
                assert f"\n{line}\n" in f"{text}\n"
                assert line.startswith("sudo -n timeout ") == (planned.job.root and one.node.connection.sudo)


def test_probes_say_what_they_would_send(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, f"--inventory-file={inventory}", "--vm=vm1")
    assert "\nsudo -n timeout -k 1 SECONDS python3 -\n" in text
    assert "\nsudo -n timeout -k 1 SECONDS sh -s\n" in text
    assert "\n#   tcpdump -n -p -U --immediate-mode -B 1024 -s BYTES " in text, "what the script would run stands there too"
    assert "connect 10.20.0.11 port 22" in text
    assert "echo 10.20.0.11 64 bytes" in text


def test_what_has_to_be_allowed_is_printed_when_it_is(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = INVENTORY.replace("vm1: {", "vm1: {guest: {connection: netns, address: inner}, ")
    inventory.write_text(f"{text}flows: [{{from: node2, to: vm1, throughput: 100 Mbit/s}}]\n", encoding="utf-8")
    assert "iperf3 -c" not in printed(capsys, f"--inventory-file={inventory}")
    text = printed(capsys, f"--inventory-file={inventory}", "--load-tests", "-k", "throughput")
    asked, served = text.index("# throughputs; alone, when everything else is done"), text.index("# throughput_servers; alone, when")
    assert text.index("# node2: ") < asked < text.index("# guest:vm1: ") < served
    assert "' sh 10.20.0.11 5201 out 100000000\n" in text[asked:served]


def test_the_connection_is_printed(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, f"--inventory-file={inventory}", "--host=node2", "-k", "answers")
    assert "# connected by: ssh -T -o BatchMode=yes" in text
    assert "# gw" not in text


def _collected(inventory: Path) -> list[commands.NodeCommands]:
    parser = argparse.ArgumentParser()
    commands.add_arguments(parser)
    args = parser.parse_args([f"--inventory-file={inventory}"])
    return commands.of(collect(list(arguments(args))))


def test_nothing_is_written_and_nobody_is_asked(inventory: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        printed(capsys, f"--inventory-file={inventory}")
    finally:
        os.chdir(here)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inventory.yaml"]


def test_mistakes_are_usage_errors(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["commands", f"--inventory-file={inventory}", "--host=nodo1"]) == 4
    assert "Did you mean 'node1'" in capsys.readouterr().err
    assert main(["commands", f"--inventory-file={inventory}", "no/such/suite"]) == 4
    assert "no/such/suite" in capsys.readouterr().err


# -- sudoers ---------------------------------------------------------------------------------------------------------


def test_visudo_takes_the_file(inventory: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = printed(capsys, f"--inventory-file={inventory}", "--sudoers")
    _checked(tmp_path, text)
    assert "\nmonitor ALL=(root) NOPASSWD: " in text
    assert "# No sudo is used at: gw" in text
    root = text.partition("WARNING: each of these IS root")[2]
    assert "python3 -: runs the program that it is sent" in root
    lines = "    /usr/bin/timeout -k 1 * python3 -, \\\n    /usr/bin/timeout -k 1 * sh -s\n"
    assert f"Cmnd_Alias NETCHECKS_ROOT_1 = \\\n{lines}" in root


def _node(user: str = "monitor", *, sudo: bool = True) -> Node:
    return Node("n", Connection("ssh", "n", user=user, sudo=sudo))


def _job(*argv: str) -> Job:
    return Job("x", (Alternative(argv),), root=True)


def _checked(folder: Path, text: str) -> Path:
    visudo = shutil.which("visudo") or shutil.which("visudo", path="/usr/sbin:/sbin")
    if visudo is None:
        pytest.skip("sudo is not installed")
    file = folder / "sudoers"
    file.write_text(text + "\n", encoding="utf-8")
    file.chmod(0o440)
    done = subprocess.run([visudo, "-cf", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + text
    return file


@pytest.mark.parametrize("user", ["monitor", "svc-net.checks", "DOMAIN user", ""])
def test_any_argument_and_user_is_a_valid_line(user: str, tmp_path: Path) -> None:
    _checked(tmp_path, sudoers.render([(_node(user), [_job("tool", word, "end") for word in NASTY])]))


def test_nodes_with_the_same_needs_share_the_lines() -> None:
    text = sudoers.render([(_node(), [_job("a")]), (_node(), [_job("a")]), (_node(), [_job("b")]), (_node(sudo=False), [_job("c")])])
    assert text.count("Cmnd_Alias") == 2
    assert "timeout -k 1 5 c" not in text


def test_what_is_root_is_in_the_alias_that_says_so() -> None:
    jobs = [_job("iptables-save", "-c"), _job("sh", "-c", "id\nid -u", "sh"), _job("ip", "netns", "exec", "x", "id"), _agent()]
    text = sudoers.render([(_node(), jobs)])
    plain, scripts, root = text.split("Cmnd_Alias")[1:]
    assert "iptables-save -c" in plain
    assert "sh -c id[[\\:cntrl\\:]]id -u sh" in scripts
    assert "ip netns exec" in root
    assert "python3 -" in root
    assert "ip: can run any program" in text


def _agent() -> Job:
    return Job(send.KEY, (Alternative(("python3", "-")),), root=True)


def _sudo_says(file: Path, commands_: list[list[str]]) -> list[bool]:
    """Ask the real sudo, in a mount namespace where this is the only sudoers file, whether monitor may run each."""
    script = (
        "import json, subprocess, sys\n"
        "subprocess.run(['mount', '--bind', sys.argv[1], '/etc/sudoers'], check=True)\n"
        "asked = json.load(sys.stdin)\n"
        "print(json.dumps([subprocess.run(['sudo', '-l', '-U', 'nobody', '--', *one], stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL).returncode == 0 for one in asked]))\n"
    )
    done = subprocess.run(
        ["unshare", "--mount", "python3", "-c", script, str(file)], input=json.dumps(commands_), capture_output=True, text=True, check=True,
    )
    found: list[bool] = json.loads(done.stdout)
    return found


def _can_ask_sudo() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("sudo", "unshare", "mount"))) or not Path("/etc/sudoers").exists():
        return False
    if not any(user.pw_name == "nobody" for user in pwd.getpwall()) or not Path(sudoers.TIMEOUT).exists():
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


needs_sudo = pytest.mark.skipif(not _can_ask_sudo(), reason="needs root, sudo and mount namespaces")


@needs_sudo
def test_sudo_allows_every_nasty_argument_and_only_it(tmp_path: Path) -> None:
    file = _checked(tmp_path, sudoers.render([(_node("nobody"), [_job("printf", word, "end") for word in NASTY])]))
    asked = [["/usr/bin/timeout", "-k", "1", "5", "printf", word, "end"] for word in NASTY]
    assert dict(zip(NASTY, _sudo_says(file, asked), strict=True)) == dict.fromkeys(NASTY, True)
    changed = [[*words[:5], f"{words[5]}x", "end"] for words in asked] + [[*words, "more"] for words in asked]
    assert not any(_sudo_says(file, changed))


@needs_sudo
def test_sudo_allows_all_that_the_suites_need_as_root(inventory: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = printed(capsys, f"--inventory-file={inventory}", "--sudoers").replace("\nmonitor ALL", "\nnobody ALL")
    file = _checked(tmp_path, text)
    jobs: list[Any] = [planned.job for one in _collected(inventory) if one.node.connection.sudo for planned in one.commands]
    root = [["/usr/bin/timeout", *command_line(job, way, sudo=False)[1:]] for job in jobs if job.root for way in job.ways]
    rest = [["/usr/bin/timeout", *command_line(job, way, sudo=False)[1:]] for job in jobs if not job.root for way in job.ways]
    rest = [words for words in rest if words not in root]  # id -un is asked for both ways
    assert len(root) > 3
    agents = [["/usr/bin/timeout", "-k", "1", "8.5", *argv] for argv in (send.PYTHON, send.SHELL)]
    assert all(_sudo_says(file, [*root, *agents]))
    assert not any(_sudo_says(file, [*rest, ["/usr/bin/timeout", "-k", "1", "5", "sh", "-c", "id", "sh"], ["/usr/bin/id"]]))


def test_a_database_is_told_with_what_reads_its_credentials(capsys):
    inventory = str(Path(__file__).parents[1] / "inventories" / "examples" / "nova-network.yaml")
    assert main(["commands", f"--inventory-file={inventory}", "-k", "stale or living"]) == 0
    told = capsys.readouterr().out
    assert "# the credentials for nova@private; not kept; root\nsudo -n timeout -k 1 5 cat /etc/nova/nova.conf\n" in told
    assert "# database:nova@private" in told
    assert main(["commands", "--sudoers", f"--inventory-file={inventory}", "-k", "living"]) == 0
    assert "/usr/bin/timeout -k 1 5 cat /etc/nova/nova.conf" in capsys.readouterr().out
