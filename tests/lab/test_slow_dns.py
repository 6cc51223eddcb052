"""Which questions the slow DNS server keeps back."""

import struct

import pytest

from netchecks.lab.slow_dns import is_reverse


def question(name: str, kind: int) -> bytes:
    """Give a query as dig sends it, with the option of EDNS behind the question (RFC 6891)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    return struct.pack(">6H", 4711, 0x0120, 1, 0, 0, 1) + labels + struct.pack(">2H", kind, 1) + bytes.fromhex("0000291000000000000000")


@pytest.mark.parametrize(("name", "kind", "reverse"), [
    ("142.0.20.10.in-addr.arpa", 12, True), ("1.0.0.0.d.f.ip6.arpa", 12, True), ("gw.lab.test", 1, False), ("gw.lab.test", 12, False),
    ("142.0.20.10.in-addr.arpa", 1, False),
])
def test_only_questions_for_the_name_of_an_address_are_reverse(name: str, kind: int, reverse: bool) -> None:
    assert is_reverse(question(name, kind)) is reverse
