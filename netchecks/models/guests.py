"""What a guest says of its own way out, and what its agent tells of it."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.subjects import Address


@dataclass(frozen=True, slots=True)
class Ping:
    """Echo requests that the guest sent to one address. ``error``: what its own system said; empty where it was silence."""

    target: Address
    sent: int
    received: int
    error: str = ""

    @property
    def denied(self) -> bool:
        """The user that entered the guest may not send any, or there is no ping."""
        low = self.error.lower()
        return not self.received and ("socket" in low or "not found" in low or "are you root" in low)

    @property
    def blocked(self) -> bool:
        """The guest's own system refused to send it: sendmsg(2) and sendto(2) say so when a firewall's output hook drops."""
        low = self.error.lower()
        return not self.received and "not permitted" in low and "send" in low
