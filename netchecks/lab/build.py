"""Build the network of a topology with pyroute2: namespaces, cables, bridges, addresses, routes, sysctls, daemons.

Runs inside the namespaces of the lab's holder (``python -m netchecks.lab.build STATE_DIR``), so nothing it makes is ever in
the machine's own network. Order matters: both ends of every cable are up before any becomes a port of a bridge, else each
port costs a second until the kernel has looked at its carrier (LINK_STATE poll).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute, netns

from netchecks.errors import LabError
from netchecks.lab import guest, openvswitch, state
from netchecks.lab.topology import Interface, Place, Topology

#: linux/if_addr.h: no duplicate address detection.
IFA_F_NODAD = 0x02
#: linux/rtnetlink.h: the gateway is on the link, whatever the addresses say; the destination itself is.
RTNH_F_ONLINK, RT_SCOPE_LINK = 4, 253

#: Absent where br_netfilter is not loaded: then bridged frames meet no iptables rules anyway.
MAY_BE_MISSING = "net.bridge."


def build(lab: state.State, topology: Topology) -> None:
    """Make everything that is common to both flavours. Raises LabError."""
    for name in topology.places:
        netns.create(lab.netns(name))
    links = _Links(lab, topology)
    try:
        links.make()
    except Exception as error:
        raise LabError(f"{topology.name}: {error}") from error
    finally:
        links.close()
    for name, device in openvswitch.without_offload(topology):
        _run_in(lab, name, "ethtool", ["ethtool", "-K", device, "tx", "off"])
    for name, place in topology.places.items():
        if openvswitch.has(place) and not (place.node and lab.rooted):
            openvswitch.start(lab, topology, name)
    for name, place in topology.places.items():
        _set_up(lab, name, place)
    for name, place in topology.places.items():
        start_daemons(lab, name, place)


def _set_up(lab: state.State, name: str, place: Place) -> None:
    """Run what the topology wants done in the place once."""
    if place.setup:
        _run_in(lab, name, "setup", ["sh", "-euc", place.setup])


def _run_in(lab: state.State, name: str, what: str, argv: list[str]) -> None:
    """Run a command in a place. Raises LabError with what it said."""
    argv = ["ip", "netns", "exec", lab.netns(name), *argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LabError(f"{name}: {what}: {done.stderr.strip()}")


class _Links:
    """One netlink socket for each network namespace, and what is done over them."""

    def __init__(self, lab: state.State, topology: Topology) -> None:
        """Open a socket in each place."""
        self.lab = lab
        self.topology = topology
        self.sockets = {name: IPRoute(netns=lab.netns(name)) for name in topology.places}
        self.index: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Close all sockets."""
        for one in self.sockets.values():
            one.close()

    def make(self) -> None:
        """Make all links in the order that costs no waiting."""
        for name, place in self.topology.places.items():
            set_sysctls(self.lab.netns(name), {**self.topology.sysctl, **place.sysctl})
            self.sockets[name].link("set", index=1, state="up")
        for name, device, interface in self._interfaces("bridge"):
            self.sockets[name].link("add", ifname=device, kind="bridge", br_forward_delay=0, br_stp_state=0, mtu=interface.mtu)
            self._find(name, device)
        for name, device, interface in self._interfaces("veth"):
            self._cable(name, device, interface)
        for name, device, interface in self._interfaces("veth"):
            self._enslave(name, device, interface)
        for name, device, _ in self._interfaces("bridge"):
            self._up(name, device)  # last: its link-local address comes from the MAC that its ports give it
        for name, place in self.topology.places.items():
            self._addresses(name, place)
        for name, place in self.topology.places.items():
            self._routes(name, place)

    def _interfaces(self, kind: str) -> Iterator[tuple[str, str, Interface]]:
        """Give (place, name, interface) of all interfaces of a kind."""
        for name, place in self.topology.places.items():
            for device, interface in place.interfaces.items():
                if interface.kind == kind:
                    yield name, device, interface

    def _find(self, place: str, device: str) -> int:
        """Give the index of a link, and remember it."""
        if (place, device) not in self.index:
            self.index[place, device] = self.sockets[place].link_lookup(ifname=device)[0]
        return self.index[place, device]

    def _up(self, place: str, device: str) -> None:
        """Set a link up."""
        self.sockets[place].link("set", index=self._find(place, device), state="up")

    def _cable(self, place: str, device: str, near: Interface) -> None:
        """Make a veth pair with both ends where they belong, and up."""
        far = near.to
        assert far is not None
        peer: dict[str, Any] = {"ifname": far.name, "net_ns_fd": self.lab.netns(far.place), "mtu": near.mtu}
        own: dict[str, Any] = {"ifname": device, "mtu": near.mtu}
        if far.mac:
            peer["address"] = far.mac
        if near.mac:
            own["address"] = near.mac
        self.sockets[place].link("add", kind="veth", peer=peer, **own)
        self._up(place, device)
        self._up(far.place, far.name)

    def _enslave(self, place: str, device: str, near: Interface) -> None:
        """Make the ends of a cable ports of their bridges."""
        far = near.to
        assert far is not None
        for where, end, bridge in ((place, device, near.bridge), (far.place, far.name, far.bridge)):
            if bridge and not openvswitch.is_port(self.topology, where, bridge):
                self.sockets[where].link("set", index=self.index[where, end], master=self.index[where, bridge])

    def _addresses(self, name: str, place: Place) -> None:
        """Give every interface of the place, and the far ends of its cables, their addresses."""
        for device, interface in place.interfaces.items():
            for address in interface.addresses if interface.kind != "ovs" else ():
                if ":" in address or not interface.by_dhcp:
                    self._address(name, device, address)
            if interface.to:
                for address in interface.to.addresses:
                    self._address(interface.to.place, interface.to.name, address)

    def _address(self, place: str, device: str, text: str) -> None:
        """Add one address."""
        address = ip_interface(text)
        more: dict[str, Any] = {"flags": IFA_F_NODAD} if ":" in text else {}
        if ":" not in text and address.network.num_addresses > 1:
            more = {"broadcast": str(address.network.broadcast_address)}
        self.sockets[place].addr(
            "add", index=self.index[place, device], address=str(address.ip), prefixlen=address.network.prefixlen, **more,
        )

    def _routes(self, name: str, place: Place) -> None:
        """Add the routes of the place."""
        for route in place.routes:
            more: dict[str, Any] = {"gateway": route.via} if route.via else {}
            more |= {"oif": self._find(name, route.dev)} if route.dev else {}
            more |= {"flags": RTNH_F_ONLINK} if route.onlink else {}
            six = ":" in route.to + route.via
            more |= {"scope": RT_SCOPE_LINK} if not route.via and not six else {}
            self.sockets[name].route("add", dst=route.to, family=10 if six else 2, **more)


