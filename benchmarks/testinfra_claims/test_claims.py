"""The claims of ``suites/node`` as somebody writes them with testinfra alone, one test for each check and by its name.

What is expected stands at the top, as testinfra's documentation has it; it is what ``benchmarks/fleet.py`` declares in
the inventory for netchecks. What testinfra has a module for is asked of the module, everything else by one command.
"""

from __future__ import annotations

import json
import re
import time
from ipaddress import ip_address, ip_network
from typing import Any

from testinfra.host import Host

USER = "lab"
LINKS = ("mgmt0",)
SPEED = 10000
SUBNET, PREFIX_LENGTH = ip_network("10.99.0.0/16"), 16
ROUTES = (("10.99.0.0/16", "mgmt0"),)
SERVICES = ("ssh",)
TOOLS = ("ip", "bridge", "ping")
SYSCTLS = {"net.ipv4.ip_forward": 0}
#: What the inventory does not declare for this fleet, so that neither side asks for it.
GATEWAYS: tuple[str, ...] = ()
NAMES: tuple[str, ...] = ()

#: Counters grow or not over as long as netchecks waits at least (COUNTER_SECONDS).
BETWEEN_SECONDS = 1.0
NEARLY_FULL, BUSY = 0.9, 0.95
CLOCK_SECONDS = 2.0
FRESH = {"REACHABLE", "DELAY", "PROBE"}
ERRORS = ("errors", "over_errors", "missed_errors", "crc_errors", "frame_errors", "fifo_errors", "length_errors",
          "carrier_errors", "aborted_errors")
#: What carries packets, by package: the unit that runs it.
RUNS_AS = {"openvswitch-switch": "ovs-vswitchd", "libvirt-daemon": "libvirtd", "frr": "frr", "dnsmasq": "dnsmasq"}


def address_of(host: Host) -> str:
    return str(host.backend.host.name)


def ip_json(host: Host, command: str, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.check_output(f"ip -j {command}", *args) or "[]")
    return found


def test_node_answers(host: Host) -> None:
    assert host.user().name == USER
    with host.sudo():
        assert host.user().name == "root"


def test_node_has_tools(host: Host) -> None:
    for tool in TOOLS:
        assert host.find_command(tool)  # host.exists() does not look into /usr/sbin


def test_selinux_is_known(host: Host) -> None:
    enforce = host.file("/sys/fs/selinux/enforce")
    apparmor = host.run("cat /sys/module/apparmor/parameters/enabled").stdout.strip() == "Y"
    if enforce.exists or apparmor:
        with host.sudo():
            denials = host.run("journalctl -q -b -o cat _TRANSPORT=audit + _TRANSPORT=kernel").stdout
        assert not re.search(r'(avc: +denied|apparmor="DENIED").*comm="(sshd|dnsmasq|NetworkManager|libvirtd)"', denials)


def test_link_is_up(host: Host) -> None:
    for name in LINKS:
        interface = host.interface(name)
        assert interface.exists
        (link,) = interface.link  # a list, whatever its documentation says
        assert {"UP", "LOWER_UP"} <= set(link["flags"])


def counted(host: Host, name: str) -> dict[str, int]:
    (link,) = ip_json(host, "-s -s link show dev %s", name)
    stats = link["stats64"]
    return {f"{way}_{error}": stats[way][error] for way in ("rx", "tx") for error in ERRORS if error in stats[way]}


def test_link_counts_no_errors(host: Host) -> None:
    for name in LINKS:
        before = counted(host, name)
        time.sleep(BETWEEN_SECONDS)
        assert counted(host, name) == before


def test_link_speed_and_duplex(host: Host) -> None:
    for name in LINKS:
        assert host.interface(name).speed >= SPEED
        assert host.file(f"/sys/class/net/{name}/duplex").content_string.strip() == "full"


def test_bond_has_active_slaves(host: Host) -> None:
    for name in LINKS:
        bond = host.file(f"/proc/net/bonding/{name}")
        if bond.exists:
            states = re.findall(r"^MII Status: (\w+)", bond.content_string, re.MULTILINE)
            assert set(states) == {"up"}


def test_address_is_present(host: Host) -> None:
    assert address_of(host) in host.interface(LINKS[0]).addresses
    (link,) = ip_json(host, "address show dev %s", LINKS[0])  # the module tells no prefix length
    own = next(item for item in link["addr_info"] if item["local"] == address_of(host))
    assert own["prefixlen"] == PREFIX_LENGTH
    assert not own.get("dadfailed")


