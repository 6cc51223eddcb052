"""Makes ``pytest suites/`` work in a checkout without any configuration: it looks at this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

#: The same plugin as the installed entry point, by the same name: it is loaded once.
pytest_plugins = ["netchecks.plugin"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Put the inventory of this machine in force for the suites, never for our own tests."""
    option = config.option
    asked = any("suites" in Path(argument.partition("::")[0]).parts for argument in config.args)
    if asked and not option.inventory_file and not option.replay_run:
        option.inventory_file = [str(config.rootpath / "inventories" / "local.yaml")]
