"""suites/node/test_login.py: what was not tried is unknown, what did not work is a failure."""

import pytest

from netchecks.errors import NotSeen, Why
from suites.node.test_login import test_node_answers as node_answers
from tests.suites.node.given import by, wrong
from tests.suites.vmhost.routed import NODE1


@pytest.mark.parametrize("why", [Why.NOT_RECORDED, Why.NOT_PLANNED])
def test_nobody_tried(why):
    with pytest.raises(NotSeen):
        node_answers(NODE1, by("login", node1=NotSeen(why, "login of node1")), by("privileges"))


def test_it_did_not_answer():
    with wrong("node.ssh_refused", "connection refused", place="node1"):
        node_answers(NODE1, by("login", node1=NotSeen(Why.UNREACHABLE, "connection refused", cause="node.ssh_refused")), by("privileges"))
