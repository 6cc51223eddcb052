"""Places without a POSIX shell. Windows cannot run here: programs named as its own print what it is known to print.

What is real: testinfra's and our own command lines, processes, deadlines, the record and the parsers.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

import netchecks.observations
from netchecks import inventory, one_by_one, plan, record, trip, waves
from netchecks.errors import NotSeen, Why
from netchecks.facts import make
from netchecks.models.subjects import Connection, Guest, Node, Vm
from netchecks.observe import OBSERVATIONS
from netchecks.script import Alternative, Job
from netchecks.world import build

assert netchecks.observations.__doc__
RECORDED = Path(__file__).parents[1] / "observations"
WINDOWS = Connection("local", os="windows")
VM = Vm("vm1", Node("n1", Connection("local")), "vm1", guest=Guest("guest:vm1", WINDOWS))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put programs before all others; each is a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def stand_in(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def ran(*jobs: Job, seconds: float = 10.0) -> list[Any]:
    return asyncio.run(trip.Channel(Guest("guest:vm1", WINDOWS), 1.0).run(jobs, seconds))


def job(*lines: str, **fields: Any) -> Job:
    return Job("key", tuple(Alternative((line,)) for line in lines), bare=True, **fields)


def test_a_line_runs_as_it_stands(programs: Path) -> None:
    stand_in(programs, "cmd", 'printf "%s|" "$@"; echo wrong >&2; exit 3')
    (one,) = ran(job('cmd /c "chcp & ipconfig /all"'))
    assert (one.key, one.way, one.status, one.stdout, one.stderr) == ("key", 0, 3, b"/c|chcp & ipconfig /all|", b"wrong\n")
    assert one.started <= one.ended


def test_the_next_way_is_tried_where_one_fails(programs: Path) -> None:
    stand_in(programs, "powershell", "echo is not recognized >&2; exit 1")
    stand_in(programs, "cmd", "echo there")
    (one,) = ran(job("powershell -Command x", "cmd /c y", "cmd /c z"))
    assert (one.way, one.stdout) == (1, b"there\n")


def test_a_line_that_hangs_costs_its_own_deadline(programs: Path) -> None:
    stand_in(programs, "cmd", "sleep 1009")
    started = time.monotonic()
    hung, good = ran(job("cmd", seconds=0.3), Job("other", (Alternative(("echo",)),), bare=True))
    assert (hung.status, good.stdout) == (one_by_one.TIMED_OUT, b"\n")
    assert time.monotonic() - started < 60


def test_all_of_them_have_a_deadline(programs: Path) -> None:
    stand_in(programs, "cmd", "sleep 1008")
    with pytest.raises(NotSeen) as told:
        asyncio.run(one_by_one.streamed(Guest("g", WINDOWS), [job("cmd", seconds=60)], 0.3, 60))
    assert told.value.why is Why.TIMED_OUT


def test_endless_output_is_cut(programs: Path) -> None:
    stand_in(programs, "cmd", "yes")
    (one,) = ran(job("cmd", limit=70_000))
    assert len(one.stdout) == 70_000


def test_no_connection_is_told_as_sshs_own_words_say(programs: Path) -> None:
    stand_in(programs, "ssh", "echo 'ssh: connect to host 192.0.2.1 port 22: Connection refused' >&2; exit 255")
    place = Guest("guest:vm1", Connection("ssh", "192.0.2.1", "Administrator", os="windows"))
    with pytest.raises(NotSeen) as told:
        asyncio.run(trip.Channel(place, 1.0).run([job("cmd")], 5.0))
    assert told.value.cause == "node.ssh_refused"


def test_a_command_may_exit_as_ssh_does(programs: Path) -> None:
    stand_in(programs, "ssh", 'for last; do :; done; echo "$last"; exit 255')
    place = Guest("guest:vm1", Connection("ssh", "192.0.2.1", "Administrator", os="windows"))
    (one,) = asyncio.run(trip.Channel(place, 1.0).run([job('cmd /c "chcp & ipconfig /all"')], 5.0))
    assert (one.status, one.stdout) == (255, b'cmd /c "chcp & ipconfig /all"\n')


def test_without_a_streamed_backend_testinfras_own_runs_it(programs: Path) -> None:
    stand_in(programs, "cmd", "echo $#; exit 4")

    class Backend:
        def run(self, line: str) -> Any:
            status = os.popen(line)
            text = status.read()
            return type("Result", (), {"rc": os.waitstatus_to_exitcode(status.close() or 0), "stdout_bytes": text.encode(), "stderr_bytes": b""})

    (one,) = one_by_one.through(Backend(), [job("cmd a b")])
    assert (one.status, one.stdout) == (4, b"2\n")


def test_winrm_without_its_library_says_so() -> None:
    place = Guest("guest:vm1", Connection("winrm", "192.0.2.1", os="windows"))
    with pytest.raises(NotSeen) as told:
        asyncio.run(trip.Channel(place, 1.0).run([job("cmd")], 5.0))
    assert "pywinrm" in told.value.detail


# -- from the inventory to facts -------------------------------------------------------------------------------------

SITE = """
nodes: {{n1: {{connection: local}}}}
networks: {{lan: {{kind: switching, bridge: br0, subnets: [{{cidr: 192.168.1.0/24, gateway: 192.168.1.1}}]}}}}
vms:
  vm1:
    node: n1
    guest: {{connection: local, os: {system}}}
    interfaces: [{{network: lan, mac: "4c:cc:6a:b2:4e:b2", addresses: [192.168.1.83]}}]
