"""The way of a packet through the bridges of Open vSwitch, by OVS' own word: ``ovs-appctl ofproto/trace``, without -generate.

Source: ovs-vswitchd(8), ofproto/trace; OVS' own ofproto/ofproto-dpif-trace.c, lib/odp-util.c (format_odp_actions).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netchecks.errors import Unreadable
from netchecks.models.ovs_traces import Output, OvsTrace, OvsWay, Step
from netchecks.models.subjects import Interface
from netchecks.observe import observation
from netchecks.parsing import blocks, split_outside
from netchecks.reading.ovs_tools import OVS_TOOLS

#: What the guest would send, and what would come for it: an ARP request each, of IPv6 a neighbour's advertisement and solicitation.
#: Nothing is sent, and no bridge learns from it.
#: Then each question that it shall answer, by the NIC or out of a tunnel: from each DHCP server of the network, and from elsewhere.
#: The guest's port is found by its MAC: of a hybrid plug it is not the tap. The patch ports of a trunk, and of a subport with the same
#: MAC, name it as well, at both ends (Neutron, trunk_manager.py): none of them is where the guest is, and the database has no order.
_WAYS = OVS_TOOLS + r"""
mac=$1 address=$2 gateway=$3 tap=$4 nic=$5 vlan=$6 key=$7 questions=$8 servers=$9 address6=${10}
kind=${key#* } key=${key%% *} tunnel=${kind#* } kind=${kind%% *}
bare() { ovs-vsctl --timeout=4 --bare --no-headings "$@"; }
number() { n=$(ovs-vsctl --timeout=4 get Interface "$1" ofport 2>/dev/null) || n=; case $n in ''|-*|*[!0-9]*) return 1 ;; esac; }
trace() { ovs-appctl --timeout=4 -t ovs-vswitchd ofproto/trace "$@" || exit; }
# in_use DEVICE: itself; of a bond, or of one of its members, the member in use. What comes by another one a bond may drop.
in_use() {
  used=$1 bond=
  while read -r a b c d; do
    case "$a $b" in
      '---- '*) bond=$b active= ;;
      'active slave'|'active member') [ "$c" != mac: ] || { active=${d##*(}; active=${active%)}; [ "$bond" != "$1" ] || used=$active; } ;;
      "slave $1:"|"member $1:") used=${active:-$1} ;;
    esac
  done <<END
$(ovs-appctl --timeout=4 -t ovs-vswitchd bond/show 2>/dev/null)
END
}
[ -n "$address$address6" ] || { echo '@none it has no address to ask with'; exit 0; }
found=$(bare --columns=name find Interface "external_ids:attached-mac=\"$mac\"" 'type!=patch') || exit
port=
for one in $found; do if number "$one" && { [ -z "$port" ] || [ "$one" = "$tap" ]; }; then port=$one; fi; done
[ -z "$port" ] || number "$port" || port=
[ -n "$port" ] || { [ -n "$tap" ] && number "$tap" && port=$tap; } || { echo "@none no port of Open vSwitch has the MAC $mac"; exit 0; }
bridge=$(ovs-vsctl --timeout=4 iface-to-br "$port") || exit
printf '@port %s %s\n' "$port" "$bridge"
arp=arp,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1 own=02:6e:63:00:00:01 to=$address6
nd=icmp6,dl_dst=33:33:00:00:00:01,ipv6_dst=ff02::1,nw_ttl=255
says="in_port=$n,dl_src=$mac,$nd,ipv6_src=$to,icmpv6_type=136,nd_target=$to,nd_tll=$mac"
comes=$nd,dl_src=$own,ipv6_src=fe80::6e:63ff:fe00:1,icmpv6_type=135,nd_target=$to,nd_sll=$own
echo @out
if [ -n "$address" ]; then
  trace "$bridge" "in_port=$n,$arp,dl_src=$mac,arp_sha=$mac,arp_spa=$address,arp_tpa=${gateway:-$address}"
  comes=$arp,dl_src=$own,arp_sha=$own,arp_spa=${gateway:-$address},arp_tpa=$address
  if [ -n "$to" ]; then
    said=$(ovs-appctl --timeout=4 -t ovs-vswitchd ofproto/trace "$bridge" "$says") && printf '@out6\n%s\n' "$said" || echo '@failed out6'
  fi
else
  trace "$bridge" "$says"
