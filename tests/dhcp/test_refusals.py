"""Why a server does not serve a client, by its log."""

from __future__ import annotations

import pytest

from netchecks.models.dhcp.refusals import Refusal, no_range, refusal
from netchecks.models.dhcp.servers import DhcpEvent, DhcpLog
from netchecks.models.subjects import Address
from tests.observations.test_recorded import HERE, parse

MAC, NOW = "52:54:00:00:00:42", 10_000.0
GIVEN: Address = parse(HERE / "dhcp_log" / "dnsmasq-2.90-static.out").events[2].address


def log(*events: tuple[str, str], ago: float | None = 5.0, address: Address | None = GIVEN, client: str = MAC, family: int = 4) -> DhcpLog:
    seconds = None if ago is None else NOW - ago
    return DhcpLog("journal", tuple(DhcpEvent(kind, client, address, "eth0", detail, family, seconds) for kind, detail in events), NOW)


NO_ADDRESS = ("DISCOVER", "no address available")


@pytest.mark.parametrize(("found", "code"), [
    (log(), None),
    (log(("DISCOVER", ""), ("OFFER", "")), None),
    (log(NO_ADDRESS), "no_address"),
    (log(("DISCOVER", "network 10.0.0.0/24: no free leases")), "no_address"),
    (log(NO_ADDRESS, ("REQUEST", ""), ("ACK", "vm42")), None),
    (log(("ACK", "vm42"), NO_ADDRESS), "no_address"),
    (log(("DISCOVER", "ignored")), "ignored"),
    (log(("REQUEST", ""), ("NAK", "wrong network")), None),
    (log(("NAK", "no leases left"), ("DISCOVER", ""), ("OFFER", ""), ("NAK", "no leases left")), "refused"),
    (log(("NAK", "x"), ("ACK", ""), ("NAK", "x")), None),
    (log(NO_ADDRESS, ago=None), "no_address"),
    (log(NO_ADDRESS, ago=2000.0), None),
    (log(NO_ADDRESS, client="52:54:00:00:00:43"), None),
    (log(NO_ADDRESS, family=6), None),
])
def test_the_log_says_why(found, code):
    told = refusal(found, MAC, 4)
    assert (told.code if told else None) == code


def test_it_is_told_in_the_server_s_own_words():
    assert refusal(log(NO_ADDRESS), MAC, 4) == Refusal("no_address", "no address available")


def test_a_range_that_does_not_fit_is_nobody_s_in_particular():
    found = parse(HERE / "dhcp_log" / "dnsmasq-2.90-no-range.out")
    assert no_range(found, "eth0") == Refusal("no_range", "no address range available for DHCP request via eth0")
    assert no_range(DhcpLog(found.source, found.events, found.now + 60), "eth0") is None
    assert no_range(log(NO_ADDRESS), "") is None
    assert no_range(found, "br7") is None, "of another network"


def test_a_real_server_without_leases_is_read():
    assert refusal(parse(HERE / "dhcp_log" / "dnsmasq-2.90-nak.out"), "52:54:00:00:00:48", 4) == Refusal("refused", "no leases left")


def test_the_worked_case_of_the_document_is_read():
    found = parse(HERE / "dhcp_log" / "seeds-nova-network.out")
    assert refusal(found, "fa:16:3e:56:0b:6f", 4) is None
    assert refusal(found, "fa:16:3e:78:44:84", 4, 1e9) == Refusal("no_address", "no address available")
