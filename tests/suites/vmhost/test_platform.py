"""suites/vmhost/test_platform.py, called with what the script prints."""

import pytest

from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Access, Connection, DeclaredPlatform, Node
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By
from suites.vmhost import test_platform as checks
from tests.suites.node.given import UNSEEN
from tests.suites.vmhost.given import wrong

ADMIN, NODE = Node("admin", Connection("local")), Node("node1", Connection("ssh", "10.99.0.11"))
ACCESS = Access("vm_box-to-node1", ADMIN, NODE, DeclaredPlatform("vm_box", ("docker", "exec", "vm_box")), (("10.99.0.11", 22),))


def knocks(text):
    value = text if isinstance(text, NotSeen) else OBSERVATIONS["platform_knocks"].parse(text).at("admin")

    def look(_name):
        if isinstance(value, NotSeen):
            raise value
        return value

    return By("platform_knocks", {ACCESS.name: ACCESS}, look)


def said(text, status=0):
    return f"@with python3\n10.99.0.11 22 {status} {text}\n@end\n"


@pytest.mark.parametrize("text", ["SSH-2.0-OpenSSH_7.4", "SSH-1.99-Cisco-1.25", "root@10.99.0.11: Permission denied (publickey)."])
def test_ssh_that_answers_passes(text):
    checks.test_platform_reaches_node(ACCESS, knocks(said(text)))


@pytest.mark.parametrize(("text", "code", "owner"), [
    ("[Errno 111] Connection refused", "platform.refused", "node administrator"),
    ("timed out", "platform.not_answered", "node administrator"),
    ("[Errno 113] No route to host", "platform.no_route", "platform"),
    ("[Errno -2] Name or service not known", "platform.name_unknown", "platform"),
    ("220 mail.example.org ESMTP", "platform.not_ssh", "node administrator"),
    ("closed", "platform.closed", "node administrator"),
])
def test_what_stands_in_the_way_is_named(text, code, owner):
    with wrong(code, "node1: SSH to 10.99.0.11 port 22 from vm_box on admin", text, place="node1", owner=owner):
        checks.test_platform_reaches_node(ACCESS, knocks(said(text)))


@pytest.mark.parametrize("text", [
    "Error response from daemon: No such container: vm_box",
    "Error response from daemon: container 4f1c is not running",
    'Cannot open network namespace "vm_box": No such file or directory',
    'Error: no container with name or ID "vm_box" found: no such container',
])
def test_a_platform_that_does_not_run_is_named(text):
    with wrong("platform.not_running", "vm_box on admin", place="admin", owner="platform"):
        checks.test_platform_reaches_node(ACCESS, knocks(f"@refused 1 {text}\n@end\n"))


@pytest.mark.parametrize(("text", "why"), [
    ("@none\n", Why.NOT_INSTALLED),
    ("@refused 127 sh: 1: docker: not found\n@end\n", Why.NOT_INSTALLED),
    ("@refused 1 permission denied while trying to connect to the Docker daemon socket\n@end\n", Why.NO_PERMISSION),
    ("@refused 1 Cannot connect to the Docker daemon. Is the docker daemon running?\n@end\n", Why.FAILED),
    (said("Segmentation fault", 139), Why.FAILED),
    (UNSEEN, Why.NO_PERMISSION),
])
def test_what_could_not_be_asked_is_unknown(text, why):
    with pytest.raises(NotSeen) as caught:
        checks.test_platform_reaches_node(ACCESS, knocks(text))
    assert caught.value.why == why
