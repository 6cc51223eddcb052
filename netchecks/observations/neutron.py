"""Agents of OpenStack Neutron on a node: what they are told, what they log. Secrets are never read: only the named options are printed.

Source: Neutron configuration reference (openvswitch_agent.ini, ml2_conf.ini); oslo.config's file format; oslo.log's line format.
"""

from __future__ import annotations

import datetime as dt
import re

from netchecks.errors import Unreadable
from netchecks.models.neutron import AgentConfig, AgentLine, AgentLog, RouterState
from netchecks.models.subjects import VirtualRouter, at_part
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import blocks, clean, lines

#: The files that the running agent was given, as it sees them in a container too; where none runs, or was given none, where
#: distributions and kolla-ansible have them. In the order in which the agent reads them: the last one counts.
_CONFIG = r"""
found= root= name=
set --
for p in $(grep -lsa '[n]eutron-openvswitch-agent' /proc/[0-9]*/cmdline); do
  p=${p%/cmdline}
  case $({ tr '\0' '\n' <"$p/cmdline" | head -n 2 | tr '\n' ' '; } 2>/dev/null) in
    neutron-openvswitch-agent\ *|*/neutron-openvswitch-agent\ *) ;; *) continue ;;
  esac
  [ "$(readlink "$p/ns/net")" = "$(readlink /proc/self/ns/net)" ] || continue
  while IFS= read -r a; do
    case $name$a in
      --config-file|--config-dir) name=$a= ;;
      --config-file=*) set -- "$@" "${p}/root${a#--config-file=}"; name= ;;
      --config-dir=*) set -- "$@" "${p}/root${a#--config-dir=}"/*.conf; name= ;;
      *) name= ;;
    esac
  done <<END
$({ tr '\0' '\n' <"$p/cmdline"; } 2>/dev/null)
END
  [ $# = 0 ] || { root=$p/root; break; }
done
[ $# -gt 0 ] || set -- /etc/neutron/plugins/openvswitch/ovs_neutron_plugin.ini /etc/neutron/plugins/ml2/ml2_conf.ini \
  /etc/neutron/plugins/ml2/openvswitch_agent.ini /etc/neutron/conf.d/neutron-openvswitch-agent/*.conf \
  /etc/kolla/neutron-openvswitch-agent/ml2_conf.ini /etc/kolla/neutron-openvswitch-agent/openvswitch_agent.ini
for f in "$@"; do
  [ -f "$f" ] || continue
  [ -r "$f" ] || { echo "$f: Permission denied" >&2; exit 1; }
  found=1; printf '@file %s\n' "${f#"$root"}"
  sed -n ':line
    s/[[:space:]]*$//; /^\[[A-Za-z_]*\]$/p
    /^bridge_mappings[[:space:]]*=/b told
    /^[a-z]*_bridge[[:space:]]*=/b told
    /^local_ip[[:space:]]*=/b told
    /^tunnel_types[[:space:]]*=/b told
    /^l2_population[[:space:]]*=/b told
    /^arp_responder[[:space:]]*=/b told
    /^enable_distributed_routing[[:space:]]*=/b told
    /^firewall_driver[[:space:]]*=/b told
    b
    :told
    p; n; s/[[:space:]]*$//
    /^[[:space:]]/b told
    b line' "$f"
done
[ -n "$found" ] || { echo "no configuration of the Open vSwitch agent found: ${root:+its process names }$1 ..." >&2; exit 1; }
echo @end
"""


@observation(shell=_CONFIG, tool="sed", root=True)
def neutron_configs(text: str) -> AgentConfig:
    """What the Open vSwitch agent of the node is told of bridges and tunnels. Not seen where no file of it is there.

    A line that begins with white space continues the value of the one before (oslo.config, iniparser).
    """
    files: list[str] = []
    told: dict[str, str] = {}
    parts = blocks(text, "@")
    if not parts or parts[-1][0] != "end":
        raise Unreadable("'@file PATH' and '@end'", text[-100:])
    for head, body in parts[:-1]:
        files.append(head.partition(" ")[2])
        _read_file(body, told)
    return _config(tuple(files), told)


