"""The machine itself: its tools and its access control."""

from __future__ import annotations

import re

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.subjects import Node
from netchecks.models.system import Boot, Clock, Denial, OsRelease, Security, Tools
from netchecks.seen import By, note

#: Command -> its package, where that is not its own name: for apt, for dnf and yum, for apk, for zypper and pacman.
PACKAGES = {
    "arping": ("iputils-arping", "iputils", "iputils-arping", "iputils"),
    "bridge": ("iproute2", "iproute", "iproute2", "iproute2"),
    "brctl": ("bridge-utils", "bridge-utils", "bridge-utils", "bridge-utils"),
    "conntrack": ("conntrack", "conntrack-tools", "conntrack-tools", "conntrack-tools"),
    "dig": ("dnsutils", "bind-utils", "bind-tools", "bind-utils"),
    "ip": ("iproute2", "iproute", "iproute2", "iproute2"),
    "mtr": ("mtr-tiny", "mtr", "mtr", "mtr"),
    "nc": ("netcat-openbsd", "nmap-ncat", "netcat-openbsd", "netcat-openbsd"),
    "nft": ("nftables", "nftables", "nftables", "nftables"),
    "ovs-vsctl": ("openvswitch-switch", "openvswitch", "openvswitch", "openvswitch"),
    "ovs-ofctl": ("openvswitch-switch", "openvswitch", "openvswitch", "openvswitch"),
    "ping": ("iputils-ping", "iputils", "iputils-ping", "iputils"),
    "ss": ("iproute2", "iproute", "iproute2", "iproute2"),
    "tc": ("iproute2", "iproute-tc", "iproute2", "iproute2"),
    "tracepath": ("iputils-tracepath", "iputils", "iputils-tracepath", "iputils"),
    "virsh": ("libvirt-clients", "libvirt-client", "libvirt-client", "libvirt-client"),
    "vtysh": ("frr", "frr", "frr", "frr"),
}
#: Package manager -> its column in PACKAGES, and how it installs.
MANAGERS = {
    "apt": (0, "apt-get install -y"), "dnf": (1, "dnf install -y"), "yum": (1, "yum install -y"), "apk": (2, "apk add"),
    "zypper": (3, "zypper install -y"), "pacman": (3, "pacman -S"),
}
#: Less than this changes the order of nothing that people compare.
CLOCK_SECONDS = 2.0
#: Programs that the network depends on, as the kernel knows them (15 characters).
DAEMONS = frozenset({
    "sshd", "sshd-session", "dnsmasq", "named", "unbound", "dhclient", "dhcpd", "NetworkManager", "systemd-network",
    "systemd-resolve", "systemd-udevd", "libvirtd", "virtqemud", "virtnetworkd", "qemu-kvm", "qemu-system-x86", "ovs-vswitchd",
    "ovsdb-server", "zebra", "bgpd", "ospfd", "ospf6d", "bfdd", "keepalived", "haproxy", "nginx", "chronyd", "ip", "bridge", "iptables",
    "nft", "firewalld", "swtpm", "vhost", "radvd", "kubelet", "calico-node", "cilium-agent",
})


def test_node_has_tools(node: Node, tools: By[Node, Tools], os_release: By[Node, OsRelease]) -> None:
    """Each tool that the inventory declares for the node is installed.

    Why: who comes to repair the network should not have to repair it first to install tcpdump.
    Remedy: node administrator: install the package
    Source: VMmanager knowledge base, "Предварительная диагностика", step 3
    """
    if not node.tools:
        return
    absent = [tool for tool in node.tools if tool in tools[node].absent]
    if absent:
        raise Wrong(
            "node.tool_missing", f"{node}: not installed: {', '.join(absent)}", place=node.name,
            remedy=install_command(os_release.seen().get(node), absent),
        )


def install_command(system: OsRelease | None, commands: list[str]) -> str:
    """Give the distribution's command that installs what these commands are in; words where it is not known."""
    manager = system.package_manager if system else ""
    if manager not in MANAGERS:
        return f"install the packages of {', '.join(commands)}"
    column, install = MANAGERS[manager]
    names = dict.fromkeys(PACKAGES[name][column] if name in PACKAGES else name for name in commands)
    return f"{install} {' '.join(names)}"


def test_node_clock_is_right(node: Node, clock: By[Node, Clock]) -> None:
    """The node's clock differs from the controller's by two seconds at most.

    Why: logs and captures of several machines are put in order by it; certificates and DNSSEC do not hold with a wrong one.
    Remedy: node administrator: chronyc tracking or timedatectl; then systemctl restart chronyd (systemd-timesyncd, ntpd)
    Source: chronyc(1); the times of the trip bound the difference, so a slow connection is no wrong clock
    """
    ahead = clock[node].ahead
    if ahead is None:
        raise NotSeen(Why.NOT_RECORDED, f"{node}: when its clock was read")
    least, most = ahead
    if least > CLOCK_SECONDS or most < -CLOCK_SECONDS:
        seconds, way = (least, "ahead of") if least > 0 else (-most, "behind")
        raise Wrong(
            "clock.off", f"{node}: its clock is {seconds:.1f} s {way} the controller's, expected at most {CLOCK_SECONDS:g} s",
            place=node.name,
        )


def test_selinux_is_known(node: Node, security: By[Node, Security], boot: By[Node, Boot]) -> None:
    """Whether SELinux is on is known, and what it or AppArmor forbade to programs of the network is told.

    Why: a daemon that may not open its socket fails with a message that names everything but SELinux.
    Remedy: node administrator: ausearch -m avc -ts boot; audit2why; semanage port or restorecon, not setenforce 0
    Source: Kubernetes troubleshooting, SELinux; selinux(8), ausearch(8)
    """
    state = security[node]
    if state.selinux:
        note("node.selinux", f"{node}: SELinux is {state.selinux}")
    since = boot[node].time
    forbidden = [denial for denial in state.denials or () if denial.process in DAEMONS and _time(denial) >= since]
    for process in dict.fromkeys(denial.process for denial in forbidden):
        last = [denial for denial in forbidden if denial.process == process][-1]
        note("node.access_denied", f"{node}: {last.module} forbade something to {process}: {last.raw[:200]}")


def _time(denial: Denial) -> float:
    """Give a denial's time in seconds since the epoch; one that does not tell it is new (the journal is asked since boot)."""
    match = re.search(r"audit\(([0-9]{1,12})\.", denial.raw)
    return float(match[1]) if match else float("inf")
