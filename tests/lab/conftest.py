"""Labs for the tests of the lab."""

import pytest

from netchecks.lab.labs import Lab
from netchecks.lab.snapshot import snapshot
from netchecks.lab.testing import rooted_lab, unprivileged

__all__ = ["rooted_lab", "unprivileged"]


@pytest.fixture(scope="session")
def as_built(rooted_lab: Lab) -> dict[str, dict[str, str]]:
    """The state of every place of the rooted lab before anything was broken."""
    return snapshot(rooted_lab)
