"""The node's script: with each shell that nodes have, whatever commands do, and whatever its arguments are."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netchecks import facts, script
from netchecks.errors import Why
from netchecks.record import Entry
from netchecks.script import Alternative, Job
from tests.engine.conftest import NONCE, Shell, commands_with, job, sh, wait

TIMED_OUT = {124, 137, 143}


def as_entry(ran: script.Ran, one: Job) -> Entry:
    """Give what ran as a record keeps it."""
    return Entry(ran.key, ran.phase, ran.way, one.ways[ran.way].argv, ran.status, ran.started, ran.ended, one.seconds, ran.stdout, ran.stderr)


# -- running ---------------------------------------------------------------------------------------------------------


def test_status_output_and_errors_come_back_apart(shell: Shell) -> None:
    ran = shell.run(sh("a", "echo out; echo err >&2; exit 3"), job("b", "true"), job("c", "printf", "no line end"))
    assert (ran["a"].status, ran["a"].stdout, ran["a"].stderr) == (3, b"out\n", b"err\n")
    assert (ran["b"].status, ran["b"].stdout, ran["b"].stderr) == (0, b"", b"")
    assert ran["c"].stdout == b"no line end"
    assert all(one.ended >= one.started > 0 for one in ran.values())


def test_four_commands_run_at_a_time(shell: Shell, tmp_path: Path) -> None:
    """Each waits until all four have begun: one after the other, they would wait for ever."""
    meet = 'touch "$1.$2"; while [ ! -e "$1.0" ] || [ ! -e "$1.1" ] || [ ! -e "$1.2" ] || [ ! -e "$1.3" ]; do sleep 0.02; done'
    ran = shell.run(*(job(str(number), "sh", "-c", meet, "sh", f"{tmp_path}/met", str(number), seconds=30) for number in range(4)))
    assert [one.status for one in ran.values()] == [0, 0, 0, 0]
    assert max(one.started for one in ran.values()) <= min(one.ended for one in ran.values())


def test_no_more_than_four_commands_run_at_a_time(shell: Shell) -> None:
    ran = shell.run(*(job(str(number), "sleep", "0.2") for number in range(10)))
    assert {one.status for one in ran.values()} == {0}
    for one in ran.values():
        beside = [other for other in ran.values() if other.started < one.started < other.ended]
        assert len(beside) < script.LANES


def test_phases_follow_each_other(shell: Shell) -> None:
    ran = shell.run(
        sh("after", "echo 3", phase="after"), job("main", "sleep", "0.1"), sh("before", "sleep 0.1; echo 1", phase="before"),
    )
    assert [one.phase for one in sorted(ran.values(), key=lambda one: one.started)] == ["before", "main", "after"]
    assert all(one.ended <= other.started for one, other in pairwise(sorted(ran.values(), key=lambda one: one.started)))


def test_a_command_that_hangs_costs_its_own_deadline(shell: Shell) -> None:
    began = time.monotonic()
    stubborn = sh("stubborn", "trap '' TERM; while :; do sleep 0.1; done", seconds=0.5)
    ran = shell.run(job("hangs", "sleep", "60", seconds=0.5), stubborn, *(job(str(number), "echo", "7") for number in range(8)))
    assert time.monotonic() - began < 20
    for key in ("hangs", "stubborn"):
        assert ran[key].status in TIMED_OUT
        reason = facts.unseen(as_entry(ran[key], job(key, "sleep", seconds=0.5)), "sleep", (0,), 1 << 20)
        assert reason is not None
        assert (reason.why, reason.cause) == (Why.TIMED_OUT, "node.command_hangs")
    assert all(ran[str(number)].stdout == b"7\n" for number in range(8))


@pytest.mark.parametrize("text", ["exec cat /dev/zero", "while :; do echo 0123456789; done", "cat /dev/zero >&2"])
def test_output_is_limited(shell: Shell, text: str) -> None:
    flood = sh("flood", text, limit=8192, seconds=20)
    ran = shell.run(flood, job("beside", "echo", "here", limit=8192))
    assert len(ran["flood"].stdout) <= 8192
    assert len(ran["flood"].stderr) <= 8192 + 1024, "bash may add its own word"
    assert ran["beside"].stdout == b"here\n"
    reason = facts.unseen(as_entry(ran["flood"], flood), "cat", (0,), 8192)
    assert reason is not None
    assert (reason.why, reason.cause) == (Why.TRUNCATED, "node.tool_floods")


def test_a_tool_that_ignores_that_it_was_cut_off_is_truncated(shell: Shell) -> None:
    flood = sh("flood", "head -c 20000 /dev/zero; exit 0", limit=8192)
    ran = shell.run(flood)
    assert ran["flood"].status == 0
    reason = facts.unseen(as_entry(ran["flood"], flood), "head", (0,), 8192)
    assert reason is not None
    assert reason.why is Why.TRUNCATED


def test_what_a_command_started_goes_with_it(shell: Shell) -> None:
    """busybox's timeout ends the shell only, and not what it runs."""
    number = f"42.{secrets.randbelow(10**9):09}"
    ran = shell.run(sh("hangs", f"sleep {number}; true", seconds=0.3), sh("leaves", f"sleep {number} & echo 7"))
    assert ran["hangs"].status in TIMED_OUT
    assert ran["leaves"].stdout == b"7\n"
    assert wait(lambda: not commands_with(number), 30), commands_with(number)


