"""Whether the node can turn names into addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netchecks.errors import Wrong
from netchecks.models.answers import NameAnswer
from netchecks.models.subjects import Address, Inventory, Node
from netchecks.models.system import Resolvers
from netchecks.seen import By

#: What users feel; a resolver on the spot answers in milliseconds, one far away in a tenth of it.
SLOW_SECONDS = 1.0
#: RFC 1035 section 4.1.1, RFC 2136 section 2.2.
RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

Asked = dict[Address, list[NameAnswer]]


def test_node_resolves_names(
    node: Node, inventory: Inventory, resolvers: By[Node, Resolvers], name_answers: By[Node, tuple[NameAnswer, ...]],
) -> None:
    """Each resolver of the node answers within a second, and knows every name that the inventory declares.

    Why: the C library asks the first one and waits five seconds before the next; a slow login is often a dead resolver.
    Remedy: node administrator: dig @SERVER NAME on {node.name}; then the server's own service and log
    Source: OpenStack operations guide, chapter 13, DNS; resolv.conf(5); systemd-resolved.service(8)
    """
    if not node.names_inside and not node.names_outside:
        return  # nothing is declared, so nothing is asked
    asked = _by_server(name_answers[node])
    own = {server.address for server in resolvers[node].servers} or set(asked)
    _dead(node, inventory, asked, name_answers)
    wrong = {server: [a for a in answers if a.rcode > 0] for server, answers in asked.items() if _bare(server) in own}
    _raise(node, "resolver.wrong_answer", {server: answers for server, answers in wrong.items() if answers}, _said, node.name)
    slow = {server: [a for a in answers if a.seconds > SLOW_SECONDS] for server, answers in asked.items()}
    slow = {server: answers for server, answers in slow.items() if answers}
    place = _place(node, inventory, slow, name_answers, lambda answer: answer.seconds > SLOW_SECONDS)
    _raise(node, "resolver.slow", slow, lambda answer: f"{answer.name} after {answer.seconds:.1f} s", place)


def _by_server(answers: Sequence[NameAnswer]) -> Asked:
    found: Asked = {}
    for answer in answers:
        found.setdefault(answer.server, []).append(answer)
    return found


def _bare(server: Address) -> str | Address:
    """Give an address as resolv.conf's fact has it, without the scope."""
    return type(server)(str(server).partition("%")[0])


def _said(answer: NameAnswer) -> str:
    return f"{answer.name} {RCODES.get(answer.rcode, f'code {answer.rcode}')}"


def _no_answer(answer: NameAnswer) -> bool:
    return answer.rcode < 0


def _dead(node: Node, inventory: Inventory, asked: Asked, everywhere: By[Node, tuple[NameAnswer, ...]]) -> None:
    """Raise where a server answered nothing at all. Unless it refused, a broken uplink explains that: then it follows."""
    dead = {server: answers for server, answers in asked.items() if all(map(_no_answer, answers))}
    if not dead:
        return
    refused = any("refused" in answer.error.lower() for answers in dead.values() for answer in answers)
    place = _place(node, inventory, dead, everywhere, _no_answer)
    shown = "; ".join(f"{server} does not answer ({answers[0].error or 'silent'})" for server, answers in dead.items())
    raise Wrong(
        "resolver.dead", f"{node}: resolver {shown}; asked for {', '.join(a.name for a in next(iter(dead.values())))}", place=place,
        hop="" if refused else "uplink", layer="service", breaks=frozenset({"names"}), remedy=_remedy(node, dead),
    )


def _raise(node: Node, code: str, bad: Asked, say: Callable[[NameAnswer], str], place: str) -> None:
    if bad:
        shown = "; ".join(f"{server} answers {', '.join(map(say, answers))}" for server, answers in bad.items())
        raise Wrong(code, f"{node}: resolver {shown}", place=place, remedy=_remedy(node, bad))


def _remedy(node: Node, bad: Asked) -> str:
    server, answers = next(iter(bad.items()))
    return f"dig @{server} {answers[0].name} on {node}; then the service and the log of the DNS server {server}"


def _place(
    node: Node, inventory: Inventory, bad: Asked, everywhere: By[Node, tuple[NameAnswer, ...]], is_bad: Callable[[NameAnswer], bool],
) -> str:
    """Say where it is: at the network, if all are its resolvers and everybody who asked them finds the same; else at the node."""
    for network in inventory.networks:
        if set(bad) <= set(network.resolvers) and any(end.node == node for end in network.attachments):
            others = [answer for answers in everywhere.seen().values() for answer in answers if answer.server in bad]
            return network.name if all(map(is_bad, others)) else node.name
    return node.name
