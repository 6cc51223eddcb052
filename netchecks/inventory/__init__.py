"""The inventory: what is meant. YAML files become the subjects of netchecks.models, or one error with every mistake.

``load`` is the way in, ``default_path`` the inventory of a user who has none, ``schema`` what editors want to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from netchecks.inventory.problems import Problems
from netchecks.inventory.tree import Mapping, Place
from netchecks.models.subjects import Inventory


def load(paths: Sequence[Path]) -> Inventory:
    """Give the inventory of one or several files; a folder stands for the ``*.yaml`` and ``*.yml`` in it.

    Raises InventoryError with every mistake of all of them.
    """
    # pydantic costs 0.2 s: it is imported when an inventory is loaded.
    from netchecks.inventory.reading import read

    problems = Problems()
    files = list(dict.fromkeys(file for path in paths for file in _files(Path(path), problems)))
    read_files = [read(file, problems) for file in files]
    roots = [root for root in read_files if root is not None]
    names = tuple(map(str, files))
    if not roots:
        problems.raise_if_any(names)
    inventory = _built(roots, names, problems, complete=len(roots) == len(files))
    problems.raise_if_any(names)
    return inventory


def _built(roots: list[Mapping], files: tuple[str, ...], problems: Problems, *, complete: bool) -> Inventory:
    """Give the inventory, noting what is wrong. Not ``complete``: a file is missing, so references may lead nowhere."""
    from netchecks.inventory.building import site_of
    from netchecks.inventory.consistency import check
    from netchecks.inventory.flows import flows_of, waivers_of
    from netchecks.inventory.gathering import gathered
    from netchecks.inventory.siblings import meet

    written = gathered(roots, problems)
    if not written.nodes and not len(problems):
        problems.add(Place(files[0], 1, 1), "found no node at all, expected at least one under 'nodes'")
    site = site_of(written, problems, complete=complete)
    check(site)
    meet(site)
    return Inventory(
        nodes=tuple(filter(None, site.nodes.values())),
        networks=tuple(filter(None, site.networks.values())),
        vms=tuple(filter(None, site.vms.values())),
        interfaces=tuple(interface for interface, _, _ in site.interfaces),
        flows=flows_of(written.flows, site),
        waivers=waivers_of(written.waivers, site),
        files=files,
    )


def _files(path: Path, problems: Problems) -> Iterator[Path]:
    """Give the files of a folder in the order of their names, or the file itself."""
    try:
        found = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
    except OSError as error:
        problems.add(Place(str(path), 1, 1), f"cannot be read: {error.strerror or error}")
        return
    if not found:
        problems.add(Place(str(path), 1, 1), "is a folder without any file *.yaml or *.yml, expected an inventory")
    yield from found


def default_path() -> Path:
    """Give the inventory of this machine alone: in a checkout from ``inventories/``, in a wheel from the package."""
    packaged = Path(str(resources.files("netchecks"))) / "inventories" / "local.yaml"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "inventories" / "local.yaml"


def schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an inventory file, for editors."""
    from netchecks.inventory.entries import schema as made

    return made()


def show(inventory: Inventory) -> str:
    """Give the resolved form of an inventory as YAML, which loads to the same inventory."""
    from netchecks.inventory.showing import show as shown

    return shown(inventory)


__all__ = ["default_path", "load", "schema", "show"]
