"""What was changed on a node lately: its start, its services' starts, its packages, its NICs' carriers."""

from __future__ import annotations

import datetime as dt
import re

from netchecks.errors import Unreadable
from netchecks.models.changes import NodeChanges, PackageChange
from netchecks.observe import observation
from netchecks.parsing import blocks, lines, number

#: How long the kernel is up is told by the start of the process that is asked, in hundredths of a second (proc_pid_stat(5); USER_HZ is
#: 100): in a container /proc/uptime may be the container's, while systemd's times are the kernel's. The times of dpkg's log are the node's
#: own, as "@now" is. rpm is asked where there is no such log: it reads its whole database.
_CHANGES = r"""
up=$(cut -d' ' -f22 /proc/self/stat) || exit
printf '@up %s\n' "$up"
date '+@now %s %F %T'
if [ -d /run/systemd/system ]; then
  echo @units
  systemctl show --no-pager --property=UserspaceTimestampMonotonic || exit
  systemctl show --no-pager --property=Id --property=ExecMainStartTimestampMonotonic --property=SubState -- '*.service' || exit
fi
if [ -e /var/log/dpkg.log ]; then
  echo @dpkg
  cat /var/log/dpkg.log.1 /var/log/dpkg.log 2>/dev/null | grep -aE '^[0-9-]{10} [0-9:]{8} (install|upgrade|remove|purge) ' | tail -n 200
elif command -v rpm >/dev/null 2>&1; then
  echo @rpm
  rpm -qa --queryformat '%{INSTALLTIME} %{NAME} %{VERSION}-%{RELEASE}\n' | sort -rn | head -n 200
fi
echo @carriers
for d in /sys/class/net/*/; do
  [ -e "$d/device" ] && read -r n 2>/dev/null <"$d/carrier_changes" || continue
  d=${d%/}; echo "${d##*/} $n"
done
echo @end
"""
_DPKG = re.compile(r"(\S{10} \S{8}) (install|upgrade|remove|purge) (\S{1,200}) (\S{1,200}) (\S{1,200})")
_RPM = re.compile(r"(\d{1,12}) (\S{1,200}) (\S{1,200})")
_WHAT = {"install": "installed", "upgrade": "upgraded", "remove": "removed", "purge": "removed"}
_UNTOLD = "<none>"
#: What may be started within the hundredths that are rounded.
_TICK = 0.05


@observation(shell=_CHANGES, tool="date", seconds=15.0)
def recent_changes(text: str) -> NodeChanges:
    """When the node and its services started, which packages were changed when. Source: dpkg(1), rpm(8), org.freedesktop.systemd1(5)."""
    parts = {head.partition(" ")[0]: (head.partition(" ")[2], body) for head, body in blocks(text, "@")}
    if not {"up", "now", "end"} <= parts.keys():
        raise Unreadable("'@up 471108', '@now ...' and '@end'", text[-100:])
    epoch, _, clock = parts["now"][0].partition(" ")
    up = number(parts["up"][0]) / 100
    managed, units = _units(parts["units"][1], up) if "units" in parts else (up, ())
    return NodeChanges(managed, units, _packages(parts, number(epoch), _time(clock)), _carriers(parts.get("carriers", ("", []))[1]))


def _units(body: list[str], up: float) -> tuple[float, tuple[tuple[str, float], ...]]:
    """Give how long systemd runs here, which in a container is less than the kernel does, and how long its running services do."""
    found, one, managed = [], dict[str, str](), up
    for line in [*body, ""]:
        key, equals, value = line.partition("=")
        if equals:
            one[key] = value.strip()
            continue
        since = _since(one.get("ExecMainStartTimestampMonotonic", ""), up)
        if one.get("SubState") == "running" and since is not None:
            found.append((one.get("Id", "").removesuffix(".service"), since))
        managed = _since(one.get("UserspaceTimestampMonotonic", ""), up) or managed
        one = {}
    return managed, tuple(found)


def _since(stamp: str, up: float) -> float | None:
    """Give how long ago a time of systemd's is, in seconds; None where there is none, or it is of another clock: then nobody knows."""
    since = up - number(stamp) / 1e6 if stamp not in {"", "0"} else -1.0
    return max(since, 0.0) if since > -_TICK else None


def _packages(parts: dict[str, tuple[str, list[str]]], epoch: float, clock: dt.datetime) -> tuple[PackageChange, ...] | None:
    if "dpkg" in parts:
        told = (_DPKG.fullmatch(line) for line in lines("\n".join(parts["dpkg"][1])))
        return tuple(_of_dpkg(match, clock) for match in told if match)
    if "rpm" in parts:
        told = (_RPM.fullmatch(line) for line in lines("\n".join(parts["rpm"][1])))
        return tuple(PackageChange(match[2], "installed", match[3], max(epoch - int(match[1]), 0.0)) for match in told if match)
    return None


def _of_dpkg(match: re.Match[str], clock: dt.datetime) -> PackageChange:
    name, before, version = match[3].partition(":")[0], match[4], match[5]
    gone = match[2] in {"remove", "purge"}
    since = max((clock - _time(match[1])).total_seconds(), 0.0)
    return PackageChange(name, _WHAT[match[2]], before if gone else version, since, "" if gone or before == _UNTOLD else before)


def _time(text: str) -> dt.datetime:
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - all of the node's own clock
    except ValueError as error:
        raise Unreadable("'2026-11-25 10:00:00'", text) from error


def _carriers(body: list[str]) -> tuple[tuple[str, int], ...]:
    return tuple((name, int(count)) for name, _, count in (line.partition(" ") for line in body) if count.isdigit())
