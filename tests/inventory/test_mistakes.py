"""Every mistake in a field or a reference: its place, what was found, what was expected, the near miss."""

import pytest

from netchecks.errors import InventoryError, Problem

BASE = """\
nodes:
  admin: {connection: local, roles: [controller]}
  node1: {address: 10.99.0.11%s}
networks:
  lan: {kind: switching, bridge: br0, subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}, {cidr: "fd20::/64"}]%s}
vms:
  vm42: {node: node1, interfaces: [{network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142]%s}]%s}
%s
"""

#: By where it is added: what is added, and the message without file, line and column.
IN_NODE = [
    ("usr: ops", ("found the field 'usr', expected one of connection, address, port, user, sudo, jump, identity, ssh_config, roles, "
     "links, routes, services, tools, names_inside, names_outside, sysctl, platform; did you mean 'user'?")),
    ("connection: shh", ("found 'shh', expected one of ssh, local, netns, safe-ssh, paramiko, salt, docker, podman, ansible, kubectl, "
     "winrm, lxc, openshift, chroot; did you mean 'ssh'?")),
    ("port: 70000", "found '70000', expected a port from 1 to 65535"),
    ("port: 0", "found '0', expected a port from 1 to 65535"),
    ("port: 022", "found '022', expected a port from 1 to 65535 in decimal digits, without a leading 0"),
    ("port: 0x16", "found '0x16', expected a port from 1 to 65535 in decimal digits, without a leading 0"),
    ("port: 1_000", "found '1_000', expected a port from 1 to 65535 in decimal digits, without a leading 0"),
    ("port: -22", "found '-22', expected a port from 1 to 65535"),
    ("port: ssh", "found 'ssh', expected a port from 1 to 65535"),
    ("port: [22]", "found a list, expected a port from 1 to 65535"),
    ("port: \uff12\uff12", "found '\uff12\uff12', expected a port from 1 to 65535"),
    ("sudo: maybe", "found 'maybe', expected true or false"),
    ("sudo: {}", "found a mapping, expected true or false"),
    ("user: {n}", "found a mapping, expected the name of a user; a value that begins with '{' needs quotes"),
    ("user: a b", "found 'a b', expected the name of a user"),
    ("user: -oProxyCommand=reboot", ("found '-oProxyCommand=reboot', expected the name of a user (it must not begin with '-': a tool "
     "would take it for an option)")),
    ("user: ''", "found '', expected the name of a user"),
    ("jump: -J", ("found '-J', expected a node or what ssh -J takes: [user@]host[:port] (it must not begin with '-': a tool would take "
     "it for an option)")),
    ("jump: node1", "found 'node1', but the way to it leads in a circle over 'node1'"),
    ("identity: [a]", "found a list, expected text"),
    ("roles: hypervisor", "found 'hypervisor', expected a list ('[a, b]', or lines that begin with '- ')"),
    ("roles: {a: b}", "found a mapping, expected a list ('[a, b]', or lines that begin with '- ')"),
    ("roles: [a b]", "found 'a b', expected the name of a role"),
    ("services: ['; rm -rf /']", "found '; rm -rf /', expected the name of a systemd unit"),
    ("services: [$(reboot)]", "found '$(reboot)', expected the name of a systemd unit"),
    ("tools: [/bin/ip]", "found '/bin/ip', expected the name of a command, without its path"),
    ("names_inside: [-a.example]", ("found '-a.example', expected a DNS name (an international one in its xn-- form) (it must not begin "
     "with '-': a tool would take it for an option)")),
    ("names_outside: [a..b]", "found 'a..b', expected a DNS name (an international one in its xn-- form)"),
    ("names_outside: [тест.рф]", "found 'тест.рф', expected a DNS name (an international one in its xn-- form)"),
    ("sysctl: {../../etc/shadow: 1}", "found '../../etc/shadow', expected a sysctl key such as net.ipv4.ip_forward"),
    ("sysctl: [a]", "found a list, expected a mapping"),
    ("sysctl: {net.ipv4.ip_forward: [1]}", "found a list, expected text"),
    ("links: [eth0]", "found a list, expected a mapping"),
    ("links: {eth0: fast}", "found 'fast', expected a mapping of fields"),
    ("links: {eth0: {sped: 1}}", "found the field 'sped', expected one of speed, addresses; did you mean 'speed'?"),
    ("links: {interface-name-16: {}}", "found 'interface-name-16', expected the name of an interface, at most 15 bytes long"),
    ("links: {a/b: {}}", "found 'a/b', expected the name of an interface, without spaces, '/' and ':'"),
    ("links: {'a b': {}}", "found 'a b', expected the name of an interface, without spaces, '/' and ':'"),
    ("links: {..: {}}", "found '..', expected the name of an interface, without spaces, '/' and ':'"),
    ("links: {eth0: {addresses: [10.0.0.1]}}", "found '10.0.0.1', expected an address with its prefix length, such as 10.20.0.11/24"),
    ("links: {eth0: {addresses: [10.0.0.1/33]}}", "found '10.0.0.1/33', expected an address with its prefix length, such as 10.20.0.11/24"),
    ("routes: [{via: 10.0.0.1}]", "the field 'to' is missing"),
    ("routes: [{to: 10.0.0.0/8}]", "found a route without 'via' and 'dev', expected at least one of them"),
    ("routes: [{to: 'fd00::/8', via: 10.0.0.1}]", "found '10.0.0.1', expected an IPv6 gateway for fd00::/8"),
    ("routes: [{to: 10.0.0.1/8, dev: a}]", "found '10.0.0.1/8', expected a subnet without host bits; did you mean '10.0.0.0/8'?"),
    ("routes: [{to: everywhere, dev: a}]", "found 'everywhere', expected a subnet, an address or 'default'"),
]
IN_NETWORK = [
    ("brigde: br0", ("found the field 'brigde', expected one of kind, bridge, uplink, nodes, mtu, vlan, subnets, resolvers, probe_from, dhcp, "
     "advertised, routers, neutron, outside, nova; did you mean 'bridge'?")),
    ("mtu: 500", "found '500', expected an MTU in bytes from 576 to 65535"),
    ("mtu: 100000", "found '100000', expected an MTU in bytes from 576 to 65535"),
    ("mtu: 1000", "found '1000', expected at least 1280: the network has an IPv6 subnet"),
    ("vlan: 0", "found '0', expected a VLAN from 1 to 4094"),
    ("vlan: 4095", "found '4095', expected a VLAN from 1 to 4094"),
    ("uplink: br0", "found 'br0', which is the bridge itself, expected a port of it"),
    ("uplink: '; rm -rf /'", "found '; rm -rf /', expected the name of an interface, without spaces, '/' and ':'"),
    ("nodes: [nod1]", "found the node 'nod1', expected one of admin, node1; did you mean 'node1'?"),
    ("nodes: [node1, {node: node1}]", "found the node 'node1' again on the network 'lan'"),
    ("nodes: ['node[1-']", "the range 'node[1-' cannot be read: expected one range such as node[2-50] or node[1,3,7-9]"),
    ("nodes: [{node: node1, tap: x}]", "found the field 'tap', expected one of node, bridge, uplink"),
    ("probe_from: [amdin]", "found the node 'amdin', expected one of admin, node1; did you mean 'admin'?"),
    ("resolvers: [0.0.0.0]", "found '0.0.0.0', expected an IPv4 or IPv6 address of one host, this one is the unspecified one"),
    ("resolvers: [224.0.0.1]", "found '224.0.0.1', expected an IPv4 or IPv6 address of one host, this one is a group (multicast)"),
    ("resolvers: [dns.example]", "found 'dns.example', expected an IPv4 or IPv6 address"),
    ("resolvers: ['fe80::1%eth0']", "found 'fe80::1%eth0', expected an IPv4 or IPv6 address without a zone ('%...')"),
    ("dhcp: 10.20.0.2", "found '10.20.0.2', expected a mapping of fields"),
    ("dhcp: {servers: 10.20.0.2}", "found '10.20.0.2', expected a list ('[a, b]', or lines that begin with '- ')"),
    ("dhcp: {servers: [x]}", "found 'x', expected an IPv4 or IPv6 address"),
    ("dhcp: {servers: [{address: 10.20.0.2}]}", "found the field 'address', expected one of addresses, node, log; did you mean 'addresses'?"),
    ("dhcp: {servers: [{addresses: []}]}", "found a DHCP server without an address, expected those that it sends from"),
    ("dhcp: {servers: [{addresses: [10.20.0.2], node: nod1}]}", ("found the node 'nod1', expected one of admin, node1; did you mean "
     "'node1'?")),
    ("dhcp: {servers: [{addresses: [10.20.0.2], node: node1}, {addresses: [10.20.0.3], node: node1}]}",
     "found the node 'node1' again, expected all addresses of its server in one place"),
    ("dhcp: {servers: [{addresses: [10.20.0.2], log: dnsmasq.log}]}", "found 'dnsmasq.log', expected an absolute path, without spaces"),
    ("dhcp: {servers: ['fd20::2']}", "found 'fd20::2', expected the link-local address (fe80::...) that it sends from"),
    ("dhcp: {servers: [10.20.0.2], ranges: ['10.20.0.9-10.20.0.1']}", ("found '10.20.0.9-10.20.0.1', expected a range of addresses such as "
     "10.20.0.100-10.20.0.199, the smaller address first")),
    ("dhcp: {servers: [10.20.0.2], ranges: ['10.20.0.9-fd20::1']}", ("found '10.20.0.9-fd20::1', expected a range of addresses such as "
     "10.20.0.100-10.20.0.199, the smaller address first")),
    ("dhcp: {servers: [10.20.0.2], ranges: [10.30.0.1-10.30.0.9]}", ("found '10.30.0.1-10.30.0.9', expected a range inside a subnet of the "
     "network 'lan': 10.20.0.0/24, fd20::/64")),
    ("dhcp: {servers: [10.20.0.2], known_only: maybe}", "found 'maybe', expected true or false"),
    ("advertised: {routers: ['fd20::1']}", "found 'fd20::1', expected the link-local address (fe80::...) that it sends from"),
    ("advertised: {routers: [10.20.0.1]}", "found '10.20.0.1', expected the link-local IPv6 address that the router sends from"),
    ("advertised: {managd: true}", "found the field 'managd', expected one of routers, managed, other; did you mean 'managed'?"),
]
IN_INTERFACE = [
    ("adresses: []", "found the field 'adresses', expected one of network, mac, addresses, tap, floating; did you mean 'addresses'?"),
    ("tap: a-tap-of-sixteen", "found 'a-tap-of-sixteen', expected the name of an interface, at most 15 bytes long"),
    ("tap: ''", "found '', expected the name of an interface"),
]
IN_VM = [
    ("nod: node1", "found the field 'nod', expected one of node, domain, tcp, udp, answers_ping, runs, guest, names, interfaces; did you mean 'node'?"),
    ("tcp: [22, '22/tcp']", "found '22/tcp', expected a port from 1 to 65535 in decimal digits, without a leading 0"),
    ("udp: dns", "found 'dns', expected a port from 1 to 65535"),
    ("domain: --all", "found '--all', expected text (it must not begin with '-': a tool would take it for an option)"),
    ('domain: "a\\nb"', "found 'a\\nb', expected text on one line, of printable characters"),
    ("domain: '{n}'", "found the placeholder '{n}', but 'vm42' is no range such as vm42[1-9]"),
    ("runs: 1", "found '1', expected true or false"),
]
AT_END = [
    ("vmss: {}", "found the field 'vmss', expected one of version, defaults, nodes, networks, vms, flows, waivers; did you mean 'vms'?"),
    ("version: 2", "found '2', expected version 1; a newer netchecks may read it"),
    ("version: one", "found 'one', expected version 1"),
    ("flows: {from: admin}", "found a mapping, expected a list under 'flows' (lines that begin with '- ')"),
    ("defaults: [a]", "found a list, expected a mapping under 'defaults'"),
    ("defaults: {nodes: {}}", "found the field 'nodes', expected one of node, network, vm; did you mean 'node'?"),
    ("defaults: {vm: {rnus: false}}", ("found the field 'rnus', expected one of node, domain, tcp, udp, answers_ping, runs, guest, names, interfaces; "
     "did you mean 'runs'? (and 1 more from the same line)")),
    ("flows: [{from: admin, to: vm42}]", "found a flow without traffic, expected at least one of tcp, udp, icmp and throughput"),
    ("flows: [{from: admin, tcp: 1}]", "the field 'to' is missing"),
    ("flows: [{from: amin, to: vm42, tcp: 1}]", "found the node 'amin', expected one of admin, node1; did you mean 'admin'?"),
    ("flows: [{from: vm42, to: vm42, tcp: 1}]", "found the VM 'vm42', expected a node: commands run on nodes"),
    ("flows: [{from: admin, to: vm24, tcp: 1}]", "found the VM 'vm24', expected one of vm42; did you mean 'vm42'?"),
    ("flows: [{from: admin, to: vm42, tcp: 0}]", "found '0', expected a port from 1 to 65535"),
    ("flows: [{from: admin, to: vm42, tcp: 1, family: 5}]", "found '5', expected one of 4, 6"),
    ("flows: [{from: admin, to: vm42, tcp: 1, family: 6}]", "found 'vm42', which has no IPv6 address, expected a VM with one"),
    ("flows: [{from: admin, to: 10.30.0.1, tcp: 1}]", "found '10.30.0.1', expected an address in a subnet of a network"),
    ("flows: [{from: admin, to: 10.20.0.1, network: lam, tcp: 1}]", "found the network 'lam', expected one of lan; did you mean 'lan'?"),
    ("flows: [{from: admin, to: vm42, tcp: 1, name: 'a::b'}]", ("found 'a::b', expected a name of letters, digits and . _ @ + ~ - "
     "(at most 100, beginning with a letter or digit)")),
    ("flows: [{from: admin, to: vm42, throughput: 900 Mbit/s}]", ("found 'vm42', where no throughput can be measured, expected a VM whose "
     "inside can be entered (the field 'guest'), with a POSIX shell")),
    ("flows: [{from: admin, to: 10.20.0.1, throughput: 900 Mbit/s}]",
     "found '10.20.0.1', where no throughput can be measured, expected the address of a link of a node"),
    ("flows: [{from: admin, to: vm42, throughput: fast}]", "found 'fast', expected a rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s"),
    ("flows: [{from: admin, to: vm42, throughput: 900}]", "found '900', expected a rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s"),
    ("flows: [{from: admin, to: vm42, throughput: 900 MB/s}]",
     "found '900 MB/s', expected a rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s"),
    ("flows: [{from: admin, to: vm42, throughput: 11 Tbit/s}]",
     "found '11 Tbit/s', expected a rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s, of whole bit/s up to 10 Tbit/s"),
    ("flows: [{from: admin, to: vm42, throughput: {rate: 0.5 bit/s}}]",
     "found '0.5 bit/s', expected a rate with its unit, such as 900 Mbit/s or 2.5 Gbit/s, of whole bit/s up to 10 Tbit/s"),
    ("flows: [{from: admin, to: vm42, throughput: {back: 1 Mbit/s}}]", "the field 'rate' is missing"),
    ("flows: [{from: admin, to: vm42, throughput: {rate: 1 Mbit/s, port: 0}}]", "found '0', expected a port from 1 to 65535"),
    ("flows: [{from: admin, to: vm42, throughput: {rate: 1 Mbit/s, bak: 1 Mbit/s}}]",
     "found the field 'bak', expected one of rate, back, port; did you mean 'back'?"),
    ("flows:\n- {from: admin, to: vm42, tcp: 1}\n- {from: admin, to: vm42, tcp: 1}",
     "found the flow 'admin-to-vm42-tcp1-ipv4' again, it is already at 0:9:3"),
    ("waivers: [{check: a, subject: b}]", "the field 'reason' is missing"),
    ("waivers: [{check: a, subject: b, reason: ''}]", "found '', expected a sentence that says why"),
    ("waivers: [{check: a, subject: b, reason: c, until: soon}]", "found 'soon', expected a day such as 2027-01-31"),
    ("waivers: [{check: a, subject: b, reason: c, until: 2027-02-30}]", "found '2027-02-30', expected a day such as 2027-01-31"),
    ("waivers: [{check: a, subject: b, reason: c, until: 2027-01-31 12:00}]",
     "found '2027-01-31 12:00', expected a day such as 2027-01-31, without a time"),
    ("waivers: [{check: a, subject: 'n[5-2]', reason: c}]",
     "the range 'n[5-2]' cannot be read: goes from 5 down to 2, expected the smaller number first"),
]
CASES = (
    [((f", {added}", "", "", "", ""), said) for added, said in IN_NODE]
    + [(("", f", {added}", "", "", ""), said) for added, said in IN_NETWORK]
    + [(("", "", f", {added}", "", ""), said) for added, said in IN_INTERFACE]
    + [(("", "", "", f", {added}", ""), said) for added, said in IN_VM]
    + [(("", "", "", "", added), said) for added, said in AT_END]
)


