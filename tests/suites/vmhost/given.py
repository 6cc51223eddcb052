"""What checks of VM hosts are called with: subjects of a real inventory, and what real tools said in a playground.

The playground is a network namespace with bridge br0, its uplink eth0 and a tap vnet7 that leads to the guest of vm42;
each test changes one thing in it, and the real parsers read what ip, bridge, tc and the firewalls' tools print then.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

import netchecks.observations
import netchecks.platforms
from netchecks import inventory
from netchecks.errors import Harmless, NotSeen, Wrong
from netchecks.models.answers import Answer, Reply
from netchecks.models.subjects import Flow, Interface, Network, Node
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By
from netchecks.world import World, build
from tests.suites.node.given import UNSEEN, notes_of

assert netchecks.observations.__doc__  # importing them registers facts and platforms
assert netchecks.platforms.__doc__
__all__ = [
    "UNSEEN", "answered", "answers", "by", "domains", "edited", "flow_of", "harmless", "notes_of", "played", "silent", "wrong",
]

MAC = "52:54:00:00:00:42"
INVENTORY = """
version: 1
defaults:
  node: {links: {br0: {addresses: ["10.20.0.{n+10}/24", "fd20::{n+10}/64"]}}}
nodes:
  controller: {connection: local, roles: [controller], links: null}
  node[1-2]: {}
networks:
  lan:
    kind: switching
    bridge: br0
    uplink: eth0
    subnets:
      - {cidr: 10.20.0.0/24, gateway: 10.20.0.1}
      - {cidr: "fd20::/64", gateway: "fd20::1"}
      - {cidr: 10.30.0.0/24, gateway: 10.30.0.1, gateway_macs: ["00:00:5e:00:01:0a", "00:00:5e:00:01:0b"], gateway_answers_ping: false}
  storage: {kind: switching, bridge: br1, uplink: bond0.7, mtu: 9000, subnets: [{cidr: 10.40.0.0/24}]}
