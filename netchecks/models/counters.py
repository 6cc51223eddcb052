"""Readings of what only grows. A check gets two of each and compares them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkCounters:
    """A device's counters since it came into being: bytes and packets. None: this tool does not tell it.

    ``rx_over_errors``: the NIC's FIFO overran; ``rx_missed_errors``: its ring was full; ``rx_dropped`` also counts
    frames nobody wanted (an unknown protocol), so growth there is a hint and no fault.
    """

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int
    rx_multicast: int | None = None
    rx_over_errors: int | None = None
    rx_missed_errors: int | None = None
    rx_length_errors: int | None = None
    rx_crc_errors: int | None = None
    rx_frame_errors: int | None = None
    rx_fifo_errors: int | None = None
    tx_carrier_errors: int | None = None
    tx_collisions: int | None = None
    tx_aborted_errors: int | None = None
    tx_fifo_errors: int | None = None
    tx_window_errors: int | None = None
    tx_heartbeat_errors: int | None = None
    carrier_changes: int | None = None


@dataclass(frozen=True, slots=True)
class SoftnetCpu:
    """A line of /proc/net/softnet_stat: packets. ``dropped``: the backlog queue was full."""

    processed: int
    dropped: int
    time_squeeze: int


@dataclass(frozen=True, slots=True)
class Softnet:
    """The packet queues of all CPUs, in the kernel's order."""

    cpus: tuple[SoftnetCpu, ...]

    @property
    def dropped(self) -> int:
        """Packets dropped by all CPUs."""
        return sum(cpu.dropped for cpu in self.cpus)

    @property
    def time_squeeze(self) -> int:
        """Times that the work was left for later on any CPU."""
        return sum(cpu.time_squeeze for cpu in self.cpus)


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks (USER_HZ) that a CPU, or all of them, spent since boot."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int = 0

    @property
    def total(self) -> int:
        """All ticks."""
        return self.user + self.nice + self.system + self.idle + self.iowait + self.irq + self.softirq + self.steal


@dataclass(frozen=True, slots=True)
class Load:
    """Load averages over 1, 5 and 15 minutes, and the CPUs' times: softirq's share comes from two readings."""

    one: float
    five: float
    fifteen: float
    running: int
    times: CpuTimes
    cpus: tuple[CpuTimes, ...]

    @property
    def per_cpu(self) -> float:
        """The one-minute load per CPU."""
        return self.one / max(len(self.cpus), 1)


@dataclass(frozen=True, slots=True)
class ConntrackStats:
    """``conntrack -S``, summed over the CPUs: entries. None: this kernel does not count it."""

    cpus: int
    found: int | None = None
    invalid: int | None = None
    insert: int | None = None
    insert_failed: int | None = None
    drop: int | None = None
    early_drop: int | None = None
    error: int | None = None
    search_restart: int | None = None
    clash_resolve: int | None = None
    chaintoolong: int | None = None
