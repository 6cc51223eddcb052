"""What can be written in an inventory: the one statement of its fields, for validation, editors and messages."""

from __future__ import annotations

import typing
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema

from netchecks.inventory.fields import (
    KEY_PATTERN,
    PORT_JSON,
    Backend,
    Cidr,
    Device,
    DnsName,
    Family,
    Host,
    Jump,
    Key,
    Kind,
    Line,
    LogFile,
    Mac,
    Manager,
    Mtu,
    Name,
    Names,
    NetworkType,
    OnLink,
    Port,
    Prose,
    Range,
    Rate,
    Reach,
    Role,
    Segment,
    Speed,
    SysctlKey,
    System,
    To,
    Tool,
    Unit,
    Until,
    User,
    Uuid,
    Version,
    Vlan,
    Word,
    Yes,
)

#: iperf3(1), --port.
IPERF_PORT = 5201


class Written(BaseModel):
    """Fields as they are written. Unknown ones are mistakes; an empty one is as if it were not there."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, data: Any) -> Any:
        if data is None:
            return {}
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if value is not None or name not in fields(cls)}


def _required(*names: str) -> ConfigDict:
    """Tell editors what is required, but let models do without: a wrong kind must not hide the other mistakes of a network.

    The building of the inventory asks for these.
    """
    return ConfigDict(json_schema_extra={"required": list(names)})


def _one_or_more(found: object) -> object:
    """Take a single value for a list of one."""
    return [found] if isinstance(found, str) else found


_ONE_OR_MORE = WithJsonSchema({"anyOf": [PORT_JSON, {"type": "array", "items": PORT_JSON}]})
Ports: TypeAlias = Annotated[tuple[Port, ...], BeforeValidator(_one_or_more), _ONE_OR_MORE]


class LinkEntry(Written):
    """An interface of the node that shall be up."""

    speed: Speed | None = Field(None, description="Speed it shall run at, in Mb/s.")
    addresses: tuple[OnLink, ...] = Field((), description="Addresses it shall have, with their prefix lengths.")


class RouteEntry(Written):
    """A route that the node shall have."""

    to: To = Field(description="Where it leads: a subnet, an address, or 'default'.")
    via: Host | None = Field(None, description="The gateway.")
    dev: Device = Field("", description="The interface.")


class WayEntry(Written):
    """The way to a place where commands run."""

    connection: Backend = Field("ssh", description="How commands reach it: ssh, local, netns or a backend of testinfra.")
    address: Reach = Field("", description="Host, address, container or namespace; a node's name, a VM's first address where not given.")
    port: Port | None = Field(None, description="Port of SSH.")
    user: User = Field("", description="User to log in as.")
    sudo: Yes = Field(default=False, description="Run what needs root with 'sudo -n'.")
    jump: Jump = Field("", description="A node of the inventory, or what ssh -J takes.")
    identity: Line = Field("", description="Private key file, relative to this file.")
    ssh_config: Line = Field("", description="ssh_config file, relative to this file.")


class PlatformEntry(Written):
    """The platform that manages nodes: where it runs on this one, and which nodes it has to reach by SSH."""

    name: Name = Field(description="Its name, such as that of its container.")
    prefix: tuple[Word, ...] = Field((), description="What stands before a command to run it there: [docker, exec, vm_box].")
    nodes: tuple[Names, ...] | None = Field(None, description="Nodes it manages; every other hypervisor where not given.")


class NodeEntry(WayEntry):
    """A machine where commands run."""

    roles: tuple[Role, ...] = Field(("hypervisor",), description="hypervisor, router, controller, host or a site's own.")
    links: dict[Device, LinkEntry] = Field({}, description="Interfaces that shall be up.")
    routes: tuple[RouteEntry, ...] = Field((), description="Routes that shall be there.")
    services: tuple[Unit, ...] = Field((), description="systemd units that shall run.")
    tools: tuple[Tool, ...] = Field((), description="Commands that shall be installed.")
    names_inside: tuple[DnsName, ...] = Field((), description="Names of the site that the node's resolvers shall know.")
    names_outside: tuple[DnsName, ...] = Field((), description="Names of the internet that they shall know.")
    sysctl: dict[SysctlKey, Line] = Field({}, description="Kernel parameters that shall have these values.")
    platform: PlatformEntry | None = Field(None, description="The platform that manages nodes, where it runs on this one.")


class AttachmentEntry(Written):
    """A node, or a range of them, on a network, with what differs there."""

    node: Names = Field(description="A node, or a range such as node[2-50].")
    bridge: Device = Field("", description="Its bridge, where it is not the network's.")
    uplink: Device = Field("", description="Its uplink, where it is not the network's.")

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"node": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors that a name alone will do."""
        whole = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string"}, whole]}


