"""Ranges and placeholders: what they stand for, and what is too much or cannot be read."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netchecks.inventory import gathering
from netchecks.inventory.ranges import RangeError, filled, names
from netchecks.inventory.tree import Place, Scalar


def fill(text: str, number: int) -> str:
    filled_in = filled(Scalar(text, Place("x", 1, 1)), number)
    assert isinstance(filled_in, Scalar)
    return filled_in.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node[2-4]", ["node2", "node3", "node4"]),
        ("node[9-11]", ["node9", "node10", "node11"]),
        ("node[09-11]", ["node09", "node10", "node11"]),
        ("node[0-1]", ["node0", "node1"]),
        ("a[1,3,7-9]b", ["a1b", "a3b", "a7b", "a8b", "a9b"]),
        ("a[ 1 , 2 ]", ["a1", "a2"]),
        ("a[7]", ["a7"]),
    ],
)
def test_a_range_stands_for_names(text, expected):
    assert [name for name, _ in names(text)] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a[1-2][3-4]", "expected one range"),
        ("a[1-2", "expected one range"),
        ("a]1-2[", "expected one range"),
        ("a[[1-2]]", "expected one range"),
        ("a[]", "has the part '', expected a number"),
        ("a[b-c]", "has the part 'b-c', expected a number"),
        ("a[1-2-3]", "has the part '1-2-3'"),
        ("a[-1-2]", "has the part '-1-2'"),
        ("a[\uff11-\uff12]", "has the part '\uff11-\uff12'"),
        ("a[5-2]", "goes from 5 down to 2"),
        ("a[1-3,2]", "names a number twice"),
        ("a[01-100]", "pads 01 and 100 differently"),
        ("a[0-99999999]", "stands for 100000000 names, expected at most 100000"),
        ("a[1-9999999999]", "has the part '1-9999999999'"),
    ],
)
def test_what_is_no_range_is_said(text, said):
    with pytest.raises(RangeError, match=said.replace("[", r"\[")):
        names(text)


@pytest.mark.parametrize(
    ("text", "number", "expected"),
    [
        ("10.0.0.{n}", 7, "10.0.0.7"),
        ("10.0.0.{n+10}", 7, "10.0.0.17"),
        ("{ n - 1 }", 7, "6"),
        ("{n:02}-{n:03d}-{n:02x}-{n:X}", 10, "10-010-0a-A"),
        ("{n/256:02x}:{n%256:02x}", 600, "02:58"),
        ("{n//250+1}.{(n-1)*2}", 500, "3.998"),
        ("{n+2*3}", 1, "7"),
        ("{{n}} and {n}", 1, "{n} and 1"),
        ("nothing", 1, "nothing"),
    ],
)
def test_a_placeholder_is_calculated(text, number, expected):
    assert fill(text, number) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{m}", "found the placeholder '{m}', expected {n}, {n+10}"),
        ("{}", "found the placeholder '{}'"),
        ("{n", "found a single '{', expected {n}"),
        ("n}", "found a single '}', expected {n}"),
        ("{n-5}", "the placeholder '{n-5}' gives -4, expected 0 or more"),
        ("{n/0}", "a placeholder divides by 0"),
        ("{n%0}", "a placeholder divides by 0"),
        ("{n**9}", "found the placeholder"),
        ("{n+}", "found the placeholder"),
        ("{__import__('os').system('reboot')}", "found the placeholder"),
        ("{n:99999x}", "expected a format"),
        ("{n:c}", "expected a format"),
        ("{" + "*".join(["999999999999"] * 4) + "*n}", "too large"),
        ("{" + "(" * 29 + "n" + ")" * 29 + "}", None),
        ("{" + "(" * 40 + "n}", "found the placeholder"),
        ("{-n}", "found the placeholder"),
    ],
)
def test_a_placeholder_that_cannot_be_filled_in_is_said(text, said):
    if said is None:
        assert fill(text, 3) == "3"
        return
    with pytest.raises(RangeError) as raised:
        fill(text, 1)
    assert said in str(raised.value)


@given(st.text(alphabet="{}n0123456789+-*/%():xXd []{{", max_size=40), st.integers(0, 10**9))
def test_any_text_is_filled_in_or_said_to_be_wrong(text, number):
    with suppress(RangeError):
        assert isinstance(fill(text, number), str)


@given(st.text(alphabet="a[]0123456789-, ", max_size=30))
def test_any_range_is_read_or_said_to_be_wrong(text):
    with suppress(RangeError):
        found = names(text, most=1000)
        assert len({name for name, _ in found}) == len(found) <= 1000


def test_objects_of_a_range_differ_by_their_number(read):
    inventory = read("""\
nodes:
  node[01-03]: {address: "10.0.0.{n}", port: "{n+2000}", links: {"eth{n}": {}}, names_inside: ["n{n:02}.example"]}
  other: {}
