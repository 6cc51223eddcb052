"""JUnit as a build server reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from tests.reporters.conftest import Site


def cases(site: Site, *arguments: str) -> tuple[ET.Element, dict[str, ET.Element]]:
    file = site.path / "junit.xml"
    site.run(f"--junitxml={file}", *arguments)
    suite = ET.parse(file).getroot()[0]
    return suite, {f"{case.get('classname')}.{case.get('name')}": case for case in suite.iter("testcase")}


def properties(case: ET.Element) -> dict[str, str]:
    found = [(row.get("name", ""), row.get("value", "")) for row in case.iter("property")]
    assert len(found) == len(dict(found))
    return dict(found)


@pytest.mark.parametrize("arguments", [(), ("-n", "2"), ("-o", "junit_family=xunit1"), ("-o", "junit_logging=all")], ids=str)
def test_names_properties_and_evidence(site: Site, arguments: tuple[str, ...]) -> None:
    suite, found = cases(site, *arguments)
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "16", "failures": "4", "errors": "4", "skipped": "4",
    }
    case = found["little.link_is_up[n1]"]
    assert properties(case) == {
        "check": "little.link_is_up", "claim": "Every link is up.", "outcome": "failed", "code": "link.down", "place": "n1",
        "owner": "node administrator", "remedy": "ip link set dev vnet0 up",
    }
    assert case.find("failure").get("message") == "n1: vnet0 is DOWN, expected UP"  # type: ignore[union-attr]  # else the test fails
    proof = "".join(element.text or "" for element in case.iter("system-out"))
    assert "site_links of n1" in proof
    assert '"operstate": "DOWN"' in proof
    assert "hunter2" not in ET.tostring(suite, encoding="unicode")
    assert "\x1b" not in ET.tostring(suite, encoding="unicode")


def test_outcomes(site: Site) -> None:
    _, found = cases(site)
    inside = {name: [element.tag for element in case if element.tag not in {"properties", "system-out"}] for name, case in found.items()}
    assert inside["little.link_is_there[n1]"] == []
    assert inside["little.link_is_up[n1]"] == ["failure"]
    assert inside["little.tool_says[n1]"] == ["error"]
    assert inside["little.has_a_bug[n1]"] == ["error"]
    assert inside["little.is_accepted[n1]"] == ["skipped"]
    assert inside["little.is_skipped[n1]"] == ["skipped"]
    unknown = found["little.tool_says[n1]"].find("error")
    assert unknown is not None
    assert unknown.get("message") == "unknown: not installed: n1: site_missing: no-such-tool-here is not installed"
    waived = found["little.is_accepted[n1]"].find("skipped")
    assert waived is not None
    assert waived.get("message") == "waived: known, ticket 7 (n1: no wlan0)"
    assert properties(found["little.link_is_there[n2]"]) == {"check": "little.link_is_there", "place": "n2"}


def test_a_prefix_stays_before_the_suite(site: Site) -> None:
    _, found = cases(site, "--junitprefix=site7", "-k", "notes")
    assert list(found) == ["site7.little.notes[n1]", "site7.little.notes[n2]"]
