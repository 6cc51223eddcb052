"""Virtual machines as libvirt tells them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DomainInterface:
    """A NIC of a domain. ``kind``: ``bridge``, ``network``, ``ethernet``, ``direct``, ``user``, ``hostdev`` ...

    ``source``: the bridge, network or device it is on. ``bridge``: the bridge in force where libvirt tells it apart
    from the source (``network``). ``target``: the device on the node (``vnet3``), empty when it does not run.
    ``link``: ``up`` or ``down``, what the guest's NIC is told. ``portgroup``, ``virtualport``, ``vlans``: as declared.
    """

    mac: str
    kind: str
    source: str = ""
    bridge: str = ""
    target: str = ""
    link: str = "up"
    model: str = ""
    driver: str = ""
    filterref: str = ""
    mtu: int | None = None
    virtualport: str = ""
    vlans: tuple[int, ...] = ()
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain. ``state`` in virsh's words: ``running``, ``paused``, ``shut off``, ``crashed``, ``pmsuspended`` ..."""

    name: str
    state: str
    uuid: str = ""
    interfaces: tuple[DomainInterface, ...] = ()

    @property
    def runs(self) -> bool:
        """Its CPUs are running, idle or blocked: it can answer packets."""
        return self.state in {"running", "idle", "no state"}
