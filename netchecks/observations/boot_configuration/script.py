"""The one command that reads a node's network configuration: bounded, and without anything that may be a secret.

What may pass is listed, not what may not: of ifcfg files known variables, of interfaces(5) known options, of keyfiles and
networkd's files known sections without keys that sound like secrets. Of netplan's YAML the subtrees and values that hold
secrets are taken away. Comments go too: people write passwords there. Commands of hooks pass when they are ip, route, brctl,
ifconfig or bridge ones; of others only stands that they are there.
"""

from __future__ import annotations

#: Bytes of one file, and files in all; more is said to be unread.
FILE_BYTES = 65536
FILES = 300

#: Variables of ifcfg files that pass, as regular expressions.
_IFCFG = """
    DEVICE NAME TYPE ONBOOT BOOTPROTO BRIDGE BRIDGE_UUID IPADDR[0-9]* PREFIX[0-9]* NETMASK[0-9]* GATEWAY[0-9]* GATEWAYDEV DEFROUTE
    HWADDR MTU VLAN VLAN_ID PHYSDEV MASTER MASTER_UUID SLAVE TEAM_MASTER TEAM_MASTER_UUID NM_CONTROLLED IPV6INIT IPV6ADDR
    IPV6ADDR_SECONDARIES IPV6_DEFAULTGW IPV6_DEFROUTE IPV6_AUTOCONF DHCPV6C UUID OVS_BRIDGE DEVICETYPE AUTOCONNECT_SLAVES
    ADDRESS[0-9]+ NETWORKING
"""
#: Words of interfaces(5) that pass.
_OPTIONS = """
    auto allow-[a-z]+ iface mapping source source-dir source-directory inherits template rename no-auto-down no-scripts address
    netmask gateway mtu hwaddress bridge[-_][a-z_-]+ vlan[-_][a-z_-]+ bond[-_][a-z_-]+ slaves pointopoint accept_ra autoconf dhcp
    ovs_[a-z_]+ vrf script map
"""
#: Sections of NetworkManager's keyfiles that pass.
_KEYFILE = """
    connection ethernet 802-3-ethernet bridge bridge-port vlan bond bond-port team team-port ipv4 ipv6 match vxlan ovs-[a-z]+
"""
#: Sections of networkd's files that do not.
_NETWORKD = "wireguard macsec tunnel l2tp wlan foooverudp"
#: Keys that sound like a secret.
_SOUNDS = "psk pass secret private preshared shared token credential (^|[-_.])pin([-_.]|$) (^|[-_.]|wep)keys?([-_.0-9]|$)"

