"""Text of Windows: its code pages, and what its readers refuse. What they read is in tests/observations/guest_*."""

import pytest

from netchecks.errors import Unreadable
from netchecks.reading import ipconfig, powershell, route_print
from netchecks.reading.code_pages import decoded

RUSSIAN, CHINESE = "   Основной шлюз. . . . . . . . . : 10.20.0.1\r\n", "   默认网关. . . . . . . . . . . . . : 10.20.0.1\r\n"


def as_facts_have_it(text: str, codec: str) -> str:
    return text.encode(codec).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(("text", "codec", "chcp"), [
    (RUSSIAN, "cp866", "Текущая кодовая страница: 866\r\n"),
    (RUSSIAN, "cp1251", "Текущая кодовая страница: 1251\r\n"),
    (RUSSIAN, "cp866", ""),
    (RUSSIAN, "cp1251", ""),
    (RUSSIAN, "utf-8", "Active code page: 65001\r\n"),
    (RUSSIAN, "utf-8", ""),
    (RUSSIAN, "utf-8-sig", ""),
    (RUSSIAN, "utf-16", ""),
    (CHINESE, "gbk", "活动代码页: 936\r\n"),
    (CHINESE, "gbk", "活动代码页\uff1a936\r\n"),
    (CHINESE, "gbk", ""),
    ("plain", "ascii", "Active code page: 437\r\n"),
    ("Standardgateway für alle", "cp850", "Aktive Codepage: 850.\r\n"),
])
def test_text_in_its_code_page(text, codec, chcp):
    assert decoded(as_facts_have_it(chcp + text, codec)) == text


def test_an_unknown_code_page_is_tried_like_none():
    assert decoded(as_facts_have_it(f"Active code page: 999\r\n{RUSSIAN}", "cp866")) == RUSSIAN


def test_what_is_in_no_known_page_keeps_its_figures():
    assert decoded(as_facts_have_it("Standardgateway f\xfcr 10.20.0.1", "latin-1")) == "Standardgateway f\xfcr 10.20.0.1"


GERMAN = "\r\nWindows-IP-Konfiguration\r\n\r\nEthernet-Adapter Ethernet:\r\n\r\n   IPv4-Adresse  . . . . . . . . . . : 10.20.0.142\r\n"


@pytest.mark.parametrize("read", [ipconfig.links, ipconfig.addresses, ipconfig.resolvers])
def test_another_language_is_unreadable_and_not_empty(read):
    with pytest.raises(Unreadable, match="English, Russian or Chinese"):
        read(GERMAN)


def test_an_address_without_its_mask_is_unreadable():
    with pytest.raises(Unreadable, match="subnet mask"):
        ipconfig.addresses("Ethernet adapter Ethernet:\r\n\r\n   IPv4 Address. . . . . . . . . . . : 10.20.0.142(Preferred)\r\n")


@pytest.mark.parametrize(("state", "flags"), [
    ("Preferred", set()), ("Tentative", {"tentative"}), ("Duplicate", {"dadfailed"}), ("Deprecated", {"deprecated"}), ("Основной", set()),
])
def test_the_state_of_an_address(state, flags):
    text = f"Ethernet adapter Ethernet:\r\n\r\n   IPv4 Address. . . : 10.20.0.142({state})\r\n   Subnet Mask . . . : 255.255.255.0\r\n"
    ((address,),) = ipconfig.addresses(text).values()
    assert address.flags == flags


def test_routes_need_a_table():
    for text in ("", "IPv4 Route Table\r\n", "The requested operation requires elevation.\r\n"):
        with pytest.raises(Unreadable):
            route_print.routes(text)


@pytest.mark.parametrize(("read", "text"), [
    (powershell.links, '{"Name": "Ethernet"}'), (powershell.addresses, '[{"InterfaceAlias": "e", "IPAddress": "x", "PrefixLength": 24}]'),
    (powershell.routes, ""), (powershell.routes, '{"DestinationPrefix": "0.0.0.0/0"}'), (powershell.links, "Get-NetAdapter : not recognized"),
    (powershell.resolvers, '{"InterfaceAlias": "e", "ServerAddresses": [1]}'),
])
def test_other_json_is_unreadable(read, text):
    with pytest.raises(Unreadable):
        read(text)


def test_no_adapter_at_all_is_nothing():
    assert dict(powershell.addresses("")) == {}
