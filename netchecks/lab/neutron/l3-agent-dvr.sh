# Stand-in for neutron-l3-agent of a node with distributed routers (DVR): at its start it makes its part of each what it has to be.
# /etc/lab/routers: router, inner device, its address, that of the namespace that translates for all others, external network, device
# there, its address, gateway, then FLOATING=FIXED of each floating address of an instance of this node; the external network and what
# follows it may be missing. /etc/lab/snat (agent_mode = dvr_snat): router, inner device, its address, outer device, its address, gateway.
# Source: neutron/agent/l3/dvr_local_router.py, dvr_fip_ns.py, dvr_edge_router.py.
log=l3-agent.log
. /etc/lab/router.sh
to_fip=169.254.106.114 to_router=169.254.106.115
metadata="-d 169.254.169.254/32 -i qr-+ -p tcp -m tcp --dport 80"
# number ADDRESS: as one number, which is the name of the table of routes that it is the reason for.
number() { echo "$1" | awk -F. '{ printf "%.0f\n", (($1 * 256 + $2) * 256 + $3) * 256 + $4 }'; }
# mangle DEVICE...: marks what comes by each of them as of one address scope.
mangle() {
  wrap mangle PREROUTING INPUT FORWARD OUTPUT POSTROUTING
  printf ':neutron-l3-agent-%s -\n' mark scope
  echo "-A neutron-l3-agent-PREROUTING -j neutron-l3-agent-mark"
  echo "-A neutron-l3-agent-PREROUTING -j neutron-l3-agent-scope"
  echo "-A neutron-l3-agent-PREROUTING $metadata -j MARK --set-xmark 0x1/0xffff"
  for device in "$@"; do echo "-A neutron-l3-agent-scope -i $device -j MARK --set-xmark 0x4000000/0xffff0000"; done
  echo COMMIT
}
# nat: what the table of translation has at its end.
nat() {
  wrap nat PREROUTING OUTPUT POSTROUTING
  printf ':%s -\n' neutron-l3-agent-float-snat neutron-l3-agent-snat neutron-postrouting-bottom
  echo "-A POSTROUTING -j neutron-postrouting-bottom"
  echo '-A neutron-postrouting-bottom -m comment --comment "Perform source NAT on outgoing traffic." -j neutron-l3-agent-snat'
}
rules() {
  mangle "$inner" $rfp
  nat
  echo "-A neutron-l3-agent-PREROUTING $metadata -j REDIRECT --to-ports 9697"
  for pair in $floating; do
    echo "-A neutron-l3-agent-PREROUTING -d ${pair%=*}/32 -i $rfp -j DNAT --to-destination ${pair#*=}"
    echo "-A neutron-l3-agent-float-snat -s ${pair#*=}/32 -j SNAT --to-source ${pair%=*} --random-fully"
  done
  [ -z "$rfp" ] || echo "-A neutron-l3-agent-POSTROUTING ! -i $rfp ! -o $rfp -m conntrack ! --ctstate DNAT -j ACCEPT"
  echo "-A neutron-l3-agent-snat -j neutron-l3-agent-float-snat"
  echo COMMIT
  filter "$inner"
}
snat_rules() {
  own="--to-source ${outer_address%/*} --random-fully"
  mangle "$outer" "$inner"
  nat
  echo "-A neutron-l3-agent-POSTROUTING ! -o $outer -m conntrack ! --ctstate DNAT -j ACCEPT"
  echo "-A neutron-l3-agent-snat -o $outer -j SNAT $own"
  echo "-A neutron-l3-agent-snat -m mark ! --mark 0x2/0xffff -m conntrack --ctstate DNAT -j SNAT $own"
  echo COMMIT
  filter "$inner"
}
# translate FUNCTION: loads what it prints.
translate() { "$1" >"/run/$space.rules"; inside iptables-restore "/run/$space.rules"; }
# chosen PRIORITY TABLE FROM...: packets from there go by that table; a rule that is there stays.
chosen() {
  priority=$1 by=$2; shift 2
  inside ip -4 rule show | grep -q "^$priority:.*from $*.* lookup $by" || inside ip -4 rule add priority "$priority" from "$@" lookup "$by"
}

