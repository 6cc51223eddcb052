"""OpenStack's nova with nova-network: its configuration, its database, what instances write to their consoles, its metadata."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from netchecks.errors import Unreadable
from netchecks.models.console import Console
from netchecks.models.metadata import Metadata
from netchecks.models.nova_network import FixedRow, FloatingRow, FreeRows, InstanceRow, InterfaceRow, NetworkRow, NovaConfig, NovaRows
from netchecks.models.subjects import Database, Vm
from netchecks.observe import observation
from netchecks.parsing import blocks, clean, integer, mapping, sequence, string
from netchecks.reading import console

T = TypeVar("T")

#: What says how the network is built, and nothing else: passwords and connections of databases stand in the same file.
OPTIONS = (
    "network_manager", "multi_host", "flat_network_bridge", "flat_interface", "flat_injected", "public_interface", "vlan_interface",
    "vlan_start", "fixed_range", "fixed_ip_disassociate_timeout", "floating_range", "default_floating_pool", "auto_assign_floating_ip",
    "my_ip", "routing_source_ip", "force_snat_range", "dmz_cidr", "dhcpbridge", "dhcpbridge_flagfile", "dhcp_domain", "dhcp_lease_time",
    "dns_server", "use_network_dns_servers", "dnsmasq_config_file", "networks_path", "metadata_host", "metadata_port", "firewall_driver",
    "libvirt_vif_driver", "linuxnet_interface_driver", "allow_same_net_traffic", "send_arp_for_ha", "share_dhcp_address", "instances_path",
    "network_api_class", "forward_bridge_interface", "iptables_top_regex", "iptables_bottom_regex",
)

#: Filtered where it stands, so that no secret leaves the node. Of several files the later ones win (oslo.config).
_CONFIG = r"""
w="$1" seen=
for f in /usr/share/nova/nova-dist.conf /etc/nova/nova.conf /etc/nova/nova-compute.conf /etc/nova/nova-network.conf; do
  [ -e "$f" ] || continue
  seen=1; printf '@file %s\n' "$f"
  awk -v wanted=" $w " '
    { sub(/^[ \t]*(--)?/, ""); at = index($0, "="); if (!at) next
      name = substr($0, 1, at - 1); gsub(/[ \t-]/, "_", name); sub(/_+$/, "", name)
      if (index(wanted, " " name " ")) { value = substr($0, at + 1); sub(/^[ \t]+/, "", value); sub(/[ \t\r]+$/, "", value)
        print name "=" value } }' "$f" || exit
done
[ -n "$seen" ] || { echo 'no nova.conf found in /etc/nova' >&2; exit 1; }
echo @end
"""


@observation(f"'{' '.join(OPTIONS)}'", shell=_CONFIG, tool="awk", root=True)
def nova_config(text: str) -> NovaConfig:
    """The options of nova.conf that say how the network is built; others, and so all secrets, never leave the node.

    Also the flags of old releases (``--flat_interface=eth1``). Source: nova/network/manager.py, linux_net.py (options).
    """
    parts = blocks(text, "@")
    if not parts or parts[-1][0] != "end":
        raise Unreadable("'@end'", text[-100:])
    files, options = [], []
    for head, body in parts[:-1]:
        word, _, path = head.partition(" ")
        if word != "file" or not path:
            raise Unreadable("'@file /etc/nova/nova.conf'", head)
        files.append(path)
        options += [_option(line) for line in body]
    return NovaConfig(", ".join(files), tuple(options))


def _option(line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not equals or name not in OPTIONS:
        raise Unreadable("an option that was asked for", line)
    return name, value


# -- the database ------------------------------------------------------------------------------------------------------

#: On this machine, by the interpreter that netchecks runs with.
_DATABASE = 'exec "${NETCHECKS_PYTHON:-python3}" -m netchecks.database "$@"'


@observation("{database.words}", of=Database, shell=_DATABASE, tool="the reading of the database", seconds=25.0, limit=64 * 1024 * 1024)
def nova_rows(text: str) -> NovaRows:
    """What nova's database says of instances, networks, MACs, fixed and floating addresses. Source: nova/db/sqlalchemy/models.py."""
    try:
        tables = mapping(json.loads(clean(text)))
    except (ValueError, RecursionError) as error:
        raise Unreadable("the rows as JSON", text[:100]) from error
    return NovaRows(
        _rows(tables, "instances", _instance), _rows(tables, "networks", _network), _rows(tables, "virtual_interfaces", _interface),
        _rows(tables, "fixed_ips", _fixed), _rows(tables, "floating_ips", _floating),
        _rows(tables, "free_fixed_ips", _free),
    )


