"""Console logs of cloud images: cirros (busybox udhcpc, cloud-setup) and those with dhclient and cloud-init."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netchecks.models.console import Console, Refused

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\[[0-9;]{1,7}m")
_ADDRESS = r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})"

#: A new start: what was said before is of another life.
_STARTS = re.compile(r"Linux version [0-9]|Initializing cgroup subsys cpuset|^\[ +0\.000000\]|Cloud-init v\. ?\S+ running 'init-local'")
#: Lines that name the NIC that the next ones are about (dhclient(8), client/dhclient.c: dhclient, which asks on one at a time).
_DEVICE = re.compile(r"DHCP(?:DISCOVER|REQUEST) (?:of \S+ )?on (\S+) to ")
#: A client that begins anew, and does not name its NIC: busybox networking/udhcp/dhcpc.c.
_NAMELESS = re.compile(r"udhcpc(?:6)?[: (].*started|[Ss]ending discover")
#: busybox networking/udhcp/dhcpc.c; dhclient.
_LEASED = re.compile(rf"[Ll]ease of {_ADDRESS} obtained|bound to {_ADDRESS}")
_REFUSED = re.compile(r"No lease, (?:forking to background|failing)|No DHCPOFFERS received|No working leases in persistent database")
#: cloud-init's table of devices (cloudinit/netinfo.py): device, up, address, and its MAC behind a mask and, in later ones, a scope.
_ROW = re.compile(rf"ci-info: \|\s*((?:eth|en)\S+)\s*\|\s*(?:True|False)\s*\|\s*(?:{_ADDRESS}|\.)\s*\|(.*)")
_MAC = re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE)
#: cirros' cloud-setup and ec2 functions; cloudinit/url_helper.py, DataSourceEc2.
_REACHED = re.compile(r"successful after \d+/\d+ tries|Datasource DataSource(?:Ec2|OpenStack)\b|iid=\S+")
_UNREACHABLE = re.compile(
    r"can't connect to remote host \(169\.254\.169\.254\): .*|failed to read iid from metadata.*|no results found for mode=net.*"
    r"|giving up on md after .*|Calling 'http://169\.254\.169\.254\S*' failed .*|no metadata service.*|wget: server returned error.*"
    r"|failed \d+/\d+: up \S+ .*request failed",
)
#: curl(1), EXIT CODES.
CURL = {"6": "its name does not resolve", "7": "refused or no route", "28": "no answer", "52": "an empty answer", "56": "reset"}


def read(path: str, lines: Iterable[str]) -> Console:
    """Give what the last start in a log tells; the last word on each thing counts."""
    start = _Start()
    for raw in lines:
        line = _ESCAPES.sub("", raw).strip()
        if _STARTS.search(line):
            start = _Start()
        start.take(line)
    leased, refused = dict.fromkeys(start.leased.values()), dict.fromkeys(start.refused.values())
    return Console(path, tuple(leased), tuple(refused), start.metadata, start.unreachable)


class _Start:
    """What was said since a start, of each NIC by its name. Where it has none, leases stand under their address."""

    def __init__(self) -> None:
        self.device = self.metadata = self.unreachable = ""
        self.leased: dict[str, str] = {}
        self.refused: dict[str, Refused] = {}

    def take(self, line: str) -> None:
        if match := _DEVICE.search(line):
            self.device = match[1]
        elif _NAMELESS.search(line):
            self.device = ""
        elif match := _ROW.search(line):
            mac = _MAC.search(match[3])
            self._lease(match[1], match[2]) if match[2] else self._refuse(match[1], line, mac[0].lower() if mac else "")
        elif match := _LEASED.search(line):
            self._lease(self.device, match[1] or match[2])
        elif _REFUSED.search(line):
            self._refuse(self.device, line)
        self._metadata(line)

    def _lease(self, device: str, address: str) -> None:
        self.leased[device or address] = address
        self.refused.pop(device, None)

    def _refuse(self, device: str, line: str, mac: str = "") -> None:
        self.leased.pop(device, None)
        self.refused[device] = Refused(line[:160], mac)

    def _metadata(self, line: str) -> None:
        if _REACHED.search(line):
            self.metadata, self.unreachable = line[:160], ""
        elif match := _UNREACHABLE.search(line):
            self.metadata, self.unreachable = "", match[0][:160]
