"""The catalogue of causes that several facts together show, one module for each family of trouble.

Importing the package registers them all.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
