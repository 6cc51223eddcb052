"""Console logs of cloud images: cirros (busybox udhcpc, cloud-setup) and those with dhclient and cloud-init."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netchecks.models.console import Console

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\[[0-9;]{1,7}m")
_ADDRESS = r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})"

#: A new start: what was said before is of another life.
_STARTS = re.compile(r"Linux version [0-9]|Initializing cgroup subsys cpuset|^\[ +0\.000000\]|Cloud-init v\. ?\S+ running 'init-local'")
#: busybox networking/udhcp/dhcpc.c; dhclient(8), client/dhclient.c; cloud-init's table of devices (cloudinit/netinfo.py).
_LEASED = (
    re.compile(rf"[Ll]ease of {_ADDRESS} obtained"), re.compile(rf"bound to {_ADDRESS}"),
    re.compile(rf"ci-info: \|\s*(?:eth|en)\S+\s*\|\s*True\s*\|\s*{_ADDRESS}\s*\|"),
)
_REFUSED = re.compile(
    r"No lease, (?:forking to background|failing)|No DHCPOFFERS received|No working leases in persistent database"
    r"|ci-info: \|\s*(?:eth|en)\S+\s*\|\s*(?:True|False)\s*\|\s*\.\s*\|",
)
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
    told = {"leased": "", "refused": "", "metadata": "", "unreachable": ""}
    for raw in lines:
        line = _ESCAPES.sub("", raw).strip()
        if _STARTS.search(line):
            told = dict.fromkeys(told, "")
        _take(told, line)
    return Console(path, **told)


def _take(told: dict[str, str], line: str) -> None:
    leased = next((match[1] for pattern in _LEASED if (match := pattern.search(line))), "")
    if leased:
        told["leased"], told["refused"] = leased, ""
    elif _REFUSED.search(line):
        told["leased"], told["refused"] = "", line[:160]
    if _REACHED.search(line):
        told["metadata"], told["unreachable"] = line[:160], ""
    elif match := _UNREACHABLE.search(line):
        told["metadata"], told["unreachable"] = "", match[0][:160]