fi
[ -z "$nic" ] || in_use "$nic"
if [ -n "$nic" ] && number "$used"; then
  outer=$(ovs-vsctl --timeout=4 iface-to-br "$used") || exit
  echo @back
  [ "$vlan" = 0 ] || comes="dl_vlan=$vlan,$comes"
  trace "$outer" "in_port=$n,$comes"
fi
# enters: the port by which packets for the guest come in, with what tells their network.
enters() {
  if [ -z "$key" ]; then
    [ -n "$nic" ] && number "$used" && from=$used tag=dl_vlan=$vlan && { [ "$vlan" != 0 ] || tag=vlan_tci=0; }
    return
  fi
  for from in $(bare --columns=name find Interface "type=$kind"); do
    ! number "$from" || [ "$(ovs-vsctl --timeout=4 iface-to-br "$from")" != "$tunnel" ] || { tag=tun_id=$key; return 0; }
  done
  return 1
}
# ask FAMILY ASKER ENDS: each question from one sender. FAMILY: 6, or nothing for IPv4.
ask() {
  for question in $questions; do
    case $question in
      icmp) what=icmp$1,icmp_type=8; [ -z "$1" ] || what=icmp6,icmpv6_type=128 ;;
      tcp/*) what=tcp$1,tp_src=40000,tcp_flags=0x002,tp_dst=${question#*/} ;;
      udp/*) what=udp$1,tp_src=40000,tp_dst=${question#*/} ;;
    esac
    case $question in */*) name=${question%/*}$1/${question#*/} ;; *) name=$question$1 ;; esac
    packet="in_port=$n,$tag,$what,dl_src=$own,dl_dst=$mac,$3,nw_ttl=64"
    if said=$(ovs-appctl --timeout=4 -t ovs-vswitchd ofproto/trace "$outer" "$packet"); then
      printf '@asked %s from %s\n%s\n' "$name" "$2" "$said"
    else
      printf '@failed %s from %s\n' "$name" "$2"
    fi
  done
}
if [ -n "$questions" ] && enters && outer=$(ovs-vsctl --timeout=4 iface-to-br "$from"); then
  if [ -n "$address" ]; then
    for asker in $servers; do ask "" "$asker" "nw_src=$asker,nw_dst=$address"; done
    ask "" elsewhere "nw_src=192.0.2.1,nw_dst=$address"
  fi
  [ -z "$address6" ] || ask 6 elsewhere "ipv6_src=2001:db8:ffff::1,ipv6_dst=$address6"
fi
echo @ports
ovs-appctl --timeout=4 -t ovs-vswitchd dpif/show || exit
"""


@observation(
    "{interface.mac} '{interface.first_address}' '{interface.first_gateway}' '{interface.tap}' '{interface.uplink}' {interface.segment} "
    "'{interface.tunnel}' '{interface.questions}' '{interface.servers}' '{interface.first_ipv6}'",
    of=Interface, shell=_WAYS, tool="ovs-appctl", root=True, seconds=10.0,
)
def ovs_ways(text: str) -> OvsWay:
    """What the node's bridges would do with the guest's packets, both ways, by OVS' own word. Nothing is sent."""
    found = [(head.partition(" ")[0], head.partition(" ")[2].strip(), body) for head, body in blocks(text, "@")]
    parts = {word: (rest, body) for word, rest, body in found}
    if "none" in parts:
        return OvsWay(why=parts["none"][0])
    if not {"port", "out", "ports"} <= parts.keys():
        raise Unreadable("'@port', '@out' and '@ports'", text[:100])
    devices = _datapath_ports(parts["ports"][1])
    port, _, bridge = parts["port"][0].partition(" ")
    back = _trace(parts["back"][1], devices) if "back" in parts else None
    asked, failed = {}, {rest for word, rest, _ in found if word == "failed"}
    for word, rest, body in found:
        if word == "asked":
            try:
                asked[rest] = _trace(body, devices)
            except Unreadable:  # what is asked beside the rest must not take that away
                failed.add(rest)
    out6 = _trace(parts["out6"][1], devices) if "out6" in parts else None
    return OvsWay(port, bridge, _trace(parts["out"][1], devices), back, asked, frozenset(failed), out6=out6)


_DATAPATH_PORT = re.compile(r"\s+(\S{1,64}) (?:\d{1,10})/(\d{1,10}|none): ?.*")


