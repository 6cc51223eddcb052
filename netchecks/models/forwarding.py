"""What the settings of a kernel mean for packets that it forwards: ``sysctls`` by name, as the fact has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: A packet by IPv6 is forwarded where ``all`` says so (Linux net/ipv6/ip6_output.c, ip6_forward).
_ALL = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def closed(sysctls: Mapping[str, str], devices: Iterable[str], families: Iterable[int]) -> dict[str, int]:
    """Give the settings that stop forwarding between these devices, with the family that each stops.

    Of IPv4 that of the device that a packet comes in by counts (Linux net/ipv4/route.c, IN_DEV_FORWARD).
    """
    wanted = set(families)
    off = {key: family for family, key in _ALL.items() if family in wanted and sysctls.get(key) == "0"}
    if 4 in wanted and _ALL[4] not in off:  # noqa: PLR2004 - IPv4
        off |= {key: 4 for key in (_of(device, 4, "forwarding") for device in devices) if sysctls.get(key) == "0"}
    return off


def reverse_filter(sysctls: Mapping[str, str], device: str) -> int:
    """Give the mode of the reverse path's filter at a device: 0 off, 1 strict, 2 loose; the larger of all's and its own.

    IPv4 only. Source: Linux Documentation/networking/ip-sysctl.rst, rp_filter (RFC 3704).
    """
    keys = (_of("all", 4, "rp_filter"), _of(device, 4, "rp_filter"))
    return max((int(value) for key in keys if (value := sysctls.get(key, "0")).isdigit()), default=0)


def answers_for_others(sysctls: Mapping[str, str], device: str, family: int) -> bool:
    """Tell whether the node may answer ARP or NDP for others on a device: all's setting or its own.

    ARP: for every address that it routes to another device. NDP: for those of ``proxy_neighbours`` alone.
    """
    name = "proxy_arp" if family == 4 else "proxy_ndp"  # noqa: PLR2004 - IPv4
    return any(sysctls.get(_of(one, family, name), "0") != "0" for one in ("all", device))


def _of(device: str, family: int, name: str) -> str:
    return f"net.ipv{family}.conf.{device.replace('.', '/')}.{name}"
