"""What proves a failure: the lines that matter, without secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from netchecks.evidence import Evidence, clean, quote, text
from netchecks.excerpt import excerpt
from netchecks.models.subjects import Connection, Node
from netchecks.packet_line import packet_line
from netchecks.record import Entry

NODE = Node("node1", Connection("ssh", "node1"))


def evidence(stdout: str, stderr: str = "", status: int | None = 0, subject: str = "node1") -> Evidence:
    return Evidence("links", subject, "node1", ("timeout", "-k", "1", "5", "ip", "-j", "link"), status, 1.0, 0.1, stdout, stderr)


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("password=hunter2", "password=***"),
        ("Password: hunter2, more", "Password: ***, more"),
        ('{"psk": "hun ter2", "mtu": 1}', '{"psk": "***", "mtu": 1}'),
        ("<graphics type='vnc' passwd='hun ter'/>", "<graphics type='vnc' passwd='***'/>"),
        ("my_api_token=abc;x", "my_api_token=***;x"),
        ("private key: aBcD+/=", "private key: ***"),
        ("mysql --password hunter2 -h x", "mysql --password *** -h x"),
        ("curl -H 'Authorization: Bearer abc.def'", "curl -H 'Authorization: Bearer ***"),
        ("http://user:hunter2@proxy:3128/", "http://user:***@proxy:3128/"),
        ("\tenc cbc(aes) 0xdeadbeef", "\tenc cbc(aes) ***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----\nabc cut", "-----BEGIN PRIVATE KEY-----***"),
    ],
)
def test_secrets_do_not_leave(said: str, left: str) -> None:
    assert clean(said) == left
    assert clean(left) == left


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required", "Permission denied (publickey,password).", "PasswordAuthentication no", "passwd:         files systemd",
        "secret:/etc/ipsec.secrets", "bgp community 65000:1", "2001:db8::1 dev eth0 lladdr 52:54:00:00:00:01", "token ring",
        "ssh://user@host:22/", "fd20::1:2:3@4",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    kept = {"passwd:         files systemd": "passwd:         *** systemd"}  # nsswitch.conf: the one that is given up
    assert clean(said) == kept.get(said, said)


def test_escapes_control_characters_and_surrogates_go() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x00\x08y\x9bz\r\nend\tq") == "red xyz\nend\tq"
    clean(b"caf\xe9".decode("utf-8", "surrogateescape") + "\ud800 ok").encode("utf-8")


def test_json_records_that_the_message_names_are_quoted() -> None:
    document = json.dumps([
        {"ifname": "lo", "flags": ["LOOPBACK"], "mtu": 65536, "operstate": "UNKNOWN"},
        {"ifname": "eth0", "flags": ["UP"], "mtu": 1500, "operstate": "UP", "master": "br1"},
        {"ifname": "vnet7", "flags": [], "mtu": 1400, "operstate": "DOWN", "master": "br0", "linkinfo": {"info_kind": "tun"}},
    ])
    found = excerpt(evidence(document), ["node1: vnet7 has MTU 1400, expected 1500"])
    assert any("vnet7" in line and "1400" in line for line in found.lines)
    assert not any("lo " in line for line in found.lines)


def test_nested_records_say_where_they_stand() -> None:
    document = json.dumps([{"ifname": "eth0", "addr_info": [{"local": "10.0.0.1", "prefixlen": 24, "label": "x" * 200}]}])
    found = excerpt(evidence(document), ["eth0 lacks 10.0.0.1"])
    assert any(line.startswith("eth0 addr_info: local=10.0.0.1") for line in found.lines)


def test_a_document_that_is_cut_off_is_read_by_lines() -> None:
    document = '[{"ifname": "eth0"}, {"ifname": "vnet7", "mtu": 1400}, {"ifname": "vn'
    assert excerpt(evidence(document), ["vnet7 is small"]).lines == ('{"ifname": "vnet7", "mtu": 1400},',)


def test_text_lines_weigh_by_how_rare_their_words_are() -> None:
    lines = [f"-A FORWARD -p tcp -m tcp --dport {port} -j ACCEPT" for port in range(100, 140)]
    lines.insert(20, "[5:300] -A FORWARD -d 10.20.0.11/32 -j DROP")
    found = excerpt(evidence("\n".join(lines)), ["FORWARD drops what goes to 10.20.0.11/32"])
    assert found.lines == ("[5:300] -A FORWARD -d 10.20.0.11/32 -j DROP",)


def test_of_a_failed_command_its_complaint_is_quoted() -> None:
    found = excerpt(evidence("half\n", "warning\nvirsh: cannot connect\n", 1), ["anything"])
    assert found.lines == ("warning", "virsh: cannot connect")


def test_without_a_word_in_common_only_short_outputs_are_quoted() -> None:
    assert excerpt(evidence("1\n"), ["nothing alike"]).lines == ("1",)
    assert excerpt(evidence("a\nb\nc\nd\n"), ["nothing alike"]).lines == ()
    assert excerpt(evidence(""), ["x"]).lines == ()


def entry(stdout: bytes, **changes: Any) -> Entry:
    values: dict[str, Any] = {
        "key": "k", "phase": "main", "way": 0, "argv": ("sudo", "-n", "timeout", "-k", "1", "5", "ip", "link"), "status": 0,
        "started": 100.0, "ended": 100.5, "seconds": 5.0, "stdout": stdout, "stderr": b"",
    }
    return Entry(**{**values, **changes})


def test_a_long_output_is_cut_and_says_so() -> None:
    found = quote("links", NODE, "node1", entry(b"x" * 10_000))
    assert found.cut
    assert len(text(found)) < 4300
    assert "the record has all of it" in text(found)
    assert found.title == "node1$ sudo -n ip link"
    assert found.ending == "exit status 0, 0.50 s"


def test_a_secret_at_the_cut_does_not_leave() -> None:
    found = quote("links", NODE, "node1", entry(b"x" * 3990 + b" password=hunter2hunter2"))
    assert "hunter" not in text(found)


ARP = bytes.fromhex("ffffffffffff525400000001 0806 0001080006040001 525400000001 0a000001 000000000000 0a000002")
REPLY = bytes.fromhex("525400000001525400000002 0806 0001080006040002 525400000002 0a000002 525400000001 0a000001")


def agents_answer(*packets: tuple[float, bool, bytes]) -> Entry:
    """What the agent prints of one ask that captured and sent, beside an ask of another flow."""
    rows = [[at, outgoing, base64.b64encode(data).decode()] for at, outgoing, data in packets]
    result = {"error": "", "seconds": 0.1, "sent": 0}
    document = {
        "began": 100.0, "ended": 2.0, "captures": {"br0": {"packets": rows, "opened": 0.0, "error": "", "dropped": 0}},
        "results": [{**result, "outcome": "captured"}, {**result, "outcome": "sent", "sent": 3}, {**result, "outcome": "refused"}],
    }
    layout = (("answers[node1]", ("Capture:br0", "Frames:br0"), ""), ("other[node1]", ("Connect:",), ""))
    return entry(json.dumps(document).encode(), layout=layout, argv=("timeout", "-k", "1", "8", "python3", "-"))


def test_of_a_probe_what_it_sent_and_what_came_back_is_told() -> None:
    found = quote("answers", NODE, "node1", agents_answer((0.05, True, ARP), (0.06, False, REPLY)))
    assert found.stdout.splitlines() == [
        "Capture br0: 2 frames seen",
        "    0.050 s br0 out ARP who has 10.0.0.2? tell 10.0.0.1 (52:54:00:00:00:01 > broadcast)",
        "    0.060 s br0 in  ARP 10.0.0.2 is at 52:54:00:00:00:02 (52:54:00:00:00:02 > 52:54:00:00:00:01)",
        "Frames br0: 3 sent, sent",
    ]
    assert "refused" not in found.stdout


def test_of_many_packets_those_that_came_in_are_told() -> None:
    sweep = [(number / 1000, True, ARP) for number in range(300)]
    lines = quote("answers", NODE, "node1", agents_answer(*sweep, (0.4, False, REPLY))).stdout.splitlines()
    assert lines[0] == "Capture br0: 301 frames seen"
    assert "ARP 10.0.0.2 is at" in lines[20]
    assert lines[21] == "  and 281 more"


def test_an_agent_that_printed_garbage_is_quoted_as_it_is() -> None:
    assert quote("answers", NODE, "node1", entry(b"Traceback: no", layout=(("answers[node1]", ("Connect:",), ""),))).stdout == "Traceback: no"


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        ("0800 4500001c000100004001 0000 0a0000010a000002 0800", "10.0.0.1 > 10.0.0.2 ICMP echo request"),
        ("0800 46000020000100004006 0000 0a0000010a000002 01010101 01bbc350 00000000 00000000 5012", "10.0.0.1 > 10.0.0.2 TCP 443 > 50000 SYN+ACK"),
        ("8100 0064 0800 4500001c000100004011 0000 0a0000010a000002 00350400", "10.0.0.1 > 10.0.0.2 UDP 53 > 1024 (02:00:00:00:00:01 > 02:00:00:00:00:02, vlan 100)"),
        ("86dd 6000000000083aff" + "fd20" + "00" * 13 + "01" + "fd20" + "00" * 13 + "02" + "88", "fd20::1 > fd20::2 ICMPv6 neighbour advertisement"),
        ("0800 45", "type 0x0800, 1 bytes"),
        ("88cc 0203", "type 0x88cc, 2 bytes"),
    ],
)
def test_packets_in_one_line(frame: str, line: str) -> None:
    assert packet_line(bytes.fromhex("020000000002020000000001" + frame)) == (line if line.endswith(")") else f"{line} (02:00:00:00:00:01 > 02:00:00:00:00:02)")


def test_any_bytes_have_a_line() -> None:
    frame = bytes.fromhex("020000000002020000000001 8100 0064 0800 4500001c00010000401100000a0000010a00000200350400")
    for length in range(len(frame)):
        assert packet_line(frame[:length])
