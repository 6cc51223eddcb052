# Stand-in for neutron-openvswitch-agent: at its start it does to the bridges what the agent does; then it only stays alive.
# /etc/lab/networks: UUID, local VLAN, type, physical network, segment. /etc/lab/ports: device, network, MAC, address, "trusted".
# /etc/lab/where: with l2_population what the server would tell: device, end of the tunnels of the node that it is on.
# /etc/lab/dvr: with enable_distributed_routing the MACs of all nodes, its own one first. /etc/lab/peers: the other ends of tunnels. /etc/lab/style: "classic" for the flows of older releases, without a cookie.
log=openvswitch-agent.log
. /etc/lab/agent.sh
option() { sed -n "s/^$1 *= *//p" "$ini"; }
mapping=$(option bridge_mappings) tunnels=$(option tunnel_types) own=$(option local_ip)
dvr= hosts=
population=$(option l2_population) responder=$(option arp_responder)
[ "$(option enable_distributed_routing)" != True ] || { set -- $(cat /etc/lab/dvr); dvr=$1; shift; hosts=$*; }
physnet=${mapping%%:*} bridge=${mapping#*:}
if [ -n "$mapping" ] && ! ovs-vsctl br-exists "$bridge"; then
  say ERROR "Bridge $bridge for physical network $physnet does not exist. Agent terminated!"
  exit 1
fi
new=yes cookie=0x$(od -An -N7 -tx8 /dev/urandom | tr -d ' ')
! grep -qx classic /etc/lab/style || new= cookie=0x0
to=NORMAL; [ -z "$new" ] || to='resubmit(,60)'
set_bridge() { ovs-vsctl --timeout=20 --may-exist add-br "$1" -- set Bridge "$1" datapath_type=netdev fail_mode=secure; }
# patch BRIDGE PORT PEER: one end of a pair.
patch() { ovs-vsctl --timeout=20 --may-exist add-port "$1" "$2" -- set Interface "$2" type=patch options:peer="$3"; }
number() { ovs-vsctl --timeout=20 get Interface "$1" ofport; }
# write BRIDGE: put the flows on stdin in place of those that are there, at once.
write() { sed "s/^/cookie=$cookie,/" >"/run/$1.flows"; ovs-ofctl -O OpenFlow14 --bundle replace-flows "$1" "/run/$1.flows"; }

set_bridge br-int
i=
if [ -n "$mapping" ]; then
  set_bridge "$bridge"
  patch br-int "int-$bridge" "phy-$bridge"
  patch "$bridge" "phy-$bridge" "int-$bridge"
  i=$(number "int-$bridge") p=$(number "phy-$bridge")
fi

# gates: of each network with a distributed router: local VLAN, the router's MAC and address there.
gates() {
  for device in $(ovs-vsctl list-ports br-int); do
    case $device in qr-*) ;; *) continue ;; esac
    set -- $(awk -v d="$device" '$1 == d { print $2, $3, $4 }' /etc/lab/ports)
    echo "$(awk -v n="$1" '$1 == n { print $2 }' /etc/lab/networks) $2 $3"
  done
}

# distributed: what other nodes' routers send has the MAC of their node; it becomes the router's again.
distributed() {
  for mac in $hosts; do
    [ -z "$tunnels" ] || echo "table=0,priority=2,in_port=$(number patch-tun),dl_src=$mac,actions=resubmit(,1)"
    [ -z "$i" ] || echo "table=0,priority=4,in_port=$i,dl_src=$mac,actions=resubmit(,2)"
  done
  echo "table=1,priority=1,actions=drop"
  echo "table=2,priority=1,actions=drop"
  gates | while read -r local gate address; do
    for device in $(ovs-vsctl list-ports br-int); do
      case $device in qr-*) continue ;; esac
      set -- $(awk -v d="$device" '$1 == d { print $2, $3 }' /etc/lab/ports)
      [ "$(awk -v n="${1:-}" '$1 == n { print $2 }' /etc/lab/networks)" = "$local" ] || continue
      echo "table=1,priority=20,dl_vlan=$local,dl_dst=$2,actions=mod_dl_src:$gate,resubmit(,60)"
      echo "table=60,priority=20,dl_vlan=$local,dl_dst=$2,actions=strip_vlan,output:$(number "$device")"
    done
  done
}

