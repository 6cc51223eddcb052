"""What the DHCP probes send and where they listen, and what they make of what was heard there."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Solicit, DHCP6OptClientId
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RS, IPv6
from scapy.layers.l2 import Ether

from netchecks.errors import NotSeen, Why
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.probe import Capture, Frames, Got, Part
from netchecks.probes import dhcp
from tests.dhcp import frames
from tests.suites.vmhost.given import UNSEEN, by, domains, world_of
from tests.suites.vmhost.test_dhcp import INVENTORY, ONE, TWO, given

OWN = "fe80::20:ff:fe00:11"
LAB = INVENTORY.replace("@RANGES@", "[]").replace("@ONLY@", "false").replace("    dhcp:", "    advertised: {routers: []}\n    dhcp:")


def world(servers: str = ONE):
    return world_of(LAB.replace("@SERVERS@", servers))


def flow_of(made, protocol: str = "dhcp", family: int = 4):
    return next(flow for flow in made.flows if flow.protocol == protocol and flow.family == family)


def links(made):
    return by("links", node=made.inventory.nodes[1])


def held(device: str, *addresses: str) -> Table[tuple[InterfaceAddress, ...]]:
    return Table("device", {device: tuple(InterfaceAddress(ip_interface(text), frozenset()) for text in addresses)})


def addresses(made, **of_servers):
    nodes = {node.name: node for node in made.inventory.nodes}
    known = {nodes["node1"]: held("br0", "10.20.0.11/24", f"{OWN}/64")}
    return given("addresses", known | {nodes[name]: value for name, value in of_servers.items()})


def asked(made, protocol: str = "dhcp", family: int = 4, **of_servers):
    return dhcp.offers(flow_of(made, protocol, family), links(made), addresses(made, **of_servers))


def test_a_discover_goes_out_of_the_bridge_in_the_node_s_own_name():
    made = world()
    (_, _, first, second) = asked(made)["node1"].actions
    assert isinstance(first, Frames)
    assert (first.device, first.frames) == ("br0", second.frames)
    frame = Ether(first.frames[0])
    assert frame[Ether].src == links(made)[made.inventory.nodes[1]]["br0"].mac
    assert (frame[Ether].dst, frame[IP].src, frame[UDP].sport, frame[UDP].dport) == ("ff:ff:ff:ff:ff:ff", "0.0.0.0", 68, 67)
    assert frame[BOOTP].flags == 0x8000
    assert frame[DHCP].options[0] == ("message-type", 1)
    assert bytes(frame[BOOTP].chaddr)[:6].hex(":") == dhcp.client_of(made.inventory.networks[0])


def test_a_solicit_goes_out_of_the_bridge_in_the_node_s_own_name():
    made = world()
    frame = Ether(asked(made, family=6)["node1"].actions[-1].frames[0])
    assert (frame[Ether].dst, frame[IPv6].src, frame[IPv6].dst, frame[UDP].dport) == ("33:33:00:01:00:02", OWN, "ff02::1:2", 547)
    assert frame[DHCP6_Solicit].trid == int.from_bytes(dhcp.transaction_of(flow_of(made, family=6)), "big")
    assert frame[DHCP6OptClientId].duid.lladdr == dhcp.client_of(made.inventory.networks[0])


def test_the_client_is_always_the_same_local_mac_and_the_transaction_the_node_s():
    one, other = world(), world(TWO)
    client = dhcp.client_of(one.inventory.networks[0])
    assert client == dhcp.client_of(other.inventory.networks[0])
    assert client.startswith("02:6e:63:"), "locally administered, not a group"
    assert len(dhcp.transaction_of(flow_of(one))) == 4


def test_nothing_more_is_sent_once_an_answer_to_this_node_came():
    first = asked(world())["node1"].actions[-1]
    offered = frames.said(xid=int.from_bytes(dhcp.transaction_of(flow_of(world())), "big"))
    assert all(offered[at:at + len(some)] == some for at, some in first.unless)
    assert not all(frames.said(xid=1)[at:at + len(some)] == some for at, some in first.unless)
    six = asked(world(), family=6)["node1"].actions[-1]
    advertised = frames.advertised(xid=int.from_bytes(dhcp.transaction_of(flow_of(world(), family=6)), "big"))
    assert all(advertised[at:at + len(some)] == some for at, some in six.unless)


def test_servers_are_listened_to_where_their_address_is():
    ask = asked(world(TWO), dhcp1=held("eth7", "10.20.0.2/24"), dhcp2=UNSEEN)
    assert set(ask) == {"node1", "dhcp1"}, "of the other nobody knows by which device"
    assert [(one.device, one.udp_ports) for one in ask["dhcp1"].actions] == [("eth7", (67, 68, 547, 546))]
    assert [one.device for one in ask["node1"].actions if isinstance(one, Capture)] == ["br0", "eth0"]
    near = asked(world(TWO), dhcp1=held("eth8", "10.20.0.77/24"), dhcp2=held("eth9", "192.0.2.1/24"))
    assert [one.device for one in near["dhcp1"].actions] == ["eth8"]
    assert "dhcp2" not in near


def test_without_a_bridge_or_an_address_nothing_is_asked():
    made = world()
    none = given("links", {made.inventory.nodes[1]: Table[Link]("device", {})})
    with pytest.raises(NotSeen, match="no br0"):
        dhcp.offers(flow_of(made), none, addresses(made))
    bare = given("addresses", {node: held("br0", "10.20.0.11/24") for node in made.inventory.nodes})
    with pytest.raises(NotSeen, match="link-local"):
        dhcp.offers(flow_of(made, family=6), links(made), bare)


def test_a_node_that_is_a_server_itself_asks_nothing():
    assert [flow.name for flow in world("[{node: node1, addresses: [10.20.0.2]}]").flows if flow.protocol == "dhcp"] == []


# -- what was heard --------------------------------------------------------------------------------------------------


def captured(*data: bytes, opened: float | None = 0.01, dropped: int = 0) -> Got:
    return Got("captured", packets=tuple((1.6, "x", False, one) for one in data), opened=opened, dropped=dropped)


def part(place: str, devices: str, *got: Got, began: float = 100.0, booted: tuple[float, float] | None = (1000.0, 1000.1)) -> Part:
    return Part(place, got, devices, began, began + 5, booted)


SENT = (Got("sent", sent=1, times=(0.1,)), Got("sent", sent=1, times=(1.5,)))


def read(made, server: Part | NotSeen, bridge: Got | None = None, uplink: Got | None = None):
    own = part("node1", "br0\neth0", bridge or captured(), uplink or captured(), *SENT)
    return dhcp._read_offers(flow_of(made), {"node1": own, "dhcp1": server})


def test_what_was_heard_stands_in_the_order_of_the_way():
    made = world()
    frame = frames.asked(mac=dhcp.client_of(made.inventory.networks[0]))
    exchange = read(made, part("dhcp1", "eth7", captured(frame)), captured(frame), captured(frame))
    assert [str(point) for point in (*exchange.points, *exchange.servers)] == ["br0 of node1", "eth0 of node1", "eth7 of dhcp1"]
    assert [len(point.messages) for point in (*exchange.points, *exchange.servers)] == [1, 1, 1]
    assert exchange.client == dhcp.client_of(made.inventory.networks[0])


@pytest.mark.parametrize("server", [
    NotSeen(Why.UNREACHABLE, "x"), part("dhcp1", "eth7", captured(), booted=None), part("dhcp1", "eth7", captured(), began=101.5),
    part("dhcp1", "eth7", captured(opened=None)), part("dhcp1", "eth7", captured(dropped=3)),
], ids=["unreachable", "no clock", "too late", "not opened", "lost frames"])
def test_a_server_that_could_not_have_heard_it_proves_nothing(server):
    (point,) = read(world(), server).servers
    assert point.messages is None


def test_an_uplink_that_cannot_be_listened_to_is_only_not_known():
    exchange = read(world(), NotSeen(Why.UNREACHABLE, "x"), uplink=Got("failed", "No such device", opened=None))
    assert exchange.points[1].messages is None


@pytest.mark.parametrize("bridge", [Got("denied", "not permitted"), Got("failed", "No such device"), captured(dropped=1)])
def test_a_bridge_that_cannot_be_listened_to_is_not_seen(bridge):
    with pytest.raises(NotSeen):
        read(world(), NotSeen(Why.UNREACHABLE, "x"), bridge)


# -- the lease -------------------------------------------------------------------------------------------------------


def test_a_lease_is_asked_for_with_places_for_what_is_offered():
    made = world('[{node: dhcp1, addresses: [10.20.0.2, "fe80::2"]}, 10.20.0.3]')
    flow = flow_of(made)
    (_, taken) = dhcp.handshake(flow, links(made)).actions
    assert taken.servers == ("10.20.0.2", "10.20.0.3")
    ours, theirs = b"\x0a\x14\x00\x96", b"\x0a\x14\x00\x02"

    def filled(frame, places):
        for place, value in zip(places, (ours, theirs), strict=True):
            frame = frame[:place] + value + frame[place + 4:]
        return Ether(frame)

    request, release = filled(taken.request, taken.request_at), filled(taken.release, taken.release_at)
    assert dict(request[DHCP].options[:-1]) == {"message-type": 3, "requested_addr": "10.20.0.150", "server_id": "10.20.0.2"}
    assert dict(release[DHCP].options[:-1]) == {"message-type": 7, "server_id": "10.20.0.2"}
    assert (request[BOOTP].ciaddr, release[BOOTP].ciaddr) == ("0.0.0.0", "10.20.0.150")
    assert {bytes(Ether(frame)[BOOTP].chaddr)[:6] for frame in (taken.discover, taken.request, taken.release)} == {dhcp._taker(flow)}
    assert dhcp._taker(flow).hex(":") != dhcp.client_of(made.inventory.networks[0]), "an offer that was asked for stays its own"


@pytest.mark.parametrize(("said", "outcome"), [(("offer", "ack"), "answered"), (("offer", "nak"), "refused"), (("offer",), "silent"), ((), "silent")])
def test_a_handshake_is_read_from_what_was_heard(said, outcome):
    made = world()
    flow = flow_of(made)
    mac = dhcp._taker(flow).hex(":")
    others = frames.said("ack", mac="52:54:00:00:00:99")
    heard = captured(others, frames.asked(mac=mac), *(frames.said(kind, mac=mac) for kind in said))
    found = dhcp._read_handshake(flow, (heard, Got(outcome, sent=2)))
    assert (found.client, found.outcome, found.offer is not None) == (mac, outcome, bool(said))
    assert (found.end.kind.lower() if found.end else "") == (said[1] if len(said) > 1 else "")


# -- VMs -------------------------------------------------------------------------------------------------------------


def listened(made, tap: str = "vnet7", state: str = "running"):
    node = made.inventory.nodes[1]
    found = given("domains", {node: OBSERVATIONS["domains"].parse(domains(tap=tap, state=state))})
    return dhcp.listening(made.inventory.interfaces[0], found, addresses(made, dhcp1=held("eth7", "10.20.0.2/24")))


def test_a_vm_is_listened_to_at_its_tap_the_uplink_and_the_server():
    ask = listened(world())
    assert {name: [one.device for one in some.actions] for name, some in ask.items()} == {"node1": ["vnet7", "eth0"], "dhcp1": ["eth7"]}
    assert all(isinstance(one, Capture) for some in ask.values() for one in some.actions), "nothing is sent"


def test_a_vm_without_a_tap_is_not_listened_to():
    with pytest.raises(NotSeen, match="no tap"):
        listened(world(), tap="", state="shut off")


def test_where_the_server_is_on_the_vm_s_node_the_uplink_is_not_on_the_way():
    made = world("[{node: node1, addresses: [10.20.0.11]}]")
    found = given("domains", {made.inventory.nodes[1]: OBSERVATIONS["domains"].parse(domains())})
    interface = made.inventory.interfaces[0]
    ask = dhcp.listening(interface, found, addresses(made))
    assert [one.device for one in ask["node1"].actions] == ["vnet7", "br0"]
    exchange = dhcp._read_vm(interface, {"node1": part("node1", ask["node1"].note, captured(), captured())})
    assert ([str(point) for point in exchange.points], [str(point) for point in exchange.servers]) == (["vnet7 of node1"], ["br0 of node1"])


# -- routers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "raw", "takes"), [
    ({"accept_ra": "0"}, (), False), ({"accept_ra": "1", "forwarding": "0"}, (), True), ({"accept_ra": "1", "forwarding": "1"}, (), False),
    ({"accept_ra": "2", "forwarding": "1"}, (), True), ({"accept_ra": "2", "disable_ipv6": "1"}, (), False), ({}, (), True),
    ({"accept_ra": "0"}, (89, 58), True), ({"accept_ra": "0"}, (89,), False),
])
def test_only_a_node_that_takes_no_advertisement_may_ask_for_one(settings, raw, takes):
    found = Table("sysctl", {f"net.ipv6.conf.br0.{name}": value for name, value in settings.items()})
    assert dhcp.takes_advertisements("br0", found, raw) is takes
    made = world()
    node, flow = made.inventory.nodes[1], flow_of(made, "ra", 6)
    ask = dhcp.routers(flow, links(made), addresses(made), given("sysctls", {node: found}), given("raw_sockets", {node: raw}))
    sent = [one for one in ask.actions if isinstance(one, Frames)]
    assert len(sent) == (0 if takes else 1)
    for one in sent:
        frame = Ether(one.frames[0])
        assert (frame[Ether].src, frame[IPv6].src, frame[IPv6].hlim) == (links(made)[node]["br0"].mac, OWN, 255)
        assert ICMPv6ND_RS in frame


@pytest.mark.parametrize(("got", "asked_for"), [((captured(frames.router()),), False), ((captured(frames.router()), Got("sent", sent=1)), True)])
def test_advertisements_are_read_with_whether_one_asked(got, asked_for):
    seen = dhcp._read_routers(flow_of(world(), "ra", 6), got)
    assert (seen.asked, len(seen.heard)) == (asked_for, 1)


def test_a_device_with_a_dot_has_a_slash_in_its_settings():
    assert not dhcp.takes_advertisements("br0.7", Table("sysctl", {"net.ipv6.conf.br0/7.accept_ra": "0"}), ())