def test_the_base_of_these_cases_has_no_mistake(read):
    assert [str(vm) for vm in read(BASE % (("",) * 5)).vms] == ["vm42"]


@pytest.mark.parametrize(("added", "said"), CASES, ids=[" ".join(filter(None, added)) for added, _ in CASES])
def test_one_mistake_is_one_message(mistakes, added, said):
    assert [found.split(": ", 1)[1] for found in mistakes(BASE % added)] == [said]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("10.20.0.142", "10.30.0.142", "7:89: found '10.30.0.142', expected an address of the network 'lan': 10.20.0.0/24, fd20::/64"),
        ("10.20.0.142", '"fd30::1"', "7:89: found 'fd30::1', expected an address of the network 'lan': 10.20.0.0/24, fd20::/64"),
        ("10.20.0.142", "10.20.0.142/24", ("7:89: found '10.20.0.142/24', expected an IPv4 or IPv6 address without a prefix length: that "
         "comes from the subnet")),
        ("10.20.0.142", "10.20.0.0142", "7:89: found '10.20.0.0142', expected an IPv4 or IPv6 address"),
        ("10.20.0.142", "10.20.0.042", "7:89: found '10.20.0.042', expected an IPv4 or IPv6 address (leading zeros are ambiguous)"),
        ("10.20.0.142", "10.20.0.255", ("7:89: found '10.20.0.255', which is the network's or the broadcast address of 10.20.0.0/24, "
         "expected a host's")),
        ("10.20.0.142", '"fd20::"', "7:89: found 'fd20::', which is the network's or the broadcast address of fd20::/64, expected a host's"),
        ("10.20.0.142", "255.255.255.255", ("7:89: found '255.255.255.255', expected an IPv4 or IPv6 address of one host, this one is the "
         "broadcast address")),
        ("gateway: 10.20.0.1", "gateway: 10.20.1.1", "5:79: found '10.20.1.1', expected an address inside its subnet 10.20.0.0/24"),
        ("gateway: 10.20.0.1", "gateway: 10.20.0.255", ("5:79: found '10.20.0.255', which is the network's or the broadcast address of "
         "10.20.0.0/24, expected a host's")),
        ("gateway: 10.20.0.1", 'gateway: "fd20::1"', "5:79: found 'fd20::1', expected an IPv4 address: the subnet is 10.20.0.0/24"),
        ("10.20.0.0/24", "10.20.0.1/24", "5:56: found '10.20.0.1/24', expected a subnet without host bits; did you mean '10.20.0.0/24'?"),
        ("10.20.0.0/24", "10.20.0.0", "5:56: found '10.20.0.0', expected a subnet such as 10.20.0.0/24 or fd20::/64"),
        ('"fd20::/64"', "10.20.0.128/25", "5:98: found '10.20.0.128/25', which overlaps '10.20.0.0/24' at 0:5:56"),
        ("kind: switching, ", "", "5:3: the field 'kind' is missing"),
        ("kind: switching", "kind: swithcing", ("5:15: found 'swithcing', expected one of switching, routing, ip-fabric, nova-network, neutron; did you mean "
         "'switching'?")),
        ("kind: switching", "kind: Switching", ("5:15: found 'Switching', expected one of switching, routing, ip-fabric, nova-network, neutron; did you mean "
         "'switching'?")),
        (" bridge: br0,", "", "5:3: the switching network 'lan' names no bridge on node1, expected the field 'bridge'"),
        ("node: node1, ", "", "7:3: the field 'node' is missing"),
        ("node: node1", "node: node2", "7:16: found the node 'node2', expected one of admin, node1; did you mean 'node1'?"),
        ("node: node1", "node: admin", "7:46: 'vm42' is on the node 'admin', which is not on the network 'lan'"),
        ("network: lan", "network: lam", "7:46: found the network 'lam', expected one of lan; did you mean 'lan'?"),
        ("network: lan, ", "", "7:36: the field 'network' is missing"),
        ('mac: "52:54:00:00:00:42", ', "", "7:36: the field 'mac' is missing"),
        ("52:54:00:00:00:42", "52:54:00:00:42", "7:56: found '52:54:00:00:42', expected a MAC address such as 52:54:00:00:00:42"),
        ("52:54:00:00:00:42", "52:54-00:00:00:42", "7:56: found '52:54-00:00:00:42', expected a MAC address such as 52:54:00:00:00:42"),
        ("52:54:00:00:00:42", "00:00:00:00:00:00", ("7:56: found '00:00:00:00:00:00', expected a MAC address such as 52:54:00:00:00:42: "
         "this one is all zeros")),
        ("52:54:00:00:00:42", "01:00:5e:00:00:01", ("7:56: found '01:00:5e:00:00:01', expected a MAC address such as 52:54:00:00:00:42: "
         "this one is a group (multicast or broadcast) address")),
        ("52:54:00:00:00:42", "ff:ff:ff:ff:ff:ff", ("7:56: found 'ff:ff:ff:ff:ff:ff', expected a MAC address such as 52:54:00:00:00:42: "
         "this one is a group (multicast or broadcast) address")),
        ("vm42:", "vm 42:", ("7:3: found 'vm 42', expected a name of letters, digits and . _ @ + ~ - (at most 100, beginning with a letter "
         "or digit)")),
        ("node1: {address: 10.99.0.11", "node1: {address: 10.99.0.11:22", ("3:20: found '10.99.0.11:22', expected a host alone; a port "
         "stands in the field 'port', IPv6 without brackets")),
        ("node1: {address: 10.99.0.11", "node1: {address: ops@10.99.0.11", ("3:20: found 'ops@10.99.0.11', expected a host alone; the user "
         "stands in the field 'user'")),
        ("node1: {address: 10.99.0.11", "node1: {address: $(reboot)", "3:20: found '$(reboot)', expected an IP address or a host name"),
        ("node1: {address: 10.99.0.11", "node1: {address: -oProxyCommand=x", ("3:20: found '-oProxyCommand=x', expected an address, a host "
         "name or the name of a container, without spaces (it must not begin with '-': a tool would take it for an option)")),
        ("admin: {connection: local", "admin: {connection: local, address: 10.99.0.1", ("2:30: found 'address', but the connection is "
         "local: this machine, as the user who runs netchecks")),
        ("roles: [controller]}\n  node1", "roles: [controller]}\n  node2: {address: 10.99.0.11}\n  node1", ("4:20: found '10.99.0.11', which "
         "is the address of 'node2' at 0:3:20")),
    ],
)  # fmt: skip
def test_a_wrong_value_has_its_place(mistakes, old, new, said):
    text = BASE % (("",) * 5)
    assert text.count(old) == 1
    line, column, message = said.split(":", 2)
    here = text.replace(old, new).splitlines()[int(line) - 1][int(column) - 1 :]
    quoted = message.split("'")[1]
    assert here.startswith((quoted, f'"{quoted}"')) or "found '" not in said
    assert [found for found in mistakes(text.replace(old, new)) if not found.endswith("is missing") or "missing" in said] == [f"0:{said}"]


