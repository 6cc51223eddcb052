"""Makes ``pytest suites/`` work in a checkout: the same plugin as the installed entry point, by the same name."""

pytest_plugins = ["netchecks.plugin"]