class DhcpServerEntry(Written):
    """A DHCP server that may answer on a network."""

    model_config = _required("addresses")

    addresses: tuple[Host, ...] = Field((), description="Its addresses; of IPv6 the link-local one that it sends from.")
    node: Name = Field("", description="The node it runs on, where that is one of this inventory.")
    log: LogFile = Field("", description="The file of its log, where that is not found by itself.")

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, data: Any) -> Any:
        return {"addresses": [data]} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors that an address alone will do."""
        whole = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string"}, whole]}


class DhcpEntry(Written):
    """How VMs get their addresses."""

    servers: tuple[DhcpServerEntry, ...] = Field(description="The servers that may answer.")
    ranges: tuple[Range, ...] = Field((), description="What may be offered; any address of the subnets where not given.")
    known_only: Yes = Field(default=False, description="True where clients that the servers do not know get nothing.")


class AdvertisedEntry(Written):
    """What routers shall advertise to VMs."""

    routers: tuple[Host, ...] = Field((), description="The routers, by link-local address; empty: there shall be none.")
    managed: Yes | None = Field(None, description="The flag M: addresses come by DHCPv6.")
    other: Yes | None = Field(None, description="The flag O: resolvers and the like come by DHCPv6.")


class RouterEntry(Written):
    """A router of Neutron: 'openstack router show'."""

    model_config = _required("id")

    id: Uuid = Field("", description="The router's UUID.")
    nodes: tuple[Names, ...] = Field((), description="Nodes whose L3 agents have it: 'openstack network agent list --router'.")
    distributed: Yes = Field(default=False, description="It is a distributed one (DVR): each of its nodes routes for its own VMs.")


class NeutronEntry(Written):
    """What Neutron knows of a network of kind neutron: 'openstack network show'."""

    model_config = _required("id")

    id: Uuid = Field("", description="The network's UUID.")
    type: NetworkType = Field("vlan", description="provider:network_type: vlan, flat, vxlan or gre.")
    physical_network: Name = Field("", description="provider:physical_network, of vlan and flat.")
    segmentation_id: Segment | None = Field(None, description="provider:segmentation_id: the VLAN, the VNI or the key.")
    bridge: Device = Field("", description="The bridge of the physical network; what the agent's bridge_mappings say where not given.")
    integration_bridge: Device = Field("br-int", description="The agent's integration_bridge.")
    tunnel_bridge: Device = Field("br-tun", description="The agent's tunnel_bridge.")
    router: RouterEntry | None = Field(None, description="The router that its VMs leave by, where that is one of Neutron's.")


class SubnetEntry(Written):
    """A subnet of a network."""

    cidr: Cidr = Field(description="The subnet, such as 10.20.0.0/24 or fd20::/64.")
    gateway: Host | None = Field(None, description="Its gateway.")
    gateway_macs: tuple[Mac, ...] = Field((), description="MACs the gateway may answer with; any one MAC where not given.")
    gateway_answers_ping: Yes = Field(default=True, description="False where the gateway is known to be silent.")


class DatabaseEntry(Written):
    """nova's database, to be looked into by a user who may only read; where its credentials come from, never themselves."""

    address: Reach = Field("", description="Its host; as the configuration or the option file says, where not given.")
    port: Port = Field(3306, description="Its port.")
    name: Word = Field("", description="Its name; as the configuration or the option file says, else nova.")
    node: Name = Field("", description="A node whose nova configuration holds the credentials: 'config', or /etc/nova/nova.conf.")
    config: LogFile = Field("/etc/nova/nova.conf", description="That file.")
    option_file: Line = Field("", description="An option file of MySQL's clients (.my.cnf) on this machine, relative to this file.")
    environment: Word = Field("", description="A variable of this machine's environment that holds user:password.")