"""
FACTS = ("guest_links", "guest_addresses", "guest_routes", "guest_resolvers", "guest_pings", "guest_nftables")


def looked(tmp_path: Path, system: str = "windows") -> tuple[Any, Any, record.Record]:
    file = tmp_path / "site.yaml"
    file.write_text(SITE.format(system=system), encoding="utf-8")
    world = build(inventory.load([file]))
    vm, interface = world.inventory.vms[0], world.inventory.interfaces[0]
    wanted = plan.Plan({fact: {"vm1": interface if fact == "guest_pings" else vm} for fact in FACTS})
    seen = record.Record()
    waves.look(waves.Look(world, wanted, seen, waves.Limits(30, 60, 8, 2), lambda *_: None, lambda _: None))
    return make(seen, wanted), vm, seen


def test_a_russian_windows_without_powershell(tmp_path: Path, programs: Path) -> None:
    stand_in(programs, "powershell", "exit 1")
    files = {"ipconfig": "guest_addresses/windows-10-russian-cp1251", "route": "guest_routes/windows-11-russian-cp866"}
    shown = {name: f"cat {RECORDED / path}.windows2.out" for name, path in files.items()}
    stand_in(programs, "cmd", f'case "$*" in *ipconfig*) {shown["ipconfig"]} ;; *route*) {shown["route"]} ;; *) exit 1 ;; esac')
    facts, vm, seen = looked(tmp_path)
    assert facts.by("guest_links")[vm]["Ethernet"].mac == "4c:cc:6a:b2:4e:b2"
    assert str(facts.by("guest_addresses")[vm]["Ethernet"][1].address) == "192.168.1.83/24"
    assert str(facts.by("guest_routes")[vm][0].gateway) == "192.168.88.1"
    assert str(facts.by("guest_resolvers")[vm].servers[0].address) == "192.168.1.1"
    lines = {" ".join(entry.argv) for entry in seen.places["guest:vm1"].entries.values()}
    assert 'cmd /c "chcp & route print"' in lines
    assert not any("timeout" in line for line in lines)


def test_what_windows_has_no_command_for_is_unknown(tmp_path: Path, programs: Path) -> None:
    stand_in(programs, "powershell", "exit 1")
    stand_in(programs, "cmd", "exit 1")
    facts, vm, _ = looked(tmp_path)
    with pytest.raises(NotSeen, match="guest_nftables cannot be seen inside windows"):
        facts.by("guest_nftables")[vm]
    with pytest.raises(NotSeen, match="exit status 1"):
        facts.by("guest_links")[vm]


def test_a_unix_guest_gets_the_script(tmp_path: Path) -> None:
    facts, vm, seen = looked(tmp_path, "linux")
    assert "lo" in facts.by("guest_links")[vm]
    assert all(entry.argv[0] in {"timeout", "sudo"} for entry in seen.places["guest:vm1"].entries.values())


def test_a_line_of_windows_holds_nothing_but_addresses() -> None:
    """cmd.exe has no quoting that could be relied on, so no name of an inventory may stand there."""
    lines = [" ".join(command.argv) for observation in OBSERVATIONS.values() for command, _ in observation.windows]
    assert {word for line in lines for word in line.split() if "{" in word} == {"{interface.asks}"}
