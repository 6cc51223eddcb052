# Stand-in for neutron-l3-agent (routers that are not distributed): at its start it makes each router what it has to be.
# /etc/lab/routers: router, inner device, its address, outer device, its address, gateway, then FLOATING=FIXED of each floating
# address; addresses with their prefix length. /etc/lab/mtu: of the inner networks, else 1500. Others' namespaces are left alone.
# /etc/lab/ha: router, device for VRRP, its address: of those keepalived gives addresses and routes to the one that works.
log=l3-agent.log
. /etc/lab/router.sh

# vrrp_by DEVICE ADDRESS [SECONDS]: the device by which the agents' routers hear each other.
vrrp_by() {
  device=$1 silent=${3:-}
  port "$device" "$mtu"
  ip -n "$space" addr replace "$2" brd + dev "$device"
}

# The rules, chain by chain, as neutron/agent/l3/router_info.py and neutron/agent/linux/iptables_manager.py have them put together.
# What drops in them drops nothing in a healthy router: another address scope, and the metadata proxy from outside.
rules() {
  scope=0x4000000/0xffff0000 all='--nfmask 0xffff0000 --ctmask 0xffff0000'
  metadata="-d 169.254.169.254/32 -i qr-+ -p tcp -m tcp --dport 80"
  wrap raw PREROUTING OUTPUT
  echo COMMIT

  wrap mangle PREROUTING INPUT FORWARD OUTPUT POSTROUTING
  printf ':neutron-l3-agent-%s -\n' float-snat floatingip mark scope
  echo "-A neutron-l3-agent-PREROUTING -j neutron-l3-agent-mark"
  echo "-A neutron-l3-agent-PREROUTING -j neutron-l3-agent-scope"
  echo "-A neutron-l3-agent-PREROUTING -m connmark ! --mark 0x0/0xffff0000 -j CONNMARK --restore-mark $all"
  echo "-A neutron-l3-agent-PREROUTING -j neutron-l3-agent-floatingip"
  echo "-A neutron-l3-agent-PREROUTING $metadata -j MARK --set-xmark 0x1/0xffff"
  echo "-A neutron-l3-agent-POSTROUTING -o $outer -m connmark --mark 0x0/0xffff0000 -j CONNMARK --save-mark $all"
  echo "-A neutron-l3-agent-float-snat -m connmark --mark 0x0/0xffff0000 -j CONNMARK --save-mark $all"
  echo "-A neutron-l3-agent-mark -i $outer -j MARK --set-xmark 0x2/0xffff"
  for device in "$outer" "$inner"; do echo "-A neutron-l3-agent-scope -i $device -j MARK --set-xmark $scope"; done
  echo COMMIT

  own="--to-source ${outer_address%/*} --random-fully"
  wrap nat PREROUTING OUTPUT POSTROUTING
  printf ':%s -\n' neutron-l3-agent-float-snat neutron-l3-agent-snat neutron-postrouting-bottom
  echo "-A POSTROUTING -j neutron-postrouting-bottom"
  echo "-A neutron-l3-agent-PREROUTING $metadata -j REDIRECT --to-ports 9697"
  for pair in $floating; do
    for chain in PREROUTING OUTPUT; do echo "-A neutron-l3-agent-$chain -d ${pair%=*}/32 -j DNAT --to-destination ${pair#*=}"; done
    echo "-A neutron-l3-agent-float-snat -s ${pair#*=}/32 -j SNAT --to-source ${pair%=*} --random-fully"
  done
  echo "-A neutron-l3-agent-POSTROUTING ! -o $outer -m conntrack ! --ctstate DNAT -j ACCEPT"
  echo "-A neutron-l3-agent-snat -j neutron-l3-agent-float-snat"
  echo "-A neutron-l3-agent-snat -o $outer -j SNAT $own"
  echo "-A neutron-l3-agent-snat -m mark ! --mark 0x2/0xffff -m conntrack --ctstate DNAT -j SNAT $own"
  echo '-A neutron-postrouting-bottom -m comment --comment "Perform source NAT on outgoing traffic." -j neutron-l3-agent-snat'
  echo COMMIT

  filter "$inner"
}

# keepalived_of DEVICE ADDRESS%ITS-DEVICE...: runs keepalived with what neutron/agent/linux/keepalived.py writes; here it sends twice as
# often. In the place of neutron-keepalived-state-change and the agent, keepalived itself has the role noted, and the outer device up
# where the router works alone: the same MAC stands on all nodes. /etc/lab/ha may say how many seconds it is silent at its start.
keepalived_of() {
  device=$1 file=$state/keepalived.conf; shift
  cat >"$state/notify.sh" <<EOF
#!/bin/sh
case \$3 in
  MASTER) ip -n $space link set $outer up; ip -n $space route replace default via $gateway dev $outer proto keepalived; role=primary ;;
  *) ip -n $space link set $outer down; role=backup ;;
esac
echo \$role >$state/state
EOF
  chmod 755 "$state/notify.sh"
  cat >"$file.new" <<EOF
global_defs {
    router_id neutron
    script_user root
    enable_script_security
    ${silent:+vrrp_startup_delay $silent}
}
vrrp_instance VR_1 {
    state BACKUP
    interface $device
    virtual_router_id 1
    priority 50
    garp_master_delay 60
    nopreempt
    advert_int 1
    notify $state/notify.sh
    virtual_ipaddress {
        169.254.0.1/24 dev $device
    }
    virtual_ipaddress_excluded {
$(for one in "$@"; do echo "        ${one%\%*} dev ${one#*%} no_track"; done)
    }
    virtual_routes {
        0.0.0.0/0 via $gateway dev $outer no_track
    }
}
EOF
  if alive && cmp -s "$file.new" "$file"; then return; fi
  mv "$file.new" "$file"
  if alive; then kill -HUP "$(cat "$state.pid")"; return; fi
  echo backup >"$state/state"
  ip -n "$space" link set "$outer" down
  inside keepalived -P -f "$file" -p "$state.pid" -r "$state.pid-vrrp" </dev/null >/dev/null 2>&1
}
alive() { [ -e "$state.pid" ] && kill -0 "$(cat "$state.pid")" 2>/dev/null; }

while read -r router inner inner_address outer outer_address gateway floating; do
  enter "qrouter-$router"
  # An address of one device is not answered for at another; what is sent has the best address of its own device.
  inside sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  state=/var/lib/neutron/ha_confs/$router vrrp=$(awk -v r="$router" '$1 == r { print $2, $3, $4 }' /etc/lab/ha 2>/dev/null || true)
  # Of several only the one that works may be heard: keepalived would give the link-local addresses too.
  [ -z "$vrrp" ] || inside sysctl -qw net.ipv6.conf.default.disable_ipv6=1
  port "$inner" "$mtu"
  [ "$(cat "$state/state" 2>/dev/null)" = backup ] || port "$outer" 1500
  rules >"/run/$space.rules"
  inside iptables-restore "/run/$space.rules"
  set --
  for pair in $floating; do set -- "$@" "${pair%=*}/32"; done
  if [ -n "$vrrp" ]; then
    mkdir -p "$state"
    vrrp_by $vrrp
    keepalived_of "$device" "$inner_address%$inner" "$outer_address%$outer" $(printf "%s%%$outer " "$@")
  else
    addresses "$inner" "$inner_address"
    addresses "$outer" "$outer_address" "$@"
    ip -n "$space" route replace default via "$gateway" dev "$outer" proto static
  fi
  say INFO "Finished a router update for $router"
done </etc/lab/routers
say DEBUG "periodic_sync_routers_task successfully completed"
exec sleep infinity
