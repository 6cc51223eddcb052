"""suites/vmhost/test_dhcp.py, called with what was heard on the wire and read at a server."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from netchecks.models.dhcp.exchanges import Exchange, Handshake, Point
from netchecks.models.dhcp.messages import Message
from netchecks.models.dhcp.servers import DhcpEvent, DhcpFiles, DhcpHost, DhcpLease, DhcpLog, DhcpProcess
from netchecks.models.subjects import DhcpServer, Flow
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By
from suites.vmhost import test_dhcp as checks
from tests.suites.vmhost.given import UNSEEN, domains, is_unknown, notes_of, world_of, wrong

INVENTORY = """
nodes:
  controller: {connection: local, roles: [controller]}
  node1: {links: {br0: {addresses: [10.20.0.11/24]}}}
  dhcp1: {roles: [dhcp]}
  dhcp2: {roles: [dhcp]}
networks:
  lan:
    kind: switching
    bridge: br0
    uplink: eth0
    nodes: [node1]
    subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}, {cidr: "fd20::/64"}]
    resolvers: [10.20.0.53]
    dhcp: {servers: @SERVERS@, ranges: @RANGES@, known_only: @ONLY@}
vms:
  vm42: {node: node1, interfaces: [{network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142], tap: vnet7}]}
  vm43: {node: node1, interfaces: [{network: lan, mac: "52:54:00:00:00:43", addresses: [10.20.0.143]}]}
