"""Captured frames become messages and advertisements, or nothing: never half of one, whatever stands in them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netchecks.models.dhcp.messages import AdvertisedPrefix, Message, advertisements, client_of, messages
from tests.dhcp import frames


def read(*data: bytes, outgoing: bool = False) -> tuple[Message, ...]:
    return messages([(0.5, "br0", outgoing, one) for one in data])


def test_a_discover_is_read():
    (found,) = read(frames.asked(xid=0x12345678), outgoing=True)
    expected = Message(4, "DISCOVER", frames.CLIENT, 0.5, "br0", outgoing=True, mac=frames.CLIENT, identifier=0x12345678)
    assert found == expected
    assert not found.from_server


def test_an_offer_is_read_with_its_options():
    offer = frames.said(
        subnet_mask="255.255.255.0", router="10.20.0.1", name_server="10.20.0.53", lease_time=3600, error_message=b"as \x1b[31myou like",
    )
    (found,) = read(offer)
    assert (found.kind, found.client, found.mac) == ("OFFER", frames.CLIENT, frames.SERVER)
    assert (found.server, found.address) == (ip_address("10.20.0.2"), ip_address("10.20.0.200"))
    assert (found.mask, found.routers, found.resolvers, found.lease) == (24, (ip_address("10.20.0.1"),), (ip_address("10.20.0.53"),), 3600)
    assert found.text == "as  [31myou like"
    assert found.from_server


@pytest.mark.parametrize(("kind", "name"), [("request", "REQUEST"), ("release", "RELEASE"), ("inform", "INFORM"), ("decline", "DECLINE")])
def test_every_kind_has_its_name(kind, name):
    assert [one.kind for one in read(frames.asked(kind))] == [name]


def test_what_a_client_asks_for_is_its_address():
    assert read(frames.asked("request", requested_addr="10.20.0.142"))[0].address == ip_address("10.20.0.142")


@pytest.mark.parametrize("tags", [(7,), (5, 3933)])
def test_tags_are_passed_over(tags):
    assert len(read(frames.asked(tags=tags))) == 1


def test_a_solicit_and_its_answer_are_read():
    question, answer = read(frames.solicited(xid=0xABCDEF), frames.advertised(xid=0xABCDEF))
    assert (question.kind, question.family, question.client, question.server) == ("SOLICIT", 6, frames.CLIENT, None)
    assert (answer.kind, answer.server, answer.address) == ("ADVERTISE", ip_address(frames.LINK_LOCAL), ip_address("fd20::1:5"))
    assert answer.resolvers == (ip_address("fd20::53"),)
    assert question.identifier == answer.identifier == 0xABCDEF


def test_an_answer_without_an_address_says_why():
    (answer,) = read(frames.advertised("", status=2, text="no addresses available"))
    assert (answer.address, answer.text) == (None, "NoAddrsAvail no addresses available")


def test_other_traffic_is_no_message():
    arp = bytes.fromhex("ffffffffffff 525400000001 0806 0001080006040001 525400000001 0a000001 000000000000 0a000002".replace(" ", ""))
    dns = frames.asked()[:34] + (53).to_bytes(2, "big") + frames.asked()[36:]
    fragment = bytearray(frames.asked())
    fragment[20] |= 0x20
    assert read(arp, dns, bytes(fragment), frames.router(), b"") == ()


@pytest.mark.parametrize("frame", [frames.asked(), frames.said(router="10.20.0.1"), frames.solicited(), frames.advertised(), frames.router()])
def test_a_frame_that_is_cut_off_is_nothing(frame):
    for size in range(len(frame) - 1):
        assert read(frame[:size]) == ()
        assert advertisements([(0.0, "br0", False, frame[:size])]) == ()


@given(frame=st.sampled_from([frames.asked(), frames.said(), frames.solicited(), frames.advertised(), frames.router()]), data=st.data())
def test_a_damaged_frame_raises_nothing(frame, data):
    damaged = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    row = [(0.0, "br0", False, bytes(damaged))]
    assert len(messages(row)) <= 1
    assert len(advertisements(row)) <= 1


@given(st.binary(max_size=400))
def test_any_bytes_raise_nothing(data):
    assert len(messages([(0.0, "br0", False, data)])) + len(advertisements([(0.0, "br0", False, data)])) <= 1


@pytest.mark.parametrize(("duid", "client"), [
    ("0003 0001 525400000042", "52:54:00:00:00:42"), ("0001 0001 329a3020 525400000044", "52:54:00:00:00:44"),
    ("0002 00000009 0cc0", "00:02:00:00:00:09:0c:c0"), ("0003 0006 525400000042", "00:03:00:06:52:54:00:00:00:42"), ("", ""),
])
def test_a_duid_gives_the_mac_that_is_in_it(duid, client):
    assert client_of(bytes.fromhex(duid.replace(" ", ""))) == client


def test_an_advertisement_is_read():
    (found,) = advertisements([(1.5, "br0", False, frames.router(managed=1, lifetime=0))])
    assert (str(found.router), found.mac, found.managed, found.other, found.lifetime) == (frames.LINK_LOCAL, frames.SERVER, True, False, 0)
    assert found.prefixes == (AdvertisedPrefix(ip_network("fd20::/64"), on_link=True, autonomous=True, valid=86400),)
    assert found.seconds == 1.5


@pytest.mark.parametrize("frame", [frames.router(hop_limit=64), frames.router(source="fd20::1")], ids=["routed", "no link-local source"])
def test_an_invalid_advertisement_is_none(frame):
    """RFC 4861 section 6.1.2: hosts drop it too."""
    assert advertisements([(0.0, "br0", False, frame)]) == ()


def test_what_the_place_itself_sends_is_no_router():
    assert advertisements([(0.0, "br0", True, frames.router())]) == ()
