"""Names, the metadata service and nova.conf: the checks called with what nodes, dnsmasq, instances and consoles say."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netchecks.errors import NotSeen
from netchecks.models.answers import NameAnswer, Overheard
from netchecks.models.console import Console
from netchecks.models.links import Link
from netchecks.models.metadata import Metadata
from netchecks.models.system import Listener
from netchecks.models.table import Table
from suites.openstack.nova_network import test_bridge, test_metadata, test_names
from tests.suites.node.given import UNSEEN
from tests.suites.openstack.nova_network.given import MULTI, OUTPUTS, RULES, SITE, Site, of, recorded, rows, rules
from tests.suites.vmhost.given import is_unknown, notes_of, world_of, wrong

FIFTH = Site(text=SITE.replace("public_interface: eth0", "public_interface: eth5"))
WITHOUT = Site(text=SITE.replace("@HOW@database: {node: cloud1}", ""))
VM42, VM, NODE1 = MULTI.vm42, MULTI.vm42.vm, MULTI.node1
SERVER, OTHER = MULTI.servers
NAMES, METADATA = frozenset({"names"}), frozenset({"metadata"})
HOST, DNSMASQ = ip_address("203.0.113.1"), ip_address("10.0.2.1")
PAIR = (OUTPUTS / "dhcp_processes" / "lab-nova-network.out").read_text()


def said(server, name="www.example.org", rcode=0, seconds=0.01, error=""):
    return NameAnswer(server, name, rcode, (), seconds, error)


GOOD, DEAD = said(HOST), said(HOST, rcode=-1, error="silent")
LOCAL, LOCAL_DEAD = said(DNSMASQ), said(DNSMASQ, rcode=-1, error="silent")
BACK = said(DNSMASQ, "10.0.2.24", rcode=3)


WIRE = (Overheard("compute1", "vif42", True, False), Overheard("compute1", "br100", True, False))


def facts(inside, served, host, known=PAIR):
    return (of("guest_name_answers", (VM42, inside)), of("server_name_answers", (SERVER, served), (OTHER, UNSEEN)), of("name_answers", (NODE1, host)),
            of("dhcp_processes", (SERVER, known)))


def resolves(inside, served=(LOCAL,), host=(GOOD,), **more):
    wire = of("dns_messages", (VM42, more.pop("wire", WIRE)))
    return notes_of(test_names.test_instance_resolves, VM42, *facts(inside, served, host, **more), wire)


def test_an_instance_that_resolves_and_comes_back_from_a_reverse_look_up_is_right():
    assert resolves((LOCAL, BACK)) == []


def test_neither_the_host_nor_the_instance_resolves():
    with wrong("resolver.dead", "neither the node itself nor its instances", place="compute1", breaks=NAMES):
        resolves((LOCAL_DEAD,), (LOCAL_DEAD,), (DEAD,))


def test_the_host_resolves_and_dnsmasq_does_not():
    with wrong("nova.dnsmasq_does_not_resolve", "10.0.2.1", place="compute1", breaks=NAMES):
        resolves((LOCAL_DEAD,), (said(DNSMASQ, rcode=5),))


def test_dnsmasq_resolves_and_the_instance_does_not():
    with wrong("nova.dns_blocked", "port 53 is lost", "the question at br100 of compute1", place="compute1", breaks=NAMES):
        resolves((LOCAL_DEAD,))
    with wrong("nova.dns_blocked", place="compute1", breaks=NAMES):
        resolves((LOCAL_DEAD,), wire=UNSEEN)


def test_an_instance_that_asks_somebody_else_is_told_whom_to_ask():
    with wrong("guest.wrong_resolver", "asks 8.8.8.8, expected 10.0.2.1", place="vm42", breaks=NAMES, owner="guest owner"):
        resolves((said(ip_address("8.8.8.8"), rcode=-1),))


def test_that_no_dnsmasq_runs_is_another_checks():
    assert resolves((LOCAL_DEAD,), known="@end\n") == []


@pytest.mark.parametrize("back", [replace(BACK, seconds=4.0), replace(BACK, rcode=-1)])
def test_a_reverse_look_up_that_hangs_is_a_slow_login(back):
    with wrong("resolver.reverse_hangs", "logins by ssh wait for it", place="compute1", breaks=NAMES):
        resolves((LOCAL, back))


def answers(served, host=(GOOD,), known=PAIR):
    _, server, own, processes = facts((), served, host, known)
    return notes_of(test_names.test_dnsmasq_answers, SERVER, server, own, processes)


def test_dnsmasq_that_resolves_what_its_node_can_is_right():
    assert answers((LOCAL,)) == []
    assert answers((LOCAL_DEAD,), (DEAD,)) == [], "the node's own resolvers are another check's"
    assert answers((LOCAL_DEAD,), known="@end\n") == [], "that it does not run too"


def test_dnsmasq_that_does_not_resolve_what_its_node_can_is_named():
    with wrong("nova.dnsmasq_does_not_resolve", "www.example.org", place="compute1"):
        answers((LOCAL_DEAD,))


PAIR_OF_NAMES = "intranet.example", "www.example.org"


def each(server, *rcodes):
    return tuple(said(server, name, rcode) for name, rcode in zip(PAIR_OF_NAMES, rcodes, strict=True))


@pytest.mark.parametrize("rcode", [-1, 2, 3, 5])
def test_dnsmasq_that_lacks_one_of_the_names_of_its_node_is_named_with_that_name(rcode):
    with wrong("nova.dnsmasq_does_not_resolve", "compute1 resolves intranet.example, and", place="compute1"):
        answers(each(DNSMASQ, rcode, 0), each(HOST, 0, 0))


def test_a_name_that_the_node_does_not_resolve_either_is_not_dnsmasqs():
    assert answers(each(DNSMASQ, 3, 0), each(HOST, 3, 0)) == []
    first_says_no = (*each(HOST, 3, 0), *each(ip_address("203.0.113.2"), 0, 0))
    assert answers(each(DNSMASQ, 3, 0), first_says_no) == [], "a server that knows of no such name ends the look-up"
    with wrong("nova.dnsmasq_does_not_resolve", "intranet.example", place="compute1"):
        answers(each(DNSMASQ, 3, 0), (*each(HOST, -1, 0), *each(ip_address("203.0.113.2"), 0, 0)))


def test_dnsmasq_is_not_judged_by_a_node_of_which_nothing_is_seen():
    assert answers((LOCAL,), UNSEEN) == []
    with pytest.raises(NotSeen):
        answers((LOCAL_DEAD,), UNSEEN)


TWO = Site(text=SITE.replace("names: [www.example.org]", f"names: [{', '.join(PAIR_OF_NAMES)}]"))


def resolves_two(inside, served, host):
    (server, _), vm, node = TWO.servers, TWO.vm42, TWO.node1
    return notes_of(
        test_names.test_instance_resolves, vm, of("guest_name_answers", (vm, (*inside, BACK))), of("server_name_answers", (server, served)),
        of("name_answers", (node, host)), of("dhcp_processes", (server, PAIR)), of("dns_messages", (vm, WIRE)),
    )


def test_an_instance_that_lacks_one_name_is_judged_by_that_name():
    good = each(DNSMASQ, 0, 0)
    assert resolves_two(good, good, each(HOST, 0, 0)) == []
    with wrong("nova.dnsmasq_does_not_resolve", "compute1 resolves intranet.example, its", place="compute1", breaks=NAMES):
        resolves_two(each(DNSMASQ, 3, 0), each(DNSMASQ, 3, 0), each(HOST, 0, 0))
    with wrong("nova.instance_cannot_resolve", "compute1 itself cannot resolve", place="compute1", breaks=NAMES):
        resolves_two(each(DNSMASQ, 3, 0), each(DNSMASQ, 3, 0), each(HOST, 3, 0))
    with wrong("nova.instance_cannot_resolve", "told not to exist", breaks=NAMES):
        resolves_two(each(DNSMASQ, 3, 0), good, each(HOST, 0, 0))
    with wrong("nova.instance_cannot_resolve", "intranet.example", breaks=NAMES):
        resolves_two(each(DNSMASQ, 3, 0), good[1:], each(HOST, 0, 0)[1:])


# -- the metadata service ----------------------------------------------------------------------------------------------

RULE = next(line for line in RULES.splitlines() if "169.254.169.254" in line)
OWN = '[{"ifname": "mgmt0", "addr_info": [{"family": "inet", "local": "10.99.0.11", "prefixlen": 16, "scope": "global"}]}]'
LISTENS = (Listener("tcp", None, 8775),)
QUIET = Console("/log")


def metadata(now, *changes, listens=LISTENS, told=QUIET):
    return notes_of(
        test_metadata.test_metadata_is_reached, VM42, rules(*changes), of("listeners", (NODE1, listens)), of("addresses", (NODE1, OWN)),
        of("guest_metadata", (VM, now)), of("console_logs", (VM, told)),
    )


@pytest.mark.parametrize("status", [200, 404])
def test_any_answer_shows_that_the_service_is_reached(status):
    assert metadata(Metadata(status), (RULE + "\n", ""), listens=()) == []


def test_a_missing_rule_is_named():
    with wrong("nova.metadata_rule_missing", "169.254.169.254", place="compute1", breaks=METADATA):
        metadata(Metadata(None, "no answer"), (RULE + "\n", ""))


def test_a_service_that_does_not_listen_is_named():
    with wrong("nova.metadata_dead", "10.99.0.11 port 8775", place="compute1", breaks=METADATA):
        metadata(Metadata(None, "refused"), listens=(Listener("tcp", ip_address("127.0.0.1"), 8775),))


def test_a_service_on_another_machine_is_not_looked_for_here():
    with wrong("nova.metadata_unreachable", "no answer", place="compute1", breaks=METADATA):
        metadata(Metadata(None, "no answer"), ("--to-destination 10.99.0.11:8775", "--to-destination 10.99.0.10:8775"), listens=())


def test_a_server_error_is_no_answer():
    with wrong("nova.metadata_unreachable", "HTTP status 500", place="compute1", breaks=METADATA):
        metadata(Metadata(500))


def test_an_instance_that_cannot_be_entered_is_believed_by_its_console():
    assert metadata(UNSEEN, told=Console("/log", metadata="iid=i-0000002a")) == []
    with wrong("nova.console_no_metadata", "Network is unreachable", breaks=METADATA):
        metadata(UNSEEN, told=recorded("console_logs", "seeds-nova-network"))


def test_an_instance_of_which_nothing_is_seen_either_way_is_unknown():
    with pytest.raises(NotSeen, match="says nothing of 169"):
        metadata(UNSEEN)


# -- nova.conf ---------------------------------------------------------------------------------------------------------


NO_ROWS = of("nova_rows")


def configured(network, node, text, known=NO_ROWS, others=()):
    site = replace(MULTI.world.inventory, networks=(network, *others))
    return notes_of(test_bridge.test_bridge_is_configured, network, node, site, of("nova_config", (node, text)), known)


CONFIG = (OUTPUTS / "nova_config" / "lab.out").read_text()


def test_the_configuration_of_the_lab_is_as_it_is_meant():
    assert configured(MULTI.network, NODE1, CONFIG) == []


@pytest.mark.parametrize(("old", "new", "words"), [
    ("flat_interface=eth1", "flat_interface=eth2", "flat_interface is eth2, expected eth1"),
    ("flat_network_bridge=br100", "flat_network_bridge=br200", "flat_network_bridge is br200, expected br100"),
    ("public_interface=eth0", "public_interface=br100", "public_interface is br100, expected eth0"),
    ("FlatDHCPManager", "VlanManager", "network_manager is VlanManager, expected FlatDHCPManager"),
])
def test_an_option_that_differs_is_named_with_its_file(old, new, words):
    with wrong("nova.config_differs", words, "/etc/nova/nova.conf", place="compute1"):
        configured(MULTI.network, NODE1, CONFIG.replace(old, new))


def test_a_bridge_that_is_another_networks_says_nothing_of_this_one():
    second = replace(MULTI.network, name="second", attachments=tuple(replace(end, bridge="br200") for end in MULTI.network.attachments))
    text = CONFIG.replace("flat_network_bridge=br100", "flat_network_bridge=br200")
    assert configured(WITHOUT.network, WITHOUT.node1, text, others=(second,)) == configured(MULTI.network, NODE1, text, rows(), others=(second,)) == []
    with wrong("nova.config_differs", "is br200, another network's, and bridge of the network's row in the database is br300, expected br100", place="compute1"):
        configured(MULTI.network, NODE1, text, rows(networks_1={"bridge": "br300"}), others=(second,))


BARE = "\n".join(line for line in CONFIG.splitlines() if not line.startswith(("flat_", "public_")))


def test_what_is_not_set_is_novas_default_or_what_the_networks_row_has():
    assert configured(MULTI.network, NODE1, BARE, rows()) == []
    assert configured(WITHOUT.network, WITHOUT.node1, BARE) == [], "no database is declared: nothing says otherwise"
    with wrong("nova.config_differs", "public_interface is not set, and nova's default is eth0, expected eth5", place="compute1"):
        configured(FIFTH.network, FIFTH.node1, BARE, rows(FIFTH))
    with wrong("nova.config_differs", "flat_interface is not set, and bridge_interface of the network's row in the database is eth9, expected eth1", place="compute1"):
        configured(MULTI.network, NODE1, BARE, rows(networks_1={"bridge_interface": "eth9"}))
    with wrong("nova.config_differs", "bridge of the network's row in the database is br200, expected br100", place="compute1"):
        configured(MULTI.network, NODE1, BARE, rows(networks_1={"bridge": "br200"}))
    assert configured(MULTI.network, NODE1, CONFIG, of("nova_rows", (MULTI.database, UNSEEN))) == [], "all is set"


def test_a_row_that_could_not_be_read_and_is_asked_for_is_unknown():
    is_unknown(test_bridge.test_bridge_is_configured, MULTI.network, NODE1, MULTI.world.inventory, of("nova_config", (NODE1, BARE)), of("nova_rows", (MULTI.database, UNSEEN)))


def test_what_nova_would_do_with_new_networks_is_a_note():
    assert configured(MULTI.network, NODE1, CONFIG.replace("multi_host=True", "multi_host=False")) == ["nova.multi_host_differs"]


def test_an_unread_configuration_is_unknown():
    is_unknown(test_bridge.test_bridge_is_configured, MULTI.network, NODE1, MULTI.world.inventory, of("nova_config", (NODE1, UNSEEN)), NO_ROWS)


# -- VlanManager -------------------------------------------------------------------------------------------------------

VLAN = world_of("""
version: 1
nodes:
  compute1: {}
