"""Firewalls: ``iptables-save``, ``ip6tables-save``, ``ebtables-save``, ``arptables`` and ``nft -j list ruleset``.

Reading must not change the node: the tools load kernel modules for tables that are not there. So each script looks in
/proc and /sys first and asks a backend only for what is loaded already (TRAPS.md, "Reading can change things").
"""

from __future__ import annotations

import shlex

from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.subjects import DhcpServer, VirtualRouter, Vm, at_part
from netchecks.observations.netfilter import nft_json, save_format
from netchecks.observe import observation

# `real` follows the symbolic links of update-alternatives to tell which backend a tool is, without running it.
# `loaded` is false for a module that is neither loaded nor built in.
_TOOLS = """\
have() { command -v "$1" >/dev/null 2>&1; }
real() { readlink -f "$(command -v "$1")" 2>/dev/null; }
loaded() { [ ! -e /proc/modules ] || [ -d "/sys/module/$1" ] || grep -qs "/$1\\.ko" "/lib/modules/$(uname -r)/modules.builtin"; }
"""

# $1 is the tool, $2 its file of loaded legacy tables in /proc (readable by root alone; its size is always 0).
_SAVE = _TOOLS + """\
if [ -e "$2" ]; then
  tables=$(cat "$2") || exit 1
  if [ -n "$tables" ]; then
    echo "# backend legacy"
    save=
    if have "$1-legacy-save"; then save=$1-legacy-save
    elif have "$1-save"; then case $(real "$1-save") in *nft*) ;; *) save=$1-save ;; esac
    fi
    if [ -n "$save" ]; then "$save" -c || exit 1; else echo "# unread tables" $tables; fi
  fi
fi
if loaded nf_tables; then
  save=
  if have "$1-nft-save"; then save=$1-nft-save
  elif have "$1-save"; then case $(real "$1-save") in *nft*) save=$1-save ;; esac
  fi
  if [ -n "$save" ]; then echo "# backend nft"; "$save" -c || exit 1; fi
fi
exit 0
"""

# The legacy tool's own arptables-save is a Perl script that asks the default arptables, which may be the other backend.
_ARPTABLES = _TOOLS + """\
if [ -e /proc/net/arp_tables_names ]; then
  tables=$(cat /proc/net/arp_tables_names) || exit 1
  [ -n "$tables" ] || exit 0
  echo "# backend legacy"
  legacy=
  if have arptables-legacy; then legacy=arptables-legacy
  elif have arptables; then case $(real arptables) in *nft*) ;; *) legacy=arptables ;; esac
  fi
  if [ -n "$legacy" ]; then echo "*filter"; "$legacy" -n -v -L || exit 1; else echo "# unread tables" $tables; fi
fi
exit 0
"""

# The legacy tool's own ebtables-save is a Perl script that is often missing, and it asks the default ebtables: so each
# loaded table is listed with the tool itself. Without /proc/modules nothing tells whether a table that is built in has
# rules; the legacy tables are built in nowhere but in special kernels.
_EBTABLES = _TOOLS + """\
legacy=
if have ebtables-legacy; then legacy=ebtables-legacy
elif have ebtables; then case $(real ebtables) in *nft*) ;; *) legacy=ebtables ;; esac
fi
for table in filter nat broute; do
  [ -d "/sys/module/ebtable_$table" ] || continue
  echo "# backend legacy"
  if [ -n "$legacy" ]; then echo "*$table"; "$legacy" -t "$table" -L --Lc || exit 1; else echo "# unread table $table"; fi
done
if loaded nf_tables; then
  save=
  if have ebtables-nft-save; then save=ebtables-nft-save
  elif have ebtables-save; then case $(real ebtables-save) in *nft*) save=ebtables-save ;; esac
  fi
  if [ -n "$save" ]; then echo "# backend nft"; "$save" -c || exit 1; fi
fi
exit 0
"""

# The JSON is what is judged. The text gives the rules as an administrator knows them, by handle, and the devices of
# netdev chains, which the JSON of nft 1.0.6 leaves out.
_NFT = """\
nft -j list ruleset || exit 1
echo; echo "# text"
nft -a list ruleset
"""

#: Bytes of one dump: a node of a big Kubernetes cluster has some 10 MB of rules.
_LIMIT = 15 * 1024 * 1024


@observation("iptables /proc/net/ip_tables_names", shell=_SAVE, root=True, late=True, seconds=10, limit=_LIMIT)
def iptables(text: str) -> Ruleset:
    """The IPv4 rules of both iptables backends, with counters. Source: man iptables-save, iptables-nft."""
    return save_format.ruleset(text, "iptables", "ip")


@observation("ip6tables /proc/net/ip6_tables_names", shell=_SAVE, root=True, late=True, seconds=10, limit=_LIMIT)
def ip6tables(text: str) -> Ruleset:
    """The IPv6 rules of both ip6tables backends, with counters. Source: man iptables-save, iptables-nft."""
    return save_format.ruleset(text, "ip6tables", "ip6")


@observation(shell=_ARPTABLES, root=True)
def arptables(text: str) -> Ruleset:
    """The legacy ARP rules; those of arptables-nft are part of ``nftables``. Source: man arptables-legacy."""
    return save_format.ruleset(text, "arptables", "arp")


@observation(shell=_EBTABLES, root=True, late=True, limit=_LIMIT)
def ebtables(text: str) -> Ruleset:
    """The Ethernet rules of bridges of both ebtables backends, with counters. Source: man ebtables, ebtables-nft."""
    return save_format.ruleset(text, "ebtables", "bridge")


