"""What DHCP servers keep and say: processes, leases, known hosts, log lines."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.subjects import Address


@dataclass(frozen=True, slots=True)
class DhcpProcess:
    """One running server. ``program``: its command. ``own_network``: in the node's own network namespace.

    ``options``: as dnsmasq's long ones, (name, value), also those of its files.
    """

    pid: int
    user: str
    program: str
    own_network: bool
    options: tuple[tuple[str, str], ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """Give every value of an option."""
        return tuple(value for option, value in self.options if option == name)

    def has(self, name: str) -> bool:
        """Tell whether an option is set."""
        return any(option == name for option, _ in self.options)

    @property
    def serves(self) -> bool:
        """Whether it gives addresses: a dnsmasq without a range is a name server."""
        return self.program != "dnsmasq" or self.has("dhcp-range")


@dataclass(frozen=True, slots=True)
class DhcpLease:
    """One address that is given. ``client``: the MAC, of IPv6 that of the DUID where it has one, else the DUID.

    ``ends``: seconds since the epoch, None: never. ``left``: seconds until then by the server's clock, None: for ever.
    """

    address: Address
    client: str
    name: str = ""
    ends: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class DhcpHost:
    """One client that a server knows. No ``clients``: it is known by its name. No ``addresses``: any of the range."""

    clients: tuple[str, ...]
    addresses: tuple[Address, ...] = ()
    name: str = ""
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class DhcpFiles:
    """What a server keeps. ``leases`` or ``hosts`` None: no file of that kind was found."""

    leases: tuple[DhcpLease, ...] | None
    hosts: tuple[DhcpHost, ...] | None


@dataclass(frozen=True, slots=True)
class DhcpEvent:
    """One line of a server's log. ``kind`` as the protocol has it (DISCOVER ... SOLICIT ...), or what the server says of itself.

    ``detail``: the reason, or the name of the client. ``seconds``: since the epoch, None where the line does not tell.
    ``link``: the interface it came by. ``client``: as of a lease.
    """

    kind: str
    client: str = ""
    address: Address | None = None
    link: str = ""
    detail: str = ""
    family: int = 4
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DhcpLog:
    """The lines about DHCP of the last time, oldest first. ``source``: the file, or ``journal``.

    ``now``: the server's clock when it was read.
    """

    source: str
    events: tuple[DhcpEvent, ...]
    now: float = 0.0

    def of(self, client: str) -> tuple[DhcpEvent, ...]:
        """Give the lines about one client."""
        return tuple(event for event in self.events if event.client == client)