_FILTER = r"""
function secret(k) { return k ~ /@SECRET@/ }
function first(v) {
  if (match(v, /^"[^"]*"/) || match(v, /^\047[^\047]*\047/)) return substr(v, 1, RLENGTH)
  if (v ~ /^["\047]/) return ""
  sub(/[ \t;#&|].*$/, "", v); return v
}
function hook(text,   parts, n, i, p, w, shown) {
  n = split(text, parts, /[;&|]+/)
  for (i = 1; i <= n; i++) {
    p = parts[i]; gsub(/^[ \t]+|[ \t]+$/, "", p); w = p; sub(/[ \t].*$/, "", w); sub(/^.*\//, "", w)
    if (p == "" || w == "true" || w == ":") continue
    shown = w == "ip" && p ~ /[ \t](l|li|link|r|ro|route|a|ad|addr|address|ru|rule)[ \t]/ && p !~ /xfrm|macsec|wireguard|[ \t]key[ \t]/
    if (shown || w ~ /^(route|brctl|ifconfig|bridge)$/) print " up " p
    else print " up (hidden)"
  }
}
function ifcfg(line,   k, v) {
  sub(/^[ \t]*(export[ \t]+)?/, "", line); k = line; sub(/=.*$/, "", k); if (k == line) return
  v = first(substr(line, length(k) + 2))
  if (k ~ /^(@IFCFG@)$/) print " " k "=" v
}
function interfaces(line,   w) {
  gsub(/^[ \t]+|[ \t]+$/, "", line); w = line; sub(/[ \t].*$/, "", w)
  if (w ~ /^(up|post-up|pre-up)$/) { sub(/^[^ \t]+[ \t]*/, "", line); hook(line) }
  else if (w ~ /^(@OPTIONS@)$/) print " " line
}
function ini(line,   k) {
  gsub(/^[ \t]+|[ \t]+$/, "", line)
  if (line ~ /^\[/) {
    part = tolower(line)
    ok = kind == "keyfile" ? part ~ /^\[(@KEYFILE@)\]/ : part !~ /^\[(@NETWORKD@)/
    if (ok) print " " line
    return
  }
  k = line; sub(/[ \t]*=.*$/, "", k)
  if (ok && k != line && !secret(tolower(k))) print " " line
}
function yaml(line,   ind, low, k, rest, out, at) {
  match(line, /^[ \t]*/); ind = RLENGTH
  if (next_too) { next_too = 0; return }
  if (skip >= 0) { if (ind > skip) return; skip = -1 }
  low = tolower(line)
  if (low ~ /^[ \t]*(- )?["\047]?[a-z0-9_-]+["\047]?[ \t]*:/) {
    k = low; sub(/^[ \t]*(- )?["\047]?/, "", k); sub(/["\047]?[ \t]*:.*$/, "", k)
    rest = low; sub(/^[^:]*:[ \t]*/, "", rest)
    if (k ~ /^(wifis|modems|auth|access-points)$/ || secret(k)) {
      out = line; sub(/:.*$/, ": null", out); print " " out; skip = ind
      return
    }
  }
  out = ""
  while (match(low, /["\047]?[a-z0-9_-]*(pass|psk|secret|private|shared|token|credential|pin|key)[a-z0-9_-]*["\047]?[ \t]*:[ \t]*/)) {
    at = RSTART + RLENGTH; out = out substr(line, 1, at - 1); line = substr(line, at); low = substr(low, at)
    if (low == "") { next_too = 1; out = out "null" }
    else if (match(low, /^"([^"\\]|\\.)*"/) || match(low, /^\047[^\047]*\047/) || match(low, /^[^][{},"\047][^,}]*/)) {
      line = "null" substr(line, RLENGTH + 1); low = "null" substr(low, RLENGTH + 1)
    } else if (low !~ /^[[{]/) { line = "null"; low = "null"; skip = ind }
  }
  if (out line !~ /["\047]/) sub(/[ \t]#.*$/, "", line)
  print " " out line
}
BEGIN { skip = -1 }
{ sub(/\r$/, ""); sub(/^\357\273\277/, "") }
/^[ \t]*[#;]/ && !held { next }
kind != "netplan" && /\\$/ { sub(/\\$/, ""); held = 1; kept = kept $0 " "; next }
{ line = kept $0; kept = ""; held = 0 }
line ~ /^[ \t]*$/ { next }
kind == "ifcfg" { ifcfg(line); next }
kind == "route" { sub(/[#;&|].*$/, "", line); print " " line; next }
kind == "ifupdown" { interfaces(line); next }
kind == "netplan" { yaml(line); next }
{ ini(line) }
"""