@pytest.mark.slow
def test_the_shortest_trips_are_whole_on_a_busy_machine(shell: Shell) -> None:
    """What ends sooner than what was started beside it gets to its own traps must not be ended by its parent's."""
    text = script.start(NONCE) + script.trip([job("a", "echo", "7")], NONCE, sudo=False)

    def trip(_: int) -> tuple[int, bytes]:
        stdout, stderr = shell.feed(text)
        return len(script.read(stdout.partition(b" hello\n")[2], [job("a", "echo", "7")], NONCE)), stderr

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(trip, range(600))) == {(1, b"")}


def test_a_folder_that_a_dead_node_left_goes_when_it_is_a_day_old(shell: Shell) -> None:
    old, young, strange, linked = (shell.folder / name for name in ("netchecks.aaaaaaaaaa", "netchecks.bbbbbbbbbb", "netchecks.old", "netchecks.cccccccccc"))
    for folder in (old, young, strange):
        folder.mkdir()
        (folder / "0.o").write_text("left")
    linked.symlink_to(strange)
    for path in (old, strange, linked):
        os.utime(path, (time.time() - 25 * 3600,) * 2, follow_symlinks=False)
    stdout, stderr = shell.feed(script.start(NONCE) + script.trip([sh("one", "echo 7")], NONCE, sudo=False))
    assert (b"\n7\n" in stdout, stderr) == (True, b"")
    assert sorted(shell.folder.iterdir()) == sorted((young, strange, linked))


# -- ways, modules, stdin --------------------------------------------------------------------------------------------


def test_the_next_way_is_for_a_status_that_is_not_accepted(shell: Shell) -> None:
    three = (Alternative(("sh", "-c", "echo one; exit 2")), Alternative(("no-such-tool-here",)), Alternative(("echo", "three")))
    accepts = (Alternative(("sh", "-c", "echo one; exit 2"), (0, 2)), Alternative(("echo", "two")))
    none = (Alternative(("sh", "-c", "exit 2")), Alternative(("sh", "-c", "echo two; exit 5")))
    ran = shell.run(Job("three", three), Job("accepts", accepts), Job("none", none))
    assert (ran["three"].way, ran["three"].status, ran["three"].stdout, ran["three"].stderr) == (2, 0, b"three\n", b"")
    assert (ran["accepts"].way, ran["accepts"].status, ran["accepts"].stdout) == (0, 2, b"one\n")
    assert (ran["none"].way, ran["none"].status, ran["none"].stdout) == (1, 5, b"two\n")


def test_what_timed_out_is_not_tried_another_way(shell: Shell) -> None:
    ran = shell.run(Job("a", (Alternative(("sleep", "60")), Alternative(("echo", "two"))), seconds=0.3))
    assert (ran["a"].way, ran["a"].stdout) == (0, b"")
    assert ran["a"].status in TIMED_OUT


def test_a_command_does_not_run_where_its_module_is_absent(shell: Shell, tmp_path: Path) -> None:
    if not Path("/proc/modules").exists():  # a kernel without modules has all built in
        assert shell.run(job("a", "echo", "7", modules=("no_such_module_here",)))["a"].stdout == b"7\n"
        return
    touched = tmp_path / "touched"
    there = next(path.name for path in Path("/sys/module").iterdir())
    ran = shell.run(
        job("absent", "touch", str(touched), modules=("no_such_module_here",)), job("there", "echo", "7", modules=(there,)),
    )
    assert (ran["absent"].status, ran["absent"].stdout, ran["there"].stdout) == (None, b"", b"7\n")
    assert not touched.exists()