def _datapath_ports(body: list[str]) -> dict[str, str]:
    """Read ``tap4242c9d1-7a 1/2: (system)``: the datapath's number, which actions are written with, and the name."""
    return {match[2]: match[1] for match in map(_DATAPATH_PORT.match, body) if match}


_BRIDGE = re.compile(r'bridge\("([^"]{1,64})"\)')
#: What a packet is that a pass begins with, and the table in which a pass goes on after conntrack.
_FLOW = re.compile(r"Flow: (?:.*[, ]dl_vlan=(\d{1,4})\b)?")
_RESUMES = re.compile(r"\s*Resuming from table (\d{1,3})")
_RULE = re.compile(r"\s*(\d{1,3})\. (.*)")
_OLD_RULE = re.compile(r"\s*Rule: table=(\d{1,3}) cookie=(\S{1,20}) (.*)")


class _Reading:
    """What is read of a trace so far: OVS' words go from bridge to bridge; a packet that conntrack looks at begins anew after it."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, str, list[str]]] = []
        self.datapath: list[tuple[int, str]] = []
        self._bridge, self._tag = "", 0

    def takes(self, line: str) -> bool:
        """Read a line, and tell whether it is one that begins something; the others are what a rule does."""
        if line.startswith("Datapath actions:"):
            self.datapath.append((self._tag, line.partition(":")[2].strip()))
        elif match := _FLOW.match(line):
            self._tag = int(match[1]) if match[1] else 0
        elif match := _RULE.match(line):
            self.steps.append((self._bridge, int(match[1]), match[2], []))
        elif match := _OLD_RULE.match(line):
            self.steps.append((self._bridge, int(match[1]), f"{match[3]}, cookie {match[2]}", []))
        else:
            return self._goes_on(line)
        return True

    def _goes_on(self, line: str) -> bool:
        if match := _BRIDGE.match(line):
            self._bridge = match[1]
        elif match := _RESUMES.match(line):  # OVS names the bridge here by which the packet entered
            before = (step[0] for step in reversed(self.steps) if any(f"ct(table={match[1]}" in one for one in step[3]))
            self._bridge = next(before, self._bridge)
        else:
            return False
        return True


def _trace(body: list[str], devices: dict[str, str]) -> OvsTrace:
    """Read ofproto/trace of OVS 2.7 and later, and the form of older releases."""
    read = _Reading()
    for line in body:
        if not read.takes(line) and read.steps and "Datapath" not in line and _is_action(line):
            read.steps[-1][3].append(line.strip().removeprefix("OpenFlow actions="))
    if not read.datapath:
        raise Unreadable("'Datapath actions: ...'", "\n".join(body[-3:]))
    made = tuple(Step(bridge, table, flow, tuple(actions)) for bridge, table, flow, actions in read.steps)
    outputs = tuple(one for tag, text in read.datapath for one in _outputs(text, devices, tag))
    return OvsTrace(made, outputs, "\n".join(body))


def _is_action(line: str) -> bool:
    return (line[:1].isspace() and not line.strip().startswith(("->", "Resubmitted", "Rule", "No match"))) or "OpenFlow actions=" in line


_VLAN = re.compile(r"push_vlan\((?:tpid=0x[0-9a-f]{4},)?vid=(\d{1,4}),.{0,20}\)")
_TUNNEL = re.compile(r"set\((tunnel\(.{0,400}\))\)|tnl_push\((.{0,600})\)")


def _vlan(word: str, before: int) -> int:
    """Give the VLAN that a packet is in after an action."""
    if word == "pop_vlan":
        return 0
    match = _VLAN.fullmatch(word)
    return int(match[1]) if match else before


def _outputs(text: str, devices: dict[str, str], vlan: int = 0) -> Iterator[Output]:
    """Give where a packet leaves that is in a VLAN: actions are carried out one after the other."""
    tunnel = ""
    for word in split_outside(text):
        vlan = _vlan(word, vlan)
        if match := _TUNNEL.fullmatch(word):
            tunnel = match[1] or match[2]
            if match[2]:
                yield Output("", vlan, tunnel)
                tunnel = ""
        elif word.startswith(("clone(", "sample(")):
            inner = word[word.index("(") + 1:-1]
            yield from _outputs(inner.partition("actions(")[2].rstrip(")") if "actions(" in inner else inner, devices, vlan)
        elif word.startswith(("hash(", "lb_output(")):
            yield Output("", vlan, tunnel, hashed=True)
        elif word.isdigit():
            yield Output(devices.get(word, ""), vlan, tunnel)
