"""What is counted, and how."""

import argparse
import json
import subprocess

import pytest

from netchecks.errors import LabError
from netchecks.lab import accuracy, faults
from netchecks.lab.topology import load as load_topology


def named(code, *places, severity="cause"):
    return accuracy.Named(code, places, severity)


def row(name, *diagnoses, trouble=""):
    fault = accuracy.HEALTHY if name == "healthy" else faults.find("vmhost-switching", name)
    return accuracy.Row(fault, diagnoses, 1.0, trouble)


RIGHT = named("bridge.down", "node1")
OTHER = named("tap.down", "node1")


def test_the_right_cause_first_is_right():
    assert row("bridge-down", RIGHT, OTHER).right
    assert str(row("bridge-down", RIGHT)).startswith("ok  ")


@pytest.mark.parametrize("diagnoses", [(), (OTHER,), (OTHER, RIGHT), (named("bridge.down", "node2"),), (named("bridge.down", "node1", "node2"),)])
def test_anything_else_is_a_miss(diagnoses):
    assert not row("bridge-down", *diagnoses).right
    assert str(row("bridge-down", *diagnoses)).startswith("MISS")


def test_top_3_is_the_first_three():
    assert row("bridge-down", OTHER, OTHER, RIGHT).within(3)
    assert not row("bridge-down", OTHER, OTHER, OTHER, RIGHT).within(3)


def test_two_faults_have_to_be_the_first_two_in_any_order():
    tap, dns = named("tap.not_in_bridge", "node1"), named("resolver.dead", "10.20.0.53", "fd20::53")
    assert row("two-tap-and-resolver", dns, tap).right
    assert not row("two-tap-and-resolver", tap).right
    assert not row("two-tap-and-resolver", tap, OTHER, dns).right
    assert row("two-tap-and-resolver", tap, OTHER, dns).within(3)


@pytest.mark.parametrize(("severity", "count"), [("cause", 1), ("finding", 1), ("unseen", 1), ("note", 0)])
def test_a_healthy_lab_gets_no_more_than_notes(severity, count):
    silent = row("healthy", named("x.y", "node1", severity=severity))
    assert silent.false_alarms == count
    assert silent.right == (count == 0)


def test_a_guest_that_drops_icmp_is_a_note():
    assert row("guest-drops-icmp", named("guest.drops_icmp", "vm42", severity="note")).right
    assert not row("guest-drops-icmp", named("guest.drops_icmp", "vm42")).right


def test_a_run_without_a_report_is_a_miss_that_says_why():
    assert not row("bridge-down", trouble="no report").right
    assert "no report" in str(row("bridge-down", trouble="no report"))
    assert not row("healthy", trouble="no report").right


def test_the_last_line_counts_all_rows():
    rows = [row("bridge-down", RIGHT), row("bridge-down", OTHER, RIGHT), row("healthy", OTHER), row("healthy")]
    assert accuracy.summary(rows) == "top-1 1/2  top-3 2/2  false alarms 1"


def test_a_report_is_read_in_its_rank(tmp_path):
    diagnoses = [
        {"code": "a.b", "place": "node1", "places": ["node1", "node2"], "severity": "cause"},
        {"code": "c.d", "place": "vm42", "severity": "note"},
    ]
    (tmp_path / "report.json").write_text(json.dumps({"diagnoses": diagnoses}))
    assert accuracy.read_report(tmp_path) == ((named("a.b", "node1", "node2"), named("c.d", "vm42", severity="note")), "")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"diagnoses": [{"code": 1}]}', '{"diagnoses": ['])
def test_an_unreadable_report_is_trouble(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    assert accuracy.read_report(tmp_path)[1].startswith("no report")


class FakeLab:
    """As much of a lab as choosing faults needs."""

    class topology:  # noqa: N801 - stands for an attribute
        name = "vmhost-switching"

    def __init__(self, *, rooted):
        self.rooted = rooted


def test_all_faults_are_chosen_with_the_healthy_lab_first():
    chosen = list(accuracy.chosen(FakeLab(rooted=True), []))
    assert chosen[0] is accuracy.HEALTHY
    assert len(chosen) == len(faults.load("vmhost-switching")) + 1


def test_what_a_lab_cannot_show_is_said(capsys):
    chosen = list(accuracy.chosen(FakeLab(rooted=False), ["ssh-refused", "tap-down"]))
    assert [fault.name for fault in chosen] == ["tap-down"]
    assert capsys.readouterr().out == "skip ssh-refused: needs a rooted lab\n"


def test_an_unknown_fault_is_an_error():
    with pytest.raises(LabError, match="nosuch"):
        accuracy.with_faults(["vmhost-switching"], ["tap-down", "nosuch"])


def test_only_labs_that_have_the_fault_are_made():
    assert accuracy.with_faults(["vmhost-switching", "many-nodes"], ["tap-down"]) == ["vmhost-switching"]
    assert "vmhost-switching" in accuracy.with_faults(faults.topologies(), [])


def test_a_fault_that_cannot_be_applied_is_a_miss_and_not_the_end(tmp_path):
    class Refuses:
        def apply(self, fault):
            raise LabError(f"{fault.name}: no br_netfilter")

    missed = accuracy.measure(Refuses(), faults.find("vmhost-switching", "bridge-down"), [], tmp_path)
    assert not missed.right
    assert "cannot be applied: bridge-down: no br_netfilter" in str(missed)


def test_a_run_that_ends_without_a_report_is_not_an_earlier_one_s(tmp_path):
    class Breaks:
        topology = load_topology("vmhost-switching")
        inventory = tmp_path / "inventory.yaml"

        def apply(self, fault):
            pass

        revert = apply

        def exec(self, *_, **__):
            return subprocess.CompletedProcess([], 3, "INTERNALERROR", "")

    (tmp_path / "report.json").write_text('{"diagnoses": [{"code": "bridge.down", "severity": "cause", "places": ["node1"]}]}')
    missed = accuracy.measure(Breaks(), faults.find("vmhost-switching", "bridge-down"), [], tmp_path)
    assert not missed.right
    assert "no report" in missed.trouble
    assert "INTERNALERROR" in missed.trouble


def test_the_options():
    parser = argparse.ArgumentParser()
    accuracy.add_arguments(parser)
    args = parser.parse_args(["--fault", "a", "--fault", "b", "--rootless"])
    assert (args.fault, args.rootless, args.topology) == (["a", "b"], True, [])


def test_a_lab_that_needs_root_is_left_out_without_it(capsys):
    arguments = argparse.ArgumentParser()
    accuracy.add_arguments(arguments)
    asked = arguments.parse_args(["--topology", "vmhost-fabric", "--rootless"])
    assert accuracy.run(asked) == 0
    assert "skip vmhost-fabric: needs a rooted lab" in capsys.readouterr().out
    assert accuracy.unfit("vmhost-routing", rootless=True) == ""
