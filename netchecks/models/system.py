"""A machine itself: its system, tools, clock, limits, resolvers, listeners."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from netchecks.models.subjects import Address
from netchecks.models.table import Table


@dataclass(frozen=True, slots=True)
class OsRelease:
    """What os-release says. ``package_manager``: ``apt``, ``dnf``, ``yum``, ``zypper``, ``apk``, ``pacman``, else empty."""

    id: str
    id_like: tuple[str, ...] = ()
    version_id: str = ""
    pretty_name: str = ""
    package_manager: str = ""


@dataclass(frozen=True, slots=True)
class Tools:
    """Which commands are there, by name, among those asked for."""

    present: frozenset[str]
    absent: frozenset[str]


@dataclass(frozen=True, slots=True)
class Denial:
    """Something that SELinux or AppArmor forbade: ``process`` is the command's name, ``raw`` the log's line."""

    module: str
    process: str
    raw: str


@dataclass(frozen=True, slots=True)
class Security:
    """Mandatory access control. ``selinux``: ``enforcing`` or ``permissive``, empty where it is off or not there.

    ``apparmor``: its module is on. ``denials``: the newest in the audit log or the journal, oldest first, at most 50;
    None: no log could be read, so nothing is known of denials.
    """

    selinux: str = ""
    apparmor: bool = False
    denials: tuple[Denial, ...] | None = None


@runtime_checkable
class Timed(Protocol):
    """What wants to know when it was read, by the controller's clock."""

    def read_between(self, earliest: float, latest: float) -> Timed:
        """Give itself with the bounds of that time."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The node's clock. ``seconds`` since the epoch; ``resolution`` 1.0 where its date tells whole seconds only.

    ``earliest``, ``latest``: between these times of the controller's clock it was read; None where that is not known.
    """

    seconds: float
    resolution: float
    earliest: float | None = None
    latest: float | None = None

    def read_between(self, earliest: float, latest: float) -> Clock:
        """Give the same reading with the bounds of its time."""
        return replace(self, earliest=earliest, latest=latest)

    @property
    def ahead(self) -> tuple[float, float] | None:
        """How many seconds it is ahead of the controller's, at least and at most; negative: behind."""
        if self.earliest is None or self.latest is None:
            return None
        return self.seconds - self.latest, self.seconds + self.resolution - self.earliest


@dataclass(frozen=True, slots=True)
class Boot:
    """When it started: ``time`` in seconds since the epoch (its own clock), ``uptime`` in seconds."""

    time: int
    uptime: float


@dataclass(frozen=True, slots=True)
class Conntrack:
    """Entries of the connection tracking table and its limit; both None where it is not loaded."""

    count: int | None = None
    max: int | None = None

    @property
    def share(self) -> float | None:
        """The part of the table that is full, 0 to 1; None where there is none or it has no limit."""
        if self.count is None or not self.max:
            return None
        return self.count / self.max


@dataclass(frozen=True, slots=True)
class SocketUse:
    """Sockets in use by protocol (both families), TCP's times-wait and orphans, the ports for outgoing connections.

    ``orphans_max``, ``time_wait_max``: the kernel's limits, None where not told. Memory is in pages.
    """

    tcp: int
    udp: int
    raw: int
    time_wait: int
    orphans: int
    allocated: int
    tcp_memory: int
    udp_memory: int
    first_port: int
    last_port: int
    time_wait_max: int | None = None
    orphans_max: int | None = None

    @property
    def ports(self) -> int:
        """How many local ports one destination can be reached from."""
        return self.last_port - self.first_port + 1


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for packets. ``address`` None: every address of ``families``. ``device``: bound to it alone.

    ``families``: 4 and 6; empty where the tool does not tell (an IPv6 socket may or may not take IPv4 too).
    """

    protocol: str
    address: Address | None
    port: int
    device: str = ""
    families: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Resolver:
    """A name server. ``port`` 53 unless said. ``name``: what its certificate must say (DNS over TLS)."""

    address: Address
    port: int = 53
    scope: str = ""
    name: str = ""


def _no_links() -> Table[tuple[Resolver, ...]]:
    return Table("link", {})


@dataclass(frozen=True, slots=True)
class Resolvers:
    """What the node asks for names. ``servers``: resolv.conf's, in order. ``stub``: they are systemd-resolved's own.

    ``upstreams``: those that answer in the end (``servers`` where there is no stub). ``links``: resolved's per link,
    empty where it is not there. ``options``: as written (``ndots:2``). ``invalid``: nameserver lines with no address.
    """

    servers: tuple[Resolver, ...]
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    stub: bool = False
    upstreams: tuple[Resolver, ...] = ()
    links: Table[tuple[Resolver, ...]] = field(default_factory=_no_links)
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelModules:
    """Loaded modules; ``loadable`` false: this kernel has none (all is built in, or a container hides it)."""

    names: frozenset[str]
    loadable: bool = True
