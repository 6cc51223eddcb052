"""A pytest plugin for replays: takes the cause functions named in WITHOUT_CAUSE out of the catalogue."""

from __future__ import annotations

import os


def pytest_configure():
    from netchecks.cause import CAUSES

    names = os.environ["WITHOUT_CAUSE"].split(",")
    known = {rule.name for rules in CAUSES.values() for rule in rules}
    assert set(names) <= known, f"{names}: there are {sorted(known)}"
    for rules in CAUSES.values():
        rules[:] = [rule for rule in rules if rule.name not in names]