#: ``$1`` is put before every path: empty on a node, a folder with another system's files in the tests.
_SCRIPT = r"""
R=${1-}; IFS='
'
n=0; m=0
filter='@FILTER@'
f() {
  [ -f "$R$2" ] || [ -c "$R$2" ] || { [ ! -L "$R$2" ] || echo "@unread $1 $2"; return 0; }
  case $2 in *"$IFS"*) echo "@unread $1 ?"; return 0 ;; esac
  n=$((n+1)); [ "$n" -le @FILES@ ] || { m=1; return 0; }
  i=$(stat -L -c '%a %u' "$R$2" 2>/dev/null) || i='- -'
  if [ -c "$R$2" ]; then echo "@file $1 $i $2"
  elif [ ! -r "$R$2" ] || [ "$(head -c @MORE@ <"$R$2" | wc -c)" -gt @BYTES@ ]; then echo "@unread $1 $2"
  else echo "@file $1 $i $2"; awk -v kind="$1" "$filter" <"$R$2" || echo "@unread $1 $2"; fi
}
e() {
  f ifupdown "$1"; [ "$2" -lt 2 ] && [ -r "$R$1" ] || return 0
  awk '$1 ~ /^source(-dir(ectory)?)?$/ { k = $1; sub(/^[ \t]*[^ \t]+[ \t]+/, ""); print k "/" $0 }' <"$R$1" | while read -r l; do
    k=${l%%/*}; p=${l#*/}
    case $p in *['$`~{']*) echo "@unread ifupdown $p"; continue ;; /*) ;; *) p=${1%/*}/$p ;; esac
    for x in $R$p; do
      if [ "$k" = source ]; then [ ! -f "$x" ] || e "${x#"$R"}" "$(($2+1))"; continue; fi
      for y in "$x"/*; do case ${y##*/} in *[!A-Za-z0-9_-]*) ;; *) [ ! -f "$y" ] || e "${y#"$R"}" "$(($2+1))" ;; esac; done
    done
  done
}
d() {
  [ -d "$R$2" ] || return 1
  [ -x "$R$2" ] && [ -r "$R$2" ] || echo "@unread $1 $2"
}
u='networking network NetworkManager systemd-networkd wicked connman dhcpcd'
if [ -z "$R" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
  IFS=' '; for s in $u; do
    t=$(systemctl show -p LoadState -p ActiveState -p UnitFileState "$s.service" | sort | tr '\n' ' ') && echo "@unit $s $t"
  done; IFS='
'
elif [ -n "$R" ] && [ -f "$R/units" ]; then cat "$R/units"
fi
for x in "$R"/etc/rc.d/rc3.d/S??network "$R"/etc/rcS.d/S??networking "$R"/etc/runlevels/*/networking; do
  [ ! -e "$x" ] || echo "@rc ${x#"$R"}"
done
for p in /usr/sbin /usr/lib/systemd/system-generators /lib/systemd/system-generators; do
  [ ! -e "$R$p/netplan" ] || { echo @netplan; break; }
done
a() { s=$1; shift; for x; do f "$s" "${x#"$R"}"; done; }
e /etc/network/interfaces 0
p=/etc/sysconfig/network-scripts
if d ifcfg "$p"; then
  f ifcfg /etc/sysconfig/network
  for x in "$R$p"/ifcfg-*; do
    case $x in *~|*.bak|*.old|*.orig|*.rpmnew|*.rpmorig|*.rpmsave|*.swp) ;; *) f ifcfg "${x#"$R"}" ;; esac
  done
  a route "$R$p"/route-* "$R$p"/route6-*
fi
for p in /lib/netplan /usr/lib/netplan /etc/netplan /run/netplan; do d netplan "$p" && a netplan "$R$p"/*.yaml; done
p=NetworkManager/system-connections
d keyfile "/etc/$p" && a keyfile "$R/etc/$p"/*
d keyfile "/run/$p" && a keyfile "$R/run/$p"/*.nmconnection
d keyfile "/usr/lib/$p" && a keyfile "$R/usr/lib/$p"/*.nmconnection
for p in /etc /run /usr/local/lib /usr/lib; do
  q=$R$p/systemd/network
  d networkd "$p/systemd/network" && a networkd "$q"/*.network "$q"/*.netdev "$q"/*.network.d/*.conf "$q"/*.netdev.d/*.conf
done
[ "$m" = 0 ] || echo "@unread - more than @FILES@ files"
echo @end
"""


def _filled(text: str) -> str:
    lists = {"IFCFG": _IFCFG, "OPTIONS": _OPTIONS, "KEYFILE": _KEYFILE, "NETWORKD": _NETWORKD, "SECRET": _SOUNDS}
    for name, words in lists.items():
        text = text.replace(f"@{name}@", "|".join(words.split()))
    return text


SCRIPT = (
    _SCRIPT.replace("@FILTER@", _filled(_FILTER).replace("'", "'\\''")).replace("@FILES@", str(FILES))
    .replace("@MORE@", str(FILE_BYTES + 1)).replace("@BYTES@", str(FILE_BYTES))
)
