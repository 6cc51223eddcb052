"""All that the probes of one place ask for, as one run of the agent there; and what it said, split up again."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

from netchecks import packet_filter
from netchecks.errors import NotSeen, Unreadable, Why
from netchecks.models.answers import Answer
from netchecks.models.subjects import Flow
from netchecks.probe import Action, Ask, Capture, Frames, Got, Lease
from netchecks.record import Layout
from netchecks.script import Alternative, Job
from netchecks.shell_agent import building, reading

#: The key under which an agent's run stands in a record.
KEY = "agent"
#: How it is run, and how the script is that does its work where it cannot. Both read their text.
PYTHON, SHELL = ("python3", "-"), ("sh", "-s")
#: Seconds that the agent may take beyond its probes' windows before it ends itself.
GRACE = 4.0
#: Bytes that it may print: 16 MiB of frames in base64, and what stands around them.
LIMIT = 32 * 1024 * 1024
#: Frames that one capture keeps: of whole ethertypes, and of marked packets, which are our own.
FRAMES, MARKED_FRAMES = 5000, 20000
#: What an action could not be done for. Only a node without python3 lacks a tool, or has one that cannot do it.
UNABLE = {"denied": Why.NO_PERMISSION, "failed": Why.FAILED, "missing": Why.NOT_INSTALLED, "impossible": Why.NOT_POSSIBLE}


@cache
def _source() -> str:
    return files("netchecks").joinpath("agent.py").read_text(encoding="utf-8")


def program(asks: dict[str, Ask]) -> tuple[str, float]:
    """Give the agent's text with its job in it, and the seconds it may take. Keys of asks are in the order of actions."""
    actions = [action for ask in asks.values() for action in ask.actions]
    seconds = max(ask.seconds for ask in asks.values())
    deadline = seconds + GRACE
    captures = _captures(actions)
    programs = list(dict.fromkeys(one["program"] for one in captures.values()))  # each once: hundreds of taps have the same
    for one in captures.values():
        one["program"] = programs.index(one["program"])
    plain = [_plain(action) for action in actions]
    job = {"actions": plain, "captures": captures, "programs": programs, "seconds": seconds, "deadline": deadline}
    return _source().replace("@JOB@", base64.b64encode(json.dumps(job).encode()).decode()), deadline


def shell_program(asks: dict[str, Ask]) -> tuple[str, float]:
    """Give the same for a node without python3: a shell script, and the seconds it may take."""
    actions = [action for ask in asks.values() for action in ask.actions]
    sources: dict[tuple[str, str], list[tuple[str, dict[str, Any], Capture]]] = {}
    for key, some in _together(actions).items():
        listening = _listening(some)
        sources.setdefault((some[0].namespace, some[0].device), []).extend((key, listening, one) for one in some)
    return building.program(actions, sources, max(ask.seconds for ask in asks.values()))


def job(asks: dict[str, Ask]) -> Job:
    """Give what runs at the place: the agent, and where it cannot run, as without python3, the script in its stead."""
    (text, seconds), (shell, longer) = program(asks), shell_program(asks)
    ways = (Alternative(PYTHON), Alternative(SHELL, stdin=shell))
    return Job(KEY, ways, root=True, seconds=max(seconds, longer) + 2, limit=LIMIT, stdin=text)


def _captures(actions: list[Action]) -> dict[str, Any]:
    """Give what the agent has to listen to: one socket for all asks of a kind at a device."""
    return {key: _listening(some) for key, some in _together(actions).items()}


def _together(actions: list[Action]) -> dict[str, list[Capture]]:
    """Give all captures of a kind at a device, by its key."""
    together: dict[str, list[Capture]] = {}
    for action in actions:
        if isinstance(action, Capture):
            together.setdefault(_source_of(action), []).append(action)
    return together


def _source_of(capture: Capture) -> str:
    """Name what is captured: the device, in its namespace; marked packets, tunnels and broadcasts apart from whole ethertypes."""
    kind = "#broadcasts" if capture.senders else "#tunnels" if capture.tunnels else "#marked" if capture.prefix else ""
    return f"{capture.namespace}/{capture.device}{kind}" if capture.namespace else f"{capture.device}{kind}"


def _listening(some: list[Capture]) -> dict[str, Any]:
    first = some[0]
    if first.senders:
        steps = packet_filter.broadcasts(sorted({mac for one in some for mac in one.senders}))
    elif first.tunnels:
        steps = packet_filter.tunnels(first.prefix)
    elif first.prefix:
        steps = packet_filter.marked(first.prefix)
    else:
        ethertypes, ports = ({value for one in some for value in getattr(one, name)} for name in ("ethertypes", "udp_ports"))
        steps = packet_filter.whole(sorted(ethertypes), sorted(ports))
    most = MARKED_FRAMES if first.prefix else FRAMES
    return {"namespace": first.namespace, "device": first.device, "program": steps, "most": most}


