"""The services of a node that the inventory declares."""

from __future__ import annotations

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.services import LogLine, Service
from netchecks.models.subjects import Node
from netchecks.models.table import Table
from netchecks.seen import By, note

RUNS = frozenset({"active", "reloading", "refreshing"})


def test_service_is_active(
    node: Node, services: By[Node, Table[Service]], service_errors: By[Node, Table[tuple[LogLine, ...]]],
) -> None:
    """Each declared service runs; one that systemd had to restart is noted with its last error.

    Why: a routing daemon, a DHCP server or libvirt that is down leaves the network as it was, until something changes.
    Remedy: node administrator: systemctl status and journalctl -u the service; then systemctl start
    Source: VMmanager knowledge base, "IP-фабрика"; OpenStack operations guide, chapter 13; org.freedesktop.systemd1(5)
    """
    known = services[node] if node.services else {}
    missing = [name for name, service in known.items() if service.load == "not-found"]
    if missing:
        raise Wrong(
            "service.missing", f"{node}: there is no service {', '.join(missing)}", place=node.name,
            remedy=f"install it, or correct the inventory: systemctl list-unit-files '*{missing[0].partition('.')[0]}*'",
        )
    failed = [service for service in known.values() if not _runs(node, service)]
    if failed:
        names = " ".join(service.unit or service.name for service in failed)
        shown = "; ".join(f"{service.name} is {_state(service)}{_last_error(node, service, service_errors)}" for service in failed)
        raise Wrong(
            "service.failed", f"{node}: {shown}, expected it to run", place=node.name,
            remedy=f"systemctl status {names}; journalctl -u {names.replace(' ', ' -u ')}; systemctl restart {names}",
        )
    for service in known.values():
        if service.restarts:
            last = _last_error(node, service, service_errors)
            note("service.restarted", f"{node}: systemd restarted {service.name} {service.restarts} times{last}")


def _runs(node: Node, service: Service) -> bool:
    """Tell whether it runs, or is one that does its work once and has done it."""
    if service.load == "unknown":
        raise NotSeen(Why.UNREADABLE, f"{node}: systemd cannot tell the state of {service.name}")
    once = service.kind == "oneshot" and service.result in {"", "success"} and service.active_since is not None
    starting = service.active == "activating" and service.sub != "auto-restart"
    return service.active in RUNS or starting or (once and service.active == "inactive")


def _state(service: Service) -> str:
    extra = [
        service.load if service.load != "loaded" else "", service.result if service.result not in {"", "success"} else "",
        "a condition of its unit does not hold" if service.condition_failed else "",
    ]
    told = ", ".join(filter(None, extra))
    return f"{service.active} ({service.sub}{f': {told}' if told else ''})"


def _last_error(node: Node, service: Service, errors: By[Node, Table[tuple[LogLine, ...]]]) -> str:
    """Give the newest error of its log as evidence; nothing where no journal can be read."""
    try:
        found = errors[node].get(service.name, ())
    except NotSeen:
        return ""
    return f'; its log: "{found[-1].message[:200]}"' if found else ""