def test_address_is_only_one(host: Host) -> None:
    inside = [address for address in host.interface(LINKS[0], "inet").addresses if ip_address(address) in SUBNET]
    assert inside == [address_of(host)]


def test_address_is_unique(host: Host) -> None:
    seen: dict[str, set[str]] = {}
    for item in ip_json(host, "neighbour show"):
        if FRESH & set(item["state"]) and "lladdr" in item:
            seen.setdefault(item["dst"], set()).add(item["lladdr"])
    assert address_of(host) not in seen
    assert all(len(macs) == 1 for macs in seen.values())


def test_sysctl_allows_forwarding(host: Host) -> None:
    for key, value in SYSCTLS.items():
        assert host.sysctl(key) == value


def lost(host: Host) -> list[str]:
    with host.sudo():
        return re.findall(r"\b(?:drop|insert_failed)=\d+", host.check_output("conntrack -S"))


def test_conntrack_has_room(host: Host) -> None:
    if host.file("/proc/sys/net/netfilter/nf_conntrack_count").exists:
        assert host.sysctl("net.netfilter.nf_conntrack_count") < NEARLY_FULL * host.sysctl("net.netfilter.nf_conntrack_max")
        before = lost(host)
        time.sleep(BETWEEN_SECONDS)
        assert lost(host) == before


def limit(host: Host, name: str) -> float:
    """These are not in every network namespace."""
    file = host.file(f"/proc/sys/net/ipv4/{name}")
    return float(file.content_string.split()[-1]) if file.exists else float("inf")


def test_ports_have_room(host: Host) -> None:
    words = re.findall(r"^TCP: inuse (\d+) orphan (\d+) tw (\d+) alloc \d+ mem (\d+)",
                       host.file("/proc/net/sockstat").content_string, re.MULTILINE)[0]
    used, orphans, waiting, memory = map(int, words)
    assert orphans < NEARLY_FULL * limit(host, "tcp_max_orphans")
    assert memory < NEARLY_FULL * limit(host, "tcp_mem")
    low, high = map(int, host.sysctl("net.ipv4.ip_local_port_range").split())
    assert used + waiting < NEARLY_FULL * (high - low)


def dropped(host: Host) -> list[int]:
    return [int(line.split()[1], 16) for line in host.file("/proc/net/softnet_stat").content_string.splitlines()]


def softirq(host: Host) -> list[tuple[int, int]]:
    cpus = re.findall(r"^cpu\d+ (.*)", host.file("/proc/stat").content_string, re.MULTILINE)
    return [(int(times.split()[6]), sum(map(int, times.split()[:8]))) for times in cpus]


def test_node_is_not_overloaded(host: Host) -> None:
    drops, before = dropped(host), softirq(host)
    time.sleep(BETWEEN_SECONDS)
    assert dropped(host) == drops
    for (busy, total), (first, start) in zip(softirq(host), before, strict=True):
        assert busy - first <= BUSY * (total - start)


def test_route_is_present(host: Host) -> None:
    for destination, device in ROUTES:
        ways = [route for route in host.interface(device).routes() if route["dst"] == destination]
        assert ways
        assert ways[0].get("type", "unicast") == "unicast"
        assert not {"dead", "linkdown"} & set(ways[0]["flags"])


def test_route_default_is_present(host: Host) -> None:
    for gateway in GATEWAYS:
        assert any(way.get("gateway") == gateway for way in ip_json(host, "route show default"))


def test_service_is_active(host: Host) -> None:
    for name in SERVICES:
        service = host.service(name)
        assert service.is_running
        assert service.systemd_properties["NRestarts"] == "0"


def test_node_resolves_names(host: Host) -> None:
    for name in NAMES:
        assert host.addr(name).is_resolvable


def test_node_clock_is_right(host: Host) -> None:
    before = time.time()
    told = float(host.check_output("date +%s.%N"))
    assert before - CLOCK_SECONDS <= told <= time.time() + CLOCK_SECONDS


def test_services_run_what_is_installed(host: Host) -> None:
    log = host.file("/var/log/dpkg.log")
    changes = log.content_string.splitlines() if log.exists else []
    for package, unit in RUNS_AS.items():
        upgraded = [" ".join(line.split()[:2]) for line in changes if f" upgrade {package}:" in line]
        started = host.service(unit).systemd_properties.get("ExecMainStartTimestamp", "")
        assert not upgraded or not started or started.split()[1:3] >= upgraded[-1].split()