def set_sysctls(namespace: str, values: dict[str, str | int]) -> None:
    """Write the sysctls from inside the network namespace: /proc/sys/net shows that of the reader."""
    if values:
        _in_child(namespace, lambda: _write_sysctls(values))


def _write_sysctls(values: dict[str, str | int]) -> None:
    """Write them in the order given."""
    for key, value in values.items():
        path = Path("/proc/sys", *key.split("."))
        if key.startswith(MAY_BE_MISSING) and not path.exists():
            continue
        path.write_text(f"{value}\n", encoding="ascii")


def _in_child(namespace: str, action: Any) -> None:
    """Run the action in a child that entered the network namespace."""
    child = os.fork()
    if not child:
        try:
            netns.setns(namespace)
            action()
        except BaseException as error:  # noqa: BLE001 - a forked child must end here, whatever happened
            os.write(2, f"{namespace}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise LabError(f"{namespace}: could not be set up")


def start_daemons(lab: state.State, name: str, place: Place) -> None:
    """Start the daemons of a place and the TCP servers of a guest. Those of a node that is a host are its systemd's."""
    for daemon in place.daemons if not (place.node and lab.rooted) else ():
        start(lab, name, daemon.name, ["sh", "-c", f"exec {daemon.run}"])
    if place.vm:
        for port in place.vm.tcp:
            start(lab, name, f"tcp-{port}", [sys.executable, "-I", "-S", guest.__file__, str(port)])


def start(lab: state.State, place: str, name: str, argv: list[str]) -> None:
    """Start a program in the network namespace of a place, as the leader of a process group.

    In the lab's /run/lab stand PLACE-NAME.pid and PLACE-NAME.sh, by which a fault stops and starts it again.
    """
    script = Path("/run/lab", f"{place}-{name}.sh")
    script.write_text(f"exec {shlex.join(argv)}\n", encoding="utf-8")
    with (lab.folder / "log" / f"{place}-{name}").open("ab") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", lab.netns(place), "sh", str(script)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "PROGRAMS": str(Path(__file__).parent)},
        )
    script.with_suffix(".pid").write_text(f"{process.pid}\n", encoding="ascii")


def await_listeners(namespace: str, wanted: list[tuple[str, int]], seconds: float) -> None:
    """Wait until each (address, port) accepts TCP from the network namespace. Raises LabError naming those that do not."""
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, sys.executable, "-I", "-S", guest.__file__, "await", str(seconds),
         *(f"{address} {port}" for address, port in wanted)], capture_output=True, text=True, check=False,
    )
    if done.returncode:
        raise LabError(f"no answer from {done.stdout.strip()}")
