"""What was changed on a node lately, as far as the node itself still knows: starts, packages, carriers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

#: What packets depend on: names of services and packages. Others change every day, and nobody's network with them.
_NETWORK = re.compile(
    r"(?:python3?-|openstack-)?(?:openvswitch|ovs-|ovsdb|neutron|nova|libvirt|virt(?:qemu|network|log)d|qemu|frr|bird|quagga|dnsmasq|keepalived|"
    r"haproxy|iptables|nftables|ebtables|arptables|firewalld|ufw|shorewall|ipset|linux-image|linux-modules|kernel|systemd(?:-networkd|-resolved)?$|"
    r"networking$|network-?manager|netplan|ifupdown|iproute|bridge-utils|docker|containerd|cri-o|kube|calico|cilium|flannel|rabbitmq-server|"
    r"mariadb-server|mysql-server|mariadb$|mysqld?$|radvd|isc-dhcp|dhcpd|udhcpd|kea|bind9|named|unbound|resolvconf|strongswan|wireguard|ethtool|"
    r"dkms|firmware|conntrack)",
    re.IGNORECASE,
)
#: Seconds: what was started so soon after the node itself was started with it.
_WITH_THE_NODE = 300.0
#: Changes of carrier that a NIC may have had since the start: drivers and switches make some when it comes up.
_CARRIERS = 6
#: Seconds between two packages of one run of a package manager; packages of a run that are named.
_ONE_GO, _NAMED = 300.0, 3


def concerns_network(name: str) -> bool:
    """Tell whether packets depend on a service or package of this name."""
    return _NETWORK.match(name) is not None


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that was changed. ``what``: ``installed``, ``upgraded`` or ``removed``; ``ago``: seconds."""

    name: str
    what: str
    version: str
    ago: float
    before: str = ""

    def __str__(self) -> str:
        """Give it as a person tells it."""
        return f"{self.named} {self.what} {ago(self.ago)}"

    @property
    def named(self) -> str:
        """The package with its release, and the one before."""
        return f"{self.name} {f'{self.before} -> ' if self.before else ''}{self.version}"


@dataclass(frozen=True, slots=True)
class NodeChanges:
    """``up``: seconds since the node was started, or what manages its services. ``units``: running ones, and how long they do, in seconds.

    ``packages``: None where no package manager's log is there. ``carriers``: by NIC, changes of its carrier since the start.
    """

    up: float
    units: tuple[tuple[str, float], ...] = ()
    packages: tuple[PackageChange, ...] | None = None
    carriers: tuple[tuple[str, int], ...] = field(default=())

    def lately(self, seconds: float) -> Iterator[str]:
        """Give what was changed within that time and packets depend on, the latest first, then what has no time."""
        found = list(_together([one for one in self.packages or () if concerns_network(one.name)]))
        later = [(name, since) for name, since in self.units if self.up - since > _WITH_THE_NODE]
        found += [(since, f"{name} started {ago(since)}") for name, since in later if concerns_network(name)]
        found.append((self.up, f"the node started {ago(self.up)}"))
        yield from (text for since, text in sorted(found) if since < seconds)
        often = ((name, count) for name, count in self.carriers if count > _CARRIERS and self.up < seconds)
        yield from (f"the carrier of {name} changed {count} times since the start" for name, count in often)


def _together(packages: Sequence[PackageChange]) -> Iterator[tuple[float, str]]:
    """Tell of packages that were changed in one go together, with the time of the last."""
    groups: list[list[PackageChange]] = []
    for one in sorted(packages, key=lambda package: (package.what, package.ago)):
        if groups and groups[-1][-1].what == one.what and one.ago - groups[-1][-1].ago < _ONE_GO:
            groups[-1].append(one)
        else:
            groups.append([one])
    for group in groups:
        named = ", ".join(one.named for one in group[:_NAMED])
        more = f" and {len(group) - _NAMED} more" if len(group) > _NAMED else ""
        yield group[0].ago, f"{named}{more} {group[0].what} {ago(group[0].ago)}"


def ago(seconds: float) -> str:
    """Give a time as a person tells it."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
