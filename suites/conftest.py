"""This machine is looked at where nothing else is named: ``pytest suites/`` needs no configuration."""

from __future__ import annotations

import pytest

from netchecks.inventory import default_path


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take the inventory of this machine, unless the command line or the ini names one, or a run is replayed."""
    option = config.option
    if not (option.inventory_file or option.replay_run or config.getini("netchecks_inventory")):
        option.inventory_file = [str(default_path())]
