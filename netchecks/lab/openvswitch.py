"""Bridges of Open vSwitch in a place of a lab: real daemons, userspace datapath (the lab's kernel has none of its own).

A node that is a host has them from its own systemd (``openvswitch-switch.service``, then ``lab-ovs.service``); anywhere else they are
daemons of the place, with all their files in ``/run/ovs-PLACE`` of the lab.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from netchecks.errors import LabError
from netchecks.lab.state import State
from netchecks.lab.topology import Interface, Place, Port, Topology

#: The unit that makes the bridges of a node, and where its script stands.
UNIT, SCRIPT = "lab-ovs.service", "etc/lab/ovs.sh"
_UNIT_TEXT = """\
[Unit]
Description=the node's bridges of Open vSwitch
Requires=openvswitch-switch.service
After=openvswitch-switch.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -eu /etc/lab/ovs.sh
"""

#: Without console logging, as its output is a file that nobody reads; ``init`` writes what ovs-ctl would.
_DAEMONS = """\
mkdir -p "$D"; cd "$D"
export OVS_RUNDIR="$D" OVS_LOGDIR="$D" OVS_DBDIR="$D"
ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server conf.db --remote=punix:db.sock --pidfile --detach --no-chdir -vconsole:off --log-file=ovsdb-server.log
ovs-vsctl --no-wait init
ovs-vswitchd --pidfile --detach --no-chdir -vconsole:off --log-file=ovs-vswitchd.log
"""


@dataclass(frozen=True, slots=True)
class _Plug:
    """A device that is a port of a bridge of Open vSwitch in its place, and the MAC at the other end of its cable."""

    device: str
    bridge: str
    peer_mac: str = ""
    port: Port | None = None


def has(place: Place) -> bool:
    """Tell whether a place has such bridges."""
    return any(interface.kind == "ovs" for interface in place.interfaces.values())


def is_port(topology: Topology, place: str, bridge: str) -> bool:
    """Tell whether a port of that bridge is one of Open vSwitch."""
    made = topology.places[place].interfaces.get(bridge)
    return made is not None and made.kind == "ovs"


def run_dir(place: str) -> str:
    """Give the folder of the daemons of a place that is no host."""
    return f"/run/ovs-{place}"


def _plugs(topology: Topology, name: str) -> Iterator[_Plug]:
    """Give the ports of a place's bridges: near ends of its own cables, far ends of others'."""
    for place, own in topology.places.items():
        for device, interface in own.interfaces.items():
            if place == name and is_port(topology, name, interface.bridge):
                yield _Plug(device, interface.bridge)
            far = interface.to
            if far is not None and far.place == name and is_port(topology, name, far.bridge):
                yield _Plug(far.name, far.bridge, interface.mac or "", far)


def script(topology: Topology, name: str) -> str:
    """Give the shell text that makes the bridges of a place, with their ports and addresses. It may run again."""
    bridges = [(device, one) for device, one in topology.places[name].interfaces.items() if one.kind == "ovs"]
    steps = [step for device, one in bridges for step in _bridge(device, one)]
    steps += [step for plug in _plugs(topology, name) for step in _port(plug)]
    lines = ["ovs-vsctl --timeout=20 " + " -- ".join(shlex.join(step) for step in steps)]
    for device, one in bridges:
        lines += [f"ip addr replace {address} dev {device}" for address in one.addresses]
        lines += [f"ip link set {device} mtu {one.mtu} up"] if one.addresses else []
    return "\n".join(lines) + "\n"


def _bridge(device: str, one: Interface) -> Iterator[list[str]]:
    yield ["--may-exist", "add-br", device]
    mac = [f"other_config:hwaddr={one.mac}"] if one.mac else []
    yield ["set", "bridge", device, "datapath_type=netdev", *mac]


def _port(plug: _Plug) -> Iterator[list[str]]:
    yield ["--may-exist", "add-port", plug.bridge, plug.device]
    port = plug.port
    if port is None:
        return
    own = [f"tag={port.tag}"] if port.tag else []
    own += [f"trunks={','.join(map(str, port.trunks))}", "vlan_mode=trunk"] if port.trunks else []
    if own:
        yield ["set", "port", plug.device, *own]
    if port.id:
        known = {"iface-id": port.id, "attached-mac": plug.peer_mac, "iface-status": "active"}
        yield ["set", "interface", plug.device, *(f'external_ids:{key}="{value}"' for key, value in known.items())]


def node_files(topology: Topology, name: str) -> dict[str, str]:
    """Give the files by which a node that is a host makes its bridges; none where it has none."""
    if not has(topology.places[name]):
        return {}
    units = "etc/systemd/system"
    wants = f"[Unit]\nWants=openvswitch-switch.service {UNIT}\n"
    return {SCRIPT: script(topology, name), f"{units}/{UNIT}": _UNIT_TEXT, f"{units}/lab.target.d/lab-ovs.conf": wants}


def start(lab: State, topology: Topology, name: str) -> None:
    """Start the daemons of a place that is no host, and make its bridges. Raises LabError."""
    text = f"D={shlex.quote(run_dir(name))}\n{_DAEMONS}{script(topology, name)}"
    with (lab.folder / "log" / f"{name}-ovs").open("w+b") as log:  # no pipe: daemons would hold it open
        done = subprocess.run(
            ["ip", "netns", "exec", lab.netns(name), "sh", "-euc", text], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
        )
        log.seek(0)
        if done.returncode:
            raise LabError(f"{name}: Open vSwitch: {log.read().decode(errors='replace').strip()}")


def without_offload(topology: Topology) -> Iterator[tuple[str, str]]:
    """Give (place, device) of what sends into a port of Open vSwitch: the userspace datapath hands on checksums as they come.

    A sender that leaves them to its NIC would be answered to ping and to nothing else.
    """
    for place, own in topology.places.items():
        for device, interface in own.interfaces.items():
            far = interface.to
            if far is not None and is_port(topology, far.place, far.bridge):
                yield place, device
            if far is not None and is_port(topology, place, interface.bridge):
                yield far.place, far.name