def test_a_command_reads_its_stdin_or_nothing(shell: Shell) -> None:
    text = "line 1\n$HOME `reboot` \\ '\n\n  NETCHECKS\nend"
    ran = shell.run(job("reads", "cat", stdin=text), job("nothing", "cat"), job("also", "cat", stdin="x"))
    assert ran["reads"].stdout == (text + "\n").encode()
    assert (ran["nothing"].stdout, ran["also"].stdout) == (b"", b"x\n")


@pytest.mark.parametrize("octal", [r"\000\001\377\376\n\r\n\000", r"\n\n\n", r"\n", r"\033[31mred\033[0m", ""])
def test_output_comes_back_byte_for_byte(shell: Shell, octal: str) -> None:
    expected = subprocess.run(["printf", octal], capture_output=True, check=True).stdout
    ran = shell.run(job("a", "printf", octal), sh("b", f"printf '{octal}' >&2"))
    assert ran["a"].stdout == expected
    assert ran["b"].stderr == expected


@pytest.mark.parametrize("form", ["NETCHECKS000000000000000000000000", "NETCHECKS", "{}0", "x{}", " {}", "{}{}"])
def test_output_that_looks_like_a_marker_is_output(shell: Shell, form: str) -> None:
    """Only the nonce of this very connection at a line's start is one, and no command is told it."""
    marker = form.replace("{}", NONCE)
    text = f"\n{marker} end\n\n{marker} err\n\n{marker} 0 0 0 1.0 2.0\n{marker} hello\n"
    ran = shell.run(job("a", "printf", "%s", text), job("b", "echo", "7"))
    assert (ran["a"].stdout, ran["b"].stdout) == (text.encode(), b"7\n")


def test_no_command_can_see_the_nonce(shell: Shell) -> None:
    """Else what runs on a node could forge the answer of another command."""
    nonce = "NETCHECKS" + secrets.token_hex(12)
    jobs = [sh("a", "cat /proc/[0-9]*/cmdline /proc/self/environ 2>/dev/null | tr '\\0' '\\n'", limit=1 << 26)]
    stdout, _ = shell.feed(script.start(nonce) + script.trip(jobs, nonce, sudo=False))
    (ran,) = script.read(stdout.partition(b" hello\n")[2], jobs, nonce)
    at = ran.stdout.find(nonce.encode())
    assert len(ran.stdout) > 100
    assert at < 0, ran.stdout[max(0, at - 200):at + 200]


# -- arguments -------------------------------------------------------------------------------------------------------

HOSTILE = [
    "; rm -rf /", "$(reboot)", "`reboot`", "a'b", 'a"b', "a\nb", "", " ", "-n", "--", "\\", "\\\\n", "*", "~", "$HOME", "${PATH}", "!!", "#", "&",
    "|cat", ">x", "<x", "%s", "\t", "\r\n", "é漢🦊", "\x1b[31m", "'; touch /tmp/owned; '", "=", "a=b", "{x}", "{node.name}", "\x7f", "NETCHECKS",
]


def given_back(shell: Shell, arguments: list[str]) -> list[str]:
    """Give the arguments as a command gets them."""
    count = job("a", "sh", "-c", 'printf "%s\\0" "$#" "$@"', "sh", *arguments, limit=1 << 20)
    number, *rest = shell.run(count)["a"].stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    assert int(number) == len(arguments)
    return rest


def test_a_hostile_argument_is_one_argument(shell: Shell) -> None:
    assert given_back(shell, HOSTILE) == HOSTILE


@given(arguments=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True, database=None)
@example(arguments=["\udcff\udc80 not UTF-8"])
@example(arguments=["NETCHECKS000000000000000000000000\nNETCHECKS000000000000000000000000 end"])
def test_any_argument_is_one_argument(shell: Shell, arguments: list[str]) -> None:
    assert given_back(shell, arguments) == arguments