class NovaEntry(Written):
    """How OpenStack's nova-network manages the network."""

    manager: Manager = Field("flat-dhcp", description="flat-dhcp, flat or vlan: FlatDHCPManager, FlatManager, VlanManager.")
    multi_host: Yes = Field(default=True, description="Each node is gateway, DHCP server and translator of its own instances.")
    host: Name = Field("", description="Where not multi_host: the one node that is that for all.")
    public_interface: Device = Field("", description="The interface that floating addresses are on.")
    database: DatabaseEntry | None = Field(None, description="nova's database, where it may be looked into.")


class NetworkEntry(Written):
    """A network that VMs are on."""

    model_config = _required("kind")

    kind: Kind = Field("", description="switching, routing, ip-fabric, nova-network or neutron.")
    bridge: Device = Field("", description="The bridge on each node.")
    uplink: Device = Field("", description="The port of the bridge that leads outside.")
    nodes: tuple[AttachmentEntry, ...] | None = Field(None, description="Where it is; all hypervisors where not given.")
    mtu: Mtu = Field(1500, description="MTU in bytes.")
    vlan: Vlan | None = Field(None, description="VLAN of the network.")
    subnets: tuple[SubnetEntry, ...] = Field((), description="Its subnets, of both families.")
    resolvers: tuple[Host, ...] = Field((), description="DNS servers that VMs on it use.")
    probe_from: tuple[Names, ...] | None = Field(None, description="Nodes that try to reach its VMs; else the controllers.")
    dhcp: DhcpEntry | None = Field(None, description="How its VMs get their addresses, where that is by DHCP.")
    advertised: AdvertisedEntry | None = Field(None, description="What routers shall advertise on it (IPv6).")
    routers: tuple[Names, ...] | None = Field(None, description="Nodes that shall know the way to its VMs; else those of the role router.")
    neutron: NeutronEntry | None = Field(None, description="What Neutron knows of it, of the kind neutron.")
    outside: tuple[Host, ...] = Field((), description="Addresses beyond its gateways that its VMs shall reach.")
    nova: NovaEntry | None = Field(None, description="How nova-network manages it; of the kind nova-network only.")


class InterfaceEntry(Written):
    """One NIC of a VM."""

    model_config = _required("network", "mac")

    network: Name = Field(description="The network it is on.")
    mac: Mac = Field("", description="Its MAC address.")
    addresses: tuple[Host, ...] = Field((), description="Its addresses, without prefix lengths.")
    tap: Device = Field("", description="Its interface on the node; found by MAC where not given.")
    floating: tuple[Host, ...] = Field((), description="Addresses that are translated to its first one (nova-network, Neutron).")


class GuestEntry(WayEntry):
    """The way into a VM. What is left out has its default: an empty one is SSH to the VM's first address."""

    os: System = Field("linux", description="linux, which stands for any Unix, or windows: there cmd.exe takes the place of sh.")


class VmEntry(Written):
    """A virtual machine."""

    model_config = _required("node")

    node: Name = Field("", description="The node it runs on.")
    domain: Line = Field("", description="Its libvirt name; the VM's name where not given.")
    tcp: Ports = Field((), description="TCP ports that shall answer.")
    udp: Ports = Field((), description="UDP ports that shall answer.")
    answers_ping: Yes = Field(default=True, description="False where the guest is known not to answer.")
    runs: Yes = Field(default=True, description="False where it is meant to be off.")
    guest: GuestEntry | None = Field(None, description="How its inside can be entered; without it, it is not.")
    names: tuple[DnsName, ...] = Field((), description="Names that its guest shall resolve.")
    interfaces: tuple[InterfaceEntry, ...] = Field((), description="Its NICs.")


