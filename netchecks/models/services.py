"""System services and what their logs say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Service:
    """A unit as systemd tells it. Times: seconds since boot (monotonic), None when it never was.

    ``load``: ``loaded``, ``not-found``, ``masked`` ...; ``active``: ``active``, ``inactive``, ``failed``, ``activating`` ...;
    ``sub``: ``running``, ``exited``, ``dead`` ...; ``restarts``: None where this systemd does not count (before 235).
    ``unit``: the name systemd knows it by, which an alias differs from. ``kind``: ``oneshot``, ``notify`` ...
    """

    name: str
    unit: str
    load: str
    active: str
    sub: str
    result: str = ""
    restarts: int | None = None
    started: float | None = None
    active_since: float | None = None
    main_pid: int | None = None
    enabled: str = ""
    kind: str = ""
    condition_failed: bool = False


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the journal. ``time``: seconds since the epoch, ``priority``: syslog's 0 (emergency) to 7 (debug)."""

    unit: str
    time: float
    priority: int
    message: str


@dataclass(frozen=True, slots=True)
class Knock:
    """What came of a connection to a port where SSH is expected. ``said``: the greeting, or the error in the tool's words.

    ``outcome``: ``ssh``, ``refused``, ``timed_out``, ``no_route``, ``name_unknown``, ``not_ssh``, ``closed`` (before a greeting),
    ``failed``; ``no_tool`` and ``not_entered`` where nobody could ask.
    """

    outcome: str
    said: str
