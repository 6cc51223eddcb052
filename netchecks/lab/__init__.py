"""Networks to break: a topology in YAML becomes network namespaces with real daemons, and faults are data.

``with up("vmhost-switching") as lab, lab.fault("uplink-down"): lab.exec("controller", ["ping", "-c1", "10.20.0.142"])``
"""

from netchecks.lab.labs import Lab, attach
from netchecks.lab.making import sweep, up, why_not_rooted

__all__ = ["Lab", "attach", "sweep", "up", "why_not_rooted"]
