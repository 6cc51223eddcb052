"""report.json and report.md, from values."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from netchecks import report
from netchecks.cli import main
from netchecks.diagnose import Diagnosis, Judged
from netchecks.errors import NotSeen, RecordError, Why
from netchecks.evidence import Evidence
from netchecks.record import PlaceRecord, Record
from netchecks.reporters import markdown

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "report.schema.json").read_text(encoding="utf-8"))

NASTY = "node1: `br0` | <script>alert(1)</script> *x* psk=hunter2 \x1b[31m\udcff ```"


def made(**changes: Any) -> report.Report:
    diagnosis = Diagnosis(
        "uplink.down", "cause", NASTY, ("node1", "node2"), "node administrator", "ip link set dev `eth0` up", "shown by state", (NASTY, "b"),
        ("suites/x.py::test_a[node1]",), (("links", "node1"), ("links", "node2")), "because", "a book",
    )
    evidence = Evidence("links", "node1", "node1", ("ip", "link"), 0, 12.5, 0.1, "```\n" + "eth0 DOWN\n" + "x" * 5000, "warned")
    checks = (
        Judged("suites/x.py::test_a[node1]", "vmhost.a", "failed", (("node", "node1"),), message=NASTY, code="uplink.down", place="node1"),
        Judged("suites/x.py::test_b", "vmhost.b", "waived", message="known"),
        Judged("suites/x.py::test_c", "vmhost.c", "broken", message="Traceback\nKeyError: 7"),
        Judged("suites/x.py::test_d", "vmhost.d", "passed"),
    )
    seen = Record(places={"node1": PlaceRecord("node1", missed={"probes": NotSeen(Why.NO_PERMISSION, "needs root", cause="node.needs_root")})})
    base = report.Report(
        "run1", "0.1.0", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00", ("suites", "--vm=x"), 1, ("i.yaml",), "", ("node1",), (), 2,
        (diagnosis,), checks, seen, {("links", "node1"): evidence}, 1.25,
    )
    return replace(base, **changes)


def test_the_schema_is_one_and_a_report_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"] == {"const": report.SCHEMA_VERSION}
    document = json.loads(report.dumps(report.to_json(made())))
    Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(document)
    Draft202012Validator(SCHEMA).validate(json.loads(report.dumps(report.to_json(made(diagnoses=(), checks=(), seen=Record())))))


@pytest.mark.parametrize(
    "change",
    [
        {"outcomes": {}}, {"schema_version": 2}, {"started": "yesterday"}, {"extra": 1}, {"checks": [{"id": "x"}]},
        {"checks": [{"check": "a", "id": "b", "outcome": "failed", "subjects": {}}]}, {"complete": "yes"},
    ],
    ids=str,
)
def test_the_schema_says_no(change: dict[str, Any]) -> None:
    checker = Draft202012Validator.FORMAT_CHECKER
    assert not Draft202012Validator(SCHEMA, format_checker=checker).is_valid(report.to_json(made()) | change)


def test_every_reason_and_outcome_is_in_the_schema() -> None:
    assert set(SCHEMA["$defs"]["missed"]["properties"]["reason"]["enum"]) == {str(why) for why in Why}
    assert set(SCHEMA["properties"]["outcomes"]["properties"]) == set(report.OUTCOMES)


def test_nothing_secret_and_nothing_unwritable_gets_in() -> None:
    text = report.dumps(report.to_json(made()))
    assert "hunter2" not in text
    assert "\\u001b" not in text
    text.encode("utf-8")


def test_outputs_are_cut_and_what_is_left_out_is_counted() -> None:
    found = report.to_json(made())["diagnoses"][0]
    assert len(found["evidence"][0]["stdout"]) == 4000
    assert found["evidence"][0]["cut"]
    assert found["evidence_left_out"] == 1


def test_checks_stand_one_a_line(tmp_path: Path) -> None:
    report.write(tmp_path, made())
    lines = (tmp_path / "report.json").read_text(encoding="utf-8").splitlines()
    assert sum('"outcome": ' in line and '"id": ' in line for line in lines) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]


def test_an_interrupted_run_is_not_complete() -> None:
    left = Judged("x", "vmhost.x", "unknown", code=report.INTERRUPTED)
    document = report.to_json(made(checks=(left,)))
    assert document["complete"] is False
    assert "was interrupted" in markdown.render(document)


# -- report.md -------------------------------------------------------------------------------------------------------


def test_markdown_has_the_diagnosis_and_the_evidence() -> None:
    text = markdown.render(report.to_json(made()))
    for part in (
        "# Network diagnosis run1", "`pytest suites --vm=x`", "4 checks: 1 passed, 1 failed, 1 waived, 1 broken; 2 more do not apply",
        "## 1. Cause: `uplink.down` at node1, node2", "**Owner:** node administrator", "ip link set dev `eth0` up",
        "Evidence, links of node1, at node1: `ip link` (exit status 0):", "## Not looked at", "- node1 (probes): no permission: needs root",
        "## Waived", "## Broken check: `vmhost.c`", "1 more pieces of evidence",
    ):
        assert part in text


def test_markdown_cannot_be_broken_by_what_a_node_said() -> None:
    text = markdown.render(report.to_json(made()))
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\n````\n" in text  # the output has a fence of three in it
    fences = [line for line in text.splitlines() if line.startswith("````")]
    assert len(fences) % 2 == 0


def test_markdown_of_a_good_run_says_so() -> None:
    passed = (Judged("x", "vmhost.x", "passed"),)
    assert "Nothing is wrong." in markdown.render(report.to_json(made(diagnoses=(), checks=passed)))
    assert "Nothing was checked." in markdown.render(report.to_json(made(diagnoses=(), checks=())))


# -- netchecks report ------------------------------------------------------------------------------------------------


def test_report_makes_the_markdown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report.write(tmp_path, made())
    first = (tmp_path / "report.md").read_text(encoding="utf-8")
    (tmp_path / "report.md").unlink()
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.md'}\n"
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == first


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema_version": "x"}', '{"schema_version": 99}'])
def test_what_is_no_report_is_a_usage_error(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(text, encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 4
    assert "report.json" in capsys.readouterr().err
    with pytest.raises(RecordError):
        report.read(tmp_path / "none")


def test_grep_finds_what_failed(tmp_path: Path) -> None:
    """The form is for machines and for a shell at night."""
    report.write(tmp_path, made())
    grep = shutil.which("grep")
    assert grep
    found = subprocess.run([grep, "-c", '"outcome": "failed"', str(tmp_path / "report.json")], capture_output=True, text=True, check=True)
    assert found.stdout == "1\n"
