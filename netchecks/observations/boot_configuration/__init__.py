"""What a node is configured to be at its next start: the files of ifupdown, ifcfg, netplan, NetworkManager and networkd."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netchecks.errors import Unreadable
from netchecks.models.boot import BootConfiguration, BootInterface, BootService
from netchecks.observations.boot_configuration import ifcfg, ifupdown, keyfile, netplan, networkd
from netchecks.observations.boot_configuration.files import File, Found
from netchecks.observations.boot_configuration.script import SCRIPT
from netchecks.observe import observation
from netchecks.parsing import blocks, lines

_READERS: dict[str, Callable[[list[File]], Found]] = {
    "ifupdown": ifupdown.read, "ifcfg": ifcfg.read, "netplan": netplan.read, "keyfile": keyfile.read, "networkd": networkd.read,
}
#: What systemd says of a unit that it starts at boot (systemctl(1), is-enabled); ``static`` and its like need somebody.
_ENABLED = frozenset({"enabled", "enabled-runtime", "linked", "linked-runtime", "alias"})
#: Of these the rc links tell, whatever systemd calls a unit made from an init script.
_SCRIPTS = {"network": "network", "networking": "networking"}
_WORDS_OF_A_FILE = 4


@observation(shell=SCRIPT, tool="awk", root=True, seconds=10.0, limit=2 * 1024 * 1024)
def boot_configuration(text: str) -> BootConfiguration:
    """What the node's own files configure at its next start, which services act on them, and what could not be read.

    Source: interfaces(5), bridge-utils-interfaces(5); initscripts' sysconfig.txt; netplan's YAML reference;
    nm-settings-keyfile(5); systemd.network(5), systemd.netdev(5).
    """
    parts = blocks(text, "@") if lines(text) else []
    if not parts or parts.pop() != ("end", []):
        raise Unreadable("'@end' at the end", text[-100:])
    marks = [mark for mark, _ in parts]
    files, unread = _files(parts), [mark.partition(" ")[2] for mark in marks if mark.startswith("unread ")]
    has_netplan = "netplan" in marks
    interfaces: list[BootInterface] = []
    for system, read in _READERS.items():
        own = [file for file in files if file.system == system or (system == "ifcfg" and file.system == "route")]
        if system == "netplan" and not has_netplan:
            continue  # left behind: nothing turns it into configuration
        found = read([file for file in own if not (has_netplan and _made_by_netplan(file))])
        interfaces += found.interfaces
        unread += found.unread
    return BootConfiguration(tuple(_services(marks)), tuple(interfaces), tuple(unread))


def _made_by_netplan(file: File) -> bool:
    """Tell what netplan writes anew at every boot from its own files."""
    name = file.path.rpartition("/")[2]
    return file.path.startswith("/run/") and (name.startswith("netplan-") or "-netplan-" in name)


def _files(parts: list[tuple[str, list[str]]]) -> list[File]:
    found: dict[tuple[str, str], File] = {}
    for mark, body in parts:
        kind, *words = mark.split(" ", _WORDS_OF_A_FILE)
        if kind not in {"file", "unread", "unit", "rc", "netplan"} or (kind != "file" and body):
            raise Unreadable("'@file SYSTEM MODE USER PATH'", mark)
        if kind != "file":
            continue
        if len(words) != _WORDS_OF_A_FILE or words[0] not in {*_READERS, "route"} or not all(line.startswith(" ") for line in body):
            raise Unreadable("'@file SYSTEM MODE USER PATH' and indented lines", mark)
        system, mode, user, path = words
        found.setdefault((system, path), File(system, path, mode, user, tuple(line[1:] for line in body)))
    return list(found.values())


def _services(marks: list[str]) -> Iterator[BootService]:
    told = [mark.split() for mark in marks if mark.startswith("unit ")]
    scripts = {name for name in _SCRIPTS for mark in marks if mark.startswith("rc ") and mark.endswith(name)}
    seen = {words[1] for words in told if len(words) > 1}
    for words in told:
        if len(words) < 3:  # noqa: PLR2004 - unit, its name and at least one property
            raise Unreadable("'@unit NAME ActiveState=... LoadState=... UnitFileState=...'", " ".join(words))
        yield _service(words[1], dict(word.partition("=")[::2] for word in words[2:]), scripts)
    for name in ("networking", "network", "NetworkManager", "systemd-networkd"):
        if name not in seen:
            yield BootService(name, True if name in scripts else None)


def _service(name: str, state: dict[str, str], scripts: set[str]) -> BootService:
    if state.get("LoadState") != "loaded":
        return BootService(name, enabled=False)
    active = state.get("ActiveState") in {"active", "activating", "reloading"}
    return BootService(name, active or name in scripts or state.get("UnitFileState") in _ENABLED, active)