"""
ONE = '[{node: dhcp1, addresses: [10.20.0.2, "fe80::2"]}]'
TWO = "[{node: dhcp1, addresses: [10.20.0.2]}, {node: dhcp2, addresses: [10.20.0.3]}]"
UNSEEN_SERVER = "[10.20.0.2]"
CLIENT, VM = "02:6e:63:00:00:01", "52:54:00:00:00:42"
NOW = 10_000.0


class Site:
    """An inventory with what the checks are called with."""

    def __init__(self, servers: str = ONE, ranges: str = "[10.20.0.100-10.20.0.199]", *, known_only: bool = False) -> None:
        text = INVENTORY.replace("@SERVERS@", servers).replace("@RANGES@", ranges).replace("@ONLY@", str(known_only).lower())
        self.world = world_of(text)
        self.flow, self.flow6 = (next((f for f in self.world.flows if f.protocol == "dhcp" and f.family == family), None) for family in (4, 6))
        self.vm = self.world.inventory.interfaces[0]
        self.servers: tuple[DhcpServer, ...] = self.world.dhcp_servers

    def of_servers(self, fact: str, *values: Any) -> By[Any, Any]:
        return given(fact, dict(zip(self.servers, values or (UNSEEN,) * len(self.servers), strict=False)))

    def answered(self, exchange: Exchange, *logs: Any, flow: Flow | None = None) -> list[str]:
        asked = flow or self.flow
        exchanges = given("dhcp_exchanges", {asked: exchange})
        return notes_of(checks.test_dhcp_is_answered, asked, exchanges, self.of_servers("dhcp_log", *logs), self.world.inventory)

    def serves(self, exchange: Any = None, logs: Any = (), files: Any = (), libvirt: str = "") -> list[str]:
        found = OBSERVATIONS["domains"].parse(libvirt or domains()).at("node1")
        return notes_of(
            checks.test_dhcp_serves_vm, self.vm, given("domains", {self.vm.node: found}),
            given("dhcp_messages", {self.vm: exchange or way((), (), client=VM)}),
            self.of_servers("dhcp_log", *logs), self.of_servers("dhcp_files", *files),
        )


def given(fact: str, known: dict[Any, Any]) -> By[Any, Any]:
    def look(name: str) -> Any:
        value = {str(subject): value for subject, value in known.items()}[name]
        if isinstance(value, type(UNSEEN)):
            raise value
        return value

    return By(fact, {str(subject): subject for subject in known}, look)


def ask(kind: str = "DISCOVER", client: str = CLIENT) -> Message:
    return Message(6 if kind == "SOLICIT" else 4, kind, client, 1.5)


def offer(address: str = "10.20.0.150", server: str = "10.20.0.2", kind: str = "OFFER", client: str = CLIENT, **more: Any) -> Message:
    family = 6 if kind == "ADVERTISE" else 4
    return Message(family, kind, client, 2.0, server=ip_address(server), address=ip_address(address) if address else None, **more)


def way(bridge: Any, uplink: Any, *servers: Any, client: str = CLIENT, family: int = 4) -> Exchange:
    near = (Point("node1", "br0", bridge), Point("node1", "eth0", uplink))
    return Exchange(client, family, near, tuple(Point(f"dhcp{n}", "eth0", said) for n, said in enumerate(servers, 1)), 5.0)


def log(*events: tuple[str, str], client: str = CLIENT, ago: float = 3.0) -> DhcpLog:
    return DhcpLog("journal", tuple(DhcpEvent(kind, client, None, "eth0", detail, 4, NOW - ago) for kind, detail in events), NOW)


D = (ask(),)
SILENT = way(D, D, D)
NO_ADDRESS = ("DISCOVER", "no address available")


# -- the server ------------------------------------------------------------------------------------------------------


def runs(site: Site, processes: Any, answer: Message | None = None) -> list[str]:
    exchange = way((ask(), answer), (), ()) if answer else SILENT
    found = site.of_servers("dhcp_processes", processes)
    return notes_of(checks.test_dhcp_server_runs, site.servers[0], found, given("dhcp_exchanges", {site.flow: exchange}))


def process(*options: str, program: str = "dnsmasq", own: bool = True) -> DhcpProcess:
    return DhcpProcess(7, "nobody", program, own, tuple((name, "x") for name in options))


@pytest.mark.parametrize("processes", [
    (process("dhcp-range"),), (process("dhcp-range"), process("dhcp-range")), (process(), process("dhcp-range")), (process(program="dhcpd"),),
])
def test_a_server_runs(processes):
    assert runs(Site(), processes) == []


@pytest.mark.parametrize("processes", [(), (process(),), (process("dhcp-range", own=False),)], ids=["none", "a name server", "elsewhere"])
def test_no_server_runs(processes):
    with wrong("dhcp.server_dead", "dhcp1: no DHCP server runs for lan", place="dhcp1", breaks={"dhcp"}):
        runs(Site(), processes)


def test_a_server_of_an_unknown_kind_that_answers_runs():
    assert runs(Site(), (), offer()) == []
    with wrong("dhcp.server_dead", place="dhcp1", breaks={"dhcp"}):
        runs(Site(), (), offer(server="10.20.0.9"))


def test_processes_that_cannot_be_seen_are_unknown():
    is_unknown(runs, Site(), UNSEEN)


# -- the offer -------------------------------------------------------------------------------------------------------

BREAKS = {"dhcp", "ipv4"}


def test_an_expected_offer_passes():
    good = offer(mask=24, routers=(ip_address("10.20.0.1"),), resolvers=(ip_address("10.20.0.53"),))
    assert Site().answered(way((*D, good), D, D)) == []
    assert Site(TWO).answered(way((*D, good, offer(server="10.20.0.3")), D)) == []
    assert Site(TWO).answered(way((*D, offer(server="10.20.0.3")), D)) == []
    assert Site(UNSEEN_SERVER).answered(way((*D, offer()), None)) == []


def test_what_could_not_be_asked_is_unknown():
    is_unknown(Site().answered, UNSEEN)
    is_unknown(Site().answered, way((), (), ()))


@pytest.mark.parametrize(("mac", "place", "word"), [("52:54:00:00:00:43", "vm43", "vm43"), ("02:00:00:00:00:99", "10.20.0.9", "02:00:00:00:00:99")])
def test_a_stranger_offers_too(mac, place, word):
    stranger = offer("10.20.0.66", "10.20.0.9", mac=mac)
    for answers in ((offer(), stranger), (stranger,)):
        with wrong("dhcp.stranger", f"10.20.0.9 ({word}) offers 10.20.0.66", "10.20.0.2", place=place, breaks=BREAKS, certain=True,
                   owner="network engineer"):
            Site().answered(way((*D, *answers), D, D))


@pytest.mark.parametrize("address", ["10.20.0.66", "10.99.0.5"])
def test_an_offer_outside_the_range(address):
    with wrong("dhcp.wrong_range", f"10.20.0.2 offers {address} on lan, expected an address of 10.20.0.100-10.20.0.199", place="dhcp1",
               breaks=BREAKS, certain=True):
        Site().answered(way((*D, offer(address)), D))


def test_without_ranges_the_subnets_are_the_range():
    assert Site(ranges="[]").answered(way((*D, offer("10.20.0.66")), D)) == []
    with wrong("dhcp.wrong_range", "expected an address of 10.20.0.0/24", place="dhcp1", breaks=BREAKS, certain=True):
        Site(ranges="[]").answered(way((*D, offer("10.99.0.5")), D))


@pytest.mark.parametrize(("more", "words"), [
    ({"mask": 16}, "the mask /16, expected /24"), ({"routers": (ip_address("10.20.0.2"),)}, "the router 10.20.0.2, expected 10.20.0.1"),
])
def test_an_offer_with_wrong_options(more, words):
    with wrong("dhcp.wrong_options", words, place="dhcp1", breaks=BREAKS, certain=True):
        Site().answered(way((*D, offer(**more)), D))


def test_other_resolvers_are_a_note():
    assert Site().answered(way((*D, offer(resolvers=(ip_address("10.20.0.2"),))), D)) == ["dhcp.other_resolvers"]


@pytest.mark.parametrize(("exchange", "code", "place", "owner"), [
    (way(D, (), ()), "dhcp.request_lost", "node1", "node administrator"),
    (way(D, D, ()), "dhcp.request_lost", "lan", "network engineer"),
    (way(D, D, (*D, offer())), "dhcp.reply_lost", "lan", "network engineer"),
    (way(D, (*D, offer()), (*D, offer())), "dhcp.reply_lost", "node1", "node administrator"),
])
def test_the_step_that_is_missing_is_named_with_its_place(exchange, code, place, owner):
    with wrong(code, place=place, breaks=BREAKS, owner=owner):
        Site().answered(exchange, UNSEEN)


@pytest.mark.parametrize(("found", "code", "words"), [
    (log(NO_ADDRESS), "dhcp.no_address", '"no address available"'),
    (log(NO_ADDRESS, ago=60), "dhcp.server_silent", "its log says nothing"),
    (log(("DISCOVER", "")), "dhcp.server_silent", "dhcp1: the DHCP server of lan hears 02:6e:63:00:00:01"),
    (log(("DISCOVER", "ignored")), "dhcp.ignored", "told to ignore"),
    (DhcpLog("f", (DhcpEvent("NO-RANGE", detail="no range", seconds=NOW),), NOW), "dhcp.no_range", '"no range"'),
    (UNSEEN, "dhcp.server_silent", "answers nothing"),
])
def test_the_server_s_log_says_why_it_is_silent(found, code, words):
    with wrong(code, words, place="dhcp1", breaks=BREAKS):
        Site().answered(SILENT, found)


def test_what_the_log_says_of_another_interface_is_another_networks():
    """One dnsmasq may serve many interfaces, and the journal is of all that run on the node."""
    no_range = [DhcpEvent("NO-RANGE", link=link, detail="no range", seconds=NOW) for link in ("br7", "eth0")]
    with wrong("dhcp.server_silent", place="dhcp1", breaks=BREAKS):
        Site().answered(SILENT, DhcpLog("journal", (no_range[0],), NOW))
    with wrong("dhcp.no_range", place="dhcp1", breaks=BREAKS):
        Site().answered(SILENT, DhcpLog("journal", (no_range[1], no_range[0]), NOW))


def test_a_server_out_of_sight_that_does_not_answer():
    with wrong("dhcp.no_offer", "the DISCOVER of the test client", "eth0 of node1", place="lan", breaks=BREAKS, owner="network engineer"):
        Site(UNSEEN_SERVER).answered(way(D, D))


@pytest.mark.parametrize(("servers", "exchange", "code", "owner"), [
    ("[{node: dhcp1, addresses: [10.20.50.2]}]", way(D, D, ()), "dhcp.relay_missing", "network engineer"),
    ("[{node: dhcp1, addresses: [10.20.50.2]}]", way(D, (), ()), "dhcp.request_lost", "node administrator"),
    ("[{node: dhcp1, addresses: [10.20.50.2]}]", way(D, D, (*D, offer(server="10.20.50.2"))), "dhcp.reply_lost", "network engineer"),
    ("[{node: dhcp1, addresses: [10.20.50.2, 10.20.0.2]}]", way(D, D, ()), "dhcp.request_lost", "network engineer"),
])
def test_a_server_in_another_network_takes_a_relay(servers, exchange, code, owner):
    with wrong(code, place="node1" if owner == "node administrator" else "lan", breaks=BREAKS, owner=owner):
        Site(servers).answered(exchange, UNSEEN)
    assert Site(servers).answered(way((*D, offer(server="10.20.50.2")), D, D), UNSEEN) == []


def test_servers_of_known_clients_are_right_to_be_silent():
    site = Site(known_only=True)
    assert site.answered(SILENT, log(NO_ADDRESS)) == []
    assert site.answered(SILENT, UNSEEN) == []
    with wrong("dhcp.no_range", place="dhcp1", breaks=BREAKS):
        site.answered(SILENT, DhcpLog("f", (DhcpEvent("NO-RANGE", detail="no range", seconds=NOW),), NOW))
    with wrong("dhcp.request_lost", place="lan", breaks=BREAKS, owner="network engineer"):
        site.answered(way(D, D, ()), UNSEEN)
    is_unknown(Site(UNSEEN_SERVER, known_only=True).answered, way(D, D))


def test_ipv6_has_its_own_server_and_says_why():
    site, asked = Site(), (ask("SOLICIT"),)
    good = offer("fd20::5", "fe80::2", "ADVERTISE")
    assert site.answered(way((*asked, good), asked, family=6), flow=site.flow6) == []
    with wrong("dhcp.no_address", "fe80::2 offers no address: NoAddrsAvail", place="dhcp1", breaks={"dhcp", "ipv6"}):
        site.answered(way((*asked, offer("", "fe80::2", "ADVERTISE", text="NoAddrsAvail")), asked, family=6), flow=site.flow6)
    with wrong("dhcp.stranger", place="fe80::9", breaks={"dhcp", "ipv6"}, certain=True, owner="network engineer"):
        site.answered(way((*asked, offer("fd20::5", "fe80::9", "ADVERTISE")), asked, family=6), flow=site.flow6)


def test_a_family_that_no_server_has_is_not_asked_for():
    assert Site(TWO).flow6 is None


# -- the lease -------------------------------------------------------------------------------------------------------


def gives(*messages: Message | None, sent: int = 2) -> list[str]:
    site, (made, end) = Site(), messages
    outcome = {None: "silent", "ACK": "answered", "NAK": "refused"}[end.kind if end else None]
    return notes_of(
        checks.test_dhcp_gives_a_lease, site.flow, given("dhcp_handshakes", {site.flow: Handshake(CLIENT, outcome, sent, made, end)}),
    )


def test_a_lease_is_given():
    assert gives(offer(), offer(kind="ACK"), sent=3) == []


def test_without_an_offer_nothing_can_be_asked_for():
    is_unknown(gives, None, None)


def test_an_offer_is_taken_back():
    with wrong("dhcp.refused", "10.20.0.2 offers", '(NAK) ("no leases left")', place="dhcp1", breaks=BREAKS, certain=True):
        gives(offer(), offer("", kind="NAK", text="no leases left"))
    with wrong("dhcp.no_ack", "does not answer", place="dhcp1", breaks=BREAKS, certain=True):
        gives(offer(), None)


def test_an_offer_that_nobody_took_says_nothing():
    assert gives(offer(), None, sent=1) == []


# -- each VM ---------------------------------------------------------------------------------------------------------

ASKS = (ask(client=VM),)
GOOD = DhcpFiles((DhcpLease(ip_address("10.20.0.142"), VM, "vm42", NOW + 60, 60.0),), (DhcpHost((VM,), (ip_address("10.20.0.142"),)),))


def lease(client: str, left: float | None = 60.0, address: str = "10.20.0.142") -> DhcpFiles:
    return DhcpFiles((DhcpLease(ip_address(address), client, "other", None, left),), None)


def host(client: str = VM, address: str = "10.20.0.142") -> DhcpFiles:
    return DhcpFiles(None, (DhcpHost((client,), (ip_address(address),)),))


def test_a_vm_that_asks_nothing_and_has_its_lease_passes():
    assert Site().serves(files=(GOOD,), logs=(log(("ACK", "vm42"), client=VM),)) == []
    assert Site().serves() == [], "a server that cannot be read is judged by the wire"
    assert Site(UNSEEN_SERVER).serves() == []


def test_a_vm_that_does_not_run_asks_nobody():
    assert Site().serves(exchange=UNSEEN, libvirt=domains(state="shut off", tap="")) == []


def test_what_could_not_be_heard_at_the_tap_is_unknown():
    is_unknown(lambda: Site().serves(exchange=UNSEEN))


@pytest.mark.parametrize(("exchange", "code", "place", "owner"), [
    (way(ASKS, (), (), client=VM), "dhcp.request_lost", "node1", "node administrator"),
    (way(ASKS, ASKS, (), client=VM), "dhcp.request_lost", "lan", "network engineer"),
    (way(ASKS, (*ASKS, offer(client=VM)), (*ASKS, offer(client=VM)), client=VM), "dhcp.reply_lost", "node1", "node administrator"),
])
def test_what_the_vm_asks_is_lost(exchange, code, place, owner):
    with wrong(code, f"vm42 ({VM})", place=place, breaks={"ipv4"}, owner=owner):
        Site().serves(exchange)


def test_the_server_refuses_the_vm():
    with wrong("dhcp.no_address", f"hears vm42 ({VM})", place="dhcp1", breaks={"ipv4"}):
        Site().serves(way(ASKS, ASKS, ASKS, client=VM), (log(NO_ADDRESS, client=VM),))
    with wrong("dhcp.refused", "no leases left", place="dhcp1", breaks={"ipv4"}):
        Site().serves(logs=(log(("NAK", "no leases left"), ("NAK", "no leases left"), client=VM),))
    assert Site().serves(logs=(log(NO_ADDRESS, client="52:54:00:00:00:43"),)) == []
    assert Site().serves(logs=(log(NO_ADDRESS, client=VM, ago=5000),)) == []


def test_of_two_servers_one_that_serves_is_enough():
    refuses = log(NO_ADDRESS, client=VM)
    assert Site(TWO).serves(logs=(refuses, log(("ACK", ""), client=VM))) == []
    assert Site(TWO).serves(logs=(refuses, UNSEEN)) == []
    with wrong("dhcp.no_address", place="dhcp1", breaks={"ipv4"}):
        Site(TWO).serves(logs=(refuses, refuses))


def test_the_vm_s_address_is_leased_to_another():
    with wrong("dhcp.lease_of_another", "10.20.0.142, the address of vm42", "52:54:00:00:00:99 (other)", place="vm42", breaks={"ipv4"}):
        Site().serves(files=(lease("52:54:00:00:00:99"),))
    with wrong("dhcp.lease_of_another", place="vm42", breaks={"ipv4"}):
        Site().serves(files=(lease("52:54:00:00:00:99", None),))


@pytest.mark.parametrize("files", [lease("52:54:00:00:00:99", -1.0), lease("*"), lease("52:54:00:00:00:99", address="10.20.0.7"), lease(VM)])
def test_a_lease_that_takes_nothing_from_the_vm_passes(files):
    assert Site().serves(files=(files,)) == []


def test_the_server_reserves_another_address():
    with wrong("dhcp.wrong_host", f"10.20.0.7 is reserved for vm42 ({VM}), expected 10.20.0.142", place="dhcp1", breaks={"ipv4"}):
        Site().serves(files=(host(address="10.20.0.7"),))
    assert Site().serves(files=(host("52:54:00:00:00:99", "10.20.0.7"),)) == []


def test_a_server_of_known_clients_has_to_know_the_vm():
    with wrong("dhcp.host_missing", f"does not know {VM} (vm42)", place="dhcp1", breaks={"ipv4"}):
        Site(known_only=True).serves(files=(host("52:54:00:00:00:99"),))
    assert Site(known_only=True).serves(files=(host(),)) == []
    assert Site(known_only=True).serves(files=(DhcpFiles(None, None),)) == []
    assert Site().serves(files=(host("52:54:00:00:00:99"),)) == []
