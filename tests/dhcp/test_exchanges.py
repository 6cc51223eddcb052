"""Where an exchange breaks off: from what was heard at each point of the way."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from netchecks.models.dhcp.exchanges import Exchange, Loss, Point, follow
from netchecks.models.dhcp.messages import Message

MAC = "52:54:00:00:00:42"
ASKED, ANSWERED = 1.5, 2.0


def heard(*kinds: str, at: float = ASKED, client: str = MAC, family: int = 4, identifier: int = 0) -> tuple[Message, ...]:
    return tuple(Message(family, kind, client, at, identifier=identifier) for kind in kinds)


def way(bridge, uplink, *servers, seconds: float = 5.0, **more: object) -> Exchange:
    near = (Point("node1", "br0", bridge), Point("node1", "eth0", uplink))
    far = tuple(Point(f"dhcp{number}", "eth0", said) for number, said in enumerate(servers, 1))
    return Exchange(MAC, more.pop("family", 4), near, far, seconds, **more)


BOTH = heard("DISCOVER", "OFFER")
ONLY = heard("DISCOVER")


def shown(loss: Loss | None) -> tuple[str, str, str] | None:
    return (loss.kind, str(loss.after or ""), str(loss.before or "")) if loss else None


@pytest.mark.parametrize(("exchange", "expected"), [
    (way(BOTH, BOTH, BOTH), None),
    (way(BOTH, None, None), None),
    (way((), (), ()), None),
    (way(heard("OFFER"), ()), None),
    (way(ONLY, (), ()), ("DISCOVER", "br0 of node1", "eth0 of node1")),
    (way(ONLY, ONLY, ()), ("DISCOVER", "eth0 of node1", "eth0 of dhcp1")),
    (way(ONLY, ONLY, (), ONLY), ("OFFER", "", "eth0 of dhcp2")),
    (way(ONLY, ONLY, (), None), ("OFFER", "", "")),
    (way(ONLY, ONLY, None), ("OFFER", "", "")),
    (way(ONLY, None, ()), ("DISCOVER", "br0 of node1", "eth0 of dhcp1")),
    (way(ONLY, ONLY, ONLY), ("OFFER", "", "eth0 of dhcp1")),
    (way(ONLY, ONLY, BOTH), ("OFFER", "eth0 of dhcp1", "eth0 of node1")),
    (way(ONLY, ONLY, ONLY, BOTH), ("OFFER", "eth0 of dhcp2", "eth0 of node1")),
    (way(ONLY, BOTH, BOTH), ("OFFER", "eth0 of node1", "br0 of node1")),
    (way(ONLY, BOTH), ("OFFER", "eth0 of node1", "br0 of node1")),
    (way(heard("DISCOVER", "OFFER", "REQUEST"), heard("DISCOVER", "OFFER", "REQUEST"), heard("DISCOVER", "OFFER", "REQUEST", "ACK")),
     ("ACK", "eth0 of dhcp1", "eth0 of node1")),
    (way(heard("REQUEST", "NAK"), heard("REQUEST", "NAK")), None),
    (way(None, ONLY, ONLY), ("OFFER", "", "eth0 of dhcp1")),
    (way(None, None, ()), None),
])
def test_it_breaks_off_between_two_points(exchange, expected):
    assert shown(follow(exchange)) == expected


def test_ipv6_has_its_own_words():
    asked = heard("SOLICIT", family=6)
    assert shown(follow(way(asked, asked, (), family=6))) == ("SOLICIT", "eth0 of node1", "eth0 of dhcp1")
    assert shown(follow(way(asked, asked, asked, family=6))) == ("ADVERTISE", "", "eth0 of dhcp1")
    assert follow(way(heard("DISCOVER"), (), family=6)) is None


def test_what_was_said_before_all_listened_proves_nothing():
    early = heard("DISCOVER", at=0.1)
    assert follow(way(early, (), ())) is None


def test_what_was_said_just_before_the_end_proves_nothing():
    late = heard("DISCOVER", at=4.8)
    assert follow(way(late, (), ())) is None
    thinking = heard("DISCOVER", at=3.0)
    assert follow(way(thinking, thinking, thinking)) is None, "a server may ping the address for 3 s"
    assert follow(way(thinking, (), ())) is not None
    assert follow(way(ONLY, (*ONLY, *heard("OFFER", at=4.8)))).after is None, "it may come to the bridge yet"


def test_another_client_or_transaction_is_not_its():
    stranger = heard("DISCOVER", client="52:54:00:00:00:43")
    assert follow(way(stranger, ())) is None
    of_another = heard("OFFER", identifier=8)
    mine = heard("DISCOVER", identifier=7)
    exchange = way((*mine, *of_another), (*mine, *of_another), mine, identifier=7)
    assert shown(follow(exchange)) == ("OFFER", "", "eth0 of dhcp1")
    assert exchange.answers == ()


def test_answers_are_each_server_s_first():
    one, two = (Message(4, "OFFER", MAC, 2.0, server=ip_address(text), mac=mac) for text, mac in (("10.0.0.2", "a"), ("10.0.0.3", "b")))
    assert way((*ONLY, one, one, two, *heard("NAK", client="x")), ()).answers == (one, two)
    assert Exchange(MAC, 4, ()).answers == ()


@pytest.mark.parametrize(("kind", "answer"), [("OFFER", True), ("REPLY", True), ("DISCOVER", False), ("REQUEST", False)])
def test_a_loss_knows_whether_it_is_of_an_answer(kind, answer):
    assert Loss(kind, None, None).answer is answer
