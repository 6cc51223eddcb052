"""The part of ``lab up`` that runs inside the holder's namespaces: ``python -m netchecks.lab.inside STATE_FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from netchecks.errors import LabError
from netchecks.lab import build, nodes, state, virsh
from netchecks.lab.topology import Topology, controller, listeners, load

#: Seconds until every daemon has to answer; 100 nodes took 14 on two cores.
PATIENCE = 60.0


def main(folder: str) -> int:
    """Build the network, start the nodes, wait for what listens. Give 0, or 1 with the reason on stderr."""
    try:
        _main(state.load(Path(folder)))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _main(lab: state.State) -> None:
    """Do it."""
    topology = load(lab.topology, lab.count)
    _files(lab, topology)
    build.build(lab, topology)
    if lab.rooted:
        nodes.start(lab, topology)
    build.await_listeners(lab.netns(controller(topology)), listeners(topology, rooted=lab.rooted), PATIENCE)


def _files(lab: state.State, topology: Topology) -> None:
    """Write what ``ip netns exec`` shows below /etc in each place (ip-netns(8)); /etc is the lab's own here."""
    etc = Path("/etc/resolv.conf")
    if etc.is_symlink() or not etc.exists():
        etc.unlink(missing_ok=True)
        etc.write_text("", encoding="ascii")
    for name, place in topology.places.items():
        folder = Path("/etc/netns", lab.netns(name))
        if place.resolvers and not (place.node and lab.rooted):
            folder.mkdir(exist_ok=True)
            (folder / "resolv.conf").write_text(nodes.resolv_conf(place), encoding="ascii")
        if place.node and not lab.rooted:
            (folder / "lab").mkdir(parents=True)
            (folder / "lab" / "node.xml").write_text(virsh.node_xml(topology, name), encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
