"""Traces: one marked packet of a flow, looked for at every hop of its way at the same time, and its answer too."""

from netchecks.trace.declaring import traced

__all__ = ["traced"]