def _rows(tables: Mapping[str, Any], name: str, read: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    if name not in tables:
        raise Unreadable(f"the table {name}", ", ".join(map(str, tables)))
    return tuple(read(mapping(row)) for row in sequence(tables[name]))


def _id(row: Mapping[str, Any]) -> int:
    found = integer(row, "id")
    if found is None:
        raise Unreadable("a row with an id", repr(row)[:100])
    return found


def _is(row: Mapping[str, Any], name: str) -> bool:
    value = row.get(name)
    if value is not None and not isinstance(value, (bool, int)):
        raise Unreadable(f"a number for {name}", repr(value)[:100])
    return bool(value)


def _instance(row: Mapping[str, Any]) -> InstanceRow:
    uuid, hostname, host, state = (string(row, name) for name in ("uuid", "hostname", "host", "vm_state"))
    return InstanceRow(_id(row), uuid, hostname, host, state, _is(row, "deleted"))


def _network(row: Mapping[str, Any]) -> NetworkRow:
    label, cidr, bridge, device = (string(row, name) for name in ("label", "cidr", "bridge", "bridge_interface"))
    return NetworkRow(_id(row), label, cidr, bridge, device, integer(row, "vlan"), _is(row, "multi_host"), string(row, "host"))


def _interface(row: Mapping[str, Any]) -> InterfaceRow:
    return InterfaceRow(_id(row), string(row, "address").lower(), integer(row, "network_id"), string(row, "instance_uuid"))


def _fixed(row: Mapping[str, Any]) -> FixedRow:
    return FixedRow(
        _id(row), string(row, "address"), integer(row, "network_id"), integer(row, "virtual_interface_id"), string(row, "instance_uuid"),
        _is(row, "allocated"), _is(row, "reserved"), string(row, "host"),
    )


def _free(row: Mapping[str, Any]) -> FreeRows:
    count = integer(row, "free")
    if count is None:
        raise Unreadable("how many rows are free", repr(row)[:100])
    return FreeRows(_id(row), string(row, "address"), count)


def _floating(row: Mapping[str, Any]) -> FloatingRow:
    texts = (string(row, name) for name in ("project_id", "host", "pool", "interface"))
    return FloatingRow(_id(row), string(row, "address"), integer(row, "fixed_ip_id"), *texts)


# -- instances ---------------------------------------------------------------------------------------------------------

#: Under the domain's name (to Grizzly) or its UUID; the domain itself says where, also when neither is so.
_CONSOLE = r"""
d="$1"; set --
[ -n "${LIBVIRT_DEFAULT_URI:-}" ] || [ "$(id -u)" = 0 ] || set -- -c qemu:///system
x=$(virsh -q -r "$@" dumpxml --domain="$d" 2>/dev/null) || x=
u=$(printf '%s\n' "$x" | sed -n 's:.*<uuid>\([0-9a-f-]*\)</uuid>.*:\1:p' | head -n 1)
s=$(printf '%s\n' "$x" | sed -n "s:.*<source path=['\"]\(/[^'\"]*console.log\)['\"].*:\1:p" | head -n 1)
for f in "$s" "/var/lib/nova/instances/$d/console.log" "/var/lib/nova/instances/$u/console.log"; do
  [ -n "$f" ] && [ -f "$f" ] || continue
  printf '@console %s %s\n' "$(stat -c %Y "$f")" "$f"; tail -c 262144 "$f" | tr -d '\000' | sed 's/^@/ @/'; printf '\n@end\n'; exit
done
echo "no console.log of $d" >&2; exit 1
"""


@observation("{vm.domain}", of=Vm, shell=_CONSOLE, tool="sed", root=True, limit=1024 * 1024)
def console_logs(text: str) -> Console:
    """What the instance wrote to its console of its lease and of the metadata service: cirros' and cloud-init's forms.

    The last 256 KiB. Source: cirros' init scripts, busybox udhcpc, dhclient(8), cloud-init (ci-info, url_helper).
    """
    parts = blocks(text, "@")
    head = re.fullmatch(r"console (\d{1,12}) (/.*)", parts[0][0]) if parts else None
    if head is None or parts[-1][0] != "end" or len(parts) != 2:  # noqa: PLR2004 - the log and its end
        raise Unreadable("'@console SECONDS PATH' and '@end'", text[:100])
    return console.read(head[2], parts[0][1])


#: The status of what stands at the address that every cloud image asks (Amazon's EC2 user guide, instance metadata).
_METADATA = r"""
u=http://169.254.169.254/
if command -v curl >/dev/null 2>&1; then
  s=$(curl -s -o /dev/null -m 4 --noproxy '*' -w '%{http_code}' "$u"); r=$?
  [ "$r" -eq 0 ] && echo "@http $s" || echo "@failed curl $r"
elif command -v wget >/dev/null 2>&1; then
  e=$(wget -T 4 -O /dev/null "$u" 2>&1); r=$?
  s=$(printf '%s\n' "$e" | sed -n 's:.*\(HTTP/[0-9.]*\|ERROR\) \([0-9][0-9][0-9]\)[ .\:].*:\2:p' | tail -n 1)
  if [ "$r" -eq 0 ]; then echo "@http 200"
  elif [ -n "$s" ]; then echo "@http $s"
  else echo "@failed wget $(printf '%s\n' "$e" | tail -n 1)"
  fi
else
  echo 'neither curl nor wget: command not found' >&2; exit 127
fi
"""


@observation(of=Vm, inside=True, shell=_METADATA, tool="curl", seconds=8.0)
def guest_metadata(text: str) -> Metadata:
    """Whether the metadata service answers inside an instance, and with which HTTP status. Source: curl(1), exit codes."""
    said = clean(text).strip()
    if match := re.fullmatch(r"@http ([0-9]{3})\S*", said):
        return Metadata(int(match[1]))
    if match := re.fullmatch(r"@failed (curl|wget) ?(.*)", said, re.DOTALL):
        own = match[2].strip()[:120]
        return Metadata(None, f"wget: {own}" if match[1] == "wget" else console.CURL.get(own, f"curl: {own}"))
    raise Unreadable("'@http 200' or '@failed curl 7'", said)
