"""Every exception of netchecks, and what each carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class NetchecksError(Exception):
    """Something the user can put right; its text is all that they are shown."""


class Unreadable(NetchecksError):
    """A tool printed what its parser cannot read: the one error parsers raise.

    ``found`` is a short excerpt of the text, ``expected`` what would have been readable.
    """

    def __init__(self, expected: str, found: str = "") -> None:
        """Keep at most 120 characters of what was found."""
        self.expected = expected
        self.found = found[:120]
        super().__init__(f"expected {expected}, found {self.found!r}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in what the user wrote: where, what was found, what was expected."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        """Give the form that editors and terminals turn into a link."""
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class InventoryError(NetchecksError):
    """All mistakes of all inventory files at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Take the problems in the order of their places."""
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class RecordError(NetchecksError):
    """A record cannot be replayed: not there, not ours, damaged or of another version."""


class LabError(NetchecksError):
    """A lab cannot be built, broken or taken down."""


class Undecided(NetchecksError):
    """A rule of the routing policy asks for what is not known of a packet: it may apply or not. Its text names the rule."""


class Why(StrEnum):
    """Why something was not seen."""

    UNREACHABLE = "unreachable"
    NO_PERMISSION = "no permission"
    NOT_INSTALLED = "not installed"
    TIMED_OUT = "timed out"
    FAILED = "failed"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    NOT_PLANNED = "not planned"
    NOT_RECORDED = "not recorded"
    NOT_POSSIBLE = "not possible"


class NotSeen(NetchecksError):
    """There is no fact, and this is the reason. Reading it makes a check unknown.

    ``cause`` is a stable code where the reason has one of its own (``node.ssh_refused``), else empty.
    """

    def __init__(self, why: Why, detail: str = "", *, cause: str = "") -> None:
        """Take the kind of reason and one line of detail."""
        self.why = why
        self.detail = detail
        self.cause = cause
        super().__init__(f"{why}: {detail}" if detail else str(why))

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling: keyword arguments would be lost."""
        return (_not_seen, (self.why, self.detail, self.cause))


def _not_seen(why: Why, detail: str, cause: str) -> NotSeen:
    return NotSeen(why, detail, cause=cause)


class Harmless(NetchecksError):
    """What looked like a failure is none, and this is worth a note: raised by causes only."""

    def __init__(self, code: str, message: str) -> None:
        """Take the note's stable code and its sentence."""
        super().__init__(message)
        self.code = code


class Blind(NotSeen):
    """What looked like a failure tells nothing, as the check looked where there is nothing to see: raised by causes only."""


class Lacks(AssertionError, KeyError):
    """What a fact was asked for is not in it: a failure of the claim, not of the tool."""

    __str__ = AssertionError.__str__


class Wrong(AssertionError):
    """A claim does not hold, and the code says which of its causes it is.

    ``code``: stable, ``<thing>.<what_is_wrong>``. ``breaks``: what a flow has to need to be broken by this
    (empty: every flow that comes by). ``hop`` and ``layer`` override the check's own mark.
    ``remedy`` and ``owner`` override the check's docstring. ``certain``: a flow that passes does not acquit it.
    """

    def __init__(  # noqa: PLR0913 - each is one column of the diagnosis, all keyword-only
        self,
        code: str,
        message: str,
        *,
        place: str = "",
        remedy: str = "",
        owner: str = "",
        breaks: frozenset[str] = frozenset(),
        hop: str = "",
        layer: str = "",
        certain: bool = False,
    ) -> None:
        """Take the code and where, what is, what was expected in one sentence."""
        super().__init__(message)
        self.code = code
        self.place = place
        self.remedy = remedy
        self.owner = owner
        self.breaks = breaks
        self.hop = hop
        self.layer = layer
        self.certain = certain