def _read_file(body: list[str], told: dict[str, str]) -> None:
    """Add what one file says; it counts more than the files before."""
    last = ""
    for line in body:
        key, equals, value = line.partition("=")
        if line[:1].isspace() and last:
            told[last] = f"{told[last]}\n{line.strip()}".strip()
        elif equals:
            last = key.strip()
            told[last] = value.strip()
        elif not line.startswith("["):
            raise Unreadable("'bridge_mappings = physnet1:br0'", line)


def _config(files: tuple[str, ...], told: dict[str, str]) -> AgentConfig:
    mappings = (word.rpartition(":") for word in _listed(told.get("bridge_mappings", "")))
    return AgentConfig(
        files, tuple((name.strip(), bridge.strip()) for name, _, bridge in mappings if name),
        told.get("integration_bridge") or "br-int", told.get("tunnel_bridge") or "br-tun", told.get("local_ip", ""),
        _listed(told.get("tunnel_types", "")), _is_on(told, "l2_population"), _is_on(told, "arp_responder"),
        _is_on(told, "enable_distributed_routing"), told.get("firewall_driver", ""),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _is_on(told: dict[str, str], key: str) -> bool:
    return told.get(key, "").lower() in {"true", "1", "yes", "on"}


#: The last lines of trouble of each agent's log, and of its end, of at most 2 MB of it; where there is no file, of the journal's last hour.
#: The time is the node's own, as in the log.
_LOGS = r"""
way='AMQP server|Failed reporting state|has just been revived'
# of COMMAND: what it prints that tells of the way to Neutron, then of other trouble. Of tracebacks the first line alone has a [context].
of() {
  "$@" | grep -aE " (ERROR|CRITICAL|INFO) [^ ]+ \\[.*($way)" | tail -n 20
  "$@" | grep -aE ' (ERROR|CRITICAL) [^ ]+ \[' | grep -avE "$way" | tail -n 20
}
logged() { tail -c 2000000 "$f"; }
noted() { timeout 3 journalctl -q --no-pager -o cat -n 5000 --since=-1h -u "neutron-$a"; }
for a in openvswitch-agent dhcp-agent l3-agent; do
  file=
  for f in "/var/log/neutron/neutron-$a.log" "/var/log/neutron/$a.log" "/var/log/kolla/neutron/neutron-$a.log"; do
    [ -e "$f" ] || continue
    printf '@log %s %s\n' "$a" "$f"
    of logged
    file=1
    break
  done
  [ -z "$file" ] || continue
  systemctl cat "neutron-$a.service" >/dev/null 2>&1 || continue
  printf '@log %s journal\n' "$a"
  of noted
done
date '+@now %F %T'
echo @end
"""
_OSLO = re.compile(r"(\S{10} [0-9:]{8})\S{0,8} (?:(\d{1,10}) )?(ERROR|CRITICAL|TRACE|INFO) (\S{1,200}) (.*)")
#: A line may be written while the others are read, seconds.
_CLOCK = 15.0
_WHEN = "%Y-%m-%d %H:%M:%S"


@observation(shell=_LOGS, tool="grep", root=True, seconds=10.0)
def neutron_logs(text: str) -> Table[AgentLog]:
    """The last lines of trouble in the logs of Neutron's agents on the node, by agent; none where there is no such log."""
    found = {}
    parts = blocks(text, "@")
    if not parts or parts[-1][0] != "end":
        raise Unreadable("'@log AGENT FILE' and '@end'", clean(text)[-100:])
    now = _when(next((head.removeprefix("now ") for head, _ in parts if head.startswith("now ")), ""))
    for head, body in parts[:-1]:
        words = head.split(" ", 2)
        if words[0] == "now":
            continue
        if len(words) != 3 or words[0] != "log":  # noqa: PLR2004 - the word, the agent, the file
            raise Unreadable("'@log openvswitch-agent /var/log/...'", head)
        told = (_OSLO.match(line) for line in lines("\n".join(body)))
        said = sorted((_agent_line(match, now) for match in told if match), key=lambda line: -(line.ago or 0.0))
        found[words[1]] = AgentLog(words[2], tuple(said))
    return Table("log of", found)


def _agent_line(match: re.Match[str], now: dt.datetime | None) -> AgentLine:
    when = _when(match[1])
    ago = (now - when).total_seconds() if now and when else None  # an agent in a container may live in another time zone
    known = ago is not None and ago > -_CLOCK
    return AgentLine(match[3], match[5].strip()[:500], ago if known else None, int(match[2]) if match[2] else None)


def _when(text: str) -> dt.datetime | None:
    try:
        return dt.datetime.strptime(text, _WHEN)  # noqa: DTZ007 - both times are of the node's own clock
    except ValueError:
        return None


#: keepalived's word is in the agent's own folder of the router. A distributed router has a device to the floating addresses' namespace,
#: a namespace of its own for what has none, or rules that choose between tables.
_ROUTER = r"""
known=$(ip netns list) || exit
case " $(printf '%s\n' "$known" | cut -d' ' -f1 | tr '\n' ' ')" in *" $1 "*) ;; *) echo @missing; exit 0 ;; esac
printf '@forward '; ip netns exec "$1" cat /proc/sys/net/ipv4/ip_forward || exit
echo @default; ip netns exec "$1" ip -4 route show default || exit
state=/var/lib/neutron/ha_confs/$2/state
devices=$(ip netns exec "$1" ls /sys/class/net) rules=$(ip netns exec "$1" ip -4 rule show) || exit
if [ -e "$state" ]; then
  printf '@role '; cat "$state"; echo
  pids=$(ip netns pids "$1") || exit
  for p in $pids; do case $(cat "/proc/$p/comm" 2>/dev/null) in keepalived) echo "@keepalived $p" ;; esac; done
else case $devices in *ha-*) echo '@role without a state' ;; esac; fi
case "$devices
$known" in *rfp-*|*snat-"$2"*) echo @distributed ;; *) [ "$(printf '%s\n' "$rules" | wc -l)" -le 3 ] || echo @distributed ;; esac
echo @end
"""
#: Releases before Wallaby say it in other words (neutron, commit "[L3][HA] Inclusive naming").
_ROLES = {"master": "primary", "backup": "standby"}


@observation("{virtual_router.namespace} {virtual_router.id}", of=VirtualRouter, shell=_ROUTER, tool="ip", root=True)
def router_states(text: str) -> RouterState:
    """What a router's namespace does with what is for others: forwarding, default routes, its role among several of the same."""
    return _state(text)


@observation("{virtual_router.snat_namespace} {virtual_router.id}", of=VirtualRouter, shell=_ROUTER, tool="ip", root=True, at=at_part)
def snat_states(text: str) -> RouterState:
    """The same of the namespace by which a distributed router sends what has no floating address."""
    return _state(text)


def _state(text: str) -> RouterState:
    parts = {head.partition(" ")[0]: (head.partition(" ")[2].strip(), body) for head, body in blocks(text, "@")}
    if "missing" in parts:
        return RouterState(exists=False)
    if not {"forward", "default", "end"} <= parts.keys() or parts["forward"][0] not in {"0", "1"}:
        raise Unreadable("'@forward 1', '@default' and '@end'", clean(text)[-100:])
    role = parts["role"][0] if "role" in parts else ""
    routes = tuple(line.strip() for line in parts["default"][1] if line.strip())
    return RouterState(
        exists=True, forwards=parts["forward"][0] == "1", default=routes, role=_ROLES.get(role, role), distributed="distributed" in parts,
        keepalived="keepalived" in parts,
    )
