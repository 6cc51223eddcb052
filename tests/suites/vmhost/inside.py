"""A guest as its checks see it: what the real tools say in a network namespace that is set up as vm42's inside, after a change."""

from __future__ import annotations

import shlex
import subprocess
from functools import lru_cache
from typing import Any

import pytest

from netchecks.models.guests import Ping
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.parsing import address
from netchecks.seen import By
from tests.suites.vmhost.given import _by, namespace, world_of

SITE = """
version: 1
defaults: {vm: {guest: {connection: netns, address: x}}}
nodes:
  controller: {connection: local, roles: [controller]}
  node1: {links: {br0: {addresses: [10.20.0.11/24, "fd20::11/64"]}}}
  node2: {links: {br0: {addresses: [10.20.0.12/24, "fd20::12/64"]}}}
networks:
  lan:
    kind: switching
    bridge: br0
    uplink: eth0
    subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}, {cidr: "fd20::/64", gateway: "fd20::1"}]
    resolvers: [10.20.0.53]
    outside: [192.0.2.9]
  storage: {kind: switching, bridge: br1, subnets: [{cidr: 10.40.0.0/24}]}
vms:
  vm42:
    node: node1
    tcp: [22]
    names: [gw.lab.test]
    interfaces: [{network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142, "fd20::142"]}]
  vm43: {node: node1, interfaces: [{network: lan, mac: "52:54:00:00:00:43", addresses: [10.20.0.143]}]}
  vm44:
    node: node2
    interfaces:
      - {network: lan, mac: "52:54:00:00:00:44", addresses: [10.20.0.144]}
      - {network: storage, mac: "52:54:00:00:01:44", addresses: [10.40.0.144]}
  off: {node: node2, runs: false, interfaces: [{network: lan, mac: "52:54:00:00:00:45", addresses: [10.20.0.145]}]}
"""
WORLD = world_of(SITE)
INVENTORY = WORLD.inventory
VM42, VM43, VM44, VM44_STORAGE, OFF = INVENTORY.interfaces

_FACTS = ("guest_links", "guest_addresses", "guest_routes", "guest_sysctls")
_RULES = ("guest_nftables", "guest_iptables", "guest_ip6tables")
_SETUP = """
exec 3>&1 >&2
ip link set lo up
ip link add eth0 address 52:54:00:00:00:42 type veth peer name far0
ip link set far0 up
ip link set eth0 up
ip addr add 10.20.0.142/24 dev eth0
ip addr add fd20::142/64 dev eth0 nodad
ip route add default via 10.20.0.1
ip -6 route add default via fd20::1
"""
_MARK = "@@@@"


@lru_cache(maxsize=128)
def said(change: str = "") -> dict[str, str]:
    """Give what the real tools print inside, by fact; of the firewalls only where the change has rules, as asking is slow."""
    facts = (*_FACTS, *(_RULES if "nft" in change or "iptables" in change else ()))
    asked = "".join(f"echo '{_MARK} {fact}' >&3\n{_line(fact)} >&3\n" for fact in facts)
    done = subprocess.run(
        [*namespace(), "sh", "-euc", f"{_SETUP}\n{change}\n{asked}"], capture_output=True, text=True, check=False, timeout=60,
    )
    if "unshare" in done.stderr and "failed" in done.stderr:
        pytest.skip(f"no network namespace: {done.stderr.strip()}")
    if "ip_tables_names: Permission denied" in done.stderr:
        pytest.skip("the legacy tables' names are root's alone to read, whatever the namespace")
    assert done.returncode == 0, done.stderr
    return {fact: text for fact, _, text in (part.partition("\n") for part in done.stdout.split(f"{_MARK} ")[1:])}


def _line(fact: str) -> str:
    command = OBSERVATIONS[fact].command
    return shlex.join(["sh", "-c", command.shell, "sh", *command.argv] if command.shell else command.argv)


def inside(fact: str, change: Any = "", of: Any = VM42.vm) -> By[Any, Any]:
    """Give a fact of a guest: after a change, from a tool's own output (what has a line end in it), a value, or not seen."""
    value = change
    if isinstance(change, str):
        text = change if change.startswith(("[", "{")) or fact not in {*_FACTS, *_RULES} else said(change).get(fact, "")
        value = OBSERVATIONS[fact].parse(text)
    return _by(fact, {of.name: (of, value.at(f"guest:{of}") if isinstance(value, Table) else value)})


def pings(of: Any = VM42, *, silent: str = "", error: str = "") -> By[Any, Any]:
    """Give what a guest's pings brought: everybody answers but these (addresses, separated by spaces; ``all``)."""
    found = [
        Ping(target, 1, 0, error) if silent == "all" or str(target) in silent.split() else Ping(target, 1, 1) for target in of.asks
    ]
    assert silent == "all" or {address(word) for word in silent.split()} <= set(of.asks)
    return _by("guest_pings", {of.name: (of, tuple(found))})
