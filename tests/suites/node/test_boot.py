"""suites/node/test_boot.py, called with what the script prints of files and what real tools print of the rest."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from netchecks.errors import NotSeen
from netchecks.models.subjects import Attachment, Connection, DeclaredRoute, Link, Network, Subnet
from netchecks.observe import OBSERVATIONS
from suites.node import test_boot as checks
from tests.suites.node.given import UNSEEN, by, inventory, link, node, wrong

ADDRESSES = (link("br0", "10.20.0.11/24", "fd20::11/64"),)
NODE = node(links=ADDRESSES)
LINK = Link("node1:br0", NODE, "br0", "bridge")
UP = "<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP"
SUBNETS = (Subnet(ip_network("10.20.0.0/24"), ip_address("10.20.0.1")), Subnet(ip_network("fd20::/64"), ip_address("fd20::1")))


def network(kind="switching", **fields):
    end = Attachment(NODE, "br0" if kind != "ip-fabric" else "", "eth0")
    return Network("lan", kind, (end,), **{"subnets": SUBNETS, **fields})


LAN, ROUTED, FABRIC = network(), network("routing"), network("ip-fabric")


def links(more=""):
    return by("links", node1=(
        f"3: eth0: {UP}\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff\n"
        f"4: br0: {UP}\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff\n    bridge forward_delay 0\n{more}"
    ))


def addresses(flags=""):
    return by("addresses", node1=(
        f"4: br0: {UP}\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff\n"
        f"    inet 10.20.0.11/24 brd 10.20.0.255 scope global {flags} br0\n       valid_lft forever preferred_lft forever\n"
        "    inet6 fd20::11/64 scope global\n       valid_lft forever preferred_lft forever\n"
    ))


def routes(v4="default via 10.20.0.1 dev br0 proto static", v6="default via fd20::1 dev br0 proto static metric 1024 pref medium"):
    return by("routes", node1=f"@4\n{v4}\n@6\n{v6}\n")


UNIT = "@unit {} ActiveState=active LoadState=loaded UnitFileState=enabled \n"


def printed(*files, units=("networking",), netplan=False, unread=""):
    """Give what the script prints of these (system, path, text)."""
    text = "".join(UNIT.format(unit) for unit in units)
    for name in {"networking", "network", "NetworkManager", "systemd-networkd"} - set(units):
        text += f"@unit {name} ActiveState=inactive LoadState=not-found UnitFileState= \n"
    text += "@netplan\n" if netplan else ""
    for system, path, body in files:
        text += f"@file {system} 600 0 {path}\n" + "".join(f" {line}\n" for line in body.splitlines())
    return text + (f"@unread {unread}\n" if unread else "") + "@end\n"


def boot(text):
    return by("boot_configuration", node1=text)


IFUPDOWN = """\
auto br0
iface br0 inet static
address 10.20.0.11/24
gateway 10.20.0.1
bridge_ports eth0
iface br0 inet6 static
address fd20::11/64
gateway fd20::1"""
IFCFG_BR0 = """\
DEVICE=br0
TYPE=Bridge
ONBOOT=yes
BOOTPROTO=none
IPADDR=10.20.0.11
PREFIX=24
GATEWAY=10.20.0.1
IPV6ADDR=fd20::11/64
IPV6_DEFAULTGW=fd20::1"""
IFCFG_ETH0 = "DEVICE=eth0\nHWADDR=02:20:00:00:00:11\nONBOOT=yes\nBOOTPROTO=none\nBRIDGE=br0"
KEYFILE_BR0 = """\
[connection]
id=vms
uuid=1-2
type=bridge
interface-name=br0
[ipv4]
method=manual
address1=10.20.0.11/24,10.20.0.1
[ipv6]
method=manual
address1=fd20::11/64
gateway=fd20::1"""
KEYFILE_ETH0 = "[connection]\nid=port\ntype=ethernet\ninterface-name=eth0\nmaster=1-2\nslave-type=bridge"
NETWORKD = [
    ("networkd", "/etc/systemd/network/a.netdev", "[NetDev]\nName=br0\nKind=bridge"),
    ("networkd", "/etc/systemd/network/b.network", "[Match]\nMACAddress=02:20:00:00:00:11\nName=e*\n[Network]\nBridge=br0"),
    ("networkd", "/etc/systemd/network/c.network",
     "[Match]\nName=br0\n[Network]\nAddress=10.20.0.11/24\nAddress=fd20::11/64\nGateway=10.20.0.1\nGateway=fd20::1\nIPv6AcceptRA=no"),
]
NETPLAN = """\
network:
  ethernets:
    up: {match: {macaddress: "02:20:00:00:00:11"}, set-name: eth0}
  bridges:
    br0:
      interfaces: [up]
      addresses: [10.20.0.11/24, "fd20::11/64"]
      routes: [{to: default, via: 10.20.0.1}, {to: default, via: "fd20::1"}]
      accept-ra: false"""
DEBIAN = ("ifupdown", "/etc/network/interfaces", IFUPDOWN)
SCRIPTS = "/etc/sysconfig/network-scripts"
CENTOS = [("ifcfg", f"{SCRIPTS}/ifcfg-br0", IFCFG_BR0), ("ifcfg", f"{SCRIPTS}/ifcfg-eth0", IFCFG_ETH0)]
KEYS = "/etc/NetworkManager/system-connections"
NM = [("keyfile", f"{KEYS}/vms.nmconnection", KEYFILE_BR0), ("keyfile", f"{KEYS}/port.nmconnection", KEYFILE_ETH0)]
UBUNTU = ("netplan", "/etc/netplan/a.yaml", NETPLAN)

#: The same bridge with its uplink, addresses and routes, as each system has it.
SAME = {
    "ifupdown": printed(DEBIAN),
    "initscripts": printed(*CENTOS, units=("network",)),
    "networkmanager-ifcfg": printed(*CENTOS, units=("NetworkManager",)),
    "keyfiles": printed(*NM, units=("NetworkManager",)),
    "networkd": printed(*NETWORKD, units=("systemd-networkd",)),
    "netplan": printed(UBUNTU, units=("systemd-networkd",), netplan=True),
    "no-systemd": printed(DEBIAN, units=()).replace("LoadState=not-found", "LoadState=loaded").replace("@file", "@rc /etc/rcS.d/S12networking\n@file", 1),
}


def edited(system, *changes):
    text = SAME[system]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return boot(text)


def judge_all(facts, subject=LAN, end=LINK, run=None):
    checks.test_config_matches_runtime(subject, NODE, facts, links())
    checks.test_config_has_addresses(end, facts, links(), run or addresses())
    checks.test_config_has_routes(NODE, inventory(NODE, networks=(subject,)), facts, links(), routes())
    checks.test_config_is_of_one_system(end, facts, links())


@pytest.mark.parametrize("system", SAME)
def test_what_says_what_runs_passes(system):
    judge_all(boot(SAME[system]))


@pytest.mark.parametrize(("system", "old", "new"), [
    ("ifupdown", "bridge_ports eth0", "bridge_ports none"),
    ("ifupdown", "bridge_ports eth0", "bridge_ports regex vnet.* noregex eth1"),
    ("initscripts", " BRIDGE=br0\n", ""),
    ("networkmanager-ifcfg", " BRIDGE=br0\n", " BRIDGE=br1\n"),
    ("keyfiles", "master=1-2", "master=2-3"),
    ("networkd", "Bridge=br0", "Bridge=br1"),
    ("netplan", "interfaces: [up]", "interfaces: []"),
])
def test_the_uplink_is_missed_in_the_bridge(system, old, new):
    with wrong("boot.uplink_not_in_bridge", "eth0", "expected of br0"):
        checks.test_config_matches_runtime(LAN, NODE, edited(system, (old, new)), links())


@pytest.mark.parametrize(("system", "old", "new"), [
    ("ifupdown", "auto br0", "allow-ovs br0"),
    ("initscripts", "TYPE=Bridge\n ONBOOT=yes", "TYPE=Bridge\n ONBOOT=no"),
    ("initscripts", "11\n ONBOOT=yes\n BOOTPROTO=none\n BRIDGE", "11\n ONBOOT=no\n BOOTPROTO=none\n BRIDGE"),
    ("keyfiles", "interface-name=eth0", "interface-name=eth0\n autoconnect=false"),
    ("networkd", "[Match]\n Name=br0", "[Match]\n Name=br0\n [Link]\n ActivationPolicy=manual"),
    ("netplan", "accept-ra: false", "activation-mode: manual"),
])
def test_what_is_not_started_is_named(system, old, new):
    with wrong("boot.not_started"):
        checks.test_config_matches_runtime(LAN, NODE, edited(system, (old, new)), links())


def test_ports_that_their_bridge_starts_need_not_start_themselves():
    facts = edited("keyfiles", ("interface-name=eth0", "interface-name=eth0\n autoconnect=false"), ("type=bridge\n interface", "type=bridge\n autoconnect-slaves=1\n interface"))
    checks.test_config_matches_runtime(LAN, NODE, facts, links())


@pytest.mark.parametrize("uplink", ["iface eth0 inet dhcp", "iface eth0 inet static\naddress 10.20.0.11/24"])
def test_an_uplink_alone_is_a_missing_bridge(uplink):
    with wrong("boot.bridge_missing", "no file makes br0", "configures eth0 alone"):
        checks.test_config_matches_runtime(LAN, NODE, boot(printed(("ifupdown", "/etc/network/interfaces", f"auto eth0\n{uplink}"))), links())


@pytest.mark.parametrize("text", [
    printed(),
    printed(("ifupdown", "/etc/network/interfaces", "auto lo\niface lo inet loopback")),
    printed(("ifupdown", "/etc/network/interfaces", "auto eth0\niface eth0 inet manual")),  # a script makes the bridge
    printed(("networkd", "/etc/systemd/network/a.network", "[Match]\nName=e*\n[Network]\nDHCP=yes"), units=("systemd-networkd",)),
    printed(("networkd", "/etc/systemd/network/a.network", "[Match]\nDriver=virtio_net\n[Network]\nDHCP=yes"), units=("systemd-networkd",)),
    printed(DEBIAN, units=()),  # nothing acts on the file
    printed(UBUNTU, units=("systemd-networkd",)),  # netplan is not installed
    printed(("ifupdown", "/etc/network/interfaces", IFUPDOWN.replace("ports eth0", "ports none")), unread="ifupdown /etc/network/more"),
    printed(("ifupdown", "/etc/network/interfaces", IFUPDOWN.replace("ports eth0", "ports none") + "\nup (hidden)")),
    printed(("ifupdown", "/etc/network/interfaces", IFUPDOWN.replace("ports eth0", "ports all"))),
    printed(*CENTOS, *NM, units=("NetworkManager",)),  # two connections for one device
    "@file ifupdown 600 0 /etc/network/interfaces\n auto br0\n iface br0 inet manual\n@file networkd 600 0 /etc/systemd/network/a.network\n [Match]\n Name=br0\n@end\n",
])
def test_what_cannot_be_told_is_unknown(text):
    with pytest.raises(NotSeen) as caught:
        checks.test_config_matches_runtime(LAN, NODE, boot(text), links())
    assert caught.value.cause == "boot.not_known"


WIRELESS = ("networkd", "/usr/lib/systemd/network/80-wifi-adhoc.network", "[Match]\nType=wlan\nWLANInterfaceType=ad-hoc\n[Network]\nLinkLocalAddressing=yes")


def test_what_systemd_ships_for_wireless_devices_is_for_no_other():
    networkd = printed(WIRELESS, units=("systemd-networkd",))
    (shipped,) = OBSERVATIONS["boot_configuration"].parse(networkd).interfaces
    assert [shipped.is_for(name, None) for name in ("eth0", "lo", "br0", "wlp3s0")] == [False, False, False, None]
    either = replace(shipped, types=frozenset({"wlan", "ether"}))
    assert [either.is_for(name, None) for name in ("eth0", "wlan0")] == [None, None]


def test_a_bond_that_no_file_makes_is_missed():
    lan = replace(LAN, attachments=(Attachment(NODE, "br0", "bond0"),))
    facts = edited("ifupdown", ("bridge_ports eth0", "bridge_ports bond0"))
    checks.test_config_matches_runtime(lan, NODE, facts, links())  # nothing is known of its kind
    bond = f"5: bond0: {UP}\n    link/ether 02:20:00:00:00:15 brd ff:ff:ff:ff:ff:ff\n    bond mode 802.3ad miimon 100\n"
    with wrong("boot.uplink_missing", "no file makes bond0"):
        checks.test_config_matches_runtime(lan, NODE, facts, links(bond))


def test_a_smaller_mtu_at_boot_is_named():
    facts = edited("ifupdown", ("bridge_ports eth0", "bridge_ports eth0\n mtu 1400"))
    with wrong("boot.mtu_too_small", "gives br0 MTU 1400, expected 1500"):
        checks.test_config_matches_runtime(LAN, NODE, facts, links())
    checks.test_config_matches_runtime(LAN, NODE, edited("ifupdown", ("bridge_ports eth0", "bridge_ports eth0\n mtu 1496")), links())


@pytest.mark.parametrize("subject", [ROUTED, FABRIC])
def test_an_uplink_in_a_bridge_is_wrong_where_vms_are_routed(subject):
    with wrong("boot.uplink_in_bridge", "makes eth0 a port of ['br0']", "expected of no bridge"):
        checks.test_config_matches_runtime(subject, NODE, boot(SAME["initscripts"]), links())


def test_a_routed_bridge_without_the_uplink_passes():
    judge_all(edited("ifupdown", ("bridge_ports eth0", "bridge_ports none")), ROUTED)
    checks.test_config_matches_runtime(FABRIC, NODE, boot(printed(("ifupdown", "/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp"))), links())


@pytest.mark.parametrize(("system", "old", "new", "code", "words"), [
    ("ifupdown", "address fd20::11/64", "address fd20::12/64", "boot.address_other", ("['fd20::12/64'], expected fd20::11/64",)),
    ("initscripts", " IPADDR=10.20.0.11\n", "", "boot.address_missing", ("no IPv4 address, expected 10.20.0.11/24",)),
    ("keyfiles", "10.20.0.11/24", "10.20.0.11/16", "boot.address_wrong_prefix", ("['10.20.0.11/16']",)),
    ("netplan", '10.20.0.11/24, "fd20', '"fd20', "boot.address_missing", ("expected 10.20.0.11/24",)),
    ("initscripts", "BOOTPROTO=none\n IPADDR", "BOOTPROTO=dhcp\n IPADDR", "boot.dhcp_and_static", ("10.20.0.11/24 and asks for one by DHCP",)),
    ("ifupdown", "bridge_ports eth0", "bridge_ports eth0\n iface br0 inet dhcp", "boot.dhcp_and_static", ()),
    ("keyfiles", "[ipv4]\n method=manual", "[ipv4]\n method=auto", "boot.dhcp_and_static", ()),
    ("networkd", "Name=br0\n [Network]", "Name=br0\n [Network]\n DHCP=ipv4", "boot.dhcp_and_static", ()),
    ("netplan", "accept-ra: false", "dhcp4: true", "boot.dhcp_and_static", ()),
])
def test_addresses_that_differ_are_named(system, old, new, code, words):
    with wrong(code, *words):
        checks.test_config_has_addresses(LINK, edited(system, (old, new)), links(), addresses())


def test_dhcp_alone_may_give_the_address():
    facts = edited("initscripts", ("BOOTPROTO=none\n IPADDR=10.20.0.11\n PREFIX=24\n GATEWAY=10.20.0.1\n", "BOOTPROTO=dhcp\n"))
    judge_all(facts)


def test_dhcp_of_another_subnet_is_no_second_address_of_one():
    facts = edited("ifupdown", ("bridge_ports eth0", "bridge_ports eth0\n iface br0 inet dhcp"))
    leased = by("addresses", node1=(
        f"4: br0: {UP}\n    inet 10.20.0.11/24 scope global br0\n       valid_lft forever preferred_lft forever\n"
        "    inet 192.0.2.7/24 scope global dynamic br0\n       valid_lft 300sec preferred_lft 300sec\n"
    ))
    checks.test_config_has_addresses(LINK, facts, links(), leased)


def test_a_router_may_give_an_ipv6_address_that_has_a_lifetime():
    facts = edited("netplan", (', "fd20::11/64"', ""), ("\n       accept-ra: false", ""))
    with wrong("boot.address_missing", "fd20::11/64"):
        checks.test_config_has_addresses(LINK, facts, links(), addresses())
    dynamic = by("addresses", node1=f"4: br0: {UP}\n    inet6 fd20::11/64 scope global dynamic mngtmpaddr\n       valid_lft 9sec preferred_lft 9sec\n")
    checks.test_config_has_addresses(LINK, facts, links(), dynamic)


@pytest.mark.parametrize(("system", "old"), [
    ("ifupdown", " gateway 10.20.0.1\n"), ("initscripts", " GATEWAY=10.20.0.1\n"), ("keyfiles", ",10.20.0.1"), ("networkd", " Gateway=10.20.0.1\n"),
    ("netplan", "{to: default, via: 10.20.0.1}, "),
])
def test_a_default_route_that_runs_and_is_not_configured_is_named(system, old):
    facts, site = edited(system, (old, "")), inventory(NODE, networks=(LAN,))
    with wrong("boot.route_missing", "0.0.0.0/0 via 10.20.0.1"):
        checks.test_config_has_routes(NODE, site, facts, links(), routes())
    for given in ("default via 10.20.0.1 dev br0 proto dhcp", "default via 10.20.0.1 dev br0 proto zebra", "", "default via 192.0.2.1 dev eth9"):
        checks.test_config_has_routes(NODE, site, facts, links(), routes(given))


@pytest.mark.parametrize(("text", "more"), [
    (SAME["ifupdown"], "up ip route add 10.30.0.0/16 via 10.20.0.2 dev br0"),
    (SAME["ifupdown"], "up /sbin/route add -net 10.30.0.0 netmask 255.255.0.0 gw 10.20.0.2"),
])
def test_a_declared_route_is_looked_for(text, more):
    subject = node(links=ADDRESSES, routes=(DeclaredRoute(ip_network("10.30.0.0/16"), ip_address("10.20.0.2")),))
    with wrong("boot.route_missing", "10.30.0.0/16 via 10.20.0.2"):
        checks.test_config_has_routes(subject, inventory(subject), boot(text), links(), routes())
    checks.test_config_has_routes(subject, inventory(subject), boot(text.replace(" bridge_ports", f" {more}\n bridge_ports")), links(), routes())


def test_a_route_on_the_link_comes_with_its_address():
    subject = node(links=ADDRESSES, routes=(DeclaredRoute(ip_network("10.20.0.0/24"), None, "br0"),))
    checks.test_config_has_routes(subject, inventory(subject), boot(SAME["ifupdown"]), links(), routes())


def test_routes_of_an_interface_that_nothing_is_known_of_are_unknown():
    with pytest.raises(NotSeen, match="no file that was read is about br0"):
        checks.test_config_has_routes(NODE, inventory(NODE, networks=(LAN,)), boot(printed()), links(), routes())


OTHER = ("networkd", "/etc/systemd/network/c.network", "[Match]\nName=br0\n[Network]\nDHCP=ipv4")


def test_two_systems_that_differ_are_named():
    with wrong("boot.two_systems", "/etc/network/interfaces (ifupdown)", "c.network (networkd)"):
        checks.test_config_is_of_one_system(LINK, boot(printed(DEBIAN, OTHER, units=("networking", "systemd-networkd"))), links())


@pytest.mark.parametrize("text", [
    printed(DEBIAN, OTHER),  # networkd is not switched on
    printed(DEBIAN, *NETWORKD, units=("networking", "systemd-networkd")),  # both say the same
    printed(DEBIAN, ("keyfile", f"{KEYS}/a.nmconnection", "[connection]\nid=a\ntype=ethernet\n[ipv4]\nmethod=auto"), units=("networking", "NetworkManager")),
    printed(DEBIAN, ("networkd", "/etc/systemd/network/z.network", "[Match]\nName=*\n[Network]\nDHCP=yes"), units=("networking", "systemd-networkd")),
    printed(UBUNTU, ("networkd", "/run/systemd/network/10-netplan-br0.network", "[Match]\nName=br0\n[Network]\nDHCP=ipv4"), units=("systemd-networkd",), netplan=True),
])
def test_one_system_is_enough(text):
    checks.test_config_is_of_one_system(LINK, boot(text), links())


def test_a_keyfile_that_networkmanager_ignores_is_named():
    text = SAME["keyfiles"].replace(f"600 0 {KEYS}/vms", f"644 0 {KEYS}/vms")
    with wrong("boot.file_ignored", "NetworkManager ignores", "its mode is 644, expected 600"):
        checks.test_config_is_of_one_system(LINK, boot(text), links())
    with wrong("boot.file_ignored", "its owner is user 1000"):
        checks.test_config_is_of_one_system(LINK, boot(SAME["keyfiles"].replace(f"600 0 {KEYS}/vms", f"600 1000 {KEYS}/vms")), links())


def test_what_has_no_boot_of_its_own_is_not_judged():
    inside = replace(NODE, connection=Connection("netns"))
    facts = by("boot_configuration", node1=UNSEEN)
    lan = replace(LAN, attachments=(Attachment(inside, "br0", "eth0"),))
    checks.test_config_matches_runtime(lan, inside, facts, links())
    checks.test_config_has_addresses(replace(LINK, node=inside), facts, links(), addresses())
    checks.test_config_has_routes(inside, inventory(inside, networks=(lan,)), facts, links(), routes())
    checks.test_config_is_of_one_system(replace(LINK, node=inside), facts, links())


def test_files_that_could_not_be_read_are_unknown():
    with pytest.raises(NotSeen):
        judge_all(by("boot_configuration", node1=UNSEEN))


def test_open_vswitch_keeps_its_bridges_itself():
    ovs = by("links", node1=f"4: br0: {UP}\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff\n    openvswitch addrgenmode eui64\n")
    checks.test_config_matches_runtime(LAN, NODE, boot(printed()), ovs)
