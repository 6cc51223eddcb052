"""What a node's own files say that it shall be after the next start; nothing concluded about what it is now."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from netchecks.models.subjects import Address, AddressOnLink, Prefix

#: System -> the service that acts on its files at boot.
SERVICES = {
    "ifupdown": ("networking",), "ifcfg": ("network", "NetworkManager"), "keyfile": ("NetworkManager",), "networkd": ("systemd-networkd",),
}


@dataclass(frozen=True, slots=True)
class BootService:
    """A service that configures networks. ``enabled``: it starts at boot; None: that could not be told."""

    name: str
    enabled: bool | None
    active: bool = False


@dataclass(frozen=True, slots=True)
class BootRoute:
    """A route that files ask for. ``via`` None: on the link, or by a gateway that is not told."""

    to: Prefix
    via: Address | None = None
    dev: str = ""


@dataclass(frozen=True, slots=True)
class BootInterface:
    """What the files of one system say of one interface.

    ``names``: shell patterns of the devices that it is for; one that begins with ``!`` excludes. ``macs``: it is for these.
    ``unsure``: it is also chosen by something that is not evaluated (a driver, a path). ``types``: it is for devices of these types alone
    (``ether``, ``wlan`` ...), empty: of all.
    ``kind``: ``bridge``, ``bond``, ``vlan`` ..., empty where it is not told. ``master``: the bridge or bond it is a port of.
    ``ports``: patterns of a bridge's own list of ports; one between slashes is a regular expression.
    ``methods``: of ``dhcp4``, ``dhcp6``, ``ra`` (router advertisements), ``link-local``. MTU in bytes.
    ``on_boot``: it is started without anybody asking. ``opaque``: commands in it may do more than can be read from it.
    ``ignored``: why its system does not read the file, empty where it does.
    """

    name: str
    system: str
    file: str
    names: tuple[str, ...] = ()
    macs: frozenset[str] = frozenset()
    unsure: bool = False
    kind: str = ""
    master: str = ""
    ports: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    addresses: tuple[AddressOnLink, ...] = ()
    routes: tuple[BootRoute, ...] = ()
    mtu: int | None = None
    vlan: int | None = None
    parent: str = ""
    on_boot: bool = True
    opaque: bool = False
    ignored: str = ""
    services: tuple[str, ...] = ()
    types: frozenset[str] = frozenset()

    def is_for(self, device: str, mac: str | None) -> bool | None:
        """Tell whether it is for a device; None where that cannot be told. ``mac`` None: not known."""
        if (self.names and not _fits(self.names, device)) or not _may_be(device, self.types):
            return False
        if self.kind and not (self.names or self.macs):
            return False  # a connection of another kind: wireless, a VPN
        if self.macs and mac is not None and mac not in self.macs:
            return False
        if (self.macs and mac is None) or self.unsure or not (self.names or self.macs):
            return None
        return True

    def by_name(self, device: str) -> bool:
        """Tell whether the files name this very device."""
        return device in self.names

    def takes(self, device: str) -> bool:
        """Tell whether its own list of ports has that device."""
        return any(re.fullmatch(one[1:-1], device) if one.startswith("/") else fnmatchcase(device, one) for one in self.ports)


#: How udev names devices of these types: systemd.net-naming-scheme(7). The kernel's own name of the loopback device is fixed.
_NAMED = {"wlan": "wl", "wwan": "ww", "loopback": "lo"}


def _may_be(device: str, types: frozenset[str]) -> bool:
    """Tell whether a device may be of one of these types, as far as its name shows it."""
    return not types or any(device.startswith(_NAMED.get(one, "")) for one in types)


def _fits(patterns: tuple[str, ...], device: str) -> bool:
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    excluded = any(fnmatchcase(device, pattern[1:]) for pattern in patterns if pattern.startswith("!"))
    return not excluded and (not wanted or any(fnmatchcase(device, pattern) for pattern in wanted))


@dataclass(frozen=True, slots=True)
class BootConfiguration:
    """All that was found. ``interfaces`` in the order in which their systems look for the first that fits.

    ``unread``: files, and parts of them, that could not be read or understood: what stands there is not known.
    """

    services: tuple[BootService, ...]
    interfaces: tuple[BootInterface, ...]
    unread: tuple[str, ...] = ()

    def in_force(self, interface: BootInterface) -> bool | None:
        """Tell whether something acts on an interface's file at boot; None where that could not be told."""
        states = [service.enabled for service in self.services if service.name in interface.services]
        return True if True in states else None if None in states else False

    @property
    def effective(self) -> tuple[BootInterface, ...]:
        """Those that something acts on, or may act on, at boot."""
        return tuple(item for item in self.interfaces if not item.ignored and self.in_force(item) is not False)

    @property
    def undecided(self) -> bool:
        """Whether files of several systems are there and it is not known which of them count."""
        found = [item for item in self.effective if self.in_force(item) is None]
        return len({item.system for item in self.effective}) > 1 and bool(found)

    def of(self, device: str, mac: str | None = None) -> tuple[BootInterface, ...]:
        """Give what is for a device at boot: of each system the first that fits. Raises LookupError where that is not sure."""
        chosen: dict[str, BootInterface] = {}
        for item in self.effective:
            if item.system in chosen:
                continue
            fits = item.is_for(device, mac)
            if fits is None and item.system == "keyfile" and "ifupdown" in chosen:
                continue
            if fits is None:
                raise LookupError(f"whether {item.file} is for {device}")
            if fits:
                chosen[item.system] = item
        return tuple(_strongest(chosen, device).values())

    def masters(self, device: str, mac: str | None = None) -> frozenset[str]:
        """Give the bridges and bonds that the device is made a port of at boot. Raises LookupError where that is not sure."""
        own = {item.master for item in self.of(device, mac) if item.master}
        lists = {item.name for item in self.effective if item.takes(device)}
        return frozenset(own | lists)


def _strongest(chosen: dict[str, BootInterface], device: str) -> dict[str, BootInterface]:
    """Leave out what gives way. Raises LookupError where one service has two files of a device and may take either.

    NetworkManager leaves what stands in interfaces(5) alone, as Debian and Ubuntu configure it. networkd takes the first file by
    its name, and netplan's are called ``10-netplan-``.
    """
    left = dict(chosen)
    if "ifupdown" in left and left["ifupdown"].by_name(device):
        left.pop("keyfile", None)
    if "netplan" in left and "networkd" in left and set(left["netplan"].services) == set(left["networkd"].services):
        name = left["networkd"].file.rpartition("/")[2]
        left.pop("netplan" if name < f"10-netplan-{device}.network" else "networkd")
    managed = [left[system] for system in ("ifcfg", "netplan", "keyfile") if system in left and "NetworkManager" in left[system].services]
    if len(managed) > 1:
        raise LookupError(f"which of {managed[0].file} and {managed[1].file} NetworkManager takes for {device}")
    return left
