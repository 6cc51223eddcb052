"""What a pytest item is as a check of ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from netchecks import judge, plan
from netchecks.session import Session
from netchecks.world import KINDS, Subject

SESSION = pytest.StashKey[Session]()
#: What is known of an item as a check; each of ours has it before the first one runs.
INFO = pytest.StashKey[judge.CheckInfo]()
COMMON = pytest.StashKey[dict[str, "Common"]]()
#: The module whose fixtures give the facts.
FIXTURES = "netchecks.plugin"


def params_of(item: pytest.Item) -> dict[str, Any]:
    """Give the values that an item was parametrized with, by name."""
    callspec = getattr(item, "callspec", None)
    return dict(callspec.params) if callspec else {}


def info_of(item: pytest.Item) -> judge.CheckInfo:
    """Give what is known of an item as a check."""
    if INFO not in item.stash:
        row = {kind: subject for kind, subject in params_of(item).items() if isinstance(subject, Subject)}
        known = common_of(item)
        item.stash[INFO] = judge.CheckInfo(item.nodeid, known.check, row, known.doc, known.hop, known.verdict)
    return item.stash[INFO]


@dataclass(frozen=True, slots=True)
class Common:
    """What all items of one test function have in common.

    ``subjects`` and ``facts``: its parameters that no fixture of a site overrides. Their values are known without asking
    pytest for each of them: that takes 0.05 ms, of 50,000 checks seconds. ``reads``: it gets a fact of ours at all.
    """

    check: str
    doc: judge.Doc
    hop: tuple[str, str]
    verdict: bool
    subjects: tuple[str, ...]
    facts: tuple[str, ...]
    reads: bool


def common_of(item: pytest.Item) -> Common:
    """Find it out once for a function; a mark on one of its parameters is that item's own."""
    if not isinstance(item, pytest.Function) or item.parent is None or _marked(item):
        return _described(item)
    known = item.parent.stash.setdefault(COMMON, {})
    if item.originalname not in known:
        known[item.originalname] = _described(item)
    return known[item.originalname]


def _marked(item: pytest.Function) -> bool:
    return hasattr(item, "callspec") and bool(item.callspec.marks)


def _described(item: pytest.Item) -> Common:
    hop = item.get_closest_marker("hop")
    doc = judge.doc_of(item.function) if isinstance(item, pytest.Function) else judge.Doc()
    place = (*(hop.args if hop else ()), "", "")[:2]
    verdict = item.get_closest_marker("verdict") is not None
    given = {name: known[-1].func for name, known in _fixtures(item).items() if known}
    facts = tuple(name for name, give in given.items() if plan.is_fact(name) and give.__module__ == FIXTURES)
    subjects = tuple(name for name, give in given.items() if name in KINDS and give.__name__ == "get_direct_param_fixture_func")
    quick = () if is_imperative(item) else facts
    return Common(check_id(item), doc, (place[0], place[1]), verdict, () if is_imperative(item) else subjects, quick, bool(facts))


def _fixtures(item: pytest.Item) -> dict[str, Any]:
    """Give the fixtures that a test can get, by name, the one that counts last; direct parameters are some too."""
    names: dict[str, Any] = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}  # noqa: SLF001 - no public way
    return names


def check_id(item: pytest.Item) -> str:
    """Give a check's stable id: its suite's folder (else its module) and its function."""
    folders = item.path.parts
    suite = item.path.stem.removeprefix("test_")
    if "suites" in folders:
        inner = folders[len(folders) - folders[::-1].index("suites"):-1]
        suite = ".".join(inner) or suite
    return f"{suite}.{getattr(item, 'originalname', item.name).removeprefix('test_')}"


def is_ours(item: pytest.Item) -> bool:
    """Tell whether an item is about subjects of the inventory or reads facts; a site's own of the same names are none."""
    return any(isinstance(value, Subject) for value in params_of(item).values()) or common_of(item).reads


def wanted_of(items: Iterable[pytest.Item]) -> list[plan.Wanted]:
    """Give what these items want to be looked at, for a plan."""
    return [want_of(item) for item in items if is_ours(item)]


def want_of(item: pytest.Item) -> plan.Wanted:
    """Give what an item wants to be looked at; a test that asks a host itself wants to know that it can be entered."""
    info = info_of(item)
    names = set(getattr(item, "fixturenames", ()))
    peers = item.get_closest_marker("peers")
    wanted = frozenset(names | ({"login"} if "host" in names else set()))
    return plan.Wanted(info.check, info.row, wanted, frozenset(peers.args if peers else ()))


def is_imperative(item: pytest.Item) -> bool:
    """Tell whether it is a test of a site's own, that asks a host itself: its traceback says what it did."""
    return "host" in getattr(item, "fixturenames", ())
