"""Files that are no YAML, or more YAML than anybody can mean: each has its message and its place."""

import time

import pytest

from netchecks.errors import InventoryError
from netchecks.inventory import load, reading, show


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "0:1:1: the file is empty, expected at least 'nodes:' with one node"),
        ("# nothing\n", "0:1:1: the file is empty, expected at least 'nodes:' with one node"),
        ("---\n", "0:1:1: the file is empty, expected at least 'nodes:' with one node"),
        ("nodes:\n", "0:1:1: found no node at all, expected at least one under 'nodes'"),
        ("- a\n", "0:1:1: found a list, expected a mapping with the fields nodes, networks, vms ..."),
        ("hello\n", "0:1:1: found 'hello', expected a mapping with the fields nodes, networks, vms ..."),
        (b"\x7fELF\x02\x01\x00\x00", "0:1:1: found a binary file, expected YAML in UTF-8"),
        (b"a: b\nc: \xff\x00", "0:2:4: found a binary file, expected YAML in UTF-8"),
        (b"nodes:\n  n\xe9: {}\n", "0:2:4: found the byte 0xe9, which is not UTF-8, expected YAML in UTF-8"),
        ("nodes: {a: {}}\n".encode("utf-16"), "0:1:1: found a binary file, expected YAML in UTF-8"),
        ("nodes:\n  a: {user: \x1b[31m}\n", "0:2:13: found the control character U+001B, expected YAML in UTF-8"),
        ('nodes:\n  a: {user: "x\\0"}\n', "0:2:13: found the control character U+0000, expected printable text"),
        ("nodes: {a: {}}\n---\nnodes: {b: {}}\n", "0:2:1: found a second document ('---'), expected one per file"),
        ("nodes: {a: {}}\nnodes: {b: {}}\n", "0:2:1: found the key 'nodes' again, it is already at 0:1:1"),
        ("nodes:\n  a: {}\n  b: {}\n  a: {}\n", "0:4:3: found the key 'a' again, it is already at 0:2:3"),
        ("nodes: &x {a: *x}\n", "0:1:15: the alias *x stands inside its own anchor &x: it would have no end"),
        ("nodes: &x\n  a:\n    links: [*x]\n", "0:3:13: the alias *x stands inside its own anchor &x: it would have no end"),
        ("n: &one {}\nnodes: {a: *ono}\n", "0:2:12: found the alias *ono, but no anchor &ono before it; did you mean 'one'?"),
        ("nodes: {a: !!python/name:os.system {}}\n", "0:1:12: found the tag 'tag:yaml.org,2002:python/name:os.system'"),
        ("nodes: {a: {user: !secret x}}\n", "0:1:19: found the tag '!secret', expected a value without a tag"),
        ("nodes: {[a]: {}}\n", "0:1:9: found a list as a key, expected a name"),
        ("nodes: {a: {<<: b}}\n", "0:1:17: found 'b' behind '<<', expected an alias of a mapping"),
        ("nodes: {a: {}\n", "0:2:1: is not YAML: while parsing a flow mapping did not find expected ',' or '}'"),
        ("nodes:\n\ta: {}\n", "0:2:1: is not YAML: while scanning for the next token found character that cannot start any token; indent"),
        ("gateway: fd20::\nb: 1\n", "0:1:15: is not YAML: mapping values are not allowed in this context; a value that has ': '"),
        ("a: {g: fd20::}\n", "0:1:13: is not YAML: while scanning a plain scalar found unexpected ':'; inside { } and [ ]"),
        ("a: [::1]\n", "0:1:5: is not YAML: while parsing a flow node did not find expected node content; inside { } and [ ]"),
        ("%YAML 99999999999999999999.1\n---\na: 1\n", "0:1:"),
        ("[" * 100_000, "0:1:51: is nested more than 50 levels deep"),
        ("{a: " * 100_000, "0:1:201: is nested more than 50 levels deep"),
    ],
)
def test_what_is_no_inventory_has_its_message_and_place(mistakes, text, expected):
    (found, *_) = mistakes(text)
    assert found.startswith(expected)


