"""A lab without any privilege: in a user namespace, nodes are network namespaces."""

import json

import pytest

from tests.lab.test_faults import ELSEWHERE

SCRIPT = """
import json, sys
from netchecks.errors import LabError
from netchecks.lab import faults, up
from netchecks.lab.snapshot import difference, look, snapshot
try:
    lab = up("vmhost-switching", rooted=False, state_dir=sys.argv[1])
except LabError as error:
    print(json.dumps({"no": str(error)})); sys.exit()
answer = {"faults": {}}
with lab:
    def sh(place, script):
        return lab.exec(place, ["sh", "-c", script], capture_output=True, text=True).stdout
    answer["uid"] = sh("controller", "id -u").strip()
    answer["pings"] = sh("controller", "for a in 10.20.0.142 fd20::145; do ping -c1 -W2 $a >/dev/null && echo $a; done").split()
    answer["netns"] = sh("controller", f"ip netns exec {lab.state.netns('node1')} ip -br addr show br0")
    answer["virsh"] = {node: sh(node, "virsh list --all --name").split() for node in ("node1", "node2")}
    answer["names"] = sh("node1", "dig +short gw.lab.test").split()
    answer["inventory"] = lab.inventory.read_text()
    before = snapshot(lab)
    for fault in faults.load("vmhost-switching"):
        if fault.unfit(rooted=False) or (len(sys.argv) > 2 and fault.name not in sys.argv[2:]):
            continue
        touched = {step.at for step in (*fault.breaks, *fault.undo)} - {"lab"}
        with lab.fault(fault.name):
            changed = [line for at in touched for line in difference({at: before[at]}, {at: look(lab, at)})]
        answer["faults"][fault.name] = [len(changed), difference(before, snapshot(lab))]
print(json.dumps(answer))
"""


def answer_of(unprivileged, *names):
    done = unprivileged.run(["-c", SCRIPT, str(unprivileged.folder / "labs"), *names])
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if "no" in answer:
        pytest.skip(answer["no"])
    return answer


def test_a_lab_stands_and_goes_without_privileges(unprivileged):
    answer = answer_of(unprivileged, "domain-shut-off", "resolver-dead")
    assert answer["uid"] != "0"
    assert answer["pings"] == ["10.20.0.142", "fd20::145"]
    assert "10.20.0.11/24" in answer["netns"]
    assert answer["virsh"] == {"node1": ["vm42", "vm43"], "node2": ["vm44", "vm45"]}
    assert answer["names"] == ["10.20.0.1"]
    assert "connection: netns" in answer["inventory"]
    assert list((unprivileged.folder / "labs").iterdir()) == []
    for name, (changed, left) in answer["faults"].items():
        assert changed, f"{name} shows nothing"
        assert left == [], name


@pytest.mark.slow
def test_every_fault_that_needs_no_host_works_without_privileges(unprivileged):
    faults = answer_of(unprivileged)["faults"]
    assert len(faults) > 50
    for name, (changed, left) in faults.items():
        assert changed or name in ELSEWHERE, f"{name} shows nothing"
        assert left == [], name
