"""JUnit, written by pytest's own ``--junitxml``: names that a build server groups by, properties, evidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from netchecks.diagnose import Judged

#: The name under which a report carries its evidence.
SECTION = "evidence"


def properties(judged: Judged) -> Iterator[tuple[str, str]]:
    """Give a test case's properties: its check and place, and of one that did not pass what has to be done, by whom."""
    yield "check", judged.check
    for name in ("claim", "place") if judged.outcome == "passed" else ("claim", "outcome", "code", "place", "owner", "remedy"):
        value = getattr(judged, name)
        if value:
            yield name, value


def tell(xml: Any, report: Any) -> None:
    """Name the test case ``vmhost`` / ``bridge_has_uplink[lan-node1]`` and hang its evidence on it.

    ``xml`` is pytest's LogXML after it took the report, ``report`` one of ours before its teardown.
    """
    plain: Mapping[str, Any] = report.netchecks
    suite, _, check = plain["check"].rpartition(".")
    _, bracket, subjects = report.nodeid.rpartition("::")[2].partition("[")
    case = xml.node_reporter(report)
    case.add_attribute("classname", ".".join(part for part in (xml.prefix, suite) if part))
    case.add_attribute("name", check + bracket + subjects)
    _reword(xml, case, plain)
    texts = [text for name, text in report.sections if name == SECTION]
    if texts:
        element = ET.Element("system-out")
        element.text = "\n".join(texts)
        case.append(element)


def _reword(xml: Any, case: Any, plain: Mapping[str, Any]) -> None:
    """Say unknown where pytest says "failed on setup", and call a broken check an error: the network did not fail it."""
    for node in case.nodes:
        if node.tag == "error" and plain["outcome"] == "unknown":
            node.set("message", f"unknown: {plain['message'].partition(chr(10))[0]}")
        elif node.tag == "failure" and plain["outcome"] == "broken":
            node.tag = "error"
            xml.stats["failure"] -= 1
            xml.stats["error"] += 1
