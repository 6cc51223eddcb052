"""Documents that the client printed (SOURCES.md), and the stand-in that prints them again on this machine."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from netchecks import cli

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STAND_IN = ROOT / "netchecks" / "lab" / "openstack_client.py"
LAB, TENANT = ROOT / "netchecks" / "lab" / "neutron" / "openstack.json", HERE / "tenant.json"
RC = HERE / "rc.sh"
NODES = """\
defaults: {network: {uplink: eth1}}
nodes:
  ctl1: {connection: local, roles: [controller]}
  net1: {address: 10.99.0.2, roles: [network]}
  node[1-2]: {address: "10.99.0.{n+10}"}
"""
TENANT_NODES = """\
nodes:
  ctl1: {connection: local, roles: [controller]}
  network1: {address: 10.99.0.2, roles: [network]}
  compute[1-2]: {address: "10.99.0.{n+10}"}
"""


def documents(path=LAB):
    return json.loads(path.read_text(encoding="utf-8"))


def derive(folder, *more, known=None, nodes=NODES, rc=RC):
    """Run the command on this machine; give its exit status."""
    (folder / "nodes.yaml").write_text(nodes, encoding="utf-8")
    (folder / "documents.json").write_text(json.dumps(known or documents()), encoding="utf-8")
    client = shlex.join([sys.executable, str(STAND_IN), str(folder / "documents.json")])
    arguments = ["--inventory-file", str(folder / "nodes.yaml"), "--host", "ctl1", "--command", client, *(["--rc-file", str(rc)] if rc else [])]
    return cli.main(["inventory", "openstack", *arguments, *more])


def loaded(folder, text):
    """Load what was derived together with the nodes."""
    from netchecks import inventory

    (folder / "derived.yaml").write_text(text, encoding="utf-8")
    return inventory.load([folder / "nodes.yaml", folder / "derived.yaml"])
