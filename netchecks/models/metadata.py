"""What a guest gets from the metadata service."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metadata:
    """``status``: of HTTP, None where nothing answered, and then ``error`` says what its own tool did."""

    status: int | None
    error: str = ""
