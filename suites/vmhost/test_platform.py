"""Whether the platform itself reaches the nodes that it manages, from where it runs."""

from __future__ import annotations

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.services import Knock
from netchecks.models.subjects import Access
from netchecks.models.table import Table
from netchecks.seen import By

#: What a knock means, and who acts.
_MEANS = {
    "refused": ("is refused: no sshd listens there for it", "node administrator", "systemctl status sshd; ss -tlnp; the node's firewall"),
    "timed_out": ("is not answered", "node administrator", "look at the node's firewall for the platform's address, then at the way there"),
    "no_route": ("has no way there", "platform", "ip route get the node's address, from inside the platform; then the routers between"),
    "name_unknown": ("does not know the name", "platform", "getent hosts the node's name, from inside the platform"),
    "not_ssh": ("is answered by something that is no SSH", "node administrator", "find what listens on the port: ss -tlnp"),
    "closed": ("is closed before a greeting", "node administrator", "look at sshd's MaxStartups, hosts.deny and its log"),
}


def test_platform_reaches_node(access: Access, platform_knocks: By[Access, Table[Knock]]) -> None:
    """From inside the platform, the node's SSH answers.

    Why: the platform does everything on a node over SSH; a node it does not reach keeps its VMs as they were and takes no orders.
    Remedy: node administrator: from inside the platform, ssh to the node, and read what it says
    Source: VMmanager knowledge base, "Предварительная диагностика", step 2
    """
    knocks, name = platform_knocks[access], access.platform.name
    if "" in knocks:
        _not_asked(access, knocks[""])
    knock = knocks[access.target]
    where = f"{access.target.replace(' ', ' port ')} from {name} on {access.source}"
    if knock.outcome in _MEANS:
        what, owner, remedy = _MEANS[knock.outcome]
        code = "platform.not_answered" if knock.outcome == "timed_out" else f"platform.{knock.outcome}"
        raise Wrong(code, f"{access.node}: SSH to {where} {what} ({knock.said})", place=access.node.name, owner=owner, remedy=remedy)
    if knock.outcome != "ssh":
        raise NotSeen(Why.FAILED, f"SSH to {where}: {knock.said}", cause="platform.not_asked")


def _not_asked(access: Access, knock: Knock) -> None:
    """Tell a platform that is not there from one that cannot be asked."""
    where, low = f"{access.platform.name} on {access.source}", knock.said.lower()
    if "is not running" in low or "no such container" in low or "no container with name" in low or "cannot open network namespace" in low:
        raise Wrong(
            "platform.not_running", f"{where}: {knock.said}", place=access.source.name, owner="platform",
            remedy=f"start {access.platform.name} on {access.source}, or correct its prefix in the inventory",
        )
    denied = "permission denied" in low or "not permitted" in low
    why = Why.NOT_INSTALLED if knock.outcome == "no_tool" or "not found" in low else Why.NO_PERMISSION if denied else Why.FAILED
    raise NotSeen(why, f"{where}: {knock.said}", cause="platform.not_asked")
