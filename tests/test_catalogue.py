"""The catalogue is read from the suites: every check with its docstring, facts and codes."""

from __future__ import annotations

import pytest

from netchecks import catalogue
from netchecks.cli import main
from netchecks.errors import Wrong
from netchecks.seen import note

_BY_STATE = {"a": "table.first", "b": "table.second"}


def _helper(state: str) -> None:
    raise Wrong(_BY_STATE[state], "by a table")


def _check_with_everything(state: str) -> None:
    """It holds, as far as "doc.string" says."""
    if state == "x":
        raise Wrong("plain.code", "x")
    if state == "y":
        raise Wrong("first.choice" if state else "second.choice", "y")
    if state == "z":
        raise Wrong(f"{state}.of_it", "z")
    note("noted.code", "z")
    _helper(state)


def _check_without_codes() -> None:
    assert "not.a_code".partition(".")[2] == "a_code"


def test_codes_are_found_where_they_stand_and_where_they_are_handed_on() -> None:
    found = catalogue.codes(_check_with_everything)
    assert found == ("plain.code", "first.choice", "second.choice", "*.of_it", "noted.code", "table.first", "table.second")
    assert catalogue.codes(_check_without_codes) == ()


def test_reasons_have_what_ssh_says_and_what_the_engine_says() -> None:
    found = {one.code: one for one in catalogue.reasons()}
    assert found["node.ssh_refused"].why == "unreachable"
    assert found["node.command_hangs"].detail == "* did not end within * s"
    assert found["node.sudo_refused"].why == "no permission"


@pytest.fixture(scope="module")
def checks() -> list[catalogue.Check]:
    return catalogue.checks()


def test_every_check_is_there_whatever_the_inventory(checks: list[catalogue.Check]) -> None:
    found = {check.name: check for check in checks}
    assert len(found) == len(checks)
    assert "node.node_answers" in found
    uplink = found["vmhost.bridge_has_uplink"]
    assert uplink.subjects == ("network", "node")
    assert uplink.facts == ("links", "bridges")
    assert uplink.kinds == ("switching", "nova-network")
    assert uplink.hop == ("uplink", "member")
    assert "uplink.not_in_bridge" in uplink.codes


def test_every_check_says_what_a_reader_needs(checks: list[catalogue.Check]) -> None:
    owners = {"node administrator", "network engineer", "guest owner", "platform"}
    lacking = [
        check.name for check in checks
        if not all((check.doc.claim, check.doc.why, check.doc.remedy, check.doc.source)) or check.doc.owner not in owners
    ]
    assert lacking == []


def test_markdown_has_a_section_and_an_anchor_for_each_check(checks: list[catalogue.Check]) -> None:
    text = catalogue.markdown(checks)
    for check in checks:
        assert f"\n### {check.name}\n" in text
        assert f"](#{check.name.replace('.', '')})" in text
    assert "| `node.ssh_refused` | unreachable |" in text
    assert text == catalogue.markdown(catalogue.checks())


def test_the_command_lists_and_selects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks", "-k", "bridge_has_uplink"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("vmhost:\n  vmhost.bridge_has_uplink\n      The network's uplink")
    assert "node." not in text


def test_an_unknown_suite_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks", "no/such/suite"]) == 4
    assert "no/such/suite" in capsys.readouterr().err
