"""What an inventory tells of a network that OpenStack's nova-network manages, and what nova itself has written down of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: Where the user and the password for a database come from: nova's own configuration on a node, an option file of MySQL's
#: clients on this machine, or a variable of the environment that holds them as ``user:password``.
CredentialsFrom: TypeAlias = Literal["config", "option_file", "environment"]

#: nova.network.manager: FlatDHCPManager, FlatManager (no DHCP, no floating addresses), VlanManager (a bridge for each VLAN).
Manager: TypeAlias = Literal["flat-dhcp", "flat", "vlan"]
CLASSES: dict[Manager, str] = {"flat-dhcp": "FlatDHCPManager", "flat": "FlatManager", "vlan": "VlanManager"}

MYSQL_PORT = 3306


@dataclass(frozen=True, slots=True)
class DeclaredDatabase:
    """nova's database and where its credentials come from; never the credentials themselves.

    ``address`` empty, ``name`` empty: as the configuration or the option file says. ``node``: the one with the configuration, by name.
    """

    source: CredentialsFrom
    value: str
    node: str = ""
    address: str = ""
    port: int = MYSQL_PORT
    name: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredNova:
    """How nova manages a network. ``multi_host``: each node is gateway, DHCP server and translator of its own instances.

    Else ``host``, by name, is that for all of them. ``public_interface``: the device of that node with the floating addresses.
    """

    manager: Manager = "flat-dhcp"
    multi_host: bool = True
    host: str = ""
    public_interface: str = ""
    database: DeclaredDatabase | None = None

    @property
    def manager_class(self) -> str:
        """The manager as nova.conf has it."""
        return CLASSES[self.manager]


# -- nova.conf ---------------------------------------------------------------------------------------------------------


#: What nova takes where an option is not set (nova/network/linux_net.py). Bridge and interfaces of a network have none: they are
#: those of its row in the database.
DEFAULTS = {"public_interface": "eth0"}


@dataclass(frozen=True, slots=True)
class NovaConfig:
    """The options of nova.conf that say how its network is built. ``file``: where they stand; options by name, last wins."""

    file: str
    options: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str:
        """Give what an option is for nova: its value, where it is not set nova's default; empty where there is none."""
        return self.set(name) or DEFAULTS.get(name, "")

    def set(self, name: str) -> str:
        """Give an option's value as it stands there, empty where it is not set."""
        return next((value for option, value in reversed(self.options) if option == name), "")

    @property
    def manager(self) -> str:
        """The class of network_manager, without its module; nova's default is VlanManager."""
        return self.get("network_manager").rpartition(".")[2] or CLASSES["vlan"]

    @property
    def multi_host(self) -> bool:
        """Whether each node is to be gateway of its own instances (a network keeps what it was made with)."""
        return self.get("multi_host").lower() in {"true", "1", "yes", "on", "t"}


# -- the database ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A row of ``instances``. ``deleted``: of old releases a flag, of later ones the row's own id; 0 where it is not."""

    id: int
    uuid: str
    hostname: str
    host: str
    vm_state: str
    deleted: bool

    @property
    def lives(self) -> bool:
        """Whether it is there, running or not (nova/compute/vm_states.py)."""
        return not self.deleted and self.vm_state not in {"deleted", "soft-delete", "soft_deleted"}

    def __str__(self) -> str:
        """Give it as operators name it."""
        return f"{self.hostname} ({self.uuid})"


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """A row of ``networks``."""

    id: int
    label: str
    cidr: str
    bridge: str
    bridge_interface: str
    vlan: int | None
    multi_host: bool
    host: str


@dataclass(frozen=True, slots=True)
class InterfaceRow:
    """A row of ``virtual_interfaces``: a MAC of an instance."""

    id: int
    mac: str
    network_id: int | None
    instance_uuid: str


@dataclass(frozen=True, slots=True)
class FixedRow:
    """A row of ``fixed_ips``. ``host``: the node whose own address on the network it is (multi-host)."""

    id: int
    address: str
    network_id: int | None
    interface_id: int | None
    instance_uuid: str
    allocated: bool
    reserved: bool
    host: str

    @property
    def free(self) -> bool:
        """Whether it may be given to an instance."""
        return not (self.instance_uuid or self.allocated or self.reserved or self.host)


@dataclass(frozen=True, slots=True)
class FreeRows:
    """The rows of ``fixed_ips`` of a network that are free: how many, and the address of one."""

    network_id: int
    address: str
    count: int


@dataclass(frozen=True, slots=True)
class FloatingRow:
    """A row of ``floating_ips``. It is an instance's only by way of a fixed address."""

    id: int
    address: str
    fixed_ip_id: int | None
    project_id: str
    host: str
    pool: str
    interface: str


@dataclass(frozen=True, slots=True)
class NovaRows:
    """What nova's database says of its networks; of all tables but ``instances`` the rows that are not deleted.

    ``fixed``: those in use, bound to a floating address or there twice; the others are free, and ``free`` counts all that are.
    """

    instances: tuple[InstanceRow, ...]
    networks: tuple[NetworkRow, ...]
    interfaces: tuple[InterfaceRow, ...]
    fixed: tuple[FixedRow, ...]
    floating: tuple[FloatingRow, ...]
    free: tuple[FreeRows, ...]

    def instance(self, uuid: str) -> InstanceRow | None:
        """Find an instance, one that is gone too."""
        return next((row for row in self.instances if row.uuid == uuid), None)

    def instance_of_mac(self, mac: str) -> InstanceRow | None:
        """Find the instance that a MAC was given to."""
        owner = next((row for row in self.interfaces if row.mac == mac), None)
        return self.instance(owner.instance_uuid) if owner else None

    def fixed_of(self, uuid: str) -> tuple[FixedRow, ...]:
        """Give the fixed addresses of an instance."""
        return tuple(row for row in self.fixed if row.instance_uuid == uuid)

    def fixed_by_id(self, number: int | None) -> FixedRow | None:
        """Find a fixed address by its row's id."""
        return next((row for row in self.fixed if row.id == number), None)

    def bound(self) -> tuple[tuple[FloatingRow, FixedRow | None], ...]:
        """Give the floating addresses that are bound, each with its fixed one; None where that row is gone."""
        return tuple((row, self.fixed_by_id(row.fixed_ip_id)) for row in self.floating if row.fixed_ip_id is not None)