def test_billion_laughs_are_stopped_at_once(mistakes):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    begin = time.monotonic()
    (found,) = mistakes("\n".join(lines))
    assert found.startswith("0:7:")
    assert found.endswith("grows to more than 2000000 values (aliases of aliases?), expected an inventory")
    assert time.monotonic() - begin < 30


def test_merge_keys_cannot_be_a_bomb_either(mistakes):
    big = "big: &big {" + ", ".join(f"k{number}: 1" for number in range(2000)) + "}\n"
    begin = time.monotonic()
    (found,) = mistakes(big + "list:\n" + "- {<<: *big}\n" * 20_000)
    assert "grows to more than 2000000 values" in found
    assert time.monotonic() - begin < 60


def test_a_huge_file_is_not_read(mistakes):
    (found,) = mistakes(b"#" * (reading.MOST_BYTES + 1))
    assert found == "0:1:1: the file is larger than 16 MB, expected an inventory (ranges keep it small)"


def test_an_endless_device_is_read_to_the_bound_only(tmp_path):
    (tmp_path / "endless.yaml").symlink_to("/dev/zero")
    with pytest.raises(InventoryError, match="larger than 16 MB"):
        load([tmp_path])


def test_anchors_aliases_and_merge_keys_work(read):
    text = """\
nodes:
  node1: &base {address: 10.0.0.1, user: ops, services: [sshd], roles: [host]}
  node2: {<<: *base, address: 10.0.0.2}
  node3:
    <<: [{user: first}, *base]
    address: 10.0.0.3
"""
    _, second, third = read(text).nodes
    assert (second.connection.address, second.connection.user, second.services) == ("10.0.0.2", "ops", ("sshd",))
    assert (third.connection.address, third.connection.user, third.services) == ("10.0.0.3", "first", ("sshd",))


def test_a_mistake_behind_an_alias_is_told_once_at_its_anchor(mistakes):
    text = "nodes:\n  a: {links: &links {eth0: {speed: fast}}}\n  b: {links: *links}\n  c: {links: *links}\n"
    assert mistakes(text) == ["0:2:36: found 'fast', expected a speed in Mb/s from 1 to 10000000 (and 2 more from the same line)"]


def test_yaml_1_1_guesses_nothing(read, good):
    """52:54:00:00:00:42 is a number of base 60 in YAML 1.1, no is false, 0777 is 511, 1_0 is 10, 1e3 a float."""
    text = good.replace('"52:54:00:00:00:42"', "52:54:00:00:00:42").replace('"fd20::1"', "fd20::1")
    text = text.replace("{address: 10.99.0.12}", "{address: 10.99.0.12, user: no, identity: 0777, services: [1e3, on, 12:30]}")
    text = text.replace("    node: node1\n", "    node: node1\n    domain: 0x1f\n    runs: off\n    answers_ping: Yes\n")
    inventory = read(text)
    node, vm = inventory.nodes[2], inventory.vms[0]
    assert inventory.interfaces[0].mac == "52:54:00:00:00:42"
    assert (node.connection.user, node.services) == ("no", ("1e3", "on", "12:30"))
    assert node.connection.identity.endswith("/0777")
    assert (vm.domain, vm.runs, vm.answers_ping) == ("0x1f", False, True)


def test_utf8_with_a_byte_order_mark_and_crlf_is_read(read, mistakes, good):
    assert read(b"\xef\xbb\xbf" + good.replace("\n", "\r\n").encode()).vms[0].name == "vm42"
    assert mistakes("nodes:\r\n  a: {usr: x}\r\n")[0].startswith("0:2:7: found the field 'usr'")


def test_what_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "prod.yaml").write_text("nodes: {a: }")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InventoryError) as raised:
        load([tmp_path / "pord.yaml", tmp_path / "empty", tmp_path / "prod.yaml" / "x"])
    assert [problem.message for problem in raised.value.problems] == [
        "is a folder without any file *.yaml or *.yml, expected an inventory",
        "cannot be read: No such file or directory; did you mean 'prod.yaml'?",
        "cannot be read: Not a directory",
    ]


def test_the_loader_without_libyaml_reads_the_same(read, good, monkeypatch):
    fast = show(read(good))
    monkeypatch.setattr(reading, "_LOADER", reading.yaml.SafeLoader)
    assert show(read(good)) == fast
