"""What a place of a lab is like, to be compared before and after: all that a fault, a check or a run could have changed.

Left out is what changes by itself: counters, learned MACs, neighbours, interface indices, processes that come and go.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from netchecks.lab.labs import Lab

#: One shell script for each place; ``section NAME`` starts a part of the answer. A tool that is missing gives an empty part.
#: The kernel looks at a bridge's state once a second at most (net/core/link_watch.c): until then a new one is UNKNOWN.
SCRIPT = r"""
section() { printf '\n\036%s\n' "$1"; }
for second in 1 2 3 4 5; do ip -j link show type bridge | grep -q '"operstate":"UNKNOWN"' || break; sleep 1; done
section links; ip -j -d link
section addresses; ip -j addr
section routes; ip -j route show table all; ip -j -6 route show table all
section rules; ip -j rule; ip -j -6 rule
section proxies; ip neigh show proxy
section ports; timeout 5 bridge -j -d link
section fdb; timeout 5 bridge -j fdb
section filters; for d in /sys/class/net/*; do tc qdisc show dev "${d##*/}"; tc filter show dev "${d##*/}" ingress; done
section offloads; ethtool -k eth0 | grep '^tx-checksumming'
section nft; nft -s list ruleset
section xtables; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names
section sysctl; find /proc/sys/net -type f -perm -u=r ! -name '*secret*' ! -path '*/nf_conntrack_count' ! -path '*/route/flush' \
  -exec grep -H . {} +
section listeners; ss -lnptuH
section conntrack; cat /proc/sys/net/netfilter/nf_conntrack_count
"""

#: In a node that is a host of its own, its files and processes too.
HOST_SCRIPT = r"""
section files; find /etc /tmp /home /usr/sbin /usr/bin -newer /etc/machine-id -type f ! -path '/etc/openvswitch/*' -exec md5sum {} +
ls -A /tmp /root /home/lab/.ssh /etc/lab /run/lab
section tools; command -v bridge tcpdump dig ip
section units; systemctl --no-pager --plain --no-legend list-units --type=service --state=active
section processes; ps -eo user,args --no-headers
section namespaces; for n in $(ip netns list | cut -d' ' -f1); do
  echo "$n"; ip -n "$n" -br address | sed "s/  *$//; s/@if[0-9]*//" | sort; ip netns exec "$n" nft -s list ruleset
  ip -n "$n" -4 rule; ip -n "$n" -4 route show table all | sort
  ip netns exec "$n" find /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf -type f -exec grep -H . {} + | sed "s/^/$n /"; done
section bridges; [ ! -S /run/openvswitch/db.sock ] || {
  timeout 5 ovs-vsctl --format=table --columns=name,tag,trunks,vlan_mode,other_config list Port | sort
  timeout 5 ovs-vsctl --format=table --columns=name,type,options,external_ids list Interface | sort
  for b in $(timeout 5 ovs-vsctl list-br); do
    echo "$b"; timeout 5 ovs-ofctl -O OpenFlow14 --names --no-stats dump-flows "$b" | sed '/hard_timeout=/d; s/cookie=0x[0-9a-f]*, //'
    timeout 5 ovs-ofctl show "$b" | sed -n 's/^ *[0-9A-Z]*(\(.*\)).*/\1/p; s/^ *config: *//p' | paste -d ' ' - - | sort
  done; cat /var/lib/neutron/dhcp/*/host; }
section frr; [ ! -S /run/frr/zebra.vty ] || timeout 5 vtysh -c 'show running-config' |
  awk '/^[^ !]/ { top = $0; within = "" } /^ [^ !]/ { within = $0 } { print top " :" within " :" $0 }'
"""

#: Fields of iproute2's JSON that change by themselves or with the order of making.
VOLATILE = frozenset({
    "ifindex", "link", "stats", "stats64", "link_index", "link_netnsid", "preferred_life_time", "valid_life_time",
    "gc_timer", "hello_timer", "tcn_timer", "topology_change_timer", "id", "port", "no", "designated_port", "cost",
    "tentative", "age", "used", "expires", "bridge_id", "root_id", "designated_bridge", "designated_root", "hold_timer",
    "message_age_timer", "forward_delay_timer", "group_fwd_mask_str", "parentdev", "num_tx_queues", "num_rx_queues",
    "metrics", "nhid",
})

#: Tracked connections that no lab has by itself.
MANY = 1000

#: systemd and sshd start and end these as they like.
COMES_AND_GOES = re.compile(r"ps -eo|sh -c|sshd:|systemd-|dbus-daemon|\(sd-pam\)|systemctl")


def snapshot(lab: Lab) -> dict[str, dict[str, str]]:
    """Give the state of every place: section by section, as text that is equal when nothing was changed."""
    return {place: look(lab, place) for place in lab.topology.places}


def look(lab: Lab, place: str) -> dict[str, str]:
    """Give the state of one place."""
    host = lab.rooted and place in lab.topology.nodes()
    done = lab.exec(place, ["sh", "-c", SCRIPT + (HOST_SCRIPT if host else "")], capture_output=True, text=True, errors="replace",
                    check=False, stdin=subprocess.DEVNULL, cwd="/")
    sections = dict(part.partition("\n")[::2] for part in done.stdout.split("\n\x1e")[1:])
    return {name: _readable(name, text) for name, text in sections.items()}


def _readable(name: str, text: str) -> str:
    """Give a section without what changes by itself, sorted."""
    if name in {"links", "addresses", "routes", "rules", "ports", "fdb"}:
        return "\n".join(sorted(_lines(name, text)))
    lines = sorted(text.splitlines())
    if name == "processes":
        lines = [line for line in lines if not COMES_AND_GOES.search(line)]
    if name == "listeners":
        lines = [" ".join(re.sub(r"pid=\d+,fd=\d+", "", line).split()) for line in lines]
    if name == "conntrack":
        lines = ["many" if line.isdigit() and int(line) > MANY else "few" for line in lines]
    return "\n".join(lines)


def _lines(name: str, text: str) -> list[str]:
    """Give one line for each object of the JSON documents in the text."""
    items: list[Any] = []
    for document in filter(None, (line.strip() for line in text.splitlines())):
        try:
            items += json.loads(document)
        except ValueError:
            return [document]
    if name == "fdb":
        items = [item for item in items if item.get("state") == "permanent"]
    return [json.dumps(_stable(item), sort_keys=True) for item in items]


def _stable(value: Any) -> Any:
    """Drop volatile fields at every depth."""
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_stable(item) for item in value if item != {}]
    return value


def difference(before: dict[str, dict[str, str]], after: dict[str, dict[str, str]]) -> list[str]:
    """Give each line that is in one only: ``node1 routes: - ...`` for gone, ``+`` for new."""
    found = []
    for place, sections in before.items():
        for section in sections:
            old, new = (set(state.get(place, {}).get(section, "").splitlines()) for state in (before, after))
            found += [f"{place} {section}: - {line}" for line in sorted(old - new)]
            found += [f"{place} {section}: + {line}" for line in sorted(new - old)]
    return found
