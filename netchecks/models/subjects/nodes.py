"""Nodes, how they are reached, what is declared of their devices."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.subjects.naming import SSH_PORT, Address, AddressOnLink, Named, Prefix


@dataclass(frozen=True, slots=True)
class Connection:
    """How commands reach a place. ``backend`` is ``ssh``, ``local``, ``netns`` or any backend of testinfra.

    ``os``: ``windows`` where no POSIX shell is there, else empty.
    """

    backend: str
    address: str = ""
    user: str = ""
    port: int | None = None
    jump: str = ""
    sudo: bool = False
    identity: str = ""
    ssh_config: str = ""
    os: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """A route that shall be there: ``to`` by ``via`` and/or ``dev``."""

    to: Prefix
    via: Address | None = None
    dev: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredLink:
    """An interface of a node that shall be up, with the addresses it shall have. Speed in Mb/s."""

    name: str
    addresses: tuple[AddressOnLink, ...] = ()
    speed: int | None = None


@dataclass(frozen=True, slots=True)
class DeclaredPlatform:
    """The platform that manages nodes, in a place of its own on a node: commands run there behind ``prefix``.

    ``prefix`` empty: on the node itself. ``nodes``: the names of those that it manages, None: every other hypervisor.
    """

    name: str
    prefix: tuple[str, ...] = ()
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node(Named):
    """A machine where commands run. ``roles``: ``hypervisor``, ``router``, ``controller`` or a site's own.

    ``platform``: that which manages nodes, where it runs on this one.
    """

    name: str
    connection: Connection
    roles: frozenset[str] = frozenset({"hypervisor"})
    links: tuple[DeclaredLink, ...] = ()
    routes: tuple[DeclaredRoute, ...] = ()
    services: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    names_inside: tuple[str, ...] = ()
    names_outside: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()
    platform: DeclaredPlatform | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Access(Named):
    """The platform's own way to a node that it manages, by SSH. ``source``: the node that the platform is on.

    ``targets``: (address, port) of the nodes that are asked for in one command, this one's among them.
    """

    name: str
    source: Node
    node: Node
    platform: DeclaredPlatform
    targets: tuple[tuple[str, int], ...]

    @property
    def target(self) -> str:
        """The node's address and port, as the fact names them."""
        return f"{self.node.connection.address} {self.node.connection.port or SSH_PORT}"

    @property
    def words(self) -> tuple[str, ...]:
        """How many words the prefix has, the prefix, and each target's address and port."""
        asked = (word for address, port in self.targets for word in (address, str(port)))
        return (str(len(self.platform.prefix)), *self.platform.prefix, *asked)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Link(Named):
    """An interface of a node that shall be up. ``role``: ``uplink``, ``bridge`` or ``declared``.

    ``kinds``: the kinds of the networks that it carries.
    """

    name: str
    node: Node
    device: str
    role: str
    kinds: frozenset[str] = frozenset()
