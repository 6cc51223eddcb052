"""Whether the node can be looked at at all."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.subjects import Node
from netchecks.seen import By


@pytest.mark.hop("node", "exists")
def test_node_answers(node: Node, login: By[Node, str], privileges: By[Node, str]) -> None:
    """The controller reaches the node and may run commands there, with the privileges that the inventory promises.

    Why: nothing on a node that cannot be entered can be judged.
    Remedy: node administrator: ssh {node.connection.user}@{node.connection.address} from the controller, and read what it says
    Source: VMmanager knowledge base, "Предварительная диагностика", step 2
    """
    try:
        login[node]
        if node.connection.sudo:
            privileges[node]
    except NotSeen as reason:
        if reason.why in {Why.NOT_PLANNED, Why.NOT_RECORDED}:  # nobody tried
            raise
        raise Wrong(reason.cause or "node.unreachable", f"{node}: {reason}", place=node.name) from reason