""")
    assert [node.name for node in inventory.nodes] == ["node01", "node02", "node03", "other"]
    third = inventory.nodes[2]
    assert (third.connection.address, third.connection.port, third.links[0].name) == ("10.0.0.3", 2003, "eth3")
    assert third.names_inside == ("n03.example",)


def test_ranges_stand_wherever_names_stand(read):
    inventory = read("""\
nodes:
  admin[1,2]: {address: "10.1.0.{n}", roles: [controller]}
  node[1-4]: {address: "10.0.0.{n}"}
networks:
  net[1-2]: {kind: switching, bridge: "br{n}", nodes: ["node[1-3]", {node: "node[4,4]", bridge: x}], probe_from: ["admin[1-2]"],
             subnets: [{cidr: "10.{n}.0.0/24"}]}
vms:
  vm[1-4]: {node: "node{n}", interfaces: [{network: "net{n%2+1}", mac: "52:54:00:00:00:{n:02x}", addresses: ["10.{n%2+1}.0.{n}"]}]}
flows:
  - {from: "admin[1-2]", to: "vm[1-3]", tcp: [80, 443]}
waivers:
  - {check: "*", subject: "node[2-10]", reason: r}
  - {check: "*", subject: "node[ab]*", reason: r}
""".replace("[4,4]", "[4]"))
    assert [str(end.node) + end.bridge for end in inventory.networks[0].attachments] == ["node1br1", "node2br1", "node3br1", "node4x"]
    assert inventory.networks[1].probe_from == (inventory.nodes[0], inventory.nodes[1])
    assert [str(interface.network) for interface in inventory.interfaces] == ["net2", "net1", "net2", "net1"]
    assert len(inventory.flows) == 2 * 3 * 2
    assert [waiver.subject for waiver in inventory.waivers] == [*(f"node{n}" for n in range(2, 11)), "node[ab]*"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nodes:\n  a[1-3]: {}\n  a2: {}\n", ["0:3:3: found 'a2' again, it is already at 0:2:3"]),
        ("nodes:\n  a2: {}\n  a[1-3]: {}\n", ["0:3:3: found 'a2' again, it is already at 0:2:3"]),
        ("nodes:\n  a[1-3]: {}\n  a[2-5]: {}\n", ["0:3:3: found 'a2' again, it is already at 0:2:3 (and 1 more from the same line)"]),
        ("nodes:\n  a[3-1]: {}\n  b: {}\n", ["0:2:3: the range 'a[3-1]' goes from 3 down to 1, expected the smaller number first"]),
        ("nodes:\n  a[1-2: {}\n  b: {}\n", ["0:2:3: the range 'a[1-2' cannot be read, expected one range such as node[2-50] or node[1,3,7-9]"]),
        ("nodes:\n  a[1-100001]: {}\n  b: {}\n", ["0:2:3: the range 'a[1-100001]' stands for 100001 names, expected at most 100000"]),
        ("nodes:\n  'a[1-2]': {}\n  b b[1-9]: {}\n", [("0:3:3: found 'b b1', expected a name of letters, digits and . _ @ + ~ - (at most 100, "
         "beginning with a letter or digit) (and 8 more from the same line)")]),
        ("nodes:\n  a: {address: '10.0.0.{n}'}\n", ["0:2:16: found the placeholder '{n}', but 'a' is no range such as a[1-9]"]),
        ("nodes:\n  a[1-50]: {address: '10.0.0.{n}', user: 'u {n}'}\n", [("0:2:42: found 'u 1', expected the name of a user (and 49 more from "
         "the same line)")]),
        ("nodes:\n  a[1-300]: {links: {eth0: {addresses: ['10.0.0.{n}/8']}}}\n", [("0:2:41: found '10.0.0.256/8', expected an address with its "
         "prefix length, such as 10.20.0.11/24 (and 44 more from the same line)")]),
        ("nodes:\n  a[1-3]: {user: '{m}'}\n", [("0:2:18: found the placeholder '{m}', expected {n}, {n+10}, {(n-1)*2}, {n/256:02x} or "
         "{n%256:02x} (and 2 more from the same line)")]),
    ],
)  # fmt: skip
def test_mistakes_of_a_range_are_told_once(mistakes, text, expected):
    assert mistakes(text) == expected


def test_ranges_cannot_grow_without_end(mistakes, monkeypatch):
    monkeypatch.setattr(gathering, "MOST_OBJECTS", 1000)
    begin = time.monotonic()
    sections = "".join(f"  {letter}[1-999]: {{}}\n" for letter in "abcdefgh")
    found = mistakes(f"nodes:\n{sections}  z: {{user: a b}}\n")
    assert found[0] == "0:3:3: 'b[1-999]' makes more than 1000 objects or 2000000 values in all, expected fewer"
    assert len(found) == 8
    wide = "[" + ", ".join(["x"] * 10_000) + "]"
    assert "makes more than" in mistakes(f"nodes:\n  a[1-1000]: {{services: {wide}}}\n")[0]
    assert time.monotonic() - begin < 15
