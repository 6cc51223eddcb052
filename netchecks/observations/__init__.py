"""The facts: one module per tool, one function per fact. Importing this package fills OBSERVATIONS."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