integration() {
  [ -z "$dvr" ] || distributed
  [ -z "$i" ] || echo "table=0,priority=2,in_port=$i,actions=drop"
  echo "table=0,priority=0,actions=$to"
  echo "table=23,priority=0,actions=drop"
  [ -z "$new" ] || { echo "table=24,priority=0,actions=drop"; echo "table=60,priority=3,actions=NORMAL"; }
  while read -r net local type physical segment; do
    case $type in
      vlan) echo "table=0,priority=3,in_port=$i,dl_vlan=$segment,actions=mod_vlan_vid:$local,$to" ;;
      flat) echo "table=0,priority=3,in_port=$i,vlan_tci=0x0000/0x1fff,actions=mod_vlan_vid:$local,$to" ;;
    esac
  done </etc/lab/networks
  for device in $(ovs-vsctl list-ports br-int); do
    set -- $(awk -v d="$device" '$1 == d { print $3, $4, $5 }' /etc/lab/ports)
    [ $# -gt 0 ] || continue
    bind "$device" >&2
    # Ports of Neutron's own agents are trusted; of instances, what is sent in another's name is dropped.
    [ -n "$new" ] && [ "${3:-}" != trusted ] || continue
    n=$(number "$device")
    echo "table=24,priority=2,arp,in_port=$n,arp_spa=$2,actions=resubmit(,25)"
    echo "table=25,priority=2,in_port=$n,dl_src=$1,actions=resubmit(,60)"
    echo "table=0,priority=10,arp,in_port=$n,actions=resubmit(,24)"
    echo "table=0,priority=9,in_port=$n,actions=resubmit(,25)"
  done
}

provider() {
  table=0
  if [ -n "$dvr" ]; then
    table=2
    echo "table=0,priority=2,in_port=$p,actions=resubmit(,1)"
    echo "table=0,priority=1,actions=resubmit(,3)"
    echo "table=1,priority=0,actions=resubmit(,2)"
    echo "table=3,priority=1,actions=NORMAL"
    for mac in $hosts; do echo "table=3,priority=2,dl_src=$mac,actions=output:$p"; done
  fi
  echo "table=$table,priority=2,in_port=$p,actions=drop"
  echo "table=0,priority=0,actions=NORMAL"
  while read -r net local type physical segment; do
    case $type in
      vlan) echo "table=$table,priority=4,in_port=$p,dl_vlan=$local,actions=mod_vlan_vid:$segment,NORMAL" ;;
      flat) echo "table=$table,priority=4,in_port=$p,dl_vlan=$local,actions=strip_vlan,NORMAL" ;;
    esac
  done </etc/lab/networks
}

# elsewhere NETWORK: with l2population its ports on other nodes: end of the tunnels there, MAC, address.
elsewhere() {
  awk -v n="$1" -v own="$own" 'NR == FNR { at[$1] = $2; next } $2 == n && at[$1] != "" && at[$1] != own { print at[$1], $3, $4 }' \
    /etc/lab/where /etc/lab/ports
}
# has NETWORK: a port of it is on this node; of others an agent with l2population learns nothing.
has() { awk -v n="$1" -v own="$own" 'NR == FNR { at[$1] = $2; next } $2 == n && at[$1] == own { found = 1 } END { exit !found }' /etc/lab/where /etc/lab/ports; }
# peers: the ends to which there are tunnels: all, or with l2population those of nodes that have ports of the same networks.
peers() {
  [ -n "$population" ] || { cat /etc/lab/peers; return; }
  while read -r net rest; do ! has "$net" || elsewhere "$net"; done </etc/lab/networks | awk '{ print $1 }' | sort -u
}
device() { echo "vxlan-$(printf '%02x%02x%02x%02x' $(echo "$1" | tr . ' '))"; }
# populated NETWORK VLAN SEGMENT: what l2population has the agent write: a flow for each port on another node, the answer to ARP requests
# for it, the flood to nodes with ports of the network. Source: neutron/plugins/ml2/drivers/openvswitch/agent/openflow/native/br_tun.py,
# install_unicast_to_tun, install_arp_responder, install_flood_to_tun.
populated() {
  has "$1" || return 0
  to=$(elsewhere "$1" | awk '{ print $1 }' | sort -u | while read -r peer; do printf ',output:%s' "$(number "$(device "$peer")")"; done)
  [ -z "$to" ] || echo "table=22,priority=1,dl_vlan=$2,actions=strip_vlan,set_tunnel:$3$to"
  elsewhere "$1" | while read -r peer mac address; do
    echo "table=20,priority=2,dl_vlan=$2,dl_dst=$mac,actions=strip_vlan,set_tunnel:$3,output:$(number "$(device "$peer")")"
    [ -n "$responder" ] || continue
    answer="load:0x2->NXM_OF_ARP_OP[],move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]"
    answer="$answer,load:0x$(echo "$mac" | tr -d :)->NXM_NX_ARP_SHA[],load:0x$(printf '%02x%02x%02x%02x' $(echo "$address" | tr . ' '))->NXM_OF_ARP_SPA[]"
    echo "table=21,priority=1,arp,dl_vlan=$2,arp_tpa=$address,actions=$answer,move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],mod_dl_src:$mac,IN_PORT"
  done
}

