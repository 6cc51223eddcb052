"""Allure's results as its report generator reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.reporters.conftest import Site


def results(site: Site, *arguments: str, folder: str = "allure") -> dict[str, dict[str, Any]]:
    """Give each check's result by its function and node."""
    path = site.path / folder
    site.run(f"--alluredir={path}", *arguments)
    found = {}
    for file in path.glob("*-result.json"):
        result = json.loads(file.read_text(encoding="utf-8"))
        node = next((row["value"] for row in result["parameters"]), "")
        found[f"{result['fullName'].rpartition('#test_')[2]}[{node}]"] = result
    return found


def labels(result: dict[str, Any], name: str) -> list[str]:
    return [label["value"] for label in result["labels"] if label["name"] == name]


def attached(site: Site, result: dict[str, Any]) -> dict[str, str]:
    folder = site.path / "allure"
    return {one["name"]: (folder / one["source"]).read_text(encoding="utf-8") for one in result.get("attachments", [])}


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=str)
def test_a_failure_has_all_that_its_reader_needs(site: Site, arguments: tuple[str, ...]) -> None:
    found = results(site, *arguments)
    assert len(found) == 16
    result = found["link_is_up[n1]"]
    assert result["name"] == "Every link is up [n1]"
    assert result["status"] == "failed"
    assert result["statusDetails"]["message"] == "n1: vnet0 is DOWN, expected UP"
    assert "remedy: ip link set dev vnet0 up" in result["statusDetails"]["trace"]
    assert "**Why:** frames leave by it." in result["description"]
    assert result["parameters"] == [{"name": "node", "value": "n1"}]
    assert "links" not in result
    wanted = {
        "parentSuite": "little", "suite": "link_is_up", "layer": "little", "owner": "node administrator", "severity": "normal",
        "tag": "link.down",
    }
    assert {name: labels(result, name)[0] for name in wanted} == wanted
    assert labels(result, "host")[0] == "n1"
    proof = attached(site, result)
    assert list(proof) == ["site_links of n1", "site_words of n1"]
    assert proof["site_links of n1"].startswith("site_links of n1\nn1$ sh -c ")
    assert '"operstate": "DOWN"' in proof["site_links of n1"]


def test_outcomes(site: Site) -> None:
    found = results(site)
    assert {name.partition("[")[0]: result["status"] for name, result in found.items()} == {
        "link_is_there": "passed", "link_is_up": "failed", "tool_says": "broken", "is_accepted": "skipped", "has_a_bug": "broken",
        "notes": "passed", "host_says": "failed", "is_skipped": "skipped",
    }
    assert found["tool_says[n1]"]["statusDetails"]["message"].startswith("not installed: n1: site_missing")
    assert found["is_accepted[n1]"]["statusDetails"]["message"] == "known, ticket 7 (n1: no wlan0)"
    assert "KeyError: 'site bug'" in found["has_a_bug[n1]"]["statusDetails"]["trace"]
    assert 'host.run("echo 7")' in found["host_says[n1]"]["statusDetails"]["trace"]
    assert "attachments" not in found["link_is_there[n1]"]


def test_history_ids_are_the_same_in_every_run_and_under_xdist(site: Site) -> None:
    one, two, spread = (results(site, *more, folder=name) for name, more in (("a", ()), ("b", ("-v",)), ("c", ("-n", "2"))))
    ids = {name: result["historyId"] for name, result in one.items()}
    assert len(set(ids.values())) == 16
    assert {name: result["historyId"] for name, result in two.items()} == ids
    assert {name: result["historyId"] for name, result in spread.items()} == ids


def test_nothing_secret_is_written(site: Site) -> None:
    results(site)
    written = "".join(path.read_text(encoding="utf-8") for path in Path(site.path / "allure").iterdir())
    assert "hunter2" not in written
    assert "\\u001b" not in written
    assert "Connection(" not in written


def test_without_alluredir_nothing_is_imported(site: Site) -> None:
    site.write("suites/little/test_imports.py", "import sys\n\ndef test_x(node):\n    assert 'netchecks.reporters.allure' not in sys.modules\n")
    assert site.run("-k", "test_x").status == 0