def test_sudo_is_asked_without_a_password_for_what_needs_root() -> None:
    one = job("a", "ip", "link", root=True, seconds=2.5)
    way = one.ways[0]
    assert script.command_line(one, way, sudo=True) == ["sudo", "-n", "timeout", "-k", "1", "2.5", "ip", "link"]
    assert script.command_line(one, way, sudo=False) == ["timeout", "-k", "1", "2.5", "ip", "link"]
    assert script.command_line(job("a", "ip"), way, sudo=True)[0] == "timeout"


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_script_that_was_cut_off_runs_nothing(shell: Shell, tmp_path: Path) -> None:
    """The connection may break while the script is sent: half of it must do nothing."""
    touched = tmp_path / "touched"
    jobs = [job("a", "touch", f"{touched}.a", stdin="x\ny"), job("b", "touch", f"{touched}.b", phase="after", root=True)]
    start, text = script.start(NONCE), script.trip(jobs, NONCE, sudo=False)
    ends = [number for number, character in enumerate(text) if character == "\n"][:-1]
    for end in {1, *ends, *(end + 1 for end in ends), len(text) // 2, len(text) - 2}:
        stdout, _ = shell.feed(start + text[:end])
        assert stdout == f"{NONCE} hello\n".encode(), text[:end][-60:]
    assert (list(tmp_path.iterdir()), shell.left()) == ([shell.folder], [])
    shell.feed(start + text)
    assert len(list(tmp_path.iterdir())) == 3, "the whole script does it"


def test_no_temporary_folder_is_a_clear_reason(shell: Shell) -> None:
    nowhere = Shell(shell.name, shell.folder / "nowhere")
    with pytest.raises(script.Broken, match="no temporary folder could be made") as told:
        script.read(nowhere.stream([job("a", "true")]), [job("a", "true")], NONCE)
    assert told.value.cause == "node.no_temporary_folder"


@pytest.fixture
def small(shell: Shell) -> Shell:
    """A shell whose temporary folder is a file system of 64 KiB."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    return shell


def mounted(shell: Shell, options: str, jobs: list[Job]) -> bytes:
    """Run a trip in a mount namespace of its own, with a file system of its own for temporary files."""
    text = script.start(NONCE) + script.trip(jobs, NONCE, sudo=False)
    program = shutil.which({"busybox": "busybox"}.get(shell.name, shell.name))
    mount = f'mount -t tmpfs -o {options} tmpfs "$TMPDIR" && exec "$@"'
    inner = [str(program), *(["sh"] if shell.name == "busybox" else []), *(["--posix"] if shell.name == "bash" else []), "-s"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", *inner], input=text.encode(), capture_output=True, check=False, timeout=60,
        env={**os.environ, "TMPDIR": str(shell.folder)},
    )
    return done.stdout.partition(b" hello\n")[2]


def test_a_read_only_file_system_is_a_clear_reason(small: Shell) -> None:
    jobs = [job("a", "true")]
    with pytest.raises(script.Broken, match="no temporary folder could be made"):
        script.read(mounted(small, "ro", jobs), jobs, NONCE)


@pytest.mark.parametrize("inodes", [2, 3, 4, 5, 8, 12, 16])
def test_a_file_system_without_free_inodes_is_a_clear_reason(small: Shell, inodes: int) -> None:
    jobs = [job(str(number), "echo", str(number)) for number in range(8)]
    with pytest.raises(script.Broken, match="temporary folder"):
        script.read(mounted(small, f"size=1m,nr_inodes={inodes}", jobs), jobs, NONCE)


@pytest.mark.parametrize("size", [4, 8, 16, 24, 32])
def test_a_full_file_system_is_a_clear_reason(small: Shell, size: int) -> None:
    """What was cut off by the disk must not pass for all that a tool said."""
    jobs = [sh(str(number), "head -c 6000 /dev/zero | tr '\\0' x; exit 0") for number in range(8)]
    with pytest.raises(script.Broken, match="temporary folder") as told:
        script.read(mounted(small, f"size={size}k", jobs), jobs, NONCE)
    assert told.value.cause == "node.no_temporary_folder"


@pytest.mark.parametrize("stream", [
    b"", b"\n", b"garbage", b"\n@N@ end", b"\n@N@ err\n\n@N@ end\n", b"\n@N@ 0 0 0 1 2\n\n@N@ end\n", b"\n@N@ 0 0 0 1\n\n@N@ err\n\n@N@ end\n",
    b"\n@N@ 9 0 0 1 2\n\n@N@ err\n\n@N@ end\n", b"\n@N@ -1 0 0 1 2\n\n@N@ err\n\n@N@ end\n", b"\n@N@ x 0 0 1 2\n\n@N@ err\n\n@N@ end\n",
    b"\n@N@ 0 7 0 1 2\n\n@N@ err\n\n@N@ end\n", b"\n@N@ 0 -1 0 1 2\n\n@N@ err\n\n@N@ end\n", b"\n@N@ 0 0 zero 1 2\n\n@N@ err\n\n@N@ end\n",
    b"\n@N@ 0 0 0 1 soon\n\n@N@ err\n\n@N@ end\n", b"\n@N@ 0 0 0 1 nan\n\n@N@ err\n\n@N@ end\n", b"\n@N@ 0 0 0 1 inf\n\n@N@ err\n\n@N@ end\n",
    b"\n@N@ 0 0 " + b"9" * 5000 + b" 1 2\n\n@N@ err\n\n@N@ end\n", b"\n@N@ 0 0 0 1 2\nout\n@N@ end\n@N@ end\n",
])
def test_a_stream_that_no_script_sends_is_one_error(stream: bytes) -> None:
    """A node may send anything: it costs that node's facts and nothing else."""
    if stream == b"\n@N@ end":
        assert script.read(stream.replace(b"@N@", NONCE.encode()), [], NONCE) == []
        return
    with pytest.raises(script.Broken):
        script.read(stream.replace(b"@N@", NONCE.encode()), [job("a", "true")], NONCE)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_any_stream_is_read_or_one_error(noise: bytes, at: int) -> None:
    whole = b"\n@N@ 0 0 0 1.5 2.5\nout\n@N@ err\nerr\n@N@ end\n".replace(b"@N@", NONCE.encode())
    for stream in (whole[:at] + noise + whole[at:], whole[:at] + noise, noise):
        try:
            found = script.read(stream, [job("a", "true")], NONCE)
        except script.Broken:
            continue
        assert all(one.key == "a" for one in found)


# -- nothing stays ---------------------------------------------------------------------------------------------------


@pytest.fixture
def looking(shell: Shell) -> tuple[Shell, str, str]:
    """A shell, a script whose commands sleep for long, and the number that their command lines have."""
    number = f"41.{secrets.randbelow(10**9):09}"
    jobs = [job("a", "sleep", number, seconds=60), sh("b", f"trap '' INT HUP; sleep {number}; true", seconds=60), job("c", "sleep", number, seconds=60)]
    return shell, script.start(NONCE) + script.trip(jobs, NONCE, sudo=False), number


def begun(number: str) -> bool:
    return len([line for line in commands_with(number) if line.startswith("sleep")]) == 3


def nothing_left(shell: Shell, number: str) -> bool:
    return bool(wait(lambda: not commands_with(number) and not shell.left(), 30))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda end: end.name)