def _plain(action: Action) -> dict[str, Any]:
    plain: dict[str, Any] = {"do": type(action).__name__}
    if not isinstance(action, Capture):
        for name in fields(action):
            plain[name.name] = _value(getattr(action, name.name))
    return plain


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def layout(asks: dict[str, Ask]) -> Layout:
    """Give what a record has to know to split the agent's answer up without making the asks again."""
    return tuple(
        (key, tuple(f"{type(action).__name__}:{_object(action)}" for action in ask.actions), ask.note) for key, ask in asks.items()
    )


def _object(action: Action) -> str:
    """Name what an action is about: what it captures, its device, or whom a socket talks to."""
    if isinstance(action, Capture):
        return _source_of(action)
    return action.device if isinstance(action, Frames | Lease) else str(action.target)


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the agent of a place said: by ask, its actions' results.

    It ``began`` in seconds of the place's uptime, and ``ended`` so many seconds later.
    """

    got: dict[str, tuple[Got, ...]]
    began: float
    ended: float


def split(parts: Layout, stdout: bytes) -> Answers:
    """Give each ask its actions' results. Raises Unreadable where the text is not the agent's."""
    try:
        document = reading.document(stdout) if reading.is_ours(stdout) else json.loads(stdout)
        results, began, ended = list(document["results"]), float(document["began"]), float(document["ended"])
        heard = {key: _heard(key, source) for key, source in document["captures"].items()}
        flat = [(key, action) for key, actions, _ in parts for action in actions]
        found: dict[str, tuple[Got, ...]] = {key: () for key, _, _ in parts}
        for (key, action), result in zip(flat, results, strict=True):
            do, _, about = action.partition(":")
            found[key] += (heard[about] if do == "Capture" else _got(do, about, result),)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("the agent's JSON document", stdout[:120].decode("utf-8", "replace")) from error
    return Answers(found, began, ended)


def _heard(key: str, source: dict[str, Any]) -> Got:
    """Read one capture. One that did not begin was denied or failed."""
    device = key.partition("#")[0]
    packets = tuple(_packet(device, *row) for row in source["packets"])
    opened = None if source["opened"] is None else float(source["opened"])
    why = next((word for word in ("denied", "missing", "impossible") if source.get(word)), "failed")
    outcome = "captured" if opened is not None else why
    numbers = source.get("unfinished")  # what records of before, and nodes without python3, do not tell
    unfinished = None if numbers is None else frozenset((packets[number][0], packets[number][3]) for number in numbers)
    return Got(outcome, str(source["error"]), packets=packets, dropped=int(source["dropped"]), opened=opened, unfinished=unfinished)


def _packet(device: str, at: float, outgoing: bool, data: str) -> tuple[float, str, bool, bytes]:  # noqa: FBT001 - JSON row
    return (float(at), device, bool(outgoing), base64.b64decode(data, validate=True))


def _got(do: str, about: str, result: dict[str, Any]) -> Got:
    """Read what came of one action that sends."""
    outcome, error, data = str(result["outcome"]), str(result["error"]), result.get("data")
    packets = (_packet("", data[0], False, data[1]),) if data else ()  # noqa: FBT003 - a row of packets
    target = "" if do in {"Frames", "Lease"} else about
    times = tuple(map(float, result.get("times", ())))
    return Got(outcome, error, float(result["seconds"]), int(result["sent"]), packets, 0, target, None, times)


def check(got: tuple[Got, ...]) -> tuple[Got, ...]:
    """Give the results, or raise NotSeen where one of the actions could not be done."""
    for item in got:
        if item.outcome in UNABLE:
            raise unable_to(item)
    return got


def unable_to(item: Got) -> NotSeen:
    """Say why an action could not be done: for lack of a right, of a tool, or because it failed."""
    said = f"sending and capturing packets needs root: {item.error}" if item.outcome == "denied" else item.error
    return NotSeen(UNABLE[item.outcome], said, cause="node.tool_missing" if item.outcome == "missing" else "")


def read_socket(_flow: Flow, got: tuple[Got, ...]) -> Answer:
    """Turn the agent's words for one socket into an answer."""
    item = check(got)[0]
    known = {"answered", "refused", "unreachable", "too_big"}
    outcome = item.outcome if item.outcome in known else "silent"
    return Answer(outcome, item.sent, (), item.error)  # type: ignore[arg-type]  # one of the literals