def test_what_two_have_names_both_places(mistakes):
    text = BASE % ("", "", ", tap: t0", "", "") + """\
  vm43: {node: node1, domain: vm42, interfaces: [{network: lan, mac: 52-54-00-00-00-42, tap: t0, addresses: [10.20.0.142]}]}
  vm42-1: {node: node1, domain: other, interfaces: [{network: lan, mac: "52:54:00:00:00:43"}]}
  vm42-2: {node: node1}
"""
    text = text.replace('"52:54:00:00:00:42"', "5254.0000.0042").replace("tap: t0}]}", 'tap: t0}, {network: lan, mac: "52:54:00:00:00:44"}]}')
    assert mistakes(text) == [
        "0:7:3: found the name 'vm42-2' of an interface of 'vm42', which the VM 'vm42-2' has at 0:11:3",
        "0:9:31: found the domain 'vm42' of 'vm43', which 'vm42' has at 0:7:3",
        "0:9:70: found the MAC '52:54:00:00:00:42' of 'vm43', which 'vm42-1' has at 0:7:56",
        "0:9:94: found the tap 't0' of 'vm43', which 'vm42-1' has at 0:7:103",
        "0:9:110: found the address '10.20.0.142' of 'vm43', which 'vm42-1' has at 0:7:84",
        "0:10:3: found the name 'vm42-1' of an interface of 'vm42-1', which an interface of 'vm42' has at 0:7:3",
    ]