# floating_way: the namespace of the external network on this node, joined to the router by a pair of devices.
floating_way() {
  fip=fip-$external fpr=fpr-$short
  enter "$fip"
  inside sysctl -qw net.ipv4.ip_nonlocal_bind=1
  printf '*raw\n-A PREROUTING -j CT --notrack\nCOMMIT\n' | inside iptables-restore
  port "$fg" 1500
  addresses "$fg" "$fg_address"
  inside sysctl -qw "net.ipv4.conf.$fg.proxy_arp=1"
  ip -n "$fip" link show "$fpr" >/dev/null 2>&1 || {
    # Always the same MACs: in a lab what is made again can be compared.
    ip -n "$fip" link add "$fpr" address 02:20:00:00:fb:01 type veth peer name "$rfp" address 02:20:00:00:fb:02 netns "$router_space"
  }
  ip -n "$fip" link set "$fpr" up
  ip -n "$router_space" link set "$rfp" up
  addresses "$fpr" "$to_router/31"
  table=$(number "$to_fip")
  ip -n "$fip" route replace default via "$gateway" dev "$fg" table "$table" proto static
  chosen "$table" "$table" all iif "$fpr"
  for pair in $floating; do ip -n "$fip" route replace "${pair%=*}" via "$to_fip" dev "$fpr" proto static; done
  space=$router_space
  addresses "$rfp" "$to_fip/31"
  ip -n "$space" route replace default via "$to_router" dev "$rfp" table 16 proto static
  priority=57481
  for pair in $floating; do chosen "$priority" 16 "${pair#*=}"; priority=$((priority + 1)); done
}

while read -r router inner inner_address snat external fg fg_address gateway floating; do
  short=$(echo "$router" | cut -c1-10) rfp=
  router_space=qrouter-$router
  [ -z "$external" ] || rfp=rfp-$short
  enter "$router_space"
  inside sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  port "$inner" "$mtu"
  addresses "$inner" "$inner_address"
  inside sysctl -qw net.ipv4.conf.all.send_redirects=0 "net.ipv4.conf.$inner.send_redirects=0"
  network=$(awk -v d="$inner" '$1 == d { print $2 }' /etc/lab/ports)
  # Nobody is asked: questions of a distributed router do not leave its node.
  awk -v n="$network" '$2 == n && $1 !~ /^qr-/ { print $3, $4 }' /etc/lab/ports | sort -u | while read -r mac address; do
    ip -n "$space" neigh replace "$address" lladdr "$mac" nud permanent dev "$inner"
  done
  table=$(number "${inner_address%/*}")
  ip -n "$space" route replace default via "$snat" dev "$inner" table "$table" proto static
  chosen "$table" "$table" "$inner_address"
  [ -z "$external" ] || floating_way
  translate rules
  say INFO "Finished a router update for $router"
done </etc/lab/routers
[ ! -e /etc/lab/snat ] || while read -r router inner inner_address outer outer_address gateway; do
  enter "snat-$router"
  inside sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  port "$inner" "$mtu"
  port "$outer" 1500
  addresses "$inner" "$inner_address"
  addresses "$outer" "$outer_address"
  ip -n "$space" route replace default via "$gateway" dev "$outer" proto static
  translate snat_rules
done </etc/lab/snat
# The OVS agent's stand-in writes flows for a distributed router's ports at its start alone.
if [ -n "$made" ]; then
  systemctl reset-failed neutron-openvswitch-agent
  systemctl restart neutron-openvswitch-agent
  pid=$(systemctl show -P MainPID neutron-openvswitch-agent)
  until tail -n 1 /var/log/neutron/openvswitch-agent.log 2>/dev/null | grep -q " $pid .*initialized"; do sleep 0.1; done
fi
say DEBUG "periodic_sync_routers_task successfully completed"
exec sleep infinity
