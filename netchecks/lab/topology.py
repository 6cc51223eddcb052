"""What a lab is made of, as data: places, their interfaces and cables, daemons, and what is meant by them.

A topology is one YAML file in ``netchecks/lab/topologies/``. ``load`` gives it validated, with repeated places spelled out;
whatever is wrong in it is one LabError that lists every mistake.
"""

from __future__ import annotations

import re
from ipaddress import ip_interface
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from netchecks.errors import LabError

FOLDER = Path(__file__).parent / "topologies"
FAULTS = Path(__file__).parent / "faults"

#: linux/if.h: IFNAMSIZ is 16 with the closing zero.
MAX_INTERFACE_NAME = 15


def _address(text: str) -> str:
    """Accept an address with its prefix length."""
    if "/" not in text:
        raise ValueError(f"{text!r} has no prefix length")
    ip_interface(text)
    return text


def _name(text: str) -> str:
    """Accept what the kernel takes as the name of an interface."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", text) or len(text) > MAX_INTERFACE_NAME:
        raise ValueError(f"{text!r} is no interface name (letters, digits, '_.-', at most {MAX_INTERFACE_NAME})")
    return text


Address = Annotated[str, AfterValidator(_address)]
Device = Annotated[str, AfterValidator(_name)]
Mac = Annotated[str, Field(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]


class Strict(BaseModel):
    """Unknown fields are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Port(Strict):
    """The far end of a cable: its place and name, and the bridge there that it is a port of.

    Of a bridge of Open vSwitch: ``tag``, the VLAN of an access port; ``trunks``, the VLANs that may pass, all where none is
    named; ``id``, the UUID by which whoever plugged it knows it (external_ids:iface-id).
    """

    place: str
    name: Device
    bridge: str = ""
    mac: Mac | None = None
    addresses: tuple[Address, ...] = ()
    tag: int | None = Field(default=None, ge=1, le=4094)
    trunks: tuple[int, ...] = ()
    id: str = ""


class Interface(Strict):
    """An interface of a place: a bridge, or one end of a cable (a veth pair) whose other end is ``to``.

    ``kind: ovs``: a bridge of Open vSwitch (userspace datapath), made by daemons of the place itself.
    ``by_dhcp``: a client of the place gets its IPv4 addresses; they stand here as what is meant.
    """

    kind: Literal["veth", "bridge", "ovs"] = "veth"
    to: Port | None = None
    bridge: str = ""
    mac: Mac | None = None
    mtu: int = Field(default=1500, ge=68, le=65535)
    addresses: tuple[Address, ...] = ()
    by_dhcp: bool = False


class Route(Strict):
    """A route of a place. ``to`` is a prefix or ``default``; ``onlink``: the gateway is in no subnet of ``dev``."""

    to: str
    via: str = ""
    dev: str = ""
    onlink: bool = False


class Daemon(Strict):
    """A program that runs in the place as long as the lab stands, in the foreground, by ``sh -c``.

    Of a node that is a host of its own it is a systemd service of that name. ``$PROGRAMS``: the folder of the lab's own ones.
    ``port``: the lab is not up before it answers there by TCP, at the node's address.
    """

    name: str
    run: str
    port: int = 0


class NodeRole(Strict):
    """The place is a node of the inventory: a host that netchecks looks at. ``address``: where its sshd listens.

    ``roles``, ``routes`` and ``sysctl`` go into the inventory. Rooted: ``files`` (path and text) and ``programs`` (path and a file
    of this folder) are written into it, and systemd starts ``units`` with it.
    ``boot``: the system whose files say that it shall be, at its next start, what the lab has built.
    """

    address: str
    roles: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    sysctl: dict[str, str | int] = {}
    files: dict[str, str] = {}
    programs: dict[str, str] = {}
    units: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    names_inside: tuple[str, ...] = ()
    names_outside: tuple[str, ...] = ()
    boot: Literal["ifupdown", "networkd", "none"] = "ifupdown"


class VmRole(Strict):
    """The place is the inside of a VM of the inventory. ``tcp``: the ports that it listens on.

    ``entered``: the inventory says that it can be entered, by its network namespace. ``names``: what it shall resolve.
    ``domain``: its libvirt name, where that is another one than the place's. ``floating``: addresses translated to its own; it is
    these that the outside reaches.
    """

    node: str
    network: str
    tcp: tuple[int, ...] = ()
    entered: bool = False
    names: tuple[str, ...] = ()
    domain: str = ""
    floating: tuple[str, ...] = ()