def test_a_vm_must_not_have_the_address_of_its_node_on_the_bridge(mistakes):
    text = BASE % (", links: {br0: {addresses: [10.20.0.142/24]}}", "", "", "", "")
    assert mistakes(text) == ["0:7:89: found the address '10.20.0.142' of 'vm42', which 'br0' of the node 'node1' has at 0:5:3"]


def test_the_same_address_on_networks_that_both_have_its_subnet_is_no_mistake(read):
    text = BASE % ("", "", "", "", "") + '  vm43: {node: node1, interfaces: [{network: other, mac: "52:54:00:00:00:43", addresses: [10.20.0.142]}]}\n'
    text = text.replace("vms:", "  other: {kind: switching, bridge: br1, subnets: [{cidr: 10.20.0.0/24}]}\nvms:")
    assert len(read(text).interfaces) == 2


def test_every_mistake_of_all_files_is_told_at_once_in_order(mistakes):
    first = BASE % (", port: x, usr: y", ", mtu: 1", ", tap: a/b", ", runs: 2", "flows: [{from: nobody, to: nowhere, icmp: yes}]")
    first = first.replace("10.20.0.142", "10.30.0.142").replace("52:54:00:00:00:42", "01:00:00:00:00:00")
    second = "nodes:\n  node1: {}\n  node9: {sudo: x}\n"
    found = mistakes(first, second)
    assert [line.split(": ")[0] for line in found] == [
        "0:3:38", "0:3:41", "0:5:118", "0:7:56", "0:7:89", "0:7:108", "0:7:121", "0:8:16", "0:8:28", "1:2:3", "1:3:17",
    ]  # fmt: skip
    assert found[-2] == "1:2:3: found 'node1' again, it is already at 0:3:3"


