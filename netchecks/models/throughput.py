"""What a transfer brought, what limits one, and the words for a rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["out", "back"]
#: A process that uses so much of one CPU, in percent, is itself what limits the rate.
BUSY = 95.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer of a flow: ``out`` to its target, or ``back`` from there. Bit/s of TCP payload, as received.

    ``rate`` None: nothing was measured, and ``error`` says why. ``retransmits``: segments sent again, None where the sender's
    kernel does not tell. CPU in percent of one, of the sending and the receiving process.
    """

    direction: Direction
    rate: float | None = None
    seconds: float = 0.0
    retransmits: int | None = None
    sender_cpu: float | None = None
    receiver_cpu: float | None = None
    error: str = ""

    @property
    def busy(self) -> bool:
        """Whether one of its ends has no CPU left to send or receive faster."""
        return any(cpu is not None and cpu >= BUSY for cpu in (self.sender_cpu, self.receiver_cpu))

    @property
    def connected(self) -> bool:
        """Whether there was a connection: without one iperf3 says nothing else."""
        return self.rate is not None or "unable to connect" not in self.error


@dataclass(frozen=True, slots=True)
class Serving:
    """How a server of transfers fared. ``error``: why it did not listen; empty: it did."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What tc limits at a device, in bit/s; ``egress`` leaves the node by it. ``whole``: all that passes, not only some class."""

    device: str
    direction: Literal["egress", "ingress"]
    kind: str
    rate: float
    whole: bool = True

    def explains(self, rate: float, wanted: float) -> bool:
        """Tell whether it is why a transfer had this rate and not the wanted one: what came fits it, and is no small part of it.

        With a small burst TCP gets well below a limit; what only some of the traffic passes has to fit closer.
        """
        least = self.rate / (4 if self.whole else 2)
        return self.rate < wanted and least <= rate <= self.rate * 1.1


def shown(rate: float) -> str:
    """Give a rate in words.

    >>> shown(9544325.26), shown(100_000_000), shown(13_197_826_262), shown(512)
    ('9.54 Mbit/s', '100 Mbit/s', '13.2 Gbit/s', '512 bit/s')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if rate >= factor:
            return f"{rate / factor:.3g} {prefix}bit/s" if rate / factor < 999.5 else f"{rate / factor:.0f} {prefix}bit/s"  # noqa: PLR2004
    return f"{rate:.0f} bit/s"
