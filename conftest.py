"""Makes the plugin known in a checkout that is not installed."""

#: The same plugin as the installed entry point, by the same name: it is loaded once.
pytest_plugins = ["netchecks.plugin"]