vms:
  vm42:
    node: node1
    tcp: [22]
    udp: [53]
    interfaces:
      - {network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142, "fd20::142"], tap: vnet1}
      - {network: storage, mac: "52:54:00:00:01:42", addresses: [10.40.0.142]}
  vm43: {node: node1, tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:43", addresses: [10.20.0.143]}]}
  vm44: {node: node2, tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:44", addresses: [10.20.0.144, "fd20::144"]}]}
"""


def world_of(text: str) -> World:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "site.yaml"
        path.write_text(text, encoding="utf-8")
        return build(inventory.load([path]))


WORLD = world_of(INVENTORY)
CONTROLLER, NODE1, NODE2 = WORLD.inventory.nodes
LAN, STORAGE = WORLD.inventory.networks
VM42, VM42_STORAGE, VM43, VM44 = WORLD.inventory.interfaces


def flow_of(
    protocol: str, to: Interface | Network = VM42, source: Node = NODE1, family: int = 4, *, full: bool = False, target: str = "",
) -> Flow:
    """Give the implied flow of that kind."""
    found = [
        flow for flow in WORLD.flows
        if (flow.protocol, flow.source, flow.family, bool(flow.size)) == (protocol, source, family, full)
        and (flow.interface == to if isinstance(to, Interface) else flow.interface is None and flow.network == to)
        and target in {"", str(flow.target)}
    ]
    assert found, f"no flow {protocol} to {to} from {source}"
    return found[0]


# -- facts -----------------------------------------------------------------------------------------------------------

#: Names of facts that the playground is asked for, with the commands of their own declarations.
FACTS = (
    "links", "fdb", "bridge_vlans", "traffic_filters", "addresses", "routes", "iptables", "ip6tables", "nftables", "ebtables", "arptables",
)
#: No IPv6 but where it is asked for: what it says of itself would be learned at some time or other.
HEALTHY = """
exec 3>&1 >&2
await() { n=0; until "$@" >/dev/null; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.02; done; }
forwards() { bridge link show dev "$1" | grep -q 'state forwarding'; }
rests() { ! forwards "$1"; }
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
ip link set lo up
ip link add br0 type bridge forward_delay 0 stp_state 0
ip link add eth0 type veth peer name sw0
ip link add vnet7 type veth peer name guest7
ip link set guest7 address 52:54:00:00:00:42
ip link set eth0 master br0
ip link set vnet7 master br0
for device in br0 eth0 sw0 vnet7 guest7; do ip link set $device up; done
await forwards eth0
await forwards vnet7
ip addr add 10.20.0.11/24 dev br0
"""
_MARK = "@@@@"


@lru_cache(maxsize=256)
def played(change: str = "") -> dict[str, str]:
    """Give what the real tools print, by fact, in the healthy playground after this change."""
    asked = "".join(f"echo '{_MARK} {fact}' >&3\n{_command(fact, change)} >&3\n" for fact in FACTS)
    done = subprocess.run(
        [*namespace(), "sh", "-euc", f"{HEALTHY}\n{change}\n{asked}"], capture_output=True, text=True, check=False, timeout=60,
    )
    if "unshare" in done.stderr and "failed" in done.stderr:
        pytest.skip(f"no network namespace: {done.stderr.strip()}")
    if "ip_tables_names: Permission denied" in done.stderr:
        pytest.skip("the legacy tables' names are root's alone to read, whatever the namespace")
    assert done.returncode == 0, done.stderr
    parts = (part.partition("\n") for part in done.stdout.split(f"{_MARK} ")[1:])
    found = {fact: text for fact, _, text in parts}
    return found | {"bridges": found["links"]}


def namespace() -> list[str]:
    """Give the start of a command line that runs the rest in a network namespace of its own."""
    return ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]


def _command(fact: str, change: str) -> str:
    command = OBSERVATIONS[fact].command
    if "tables" in fact and "tables" not in change and "nft" not in change:
        return ":"  # nothing is loaded there: these are slow, and reading may load a kernel module
    return shlex.join(["sh", "-c", command.shell, "sh", *command.argv] if command.shell else command.argv)


def has(*tools: str) -> pytest.MarkDecorator:
    """Skip where a tool of the playground is not installed."""
    missing = [tool for tool in ("unshare", "ip", "bridge", *tools) if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    return pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} here")


def by(fact: str, source: Any = "", node: Node = NODE1) -> By[Any, Any]:
    """Give a fact of a node: after a change of the playground, from a tool's own output, a value, or not seen."""
    plays = isinstance(source, str) and fact in {*FACTS, "bridges"} and source[:1] not in {"[", "@"}
    value = played(source)[fact] if plays else source
    if isinstance(value, str):
        value = OBSERVATIONS[fact].parse(value)
    return _by(fact, {node.name: (node, value.at(node.name) if isinstance(value, Table) else value)})


def _by(fact: str, known: dict[str, tuple[Any, Any]]) -> By[Any, Any]:
    def look(name: str) -> Any:
        value = known[name][1]
        if isinstance(value, NotSeen):
            raise value
        return value

    return By(fact, {name: subject for name, (subject, _) in known.items()}, look)


def edited(text: str, **devices: dict[str, Any]) -> str:
    """Change a tool's JSON: for each device (by ``ifname``) fields of itself or of what is in it, by their names."""
    found = json.loads(text)
    for item in found:
        for name, value in devices.get(item.get("ifname", "").replace(".", "_"), {}).items():
            _holder(item, name)[name] = value
    return json.dumps(found)


def _holder(item: dict[str, Any], name: str) -> dict[str, Any]:
    info = item.get("linkinfo", {})
    parts = (item, info, info.get("info_slave_data", {}), info.get("info_data", {}))
    return next((part for part in parts if name in part), info if name.startswith("info_") else item)


#: A domain as the real virsh prints it, recorded.
_RECORDED = (Path(__file__).parents[2] / "observations/domains/virsh-9.0-test-driver.out").read_text(encoding="utf-8")
_DOMAIN = _RECORDED[:_RECORDED.index("@domain:", 1)]


def domains(name: str = "vm42", state: str = "running", tap: str = "vnet7", mac: str = MAC, more: str = "") -> str:
    """Give what virsh prints of a node with that one domain; ``more``: elements of its NIC."""
    one = _DOMAIN.replace("vm42_net0", tap).replace(">vm42<", f">{name}<").replace("52:54:00:aa:bb:01", mac)
    target = f"<target dev='{tap}'/>\n"
    return one.replace("@domain:running", f"@domain:{state}").replace(target, (target if tap else "") + more) + "@end\n"


# -- packets ---------------------------------------------------------------------------------------------------------


def answers(given: dict[Flow, Answer | NotSeen]) -> By[Any, Any]:
    return _by("answers", {flow.name: (flow, answer) for flow, answer in given.items()})


def answered(*macs: str, **fields: Any) -> Answer:
    """An answer of these MACs (ARP, NDP), or of nobody in particular (the others)."""
    replies = tuple(Reply(0.001 * (number + 1), mac=mac, source=mac) for number, mac in enumerate(macs))
    return Answer("answered", 1, replies, **fields)


def silent(*, others: Iterable[tuple[str, str]] = (), wants: Iterable[str] = (), **fields: Any) -> Answer:
    """No answer; ``others``: (address, MAC) of answers for other addresses."""
    replies = tuple(Reply(0.1, ip_address(address), mac, mac) for address, mac in others)
    return Answer("silent", 3, others=replies, wants=tuple(map(ip_address, wants)), **fields)


# -- what is expected ------------------------------------------------------------------------------------------------


@contextmanager
def wrong(code: str, *words: str, **fields: Any):
    """Expect a failure with that code, these words in its message, and these fields; others as they are by default."""
    with pytest.raises(Wrong) as caught:
        yield caught
    error = caught.value
    expected = {"code": code, "place": "", "breaks": set(), "hop": "", "layer": "", "certain": False, "owner": ""} | fields
    assert {name: getattr(error, name) for name in expected} == expected, str(error)
    assert [word for word in words if word not in str(error)] == [], str(error)


@contextmanager
def harmless(code: str, *words: str):
    with pytest.raises(Harmless) as caught:
        yield caught
    assert caught.value.code == code
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def is_unknown(check: Callable[..., None], *arguments: Any) -> None:
    """Expect what was not seen to come through."""
    with pytest.raises(NotSeen):
        check(*arguments)
