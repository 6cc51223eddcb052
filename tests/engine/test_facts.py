"""What the end of a command means, and that no tool, however it behaves, breaks a check."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netchecks import facts, plan, send
from netchecks.errors import NotSeen, Why
from netchecks.lab.labs import Lab
from netchecks.models.subjects import Connection, Node
from netchecks.observe import OBSERVATIONS
from netchecks.probe import PROBES, Capture
from netchecks.record import Entry, PlaceRecord, Record
from tests.engine.test_harmless import run
from tests.engine.test_trip import on

NODE = Node("n1", Connection("local"))


def entry(status: int | None, stdout: bytes = b"", stderr: str = "", took: float = 0.1) -> Entry:
    return Entry("k", "main", 0, ("tool", "x"), status, 10.0, 10.0 + took, 5.0, stdout, stderr.encode())


# -- the end of a command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ran", "why", "cause"), [
    (entry(0, b"fine"), None, ""), (entry(2, b"accepted"), None, ""), (entry(None), None, ""),
    (entry(124, took=5.0), Why.TIMED_OUT, "node.command_hangs"), (entry(137, took=6.0), Why.TIMED_OUT, "node.command_hangs"),
    (entry(143, took=5.0), Why.TIMED_OUT, "node.command_hangs"), (entry(124, took=0.1), Why.FAILED, "node.command_fails"),
    (entry(137, took=0.1), Why.FAILED, "node.command_fails"), (entry(153), Why.TRUNCATED, "node.tool_floods"),
    (entry(0, b"x" * 1000), Why.TRUNCATED, "node.tool_floods"), (entry(1, b"x" * 1000), Why.TRUNCATED, "node.tool_floods"),
    (entry(127, stderr="timeout: failed to run command 'tool': No such file or directory"), Why.NOT_INSTALLED, "node.tool_missing"),
    (entry(126, stderr="timeout: failed to run command 'tool': Permission denied"), Why.NO_PERMISSION, "node.needs_root"),
    (entry(1, stderr="sudo: a password is required"), Why.NO_PERMISSION, "node.sudo_refused"),
    (entry(1, stderr="sudo: a terminal is required to read the password"), Why.NO_PERMISSION, "node.sudo_refused"),
    (entry(1, stderr="lab is not in the sudoers file."), Why.NO_PERMISSION, "node.sudo_refused"),
    (entry(1, stderr="Sorry, user lab is not allowed to execute '/usr/bin/timeout' as root"), Why.NO_PERMISSION, "node.sudo_refused"),
    (entry(1, stderr="sudo: tool: command not found"), Why.NOT_INSTALLED, "node.tool_missing"),
    (entry(1, stderr="RTNETLINK answers: Operation not permitted"), Why.NO_PERMISSION, "node.needs_root"),
    (entry(4, stderr="iptables-save v1.8.7 (legacy): Permission denied (you must be root)"), Why.NO_PERMISSION, "node.needs_root"),
    (entry(1, stderr="error: failed to connect to the hypervisor"), Why.FAILED, "node.command_fails"), (entry(1), Why.FAILED, "node.command_fails"),
    (entry(255, stderr="\udcff".encode("utf-8", "surrogateescape").decode("latin-1")), Why.FAILED, "node.command_fails"),
])
def test_the_end_of_a_command_means(ran: Entry, why: Why | None, cause: str) -> None:
    reason = facts.unseen(ran, "tool", (0, 2), 1000)
    assert (reason.why, reason.cause) == (why, cause) if reason else why is None


def test_a_reason_is_one_short_line() -> None:
    reason = facts.unseen(entry(1, stderr="first\n" + "x" * 5000), "tool", (0,), 1 << 20)
    assert reason is not None
    assert "\n" not in str(reason)
    assert len(str(reason)) < 250


# -- any output ------------------------------------------------------------------------------------------------------

NOISE = {
    "nothing": b"", "line": b"\n", "zero": b"\0" * 5000, "binary": bytes(range(256)) * 20, "not UTF-8": "Fehler: Gerät nicht gefunden\n".encode("latin-1"),
    "UTF-16": "[]".encode("utf-16"), "colour": b"\x1b[31m\x1b[1m\x1b[0m[\x1b[K{}]\x1b[m\n", "open": b'[{"ifname": "eth0", "mtu": ', "deep": b"[" * 100000,
    "wrong kind": b'{"a": [null, 1e999, NaN, {"ifname": 7}]}', "words": b"what is this\nline 2: <UP> mtu\n", "huge number": b'[{"ifindex": ' + b"9" * 5000 + b"}]",
    "surrogate": b'[{"ifname": "\\ud800"}]', "null": b"null", "number": b"7", "string": b'"x"', "two": b"[] []", "bom": b"\xef\xbb\xbf[]", "crlf": b"[\r\n]\r\n",
    "long line": b"x" * 300000, "many lines": b"a b c\n" * 50000,
}


@pytest.mark.parametrize("name", NOISE)
def test_whatever_a_tool_prints_is_a_value_or_a_reason(name: str) -> None:
    """Every observation, through the engine: never another exception."""
    for observation in OBSERVATIONS.values():
        if observation.of is not Node:
            continue
        ways = 1 + len(observation.or_else)
        for way in range(ways):
            key = plan.job_for(observation, NODE).key
            place = PlaceRecord("n1")
            for phase in ("before", "main", "after"):
                place.entries[key, phase] = Entry(key, phase, way, ("tool",), 0, 1.0, 2.0, 5.0, NOISE[name], b"")
            known = facts.make(Record({}, {"n1": place}), plan.Plan({observation.name: {"n1": NODE}}))
            reason = _reason(known, observation.name)
            assert reason is None or reason.why in {Why.UNREADABLE, Why.TRUNCATED}, (observation.name, reason)
            assert reason is None or reason.detail.startswith("n1: ")


def _reason(known: facts.Facts, fact: str) -> NotSeen | None:
    try:
        known.value(fact, NODE)
    except NotSeen as reason:
        return reason
    return None


def test_a_way_that_this_netchecks_does_not_know_is_not_recorded() -> None:
    observation = OBSERVATIONS["links"]
    key = plan.job_for(observation, NODE).key
    for way in (99, -1):
        place = PlaceRecord("n1", {(key, "main"): Entry(key, "main", way, ("ip",), 0, 1.0, 2.0, 5.0, b"[]", b"")})
        with pytest.raises(NotSeen) as told:
            facts.make(Record({}, {"n1": place}), plan.Plan({"links": {"n1": NODE}})).value("links", NODE)
        assert told.value.why is Why.NOT_RECORDED


def _told(stdout: bytes, actions: tuple[str, ...] = ("Capture:br0", "Connect:192.0.2.1")) -> Any:
    place = PlaceRecord("n1")
    place.entries[send.KEY, "main"] = Entry(send.KEY, "main", 0, ("python3",), 0, 1.0, 2.0, 5.0, stdout, b"", (("knocks[n1]", actions),))
    return facts.make(Record({}, {"n1": place}), plan.Plan({"knocks": {"n1": NODE}}))


@pytest.mark.parametrize("stdout", [
    b"", b"{}", b"[]", b"null", b"7", b'{"results": [], "packets": {}, "dropped": 0}', b'{"results": [{}, {}], "packets": {}, "dropped": 0}',
    b'{"results": [1, 2], "packets": {}, "dropped": 0}', b'{"results": null, "packets": null, "dropped": null}',
    b'{"results": [{"outcome": "", "error": "", "seconds": 0, "sent": 0}, {"outcome": "", "error": "", "seconds": 0, "sent": 0}], "packets": {"br0": [[1]]}, "dropped": 0}',
    b'{"results": [{"outcome": "", "error": "", "seconds": 0, "sent": 0}, {"outcome": "", "error": "", "seconds": 0, "sent": 0}], "packets": {"br0": [[1, true, "!"]]}, "dropped": 0}',
    b"\xff\xfe", b"[" * 100000, bytes(range(256)),
])
def test_an_agent_s_answer_that_is_none_is_unreadable(stdout: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from netchecks.probe import Ask, Probe

    def ask(_: Node) -> Ask:
        return Ask((Capture("br0", (0x0806,)),))

    monkeypatch.setitem(PROBES, "knocks", [Probe("knocks", Node, lambda _: True, ask, lambda _, got: got, (), root=False, doc="")])
    with pytest.raises(NotSeen) as told:
        _told(stdout).value("knocks", NODE)
    assert (told.value.why, told.value.cause) == (Why.UNREADABLE, "node.tool_unreadable")


# -- tools of a node that lie ----------------------------------------------------------------------------------------

TOOLS = ("ip", "bridge", "virsh", "nft", "iptables-save", "ip6tables-save", "ebtables-save", "ss", "systemctl", "tc", "conntrack", "sysctl")

#: How all of these tools behave at once, and whether what they show may pass for what is there.
LIES = {
    "floods": ("head -c 50000000 /dev/zero | tr '\\0' x", False),
    "floods of brackets": ("exec yes '[{\"ifname\": \"eth0\", '", False),
    "cuts off": ('"$0.away" "$@" | head -c 70', False),
    "colours": ("""case $0 in *save|*sysctl|*ss|*nft|*conntrack|*virsh) ;; *systemctl) export SYSTEMD_COLORS=1 TERM=xterm ;;
