"""suites/node/test_services.py, called with what systemd 252 and its journal said (tests/observations)."""

from pathlib import Path

import pytest

from netchecks.errors import NotSeen
from suites.node import test_services as checks
from tests.suites.node.given import UNSEEN, by, node, notes_of, wrong

RECORDED = Path(__file__).parents[2] / "observations"
SERVICES = (RECORDED / "services" / "systemd-252.out").read_text().split("@unit ")[1:]
ERRORS = by("service_errors", node1=(RECORDED / "service_errors" / "systemd-252.out").read_text(errors="surrogateescape"))


def check(*names, errors=ERRORS, edit=("", "")):
    text = "".join(f"@unit {part}" for part in SERVICES if part.split("\n")[0] in names).replace(*edit)
    return notes_of(checks.test_service_is_active, node(services=names), by("services", node1=text), errors)


def test_service_is_active_passes():
    assert check("good", "once", "aliased") == []
    assert check("good", errors=by("service_errors", node1=UNSEEN)) == []


def test_service_is_active_takes_a_oneshot_that_has_done_its_work():
    assert check("once", edit=("ActiveState=active\nSubState=exited", "ActiveState=inactive\nSubState=dead")) == []


def test_service_is_active_takes_one_that_is_starting_but_not_one_in_a_loop():
    assert check("good", edit=("ActiveState=active\nSubState=running", "ActiveState=activating\nSubState=start-post")) == []
    with wrong("service.failed", "good is activating (auto-restart)"):
        check("good", edit=("ActiveState=active\nSubState=running", "ActiveState=activating\nSubState=auto-restart"))


def test_service_is_active_names_what_is_missing():
    with wrong("service.missing", "there is no service nothere"):
        check("good", "nothere")


def test_service_is_active_names_what_failed_with_its_last_error():
    with wrong("service.failed", "broken.service is failed (failed: exit-code)", "its log: ") as caught:
        check("good", "broken.service")
    assert "systemctl status broken.service" in caught.value.remedy
    with wrong("service.failed", "broken.service is failed (failed: exit-code), expected"):
        check("broken.service", errors=by("service_errors", node1=UNSEEN))


def test_service_is_active_tells_why_one_does_not_run():
    with wrong("service.failed", "hidden is inactive (dead: masked", "conditioned is inactive (dead: a condition of its unit does not hold)"):
        check("hidden", "conditioned")


def test_service_is_active_notes_one_that_systemd_restarted():
    assert check("flapping") == ["service.restarted"]


def test_service_is_active_is_unknown_where_systemd_is():
    with pytest.raises(NotSeen, match="cannot tell the state of binary"):
        check("binary")
    with pytest.raises(NotSeen):
        checks.test_service_is_active(node(services=("ssh",)), by("services", node1=UNSEEN), ERRORS)


def test_service_is_active_needs_no_systemd_where_nothing_is_declared():
    checks.test_service_is_active(node(), by("services", node1=UNSEEN), by("service_errors", node1=UNSEEN))
