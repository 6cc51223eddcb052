"""The machine itself: its distribution, tools, clock and access control."""

from __future__ import annotations

import re
import shlex

from netchecks.errors import Unreadable
from netchecks.models.system import Clock, Denial, OsRelease, Security, Tools
from netchecks.observe import observation
from netchecks.parsing import clean, lines

_LONGEST = 4096


_OS_RELEASE = "cat /etc/os-release 2>/dev/null || cat /usr/lib/os-release"


@observation(shell=_OS_RELEASE, tool="cat")
def os_release(text: str) -> OsRelease:
    """Which distribution the node runs, and its package manager. Source: os-release(5)."""
    told: dict[str, str] = {}
    for line in lines(text):
        name, equals, value = line.partition("=")
        if not line.lstrip().startswith("#"):
            if not equals or len(line) > _LONGEST:
                raise Unreadable("'ID=debian'", line)
            told[name.strip()] = _unquoted(value)
    found = told.get("ID", "").lower()
    if not found:
        raise Unreadable("os-release with ID=", text[:100])
    like, version = tuple(told.get("ID_LIKE", "").lower().split()), told.get("VERSION_ID", "")
    return OsRelease(found, like, version, told.get("PRETTY_NAME", ""), _package_manager((found, *like), version))


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value, comments=False))
    except ValueError as error:
        raise Unreadable("a quoted value", value) from error


#: Distribution -> its package manager. Where a family changed from yum to dnf its version decides.
_MANAGERS = {
    "debian": "apt", "ubuntu": "apt", "astra": "apt", "altlinux": "apt", "linuxmint": "apt", "raspbian": "apt",
    "fedora": "dnf", "rhel": "dnf", "centos": "dnf", "almalinux": "dnf", "rocky": "dnf", "ol": "dnf", "redos": "dnf",
    "amzn": "dnf",
    "opensuse": "zypper", "opensuse-leap": "zypper", "opensuse-tumbleweed": "zypper", "suse": "zypper", "sles": "zypper",
    "alpine": "apk", "arch": "pacman",
}
#: The first major version with dnf.
_FIRST_DNF = {"rhel": 8, "centos": 8, "ol": 8, "redos": 8, "scientific": 8, "virtuozzo": 8, "fedora": 22, "amzn": 2022}


def _package_manager(names: tuple[str, ...], version: str) -> str:
    manager = next((_MANAGERS[name] for name in names if name in _MANAGERS), "")
    first = _FIRST_DNF.get(names[0], _FIRST_DNF["rhel"] if "rhel" in names[1:] else 0)
    major = version.partition(".")[0]
    return "yum" if manager == "dnf" and re.fullmatch(r"[0-9]{1,4}", major) and int(major) < first else manager


_TOOLS = "arping bridge curl dig ip iperf3 mtr nc nmap ping ss tcpdump tracepath traceroute {node.tools}"


_PRESENT = r"""
for t in "$@"; do
  if command -v "$t" >/dev/null 2>&1; then printf '+%s\n' "$t"; else printf -- '-%s\n' "$t"; fi
done
"""


@observation(_TOOLS, shell=_PRESENT, tool="sh")
def tools(text: str) -> Tools:
    """Which of the catalogue's tools, and of those that the inventory names for the node, are installed."""
    found = lines(text)
    if not found or not all(line[0] in "+-" and len(line) > 1 for line in found):
        raise Unreadable("'+ip' or '-nmap'", text[:100])
    return Tools(
        frozenset(line[1:] for line in found if line[0] == "+"),
        frozenset(line[1:] for line in found if line[0] == "-"),
    )


#: Only where one of the two is on, and only the end of the log: 2 MB of the audit log, else 5000 lines of the journal.
_SECURITY = r"""
on=
if [ -e /sys/fs/selinux/enforce ]; then on=1; read -r is </sys/fs/selinux/enforce; echo "selinux $is"; fi
is=; { read -r is </sys/module/apparmor/parameters/enabled; } 2>/dev/null
case $is in Y) on=1; echo apparmor ;; esac
[ -n "$on" ] || { echo off; exit 0; }
if [ -r /var/log/audit/audit.log ]; then echo @log; tail -c 2000000 /var/log/audit/audit.log
elif command -v journalctl >/dev/null 2>&1; then echo @log; journalctl -q -b --no-pager -o cat -n 5000 _TRANSPORT=audit + _TRANSPORT=kernel
fi | grep -aE '^@log$|avc: +denied|apparmor="DENIED"' | tail -n 51
"""


@observation(shell=_SECURITY, tool="sh", root=True, seconds=10.0)
def security(text: str) -> Security:
    """Whether SELinux or AppArmor are on, and what they forbade lately, at most 50 lines.

    Source: selinuxfs (enforce), apparmor's module parameter, the audit log.
    """
    found = lines(text)
    state = {"selinux 1": "enforcing", "selinux 0": "permissive"}
    heads = [line for line in found if line in {*state, "apparmor", "off"}]
    rest = found[len(heads):]
    if not heads or found[:len(heads)] != heads:
        raise Unreadable("'selinux 1', 'apparmor' or 'off'", text[:100])
    denials = [_denial(line) for line in rest if line != "@log"]
    selinux = next((state[head] for head in heads if head in state), "")
    return Security(selinux, "apparmor" in heads, tuple(denials[-50:]) if rest or "off" in heads else None)


def _denial(line: str) -> Denial:
    if not re.search(r"avc: +denied|apparmor=\"DENIED\"", line):
        raise Unreadable("a denial", line)
    process = re.search(r"\bcomm=\"([^\"]*)\"", line)
    return Denial("apparmor" if "apparmor=" in line else "selinux", process[1] if process else "", line)


@observation("date +%s.%N")
def clock(text: str) -> Clock:
    """The node's clock, in seconds since the epoch. busybox's date tells whole seconds."""
    match = re.fullmatch(r"([0-9]{1,12})\.(?:([0-9]{9})|%?N)?\s*", clean(text))
    if not match:
        raise Unreadable("'1700000000.123456789'", text)
    return Clock(float(f"{match[1]}.{match[2]}"), 1e-9) if match[2] else Clock(float(match[1]), 1.0)