networks:
  p1: {kind: nova-network, bridge: br100, uplink: vlan100, vlan: 100, subnets: [{cidr: 10.1.0.0/24}], nova: {manager: vlan, public_interface: eth0}}
""")
(PROJECT,), (COMPUTE,) = VLAN.inventory.networks, VLAN.inventory.nodes


def vlan(device="vlan100", vlan_id=100, master="br100"):
    link = Link(device, 1, kind="vlan", master=master, vlan_id=vlan_id)
    links = of("links", (COMPUTE, Table("link", {device: link})))
    return notes_of(test_bridge.test_vlan_has_its_bridge, PROJECT, COMPUTE, links)


def test_a_vlan_in_the_bridge_of_its_project_is_right():
    assert vlan() == []
    assert configured(PROJECT, COMPUTE, (OUTPUTS / "nova_config" / "flags-of-diablo.out").read_text()) == ["nova.multi_host_differs"]


@pytest.mark.parametrize(("given", "code", "fields"), [
    ({"device": "vlan101"}, "nova.vlan_missing", {}), ({"vlan_id": 101}, "nova.vlan_wrong", {}), ({"master": ""}, "nova.vlan_not_in_bridge", {"layer": "member"}),
    ({"master": "br101"}, "nova.vlan_not_in_bridge", {"layer": "member"}),
])
def test_a_vlan_elsewhere_is_named(given, code, fields):
    with wrong(code, "compute1", place="compute1", **fields):
        vlan(**given)


def test_a_flat_network_has_no_vlan_to_look_at():
    assert notes_of(test_bridge.test_vlan_has_its_bridge, MULTI.network, NODE1, of("links", (NODE1, Table("link", {})))) == []
