"""Traces: one marked packet of a flow, looked for at every hop of its way at the same time, and its answer too."""

from netchecks.trace.declaring import traced
from netchecks.trace.outbound import traced_outbound

__all__ = ["traced", "traced_outbound"]
