"""Whatever is written: an inventory or its mistakes, never anything else."""

import json
import string
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netchecks.errors import InventoryError
from netchecks.inventory import load, show

GOOD = (Path(__file__).parent / "good.yaml").read_text()
FULL = GOOD + """\
flows: [{from: admin, to: vm42, tcp: [80], icmp: true}]
waivers: [{check: "node.*", subject: node1, reason: because, until: 2030-01-01}]
defaults: {node: {user: ops, links: {eth0: {speed: 10}}, routes: [{to: default, via: 10.0.0.1}], sysctl: {net.ipv4.ip_forward: 1}}}
"""
TOKENS = ("{n}", "{", "}", "[", "]", "[1-3]", "[1-", ":", ": ", "- ", "\n", "  ", "\t", "&a ", "*a", "<<: ", "null", "~", "!!int ", "'", '"', "#",
          "0", "-1", "99999999999999999999", "node1", "lan", "vm42", "x", "::1", "10.0.0.0/8", "{n+1:02x}", "\x00", "\x85", "é", "🦊", "---\n", "? ")  # fmt: skip
relaxed = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survives(data: bytes, path) -> None:
    path.write_bytes(data)
    problems = None
    try:
        inventory = load([path])
    except InventoryError as error:
        problems = error.problems
    if problems is None:
        path.write_text(show(inventory))
        assert show(load([path])) == show(inventory)
        return
    assert problems
    for problem in problems:
        assert problem.message
        assert problem.file == str(path)
        assert min(problem.line, problem.column) >= 1
        assert str(problem).isprintable()


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes(tmp_path, data):
    survives(data, tmp_path / "a.yaml")


@relaxed
@given(st.text(max_size=200))
def test_any_text(tmp_path, text):
    survives(text.encode("utf-8", "surrogatepass"), tmp_path / "a.yaml")


@relaxed
@given(st.lists(st.sampled_from(TOKENS + tuple(GOOD.split())), max_size=40).map("".join))
def test_any_mixture_of_yaml(tmp_path, text):
    survives(text.encode(), tmp_path / "a.yaml")


@relaxed
@given(st.lists(st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), st.sampled_from(TOKENS)), min_size=1, max_size=4))
def test_a_good_inventory_with_something_wrong(tmp_path, changes):
    text = FULL
    for at, length, token in changes:
        text = text[:at] + token + text[at + length :]
    survives(text.encode(), tmp_path / "a.yaml")


FIELDS = st.sampled_from(
    ("nodes", "networks", "vms", "flows", "waivers", "defaults", "version", "node", "network", "vm", "from", "to", "tcp", "links", "routes", "subnets",
     "cidr", "gateway", "mac", "addresses", "interfaces", "bridge", "kind", "jump", "address", "connection", "sysctl", "check", "subject", "node1", "a[1-3]"),
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(alphabet=string.printable, max_size=8),
    st.sampled_from(("node1", "lan", "10.0.0.1", "10.0.0.0/8", "{n}", "switching", "ssh", "default", "52:54:00:00:00:01", "a[1-3]", "; rm -rf /")),
)  # fmt: skip
TREES = st.recursive(VALUES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(FIELDS, inner, max_size=5)), max_leaves=20)


@relaxed
@given(st.dictionaries(FIELDS, TREES, min_size=1, max_size=6))
def test_any_structure_of_known_fields(tmp_path, structure):
    survives(json.dumps(structure).encode(), tmp_path / "a.yaml")


def test_the_inventory_that_is_mutated_is_a_good_one(tmp_path):
    (tmp_path / "a.yaml").write_text(FULL)
    assert len(load([tmp_path / "a.yaml"]).flows) == 2