class ThroughputEntry(Written):
    """What TCP shall carry along a flow; measured by iperf3, only with --load-tests."""

    rate: Rate = Field(description="What shall come to 'to', such as 900 Mbit/s of TCP payload.")
    back: Rate | None = Field(None, description="What shall come back from there; not measured where not given.")
    port: Port = Field(IPERF_PORT, description="The TCP port at 'to' that iperf3 listens on meanwhile.")

    @model_validator(mode="before")
    @classmethod
    def _rate_alone(cls, data: Any) -> Any:
        return {"rate": data} if isinstance(data, str) else data

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Tell editors that a rate alone will do."""
        whole = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [{"type": "string"}, whole]}


class FlowEntry(Written):
    """Traffic that shall work, beyond what follows from the VMs."""

    source: Names = Field(alias="from", description="A node, or a range of them.")
    to: Names = Field(description="A VM, an interface of one, a range of them, or an address.")
    network: Name = Field("", description="The network of an address that several networks have.")
    tcp: Ports = Field((), description="TCP ports.")
    udp: Ports = Field((), description="UDP ports.")
    icmp: Yes = Field(default=False, description="Ping.")
    throughput: ThroughputEntry | None = Field(None, description="What TCP shall carry; measured only with --load-tests.")
    family: Family | None = Field(None, description="4 or 6; both where not given.")
    name: Name = Field("", description="Its name in reports.")


class WaiverEntry(Written):
    """A failure that is accepted."""

    check: Line = Field(description="The check; * and ? as in a shell.")
    subject: Line = Field(description="What it is about; * and ? as in a shell, or a range.")
    reason: Prose = Field(description="Why it is accepted.")
    until: Until | None = Field(None, description="The last day.")


class DefaultsEntry(Written):
    """Fields that every node, network or VM has unless it says otherwise."""

    node: NodeEntry | None = None
    network: NetworkEntry | None = None
    vm: VmEntry | None = None


class FileEntry(Written):
    """An inventory file of netchecks."""

    version: Version = Field(1, description="Version of this format.")
    defaults: DefaultsEntry | None = Field(None, description="What every object has unless it says otherwise.")
    nodes: dict[Key, NodeEntry] = Field({}, description="Machines where commands run, by name or range.")
    networks: dict[Key, NetworkEntry] = Field({}, description="Networks that VMs are on, by name or range.")
    vms: dict[Key, VmEntry] = Field({}, description="Virtual machines, by name or range.")
    flows: tuple[FlowEntry, ...] = Field((), description="Traffic that shall work, beyond what follows from the VMs.")
    waivers: tuple[WaiverEntry, ...] = Field((), description="Failures that are accepted.")


_FIELDS: dict[type[BaseModel], dict[str, Any]] = {}


def fields(model: type[BaseModel]) -> dict[str, Any]:
    """Give the annotation of each field of a model, by the name it is written with."""
    if model not in _FIELDS:
        _FIELDS[model] = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    return _FIELDS[model]


def model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Give the model of what stands at a place, or None where no mapping of ours does."""
    here: type[BaseModel] | None = model
    steps = iter(loc)
    for step in steps:
        annotation = fields(here).get(str(step)) if here else None
        here = _model_in(annotation)
        if typing.get_origin(annotation) in (tuple, dict) or _is_optional_tuple(annotation):
            next(steps, None)  # the index of the item, or the key of the value
    return here


def _is_optional_tuple(annotation: Any) -> bool:
    return any(typing.get_origin(argument) is tuple for argument in typing.get_args(annotation))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Give the model inside tuple[...], dict[...] or ``| None``, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


def schema() -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an inventory file, for editors."""
    made = FileEntry.model_json_schema(by_alias=True)
    for name in ("NodeEntry", "NetworkEntry", "VmEntry"):
        # What is required here may stand in the defaults.
        made["$defs"][name].pop("required", None)
    for model in (made, *made["$defs"].values()):
        _allow_empty(model)
    for section in ("nodes", "networks", "vms"):
        made["properties"][section]["anyOf"][0]["propertyNames"] = {"pattern": KEY_PATTERN}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | made | {"title": "netchecks inventory"}


def _allow_empty(model: dict[str, Any]) -> None:
    """Allow null where a field may be left out: that is what an empty one is in YAML."""
    whole = model["anyOf"][1] if "anyOf" in model else model
    properties, required = whole.get("properties", {}), whole.get("required", ())
    for name, written in properties.items():
        if "additionalProperties" in written and written["additionalProperties"] is not False:
            written["additionalProperties"] = _or_null(written["additionalProperties"])
        if name not in required:
            properties[name] = _or_null(written)


def _or_null(written: dict[str, Any]) -> dict[str, Any]:
    """Give the schema with null as one more possibility; what describes the field stays outside."""
    outside: dict[str, Any] = {key: written[key] for key in ("description", "title", "default") if key in written}
    inside = {key: value for key, value in written.items() if key not in outside}
    possible = inside["anyOf"] if set(inside) == {"anyOf"} else [inside]
    return {"anyOf": possible if {"type": "null"} in possible else [*possible, {"type": "null"}], **outside}