*) set -- -c=always "$@" ;; esac; exec "$0.away" "$@" """, True),
    "speaks Latin-1": ("printf 'Fehler: Ger\\344t \"%s\" nicht gefunden\\n' \"$1\"", False),
    "prints binary": ("exec head -c 65536 /dev/urandom", False),
    "fails with binary": ("head -c 65536 /dev/urandom >&2; exit 9", False),
    "says nothing": ("exit 0", True),
    "dies": ("kill -SEGV $$", False),
    "hangs": ("exec sleep 1007", False),
}


@contextlib.contextmanager
def lying(lab: Lab, lie: str) -> Iterator[None]:
    """Put another program in each tool's place on node1."""
    away = f"""
for t in {" ".join(TOOLS)}; do for p in /usr/sbin/$t /usr/bin/$t; do
  case $(readlink "$p") in /bin/*|/usr/*) continue ;; esac  # leads to the one that is replaced
  [ -e "$p" ] || continue
  mv "$p" "$p.away"; cat >"$p" <<'X'
#!/bin/sh
{lie}
X
  chmod 755 "$p"
done; done
ls /usr/bin/ip.away"""
    assert on(lab, "node1", away).strip() == "/usr/bin/ip.away"
    try:
        yield
    finally:
        on(lab, "node1", 'for p in /usr/*bin/*.away; do mv "$p" "${p%.away}"; done; pkill -xf "sleep 1007"; :')


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in {"cuts off", "colours"} else pytest.mark.slow) for name in LIES])
def test_tools_that_lie_break_no_check(rooted_lab: Lab, tmp_path: Path, name: str) -> None:
    """What they show is unknown with its reason, or read in spite of it; the other node is looked at as ever."""
    lie, readable = LIES[name]
    with lying(rooted_lab, lie):
        done = run(rooted_lab, tmp_path / "run")
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    checks = report["checks"]
    assert report["complete"]
    assert [check for check in checks if check["outcome"] == "broken"] == []
    assert "Traceback" not in done.stdout
    unknown = [check for check in checks if check["outcome"] == "unknown"]
    assert all(check["message"] for check in unknown)
    failed = Counter(check["check"] for check in checks if check["outcome"] == "failed" and check["place"] != "node1")
    if name == "colours":
        assert unknown == []
        assert done.returncode == 0, done.stdout
    elif not readable:
        assert len(unknown) > 20
        assert not failed, "what could not be seen is no fault of the network"
    own = [check for check in checks if set(check["subjects"].values()) == {"node2"}]
    assert len(own) > 10
    assert {check["outcome"] for check in own} == {"passed"}