tunnel() {
  t=$(number patch-int) out=
  for peer in $(peers); do
    name=$(device "$peer")
    ovs-vsctl --timeout=20 --may-exist add-port br-tun "$name" -- set Interface "$name" type=vxlan options:in_key=flow \
      options:out_key=flow options:local_ip="$own" options:remote_ip="$peer" options:df_default=true
    n=$(number "$name")
    echo "table=0,priority=1,in_port=$n,actions=resubmit(,4)"
    out=$out,output:$n
  done
  from=2 learns=10
  if [ -n "$dvr" ]; then
    from=1 learns=9
    echo "table=1,priority=0,actions=resubmit(,2)"
    echo "table=9,priority=0,actions=resubmit(,10)"
    for mac in $hosts; do echo "table=9,priority=1,dl_src=$mac,actions=output:$t"; done
    gates | while read -r local gate address; do
      echo "table=1,priority=2,dl_vlan=$local,dl_dst=$gate,actions=drop"
      echo "table=1,priority=1,dl_vlan=$local,dl_src=$gate,actions=mod_dl_src:$dvr,resubmit(,2)"
      echo "table=22,priority=3,arp,dl_vlan=$local,arp_tpa=$address,actions=drop"
    done
  fi
  echo "table=0,priority=1,in_port=$t,actions=resubmit(,$from)"
  echo "table=2,priority=0,dl_dst=00:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,20)"
  echo "table=2,priority=0,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=resubmit(,22)"
  [ -z "$responder" ] || {
    echo "table=2,priority=1,arp,dl_dst=ff:ff:ff:ff:ff:ff,actions=resubmit(,21)"
    echo "table=21,priority=0,actions=resubmit(,22)"
  }
  for drop in 0 3 4 6 22; do echo "table=$drop,priority=0,actions=drop"; done
  learned='table=20,hard_timeout=300,priority=1,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],load:0->NXM_OF_VLAN_TCI[]'
  echo "table=10,priority=1,actions=learn($learned,load:NXM_NX_TUN_ID[]->NXM_NX_TUN_ID[],output:OXM_OF_IN_PORT[]),output:$t"
  echo "table=20,priority=0,actions=resubmit(,22)"
  while read -r net local type physical segment; do
    [ "$type" = vxlan ] || continue
    echo "table=4,priority=1,tun_id=$segment,actions=mod_vlan_vid:$local,resubmit(,$learns)"
    [ -z "$population" ] || { populated "$net" "$local" "$segment"; continue; }
    echo "table=22,priority=1,dl_vlan=$local,actions=strip_vlan,set_tunnel:$segment$out"
  done </etc/lab/networks
}

if [ -n "$tunnels" ]; then
  set_bridge br-tun
  patch br-int patch-tun patch-int
  patch br-tun patch-int patch-tun
fi
integration >/run/flows
write br-int </run/flows
if [ -n "$mapping" ]; then provider >/run/flows; write "$bridge" </run/flows; fi
if [ -n "$tunnels" ]; then tunnel >/run/flows; write br-tun </run/flows; fi
say INFO "Agent initialized successfully, now running..."
exec sleep infinity
