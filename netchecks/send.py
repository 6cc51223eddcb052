"""All that the probes of one place ask for, as one run of the agent there; and what it said, split up again."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from functools import cache
from importlib.resources import files
from typing import Any

from netchecks.errors import NotSeen, Unreadable, Why
from netchecks.models.answers import Answer
from netchecks.models.subjects import Flow
from netchecks.probe import Action, Ask, Capture, Frames, Got
from netchecks.record import Layout

#: The key under which an agent's run stands in a record.
KEY = "agent"
#: Seconds that the agent may take beyond its probes' windows before it ends itself.
GRACE = 4.0
#: Bytes that it may print: 5000 frames of some 450 characters each at some ten devices.
LIMIT = 32 * 1024 * 1024


@cache
def _source() -> str:
    return files("netchecks").joinpath("agent.py").read_text(encoding="utf-8")


def program(asks: dict[str, Ask]) -> tuple[str, float]:
    """Give the agent's text with its job in it, and the seconds it may take. Keys of asks are in the order of actions."""
    actions = [_plain(action) for ask in asks.values() for action in ask.actions]
    seconds = max(ask.seconds for ask in asks.values())
    deadline = seconds + GRACE
    job = json.dumps({"actions": actions, "seconds": seconds, "deadline": deadline})
    return _source().replace("@JOB@", base64.b64encode(job.encode()).decode()), deadline


def _plain(action: Action) -> dict[str, Any]:
    plain: dict[str, Any] = {"do": type(action).__name__}
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
        (key, tuple(f"{type(action).__name__}:{_object(action)}" for action in ask.actions)) for key, ask in asks.items()
    )


def _object(action: Action) -> str:
    """Name what an action is about: its device, or whom a socket talks to."""
    return action.device if isinstance(action, (Frames, Capture)) else str(action.target)


def split(parts: Layout, stdout: bytes) -> dict[str, tuple[Got, ...]]:
    """Give each ask its actions' results. Raises Unreadable where the text is not the agent's."""
    try:
        document = json.loads(stdout)
        results, dropped = list(document["results"]), int(document["dropped"])
        kept = {device: tuple(_packet(device, *row) for row in rows) for device, rows in document["packets"].items()}
        flat = [(key, action) for key, actions in parts for action in actions]
        found: dict[str, tuple[Got, ...]] = {key: () for key, _ in parts}
        for number, ((key, action), result) in enumerate(zip(flat, results, strict=True)):
            do, _, about = action.partition(":")
            source = {"Capture": about, "Datagram": f"udp:{number}"}.get(do, "")
            target = "" if do in {"Capture", "Frames"} else about
            found[key] += (_got(result, kept.get(source, ()), dropped, target),)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("the agent's JSON document", stdout[:120].decode("utf-8", "replace")) from error
    return found


def _packet(device: str, at: float, outgoing: bool, data: str) -> tuple[float, str, bool, bytes]:  # noqa: FBT001 - JSON row
    return (float(at), device, bool(outgoing), base64.b64decode(data, validate=True))


def _got(result: dict[str, Any], packets: tuple[tuple[float, str, bool, bytes], ...], dropped: int, target: str) -> Got:
    outcome, error = str(result["outcome"]), str(result["error"])
    return Got(outcome, error, float(result["seconds"]), int(result["sent"]), packets, dropped, target)


def check(got: tuple[Got, ...]) -> tuple[Got, ...]:
    """Give the results, or raise NotSeen where the agent was not allowed to, or failed at, one of the actions."""
    for item in got:
        if item.outcome == "denied":
            raise NotSeen(Why.NO_PERMISSION, f"sending and capturing packets needs root: {item.error}")
        if item.outcome == "failed":
            raise NotSeen(Why.FAILED, item.error)
    return got


def read_socket(_flow: Flow, got: tuple[Got, ...]) -> Answer:
    """Turn the agent's words for one socket into an answer."""
    item = check(got)[0]
    known = {"answered", "refused", "unreachable", "too_big"}
    outcome = item.outcome if item.outcome in known else "silent"
    return Answer(outcome, item.sent, (), item.error)  # type: ignore[arg-type]  # one of the literals