class Place(Strict):
    """A network namespace with what is in it. ``controller``: netchecks itself runs here.

    ``platform``: the place that stands for the platform's container on it: it has to reach the nodes by SSH.
    ``setup``: shell text that runs in it once, after its links, addresses and routes are there.
    """

    controller: bool = False
    platform: str = ""
    node: NodeRole | None = None
    vm: VmRole | None = None
    interfaces: dict[Device, Interface] = {}
    routes: tuple[Route, ...] = ()
    sysctl: dict[str, str | int] = {}
    setup: str = ""
    resolvers: tuple[str, ...] = ()
    daemons: tuple[Daemon, ...] = ()
    repeat: bool = False


class Topology(Strict):
    """A whole lab. ``networks`` goes into the inventory as it stands. ``count``: how often a repeated place is made.

    ``needs``: ``rooted`` where its daemons need a host of their own. ``programs``: what it needs beside what every lab does.
    """

    version: Literal[1]
    name: str
    title: str
    needs: Literal["", "rooted"] = ""
    programs: tuple[str, ...] = ()
    count: int = Field(default=1, ge=1, le=250)
    sysctl: dict[str, str | int] = {}
    places: dict[str, Place]
    networks: dict[str, dict[str, Any]] = {}

    def nodes(self) -> dict[str, Place]:
        """Give the places that are nodes, by name."""
        return {name: place for name, place in self.places.items() if place.node}

    def vms(self) -> dict[str, Place]:
        """Give the places that are VMs, by name."""
        return {name: place for name, place in self.places.items() if place.vm}