@observation(shell=_NFT, tool="nft", root=True, late=True, modules=("nf_tables",), seconds=10, limit=_LIMIT)
def nftables(text: str) -> Ruleset:
    """Everything that nftables has loaded, also what iptables-nft and ebtables-nft have put there.

    Empty where the kernel has no nf_tables. Source: man nft, libnftables-json(5).
    """
    return nft_json.ruleset(text)


# -- in namespaces -----------------------------------------------------------------------------------------------------

#: What follows runs inside; a namespace that is not there has no rules, and another check says so.
_INSIDE = """\
case " $(ip netns list | cut -d' ' -f1 | tr '\\n' ' ')" in *" $1 "*) ;; *) exit 0 ;; esac
exec ip netns exec "$1" sh -c """
_NAMESPACE_SAVE = f"{_INSIDE}{shlex.quote(_SAVE)} sh iptables /proc/net/ip_tables_names\n"
_NAMESPACE_NFT = f"{_INSIDE}{shlex.quote(_NFT)}\n"
_NAMESPACE = "{dhcp_server.namespace}"


@observation(_NAMESPACE, of=DhcpServer, shell=_NAMESPACE_SAVE, tool="ip", root=True, late=True, seconds=10, limit=_LIMIT)
def namespace_iptables(text: str) -> Ruleset:
    """The IPv4 rules of both iptables backends in the network namespace of a DHCP server."""
    return save_format.ruleset(text, "iptables", "ip")


@observation(
    _NAMESPACE, of=DhcpServer, shell=_NAMESPACE_NFT, tool="ip", root=True, late=True, modules=("nf_tables",), seconds=10, limit=_LIMIT,
)
def namespace_nftables(text: str) -> Ruleset:
    """Everything that nftables has loaded in the network namespace of a DHCP server."""
    return nft_json.ruleset(text) if text.strip() else Ruleset()


_ROUTER = "{virtual_router.namespace}"


@observation(_ROUTER, of=VirtualRouter, shell=_NAMESPACE_SAVE, tool="ip", root=True, late=True, seconds=10, limit=_LIMIT)
def router_iptables(text: str) -> Ruleset:
    """The IPv4 rules of both iptables backends in the network namespace of a router."""
    return save_format.ruleset(text, "iptables", "ip")


@observation(
    "{virtual_router.snat_namespace}", of=VirtualRouter, shell=_NAMESPACE_SAVE, tool="ip", root=True, late=True, at=at_part, seconds=10,
    limit=_LIMIT,
)
def snat_iptables(text: str) -> Ruleset:
    """The same of the namespace by which a distributed router sends what has no floating address."""
    return save_format.ruleset(text, "iptables", "ip")


#: The namespace of the external network that is joined to a part of a distributed router, by the name of their pair of devices.
_FLOATING = """\
for space in $(ip netns list | cut -d' ' -f1); do
  case $space in fip-*) ;; *) continue ;; esac
  ip netns exec "$space" test -e "/sys/class/net/fpr-$(printf %.10s "$1")" || continue
  exec ip netns exec "$space" sh -c """
_FLOATING_SAVE = f"{_FLOATING}{shlex.quote(_SAVE)} sh iptables /proc/net/ip_tables_names\ndone\n"
_FLOATING_NFT = f"{_FLOATING}{shlex.quote(_NFT)}\ndone\n"


@observation(
    "{virtual_router.id}", of=VirtualRouter, shell=_FLOATING_SAVE, tool="ip", root=True, late=True, at=at_part, seconds=10, limit=_LIMIT,
)
def floating_iptables(text: str) -> Ruleset:
    """The same of the namespace by which floating addresses come to a node's part of a distributed router."""
    return save_format.ruleset(text, "iptables", "ip")


@observation(
    "{virtual_router.id}", of=VirtualRouter, shell=_FLOATING_NFT, tool="ip", root=True, late=True, modules=("nf_tables",), at=at_part,
    seconds=10, limit=_LIMIT,
)
def floating_nftables(text: str) -> Ruleset:
    """Everything that nftables has loaded there."""
    return nft_json.ruleset(text) if text.strip() else Ruleset()


@observation(
    _ROUTER, of=VirtualRouter, shell=_NAMESPACE_NFT, tool="ip", root=True, late=True, modules=("nf_tables",), seconds=10, limit=_LIMIT,
)
def router_nftables(text: str) -> Ruleset:
    """Everything that nftables has loaded in the network namespace of a router."""
    return nft_json.ruleset(text) if text.strip() else Ruleset()


# -- inside guests ---------------------------------------------------------------------------------------------------


@observation(
    "iptables /proc/net/ip_tables_names", shell=_SAVE, of=Vm, inside=True, root=True, seconds=10, limit=_LIMIT,
)
def guest_iptables(text: str) -> Ruleset:
    """The IPv4 rules of both iptables backends inside a VM."""
    return save_format.ruleset(text, "iptables", "ip")


@observation(
    "ip6tables /proc/net/ip6_tables_names", shell=_SAVE, of=Vm, inside=True, root=True, seconds=10, limit=_LIMIT,
)
def guest_ip6tables(text: str) -> Ruleset:
    """The IPv6 rules of both ip6tables backends inside a VM."""
    return save_format.ruleset(text, "ip6tables", "ip6")


@observation(
    shell=_NFT, tool="nft", of=Vm, inside=True, root=True, modules=("nf_tables",), seconds=10, limit=_LIMIT,
)
def guest_nftables(text: str) -> Ruleset:
    """Everything that nftables has loaded inside a VM; empty where its kernel has no nf_tables."""
    return nft_json.ruleset(text)