def test_a_file_that_cannot_be_read_makes_no_references_wrong(mistakes):
    """What is missing may be in it; what is wrong by itself is still told."""
    broken = "nodes: {node1: {}\n"
    rest = 'vms:\n  vm1: {node: node1, runs: maybe, interfaces: [{network: lan, mac: "52:54:00:00:00:01"}]}\nflows: [{from: a, to: b, tcp: 1}]\n'
    assert [line.split(": ", 1)[1] for line in mistakes(broken, rest)] == [
        "is not YAML: while parsing a flow mapping did not find expected ',' or '}'",
        "found 'maybe', expected true or false",
    ]


def test_problems_are_values_for_tools_too(read):
    with pytest.raises(InventoryError) as raised:
        read("nodes:\n  a: {user: 'x y'}\n")
    (problem,) = raised.value.problems
    assert (problem.line, problem.column, problem.message) == (2, 13, "found 'x y', expected the name of a user")
    assert isinstance(problem, Problem)


@pytest.mark.parametrize(
    "said",
    ["identity", "ssh_config", "domain", "check", "subject", "reason"],
)
@pytest.mark.parametrize("value", ["; rm -rf /", "$(reboot)", "`reboot`", "a'b\"c\\d", "&& :", "| x", "> /dev/sda", "тест 🦊", "%s{}"])
def test_text_without_a_syntax_is_carried_as_it_is(read, said, value):
    """It reaches the node as one quoted argument: that is the business of the engine."""
    quoted = "'" + value.replace("'", "''") + "'"
    text = BASE % (
        f", identity: {quoted}, ssh_config: {quoted}", "", "", f", domain: {quoted}",
        f"waivers: [{{check: {quoted}, subject: {quoted}, reason: {quoted}}}]",
    )  # fmt: skip
    inventory = read(text)
    node, vm, waiver = inventory.nodes[1], inventory.vms[0], inventory.waivers[0]
    carried = {
        "identity": node.connection.identity, "ssh_config": node.connection.ssh_config, "domain": vm.domain,
        "check": waiver.check, "subject": waiver.subject, "reason": waiver.reason,
    }  # fmt: skip
    assert carried[said] == value or carried[said].endswith(f"/{value.strip('/')}") or carried[said].endswith(value)


@pytest.mark.parametrize("value", ["$(reboot)", "`reboot`", "a;b", "a'b"])
def test_an_interface_name_may_be_anything_that_the_kernel_takes(read, value):
    quoted = "'" + value.replace("'", "''") + "'"
    inventory = read(BASE % (f", links: {{{quoted}: {{}}}}", f", uplink: {quoted}", f", tap: {quoted}", "", ""))
    assert inventory.nodes[1].links[0].name == value
    assert inventory.networks[0].attachments[0].uplink == value
    assert inventory.interfaces[0].tap == value