def names() -> list[str]:
    """Give the name of every topology there is."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, count: int | None = None) -> Topology:
    """Read a topology by name, or from a path that ends in ``.yaml``. Raises LabError with every mistake."""
    path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        raise LabError(f"no topology {name!r}; there are {names()}") from None
    return parse(text, path.name, count)


def parse(text: str, file: str, count: int | None = None) -> Topology:
    """Read a topology from its text. ``file`` names it in messages."""
    try:
        topology = Topology.model_validate(_repeated(_extended(yaml.safe_load(text)), count))
    except yaml.YAMLError as error:
        raise LabError(f"{file}: {error}") from error
    except ValidationError as error:
        raise LabError("\n".join(f"{file}: {_where(one['loc'])}: {one['msg']}" for one in error.errors())) from error
    mistakes = _mistakes(topology)
    if mistakes:
        raise LabError("\n".join(f"{file}: {mistake}" for mistake in mistakes))
    return topology


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Give both in one, where what stands above wins.

    >>> merged({"vms": {"vm42": {"tcp": [22]}}}, {"vms": {"vm42": {"runs": False}}})
    {'vms': {'vm42': {'tcp': [22], 'runs': False}}}
    """
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def _extended(data: Any) -> Any:
    """Put a topology over the one that it ``extends``: mappings by key, null takes something away, everything else is replaced.

    A place that is ``like`` another is put over that one, as it is there.
    """
    if not isinstance(data, dict) or "extends" not in data:
        return data
    name = data["extends"]
    if name not in names():
        raise LabError(f"extends: no topology {name!r}; there are {names()}")
    below = _extended(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    own = {key: value for key, value in data.items() if key not in {"extends", "places"}}
    places = {place: _like(below["places"], one) for place, one in data.get("places", {}).items()}
    return _without_nulls(merged(below, {**own, "places": places}))


def _like(known: dict[str, Any], place: Any) -> Any:
    if not isinstance(place, dict) or "like" not in place:
        return place
    if place["like"] not in known:
        raise LabError(f"like: no place {place['like']!r}; there are {sorted(known)}")
    return merged(known[place["like"]], {key: value for key, value in place.items() if key != "like"})


def _without_nulls(value: Any) -> Any:
    return {key: _without_nulls(item) for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def controller(topology: Topology) -> str:
    """Give the name of the place where netchecks runs."""
    return next(name for name, place in topology.places.items() if place.controller)


def listeners(topology: Topology, *, rooted: bool) -> list[tuple[str, int]]:
    """Give every address and port that has to answer the controller by TCP in a healthy lab, both families.

    Behind a router of Neutron it is floating addresses alone: the outside has no route to the others.
    """
    nodes = [(place.node.address, place) for place in topology.nodes().values() if place.node and rooted]
    wanted = [(address, port) for address, place in nodes for port in (22, *(one.port for one in place.daemons if one.port))]
    for place in topology.vms().values():
        assert place.vm is not None
        hidden = "router" in topology.networks.get(place.vm.network, {}).get("neutron", {})
        own = [address.split("/")[0] for interface in place.interfaces.values() if not hidden for address in interface.addresses]
        wanted += [(address, port) for address in place.vm.floating or own for port in place.vm.tcp]
    return wanted + [(str(one), 53) for network in topology.networks.values() for one in network.get("resolvers", ())]


def _where(steps: tuple[int | str, ...]) -> str:
    """Give the way to a field: places.node1.interfaces.eth0."""
    return ".".join(map(str, steps)) or "the file"


def _repeated(data: Any, count: int | None) -> Any:
    """Spell out places with ``repeat: true``: ``{n}`` becomes 1, 2 ... in all their text."""
    if not isinstance(data, dict) or not isinstance(data.get("places"), dict):
        return data
    wanted = count or data.get("count", 1)
    places: dict[str, Any] = {}
    for name, place in data["places"].items():
        if not isinstance(place, dict) or not place.get("repeat"):
            places[name] = place
            continue
        for number in range(1, int(wanted) + 1):
            places[name.replace("{n}", str(number))] = _numbered(place, number)
    return {**data, "places": places, "count": wanted}


def _numbered(value: Any, number: int) -> Any:
    """Put the number in place of every ``{n}``."""
    if isinstance(value, str):
        return value.replace("{n}", str(number))
    if isinstance(value, dict):
        return {_numbered(key, number): _numbered(item, number) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbered(item, number) for item in value]
    return value


def _mistakes(topology: Topology) -> list[str]:
    """Give what is wrong between the parts: cables that end nowhere, ports of bridges that are not there."""
    found: list[str] = []
    for name, place in topology.places.items():
        for device, interface in place.interfaces.items():
            where = f"places.{name}.interfaces.{device}"
            found += _cable_mistakes(topology, where, interface)
            if interface.bridge and not _is_bridge(place, interface.bridge):
                found.append(f"{where}: no bridge {interface.bridge!r} in {name}")
        found += _role_mistakes(topology, name, place)
    if sum(place.controller for place in topology.places.values()) != 1:
        found.append("places: exactly one place has to be the controller")
    return found


def _cable_mistakes(topology: Topology, where: str, interface: Interface) -> list[str]:
    """Check that a cable has a far end that is free."""
    if interface.kind != "veth":
        return [f"{where}: a bridge has no far end"] if interface.to else []
    if interface.to is None:
        return [f"{where}: no far end; expected to: {{place, name}}"]
    far = topology.places.get(interface.to.place)
    if far is None:
        return [f"{where}: no place {interface.to.place!r}; there are {sorted(topology.places)}"]
    if interface.to.name in far.interfaces:
        return [f"{where}: {interface.to.place} has an interface {interface.to.name!r} already"]
    if interface.to.bridge and not _is_bridge(far, interface.to.bridge):
        return [f"{where}: no bridge {interface.to.bridge!r} in {interface.to.place}"]
    return []


def _is_bridge(place: Place, name: str) -> bool:
    """Tell whether the place has that bridge, of either kind."""
    interface = place.interfaces.get(name)
    return interface is not None and interface.kind != "veth"


def _role_mistakes(topology: Topology, name: str, place: Place) -> list[str]:
    """Check that nodes and VMs name what there is."""
    found = []
    if place.platform and place.platform not in topology.places:
        found.append(f"places.{name}.platform: no place {place.platform!r}; there are {sorted(topology.places)}")
    if place.node:
        found += [f"places.{name}.node.links: no interface {link!r}" for link in place.node.links if link not in place.interfaces]
    if place.vm and place.vm.node not in topology.nodes():
        found.append(f"places.{name}.vm.node: no node {place.vm.node!r}; there are {sorted(topology.nodes())}")
    if place.vm and place.vm.network not in topology.networks:
        found.append(f"places.{name}.vm.network: no network {place.vm.network!r}; there are {sorted(topology.networks)}")
    return found