def test_a_signal_leaves_nothing(looking: tuple[Shell, str, str], end: signal.Signals) -> None:
    shell, text, number = looking
    with shell.start() as process:
        assert process.stdin
        process.stdin.write(text.encode())
        process.stdin.flush()
        assert wait(lambda: begun(number))
        os.killpg(process.pid, end)
        began = time.monotonic()
        assert nothing_left(shell, number), commands_with(number)
        assert time.monotonic() - began < 30
        process.stdin.close()
        process.wait(30)


PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[3:], executable=sys.argv[2], stdin=open(sys.argv[1]), stdout=subprocess.PIPE, start_new_session=True)
time.sleep(600)
"""


def test_a_parent_that_is_killed_leaves_nothing(looking: tuple[Shell, str, str], tmp_path: Path) -> None:
    """As sshd's child, when the ssh client has died: no signal tells the script."""
    shell, text, number = looking
    (tmp_path / "script").write_text(text)
    program = str(shutil.which("busybox" if shell.name == "busybox" else shell.name))
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "script"), program, *shell.argv], env={**os.environ, "TMPDIR": str(shell.folder)},
    ) as parent:
        assert wait(lambda: begun(number))
        parent.kill()
        parent.wait()
    began = time.monotonic()
    assert nothing_left(shell, number), (commands_with(number), shell.left())
    assert time.monotonic() - began < 30


def test_a_reader_that_is_gone_leaves_nothing(looking: tuple[Shell, str, str]) -> None:
    shell, text, number = looking
    text = text.replace(number, "0.3")
    with shell.start() as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(text.encode())
        process.stdin.close()
        process.stdout.close()
        process.wait(20)
        assert process.stderr
        process.stderr.read()
    assert shell.left() == []
