"""ARP and DHCP out of a NIC with a tag, and in a network namespace: what is sent in whose name, and what counts as an answer."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether

from netchecks.errors import NotSeen
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.links import Link
from netchecks.models.neutron import Namespace
from netchecks.models.table import Table
from netchecks.plan import probe_for
from netchecks.probe import Capture, Connect, Echo, Frames, Got, Part
from tests.suites.openstack.neutron.given import NODE1, SERVER, TAP, UNSEEN, VM42, A, _by, bridges, flow_of, of, of_node, recorded

NIC, GATEWAY = "02:20:00:00:00:11", "02:20:00:00:43:01"
LINKS = of_node("links", Table("interface", {"eth1": Link("eth1", 3, NIC, 1500, frozenset({"UP"}), "UP")}))
ADDRESSES = of_node("addresses", "[]")
ALONE, BOND = of_node("ovs_bridges", bridges()), of_node("ovs_bridges", recorded("ovs_bridges", "ovs-3.1-bond"))
SECOND = "02:20:00:00:02:11"
BOTH = of_node("links", Table("interface", {**LINKS[NODE1], "eth2": Link("eth2", 4, SECOND, 1500, frozenset({"UP"}), "UP")}))
INSIDE = recorded("dhcp_namespaces", "iproute2-6.1")
IN_VLAN, IN_SPACE = flow_of("node1-to-gateway-net-a-arp-ipv4"), flow_of("net1-dhcp-to-vm42-arp-ipv4")


def asked(flow, inside=INSIDE, links=LINKS, there=ALONE):
    probe = probe_for("answers", flow)
    facts = {"links": links, "addresses": ADDRESSES, "dhcp_namespaces": of("dhcp_namespaces", SERVER, inside), "ovs_bridges": there}
    return probe.ask(flow, *(facts[need] for need in probe.needs))


def read(flow, *frames):
    """``frames``: (outgoing, bytes) that were captured."""
    captured = Got("captured", packets=tuple((0.1, "eth1", outgoing, bytes(data)) for outgoing, data in frames), opened=0.0)
    return probe_for("answers", flow).read(flow, (captured, *(Got("sent", sent=1) for _ in range(3))))


def reply(mac, address, to, own, vlan=None):
    head = Ether(src=mac, dst=to) / Dot1Q(vlan=vlan) if vlan is not None else Ether(src=mac, dst=to)
    return head / ARP(op=2, hwsrc=mac, psrc=address, hwdst=to, pdst=own)


def question(mac, target, vlan):
    return Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=vlan) / ARP(op=1, hwsrc=mac, psrc="0.0.0.0", pdst=target)


# -- at the tap ------------------------------------------------------------------------------------------------------


def test_a_tap_without_ipv6_solicits_from_what_its_mac_gives():
    """nova switches IPv6 off at the taps that it makes; the question still has to come from somebody."""
    vm = replace(VM42, addresses=(*VM42.addresses, ip_address("2001:db8:43::142")))
    flow = replace(flow_of("node1-to-vm42-arp-ipv4"), protocol="ndp", target=ip_address("2001:db8:43::142"), interface=vm)
    probe = probe_for("answers", flow)
    domain = Domain("vm42", "running", "", (DomainInterface(vm.mac, "bridge", "br-int", target=TAP),))
    links = Table("interface", {TAP: Link(TAP, 4, "fe:16:3e:00:00:42", 1500, frozenset({"UP"}), "UP", "", "")})
    facts = {"links": of_node("links", links), "addresses": of_node("addresses", "[]"), "domains": of_node("domains", Table("domain", {"vm42": domain}))}
    _, first, *_ = probe.ask(flow, *(facts[need] for need in probe.needs)).actions
    frame = Ether(first.frames[0])
    assert (first.device, frame.src, frame[IPv6].src, frame[IPv6].dst) == (TAP, "fe:16:3e:00:00:42", "fe80::fc16:3eff:fe00:42", "ff02::1:ff00:142")


# -- out of the NIC --------------------------------------------------------------------------------------------------


def test_a_gateway_is_asked_with_the_tag_and_the_nics_own_mac():
    capture, *tries = asked(IN_VLAN).actions
    assert (capture.device, capture.namespace) == ("eth1", "")
    assert all(isinstance(one, Frames) and one.device == "eth1" for one in tries)
    frame = Ether(tries[0].frames[0])
    assert (frame.src, frame.dst, frame[Dot1Q].vlan) == (NIC, "ff:ff:ff:ff:ff:ff", 3933)
    assert (frame[ARP].hwsrc, frame[ARP].psrc, frame[ARP].pdst) == (NIC, "0.0.0.0", "10.19.43.1")
    answer = bytes(reply(GATEWAY, "10.19.43.1", NIC, "0.0.0.0", 3933))
    assert all(answer[offset:offset + len(text)] == text for offset, text in tries[0].unless)


def test_without_the_nic_nothing_can_be_asked():
    flow = flow_of("node2-to-gateway-net-a-arp-ipv4")
    with pytest.raises(NotSeen, match="node2"):
        probe_for("answers", flow).ask(
            flow, of_node("links", Table("interface", {}), flow.source), of_node("addresses", "[]", flow.source), of_node("ovs_bridges", UNSEEN, flow.source),
        )


def test_of_a_bond_the_member_in_use_asks_and_all_are_listened_to():
    first, second, *tries = asked(IN_VLAN, links=BOTH, there=BOND).actions
    assert (first.device, second.device, {one.device for one in tries}) == ("eth2", "eth1", {"eth2"})
    assert Ether(tries[0].frames[0]).src == SECOND
    here, back = question(SECOND, "10.19.43.1", 3933), reply(GATEWAY, "10.19.43.1", SECOND, "0.0.0.0", 3933)
    own = Got("captured", packets=((0.1, "eth2", True, bytes(here)),), opened=0.0)
    other = Got("captured", packets=((0.1, "eth1", False, bytes(here)), (0.2, "eth1", False, bytes(back))), opened=0.0)
    answer = probe_for("answers", IN_VLAN).read(IN_VLAN, (own, other, *(Got("sent", sent=1) for _ in range(3))))
    assert (answer.outcome, answer.macs, answer.sent) == ("answered", (GATEWAY,), 3)
    assert answer.heard == ()  # its own question, which the switch brings back
    lost = Got("failed", error="No such device")
    assert probe_for("answers", IN_VLAN).read(IN_VLAN, (replace(own, packets=other.packets), lost, *(Got("sent", sent=1) for _ in range(3)))).came_back
    with pytest.raises(NotSeen):
        probe_for("answers", IN_VLAN).read(IN_VLAN, (own, lost, *(Got("sent", sent=1) for _ in range(3))))


def test_answers_and_questions_of_other_vlans_count_for_nothing():
    zero = "0.0.0.0"
    got = read(IN_VLAN, (False, reply(GATEWAY, "10.19.43.1", NIC, zero, 3934)), (False, reply(GATEWAY, "10.19.43.1", NIC, zero)))
    assert (got.outcome, got.sent, got.heard) == ("silent", 3, ())
    got = read(IN_VLAN, (False, reply(GATEWAY, "10.19.43.1", NIC, zero, 3933)), (False, b"short"), (False, b""))
    assert (got.outcome, got.macs) == ("answered", (GATEWAY,))


def test_others_who_ask_in_the_vlan_are_heard():
    other = "02:20:00:00:00:12"
    got = read(
        IN_VLAN, (False, question(other, "10.19.43.1", 3933)), (True, question(NIC, "10.19.43.1", 3933)),
        (False, question("02:20:00:00:00:99", "10.19.43.7", 3933)), (False, question("02:20:00:00:00:98", "10.19.43.1", 3934)),
    )
    assert (got.outcome, got.heard) == ("silent", (other,))


# -- in the namespace ------------------------------------------------------------------------------------------------


def test_a_vm_is_asked_in_the_namespace_in_its_own_name():
    capture, *tries = asked(IN_SPACE).actions
    assert isinstance(capture, Capture)
    assert {(one.device, one.namespace) for one in (capture, *tries)} == {("tapd0a3f1c2-5b", f"qdhcp-{A}")}
    frame = Ether(tries[0].frames[0])
    assert (frame.src, frame[ARP].hwsrc, frame[ARP].psrc, frame[ARP].pdst) == ("fa:16:3e:00:43:02", "fa:16:3e:00:43:02", "10.19.43.2", "10.19.43.142")


@pytest.mark.parametrize("inside", [Namespace(exists=False), Namespace(exists=True, macs=INSIDE.macs), UNSEEN])
def test_a_namespace_without_an_address_asks_nothing(inside):
    facts = _by("dhcp_namespaces", {SERVER.name: (SERVER, inside)})
    with pytest.raises(NotSeen):
        probe_for("answers", IN_SPACE).ask(IN_SPACE, facts)


def test_an_answer_to_somebody_else_that_a_switch_floods_is_none():
    own, other = "fa:16:3e:00:43:02", "fe:16:3e:00:00:42"
    assert read(IN_SPACE, (False, reply(VM42.mac, "10.19.43.142", other, "10.99.0.11"))).outcome == "silent"
    assert read(IN_SPACE, (False, reply(VM42.mac, "10.19.43.142", own, "10.19.43.2"))).macs == (VM42.mac,)


def test_sockets_are_opened_in_the_namespace():
    ping, = asked(flow_of("net1-dhcp-to-vm42-icmp-ipv4")).actions
    connection, = asked(flow_of("net1-dhcp-to-vm42-tcp22-ipv4")).actions
    assert isinstance(ping, Echo)
    assert isinstance(connection, Connect)
    assert ping.namespace == connection.namespace == f"qdhcp-{A}"
    outside, = asked(flow_of("controller-to-vm42-icmp-ipv4")).actions
    assert outside.namespace == ""


# -- DHCP ------------------------------------------------------------------------------------------------------------


def test_a_discover_goes_out_of_the_nic_with_the_tag_and_is_listened_for_in_the_namespace():
    flow = flow_of("node1-to-net-a-dhcp-ipv4")
    probe = probe_for("dhcp_exchanges", flow)
    asks = probe.ask(flow, LINKS, of("dhcp_namespaces", SERVER, INSIDE), ALONE)
    capture, first, second = asks["node1"].actions
    assert (capture.device, first.device, first.frames) == ("eth1", "eth1", second.frames)
    frame = Ether(first.frames[0])
    assert (frame.src, frame[Dot1Q].vlan, frame["BOOTP"].chaddr[:3]) == (NIC, 3933, b"\x02nc")
    (there,) = asks["net1"].actions
    assert (there.device, there.namespace) == ("tapd0a3f1c2-5b", f"qdhcp-{A}")


def test_what_a_vm_asks_is_listened_to_at_tap_nic_and_in_the_namespace():
    probe = probe_for("dhcp_messages", VM42)
    asks = probe.ask(VM42, of_node("domains", UNSEEN), of("dhcp_namespaces", SERVER, INSIDE), ALONE)
    assert [one.device for one in asks["node1"].actions] == [VM42.tap, "eth1"]
    assert [one.namespace for one in asks["net1"].actions] == [f"qdhcp-{A}"]


def test_members_of_a_bond_are_one_point_of_the_way():
    flow = flow_of("node1-to-net-a-dhcp-ipv4")
    probe = probe_for("dhcp_exchanges", flow)
    ask = probe.ask(flow, BOTH, of("dhcp_namespaces", SERVER, INSIDE), BOND)["node1"]
    assert [one.device for one in ask.actions] == ["eth2", "eth1", "eth2", "eth2"]
    frame = ask.actions[-1].frames[0]
    sent, lost = Got("sent", sent=1, times=(0.1,)), Got("captured", opened=0.0)
    got = (Got("captured", packets=((0.1, "eth2", True, frame),), opened=0.0), lost, sent, sent)
    (point,) = probe.read(flow, {"node1": Part("node1", got, ask.note)}).points
    assert (point.device, [message.kind for message in point.messages]) == ("eth2+eth1", ["DISCOVER"])
    asks = probe_for("dhcp_messages", VM42).ask(VM42, of_node("domains", UNSEEN), of("dhcp_namespaces", SERVER, INSIDE), BOND)
    assert asks["node1"].note.split("\n") == [VM42.tap, "eth2+eth1", "eth2+eth1"]


assert ip_address("10.19.43.142") in VM42.addresses
assert VM42.node == NODE1
