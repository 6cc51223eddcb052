"""What checks of nova-network are called with: subjects of a real inventory, rules and rows as the real tools and MariaDB gave them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from netchecks.models.subjects import Flow, Interface, Node
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By
from tests.suites.vmhost.given import _by, domains, namespace, world_of

OUTPUTS = Path(__file__).parents[3] / "observations"
MAC42, MAC44 = "fa:16:3e:00:00:42", "fa:16:3e:00:00:44"
SITE = """
version: 1
nodes:
  controller: {connection: local, roles: [controller]}
  cloud1: {roles: [cloud]}
  compute1: {names_outside: [www.example.org], links: {br100: {addresses: [10.0.2.1/24]}}}
  compute2: {names_outside: [www.example.org], links: {br100: {addresses: [10.0.2.2/24]}}}
networks:
  private:
    kind: nova-network
    bridge: br100
    uplink: eth1
    subnets: [{cidr: 10.0.2.0/24}]
    nova: {public_interface: eth0, @HOW@database: {node: cloud1}}
vms:
  vm42:
    node: compute1
    domain: instance-0000002a
    tcp: [22]
    names: [www.example.org]
    guest: {connection: netns}
    interfaces: [{network: private, mac: "fa:16:3e:00:00:42", addresses: [10.0.2.24], floating: [203.0.113.30], tap: vif42}]
  vm43:
    node: compute1
    interfaces: [{network: private, mac: "fa:16:3e:00:00:43", addresses: [10.0.2.25], floating: [203.0.113.31], tap: vif43}]
  vm44:
    node: compute2
    interfaces: [{network: private, mac: "fa:16:3e:00:00:44", addresses: [10.0.2.26], tap: vif44}]
"""


class Site:
    """An inventory of nova-network: ``how`` goes into its nova stanza (multi-host where nothing else is said)."""

    def __init__(self, how: str = "", text: str = SITE) -> None:
        self.world = world_of(text.replace("@HOW@", how))
        self.controller, self.cloud, self.node1, self.node2 = self.world.inventory.nodes
        (self.network,) = self.world.inventory.networks
        self.vm42, self.vm43, self.vm44 = self.world.inventory.interfaces
        self.servers = self.world.dhcp_servers
        self.database = next(iter(self.world.databases), None)

    def flow(self, name: str) -> Flow:
        return next(flow for flow in self.world.flows if flow.name == name)


MULTI = Site()
SINGLE = Site("multi_host: false, host: compute2, ")


def recorded(fact: str, where: str) -> Any:
    return OBSERVATIONS[fact].parse((OUTPUTS / fact / f"{where}.out").read_text(encoding="utf-8"))


def of(fact: str, *pairs: tuple[Any, Any]) -> By[Any, Any]:
    """Give a fact of each of these subjects; a value that is text is read by the fact's own parser."""
    known = {}
    for subject, value in pairs:
        read = OBSERVATIONS[fact].parse(value) if isinstance(value, str) else value
        known[str(subject)] = (subject, read.at(str(subject)) if isinstance(read, Table) else read)
    return _by(fact, known)


def taps(interface: Interface) -> By[Any, Any]:
    return of("domains", (interface.node, domains(interface.vm.domain, tap=interface.tap, mac=interface.mac)))


# -- rules -------------------------------------------------------------------------------------------------------------

RULES = (OUTPUTS / "iptables" / "lab-nova-network.out").read_text(encoding="utf-8")


def rules(*changes: tuple[str, str], node: Node = MULTI.node1) -> By[Any, Any]:
    """Give the recorded rules of compute1, changed: (what stands there, what shall)."""
    text = RULES
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return of("iptables", (node, text))


def played_rules(script: str) -> str:
    """Give what iptables-save prints after this script, in a network namespace of its own."""
    done = subprocess.run([*namespace(), "sh", "-euc", script + "\niptables-save -c"], capture_output=True, text=True, check=True, timeout=30)
    return "# backend nft\n" + done.stdout


# -- rows --------------------------------------------------------------------------------------------------------------

ROWS = json.loads((OUTPUTS / "nova_rows" / "lab.out").read_text(encoding="utf-8"))
#: A deleted one, which is in an answer only where something points to it.
ROWS["instances"].append({
    "id": 17, "uuid": "a2f1c7d0-0000-4000-8000-000000000011", "hostname": "old17", "host": "compute1", "vm_state": "deleted", "deleted": 17,
})


def rows(site: Site = MULTI, **changes: Any) -> By[Any, Any]:
    """Give the recorded rows, changed: ``floating_ips_30={"fixed_ip_id": None}`` in a row, ``None`` for a row that is gone, a dict for a new one."""
    tables = json.loads(json.dumps(ROWS))
    for name, change in changes.items():
        table, _, number = name.rpartition("_")
        known = next((row for row in tables[table] if row["id"] == int(number)), None)
        if change is None:
            tables[table].remove(known)
        elif known is None:
            tables[table].append(dict.fromkeys(tables[table][0]) | {"id": int(number)} | change)
        else:
            known.update(change)
    return of("nova_rows", (site.database, json.dumps(tables)))
