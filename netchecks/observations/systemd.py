"""Services and their logs: ``systemctl``, ``journalctl``."""

from __future__ import annotations

from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.services import LogLine, Service
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import blocks, documents, mapping, number, optional_number, string

#: Monotonic times, in microseconds: they depend neither on the time zone nor on the language.
_SERVICES = """
[ $# -gt 0 ] || exit 0
bad=
for s in "$@"; do
  printf '@unit %s\\n' "$s"
  case $s in *[*?[]*) continue ;; esac
  systemctl show --no-pager --property=Id,LoadState,ActiveState,SubState,Result,NRestarts,MainPID,UnitFileState,Type,\
ConditionResult,ConditionTimestampMonotonic,ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic -- "$s" || bad=1
done
[ -z "$bad" ] || systemctl show --no-pager --property=Version >/dev/null
"""


@observation("{node.services}", shell=_SERVICES, tool="systemctl", seconds=10.0)
def services(text: str) -> Table[Service]:
    """The services that the inventory declares for the node, by the name it declares.

    A unit that does not exist has load ``not-found``; one that systemd itself cannot tell (a command line that is not
    UTF-8) or that names several (``a*``) has ``unknown`` throughout. Source: systemctl(1) show; org.freedesktop.systemd1(5).
    """
    return _read(text)


#: Under these names distributions have them; one that a node does not have is "not-found".
_NEUTRON = (
    "neutron-openvswitch-agent neutron-dhcp-agent neutron-l3-agent neutron-metadata-agent ovs-vswitchd openvswitch-switch openvswitch"
)


@observation(_NEUTRON, shell=_SERVICES, tool="systemctl", seconds=10.0)
def neutron_services(text: str) -> Table[Service]:
    """Neutron's agents on the node and the daemon that they talk to, by unit; those that are not there are ``not-found``."""
    return _read(text)


def _read(text: str) -> Table[Service]:
    return Table("service", {name: _service(name, body) for name, body in blocks(text, "@unit ")})


def _service(name: str, body: list[str]) -> Service:
    if not body:
        return Service(name, "", "unknown", "unknown", "unknown")
    told = {}
    for line in body:
        key, equals, value = line.partition("=")
        if not equals:
            raise Unreadable("'ActiveState=active'", line)
        told[key] = value.strip()
    if missing := {"Id", "LoadState", "ActiveState", "SubState"} - told.keys():
        raise Unreadable(f"{sorted(missing)} of {name}", "\n".join(body))
    return Service(
        name, told["Id"], told["LoadState"], told["ActiveState"], told["SubState"], told.get("Result", ""),
        optional_number(told.get("NRestarts", "")), _seconds(told.get("ExecMainStartTimestampMonotonic", "")),
        _seconds(told.get("ActiveEnterTimestampMonotonic", "")), optional_number(told.get("MainPID", "")) or None,
        told.get("UnitFileState", ""), told.get("Type", ""), _condition_failed(told),
    )


def _condition_failed(told: dict[str, str]) -> bool:
    """Tell whether a condition kept it from starting; a unit that was never tried has no time of it."""
    return told.get("ConditionResult") == "no" and _seconds(told.get("ConditionTimestampMonotonic", "")) is not None


def _seconds(text: str) -> float | None:
    """Give microseconds as seconds; 0 and nothing mean never."""
    value = number(text) if text else 0
    return value / 1_000_000 if value else None


#: Since the unit's last start, or this boot where that is not known; 50 lines of each unit at most, the newest.
_SERVICE_ERRORS = """
[ $# -gt 0 ] || exit 0
journal=
for f in /var/log/journal/*/*.journal /run/log/journal/*/*.journal; do [ ! -r "$f" ] || journal=1; done
[ -n "$journal" ] || journalctl -q -n 1 -o json --no-pager | grep -q . || { echo 'there is no journal, or it may not be read' >&2; exit 1; }
read -r now _ </proc/uptime
for s in "$@"; do
  started=$(systemctl show --property=ExecMainStartTimestampMonotonic -- "$s" 2>/dev/null)
  started=${started#*=}; ago=
  case $started in ''|0|*[!0-9]*) ;; ???????*) ago=$((${now%.*} - ${started%??????} + 1)) ;; esac
  printf '@unit %s\\n' "$s"
  if [ "${ago:-0}" -gt 0 ]; then journalctl -q --no-pager -p err -n 50 -o json --since="-${ago}s" --unit="$s"
  else journalctl -q --no-pager -p err -n 50 -o json -b --unit="$s"; fi || exit
done
"""


@observation("{node.services}", shell=_SERVICE_ERRORS, tool="journalctl", root=True, seconds=15.0)
def service_errors(text: str) -> Table[tuple[LogLine, ...]]:
    """What the declared services logged as error or worse since they started, by declared name, oldest first.

    At most 50 lines each. Not seen where there is no journal. Source: systemd.journal-fields(7).
    """
    found = {}
    for name, body in blocks(text, "@unit "):
        found[name] = tuple(_log_line(name, mapping(item)) for item in documents("\n".join(body)))
    return Table("service", found)


def _log_line(unit: str, item: dict[str, Any]) -> LogLine:
    micros = number(string(item, "__REALTIME_TIMESTAMP"))
    priority = number(string(item, "PRIORITY", "3"))
    return LogLine(unit, micros / 1_000_000, priority, _message(item))


def _message(item: dict[str, Any]) -> str:
    """Give the message; journald writes one that is not UTF-8 as an array of bytes, and one that is too long as null."""
    value = item.get("MESSAGE")
    if isinstance(value, list) and all(isinstance(one, int) and 0 <= one < 256 for one in value):  # noqa: PLR2004 - a byte
        return bytes(value).decode(errors="replace")
    return "" if value is None else string(item, "MESSAGE")


