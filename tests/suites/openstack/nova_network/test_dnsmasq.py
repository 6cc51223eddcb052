"""suites/openstack/nova_network/test_dnsmasq.py, called with the processes, files and log lines of real dnsmasqs, and with the wire."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.answers import Answer
from netchecks.models.console import Console, Refused
from netchecks.models.dhcp.exchanges import Exchange, Point
from netchecks.models.dhcp.messages import Message
from netchecks.models.dhcp.servers import DhcpEvent, DhcpFiles, DhcpHost, DhcpLog
from suites.openstack.nova_network import test_dnsmasq as checks
from tests.suites.node.given import UNSEEN
from tests.suites.openstack.nova_network.given import MAC42, MAC44, MULTI, OUTPUTS, SINGLE, of, taps
from tests.suites.vmhost.given import answered, answers, is_unknown, notes_of, silent, wrong

VM42, VM = MULTI.vm42, MULTI.vm42.vm
SERVER, OTHER = MULTI.servers
PAIR = (OUTPUTS / "dhcp_processes" / "lab-nova-network.out").read_text()
NOBODY = PAIR.partition("@process 74")[0] + "@end\n"
DHCP, ADDRESS = frozenset({"dhcp"}), frozenset({"ipv4"})
NOW = 10_000.0


def processes(text=PAIR, *changes, server=SERVER):
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return of("dhcp_processes", (server, text))


def runs(*given, server=SERVER):
    return notes_of(checks.test_dnsmasq_runs, server, processes(*given, server=server))


# -- the processes -----------------------------------------------------------------------------------------------------


def test_the_pair_of_nova_is_one_dnsmasq():
    assert runs() == []


def test_one_process_alone_is_one_too():
    assert runs(NOBODY) == []


def test_the_document_shows_novas_pair_beside_libvirts_own():
    text = (OUTPUTS / "dhcp_processes" / "seeds-nova-network.out").read_text().replace("192.168.100.", "10.0.2.")
    assert runs(text) == []


def test_nothing_that_serves_the_bridge_is_a_dead_server():
    with wrong("dhcp.server_dead", "no dnsmasq runs for private", place="compute1", breaks=DHCP) as caught:
        runs("@end\n")
    assert "killall dnsmasq" in caught.value.remedy
    assert "every project" in caught.value.remedy


def test_a_dnsmasq_of_another_network_or_namespace_does_not_serve_it():
    with wrong("dhcp.server_dead", place="compute1", breaks=DHCP):
        runs(PAIR, ("10.0.2.1", "192.168.122.1"), ("nova-br100", "default"))
    with wrong("dhcp.server_dead", place="compute1", breaks=DHCP):
        runs(PAIR, ("dnsmasq own", "dnsmasq other"))


def test_two_pairs_are_two_servers():
    second = PAIR.replace("nova-br100.pid", "other.pid").replace("process 73", "process 93").replace("process 74", "process 94")
    with wrong("dhcp.server_twice", "2 dnsmasq serve private (PIDs 73, 93)", place="compute1", breaks=DHCP):
        runs(PAIR.replace("@end\n", "") + second)


def test_two_pairs_that_were_given_the_same_file_are_two_servers():
    second = PAIR.replace("process 73", "process 93").replace("process 74", "process 94")
    with wrong("dhcp.server_twice", place="compute1", breaks=DHCP):
        runs(PAIR.replace("@end\n", "") + second)


def test_a_range_of_another_network_is_named():
    with wrong("dhcp.no_range", "172.30.9.3", "10.0.2.0/24", place="compute1", breaks=DHCP):
        runs(PAIR, ("10.0.2.3,static", "172.30.9.3,static"))


def test_a_range_that_gives_addresses_by_itself_is_a_note():
    assert runs(PAIR, ("10.0.2.3,static,120s", "10.0.2.3,10.0.2.99,120s")) == ["nova.range_not_static"]


def test_without_the_hosts_file_nobody_is_known():
    with wrong("dhcp.no_hosts_file", place="compute1", breaks=DHCP):
        runs(PAIR, ("dhcp-hostsfile=/var/lib/nova/networks/nova-br100.conf\n", ""))


def test_running_as_root_is_a_note():
    assert runs(NOBODY, ("nobody", "root")) == ["nova.dnsmasq_as_root"]


# -- the hosts file ----------------------------------------------------------------------------------------------------


def knows(hosts, vm=VM42, server=SERVER, known=PAIR):
    files = of("dhcp_files", (server, DhcpFiles(None, hosts)))
    return notes_of(checks.test_dnsmasq_knows_instance, vm, files, processes(known, server=server))


def host(mac=MAC42, address="10.0.2.24"):
    from ipaddress import ip_address

    return (DhcpHost((mac,), (ip_address(address),), "vm42"),)


def test_an_instance_in_the_hosts_file_is_known():
    assert knows(host()) == []


def test_an_instance_that_is_not_in_the_hosts_file_is_named():
    with wrong("dhcp.host_missing", MAC42, "expected 10.0.2.24", place="compute1", breaks=ADDRESS):
        knows(host(mac="fa:16:3e:00:00:99"))


def test_another_address_in_the_hosts_file_is_named():
    with wrong("dhcp.wrong_host", "10.0.2.77", place="compute1", breaks=ADDRESS):
        knows(host(address="10.0.2.77"))


def test_only_the_own_gate_has_to_know_an_instance():
    assert knows(host(mac="fa:16:3e:00:00:99"), server=OTHER) == []


def test_with_one_network_host_that_one_has_to():
    (server,) = SINGLE.servers
    with wrong("dhcp.host_missing", place="compute2", breaks=ADDRESS):
        knows(host(mac="fa:16:3e:00:00:99"), SINGLE.vm42, server, PAIR.replace("10.0.2.1", "10.0.2.2"))


def test_no_hosts_file_at_all_says_nothing_and_no_dnsmasq_is_another_checks():
    assert knows(None) == []
    assert knows(host(mac="fa:16:3e:00:00:99"), known="@end\n") == []


# -- the log -----------------------------------------------------------------------------------------------------------


def said(kind, at=1.2):
    return Message(4, kind, MAC42, at)


def exchange(*tap, bridge=()):
    points = (Point("compute1", "vif42", tuple(tap)),)
    return Exchange(MAC42, 4, points, (Point("compute1", "br100", tuple(bridge)), Point("compute2", "br100", tuple(bridge))), 5.0)


def event(kind, detail="", at=NOW - 5, client=MAC42):
    return DhcpEvent(kind, client, None, "br100", detail, 4, at)


def handshake(heard, *events, known=PAIR, tap=None):
    log = of("dhcp_log", (SERVER, DhcpLog("journal", events, NOW)))
    wire = of("dhcp_messages", (VM42, heard))
    return notes_of(checks.test_dhcp_log_shows_handshake, VM42, tap or taps(VM42), wire, log, processes(known))


ASKS = [said("DISCOVER", at) for at in (0.9, 1.9, 2.9)]


def test_an_instance_that_asks_nothing_has_its_address():
    assert handshake(exchange()) == []


def test_an_instance_that_is_answered_is_right():
    assert handshake(exchange(*ASKS, said("OFFER", 3.0))) == []


def test_no_dnsmasq_while_it_asks_is_a_dead_server():
    with wrong("dhcp.server_dead", MAC42, place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS), known="@end\n")


def test_no_address_available_is_the_pool_or_the_database():
    with wrong("dhcp.no_address", "no address available", "the pool, or the database", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, bridge=ASKS), event("DISCOVER", "no address available"))


def test_no_range_is_a_range_of_another_network():
    with wrong("dhcp.no_range", "no address range available", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, bridge=ASKS), event("NO-RANGE", "no address range available for DHCP request via br100", client=""))


def test_an_offer_in_the_log_that_does_not_come_is_the_way_back():
    with wrong("dhcp.reply_lost", "the way back", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, bridge=ASKS), event("DISCOVER"), event("OFFER"))


def test_no_line_of_the_mac_is_the_way_to_the_server():
    with wrong("dhcp.request_lost", "has no DISCOVER", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, bridge=ASKS), event("DISCOVER", client="fa:16:3e:00:00:99"))


@pytest.mark.parametrize("before", [
    (event("DISCOVER", at=NOW - 2000), event("OFFER", at=NOW - 2000)), (event("DISCOVER", at=NOW - 40), event("ACK", at=NOW - 40)),
    (event("ACK", at=NOW - 9), event("STARTED", "started, version 2.90", at=NOW - 8, client="")),
])
def test_what_was_logged_before_is_not_what_is_asked_now(before):
    with wrong("dhcp.request_lost", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, bridge=ASKS), *before)


def test_a_discover_that_is_heard_and_not_answered_is_a_silent_server():
    with wrong("dhcp.server_silent", "DISCOVER", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, bridge=ASKS), event("DISCOVER"))


#: libvirt's own, of a network that is nova's not.
BESIDE = PAIR.replace("@end\n", "") + NOBODY.replace("10.0.2.1", "192.168.122.1").replace("nova-br100", "default")


def test_a_renewal_that_another_server_of_the_gate_takes_is_noted():
    renewal = [said("REQUEST", 2.9)]
    assert handshake(exchange(*renewal, bridge=renewal), known=BESIDE) == ["dhcp.renewal_unanswered"]
    with wrong("dhcp.request_lost", place="compute1", breaks=ADDRESS):
        handshake(exchange(*renewal, bridge=renewal))
    with wrong("dhcp.request_lost", place="compute1", breaks=ADDRESS):
        handshake(exchange(*ASKS, *renewal, bridge=[*ASKS, *renewal]), known=BESIDE)
    with wrong("dhcp.request_lost", "not at br100", place="compute1", breaks=ADDRESS):
        handshake(exchange(*renewal), known=BESIDE)


def test_a_wire_that_could_not_be_listened_to_is_unknown():
    log = of("dhcp_log", (SERVER, DhcpLog("journal", (), NOW)))
    is_unknown(checks.test_dhcp_log_shows_handshake, VM42, taps(VM42), of("dhcp_messages", (VM42, UNSEEN)), log, processes())


# -- the console -------------------------------------------------------------------------------------------------------


ARP, ICMP = MULTI.flow("compute1-to-vm42-arp-ipv4"), MULTI.flow("compute1-to-vm42-icmp-ipv4")


def console(told, has=None, got=None):
    inside = UNSEEN if has is None else f'[{{"ifname": "eth0", "addr_info": [{{"family": "inet", "local": "{has}", "prefixlen": 24, "scope": "global"}}]}}]'
    facts = of("console_logs", (VM, told)), of("guest_addresses", (VM, inside)), answers(got or {ARP: silent(), ICMP: silent()})
    return notes_of(checks.test_console_shows_lease, VM42, *facts, MULTI.world.inventory)


LOST = Console("/log", refused=(Refused("No lease, forking to background"),))
OTHERS = Refused("ci-info: |  eth1  | False |     .     |", "fa:16:3e:00:01:42")


@pytest.mark.parametrize("told", [
    Console("/log", ("10.0.2.24",)), Console("/log", ("10.0.2.24", "10.1.0.7")), Console("/log", ("10.0.2.24",), (OTHERS,)),
    Console("/log", ("10.0.2.24",), LOST.refused),
])
def test_a_console_with_a_lease_of_the_address_is_right_whatever_becomes_of_other_nics(told):
    assert console(told) == []


@pytest.mark.parametrize("told", [Console("/log"), Console("/log", refused=(OTHERS,))])
def test_a_console_without_a_word_is_unknown(told):
    with pytest.raises(NotSeen, match="says of no lease of vm42"):
        console(told)


def test_a_console_without_a_lease_is_named():
    with wrong("nova.console_no_lease", "No lease, forking to background", breaks=ADDRESS):
        console(LOST)
    with wrong("nova.console_no_lease", "eth0", breaks=ADDRESS):
        console(Console("/log", refused=(OTHERS, Refused("ci-info: |  eth0  | False |", MAC42))))


@pytest.mark.parametrize("told", [LOST, Console("/log"), Console("/log", leased=("10.0.2.77",))])
def test_what_a_console_says_is_past_where_the_address_is_there(told):
    assert console(told, has="10.0.2.24") == []
    assert console(told, got={ARP: answered(MAC42)}) == []
    assert console(told, got={ARP: silent(), ICMP: answered()}) == []


def test_the_address_at_another_mac_or_a_refusal_on_the_way_is_not_the_instance():
    with wrong("nova.console_no_lease", breaks=ADDRESS):
        console(LOST, got={ARP: answered(MAC44), ICMP: Answer("refused", 1)})


def test_a_lease_of_another_address_is_named():
    with wrong("nova.console_other_lease", "10.0.2.77", breaks=ADDRESS):
        console(Console("/log", leased=("10.0.2.77",)))
