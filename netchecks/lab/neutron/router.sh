# What the stand-ins of the L3 agent have in common. $space: the namespace that is made; $mtu: of the inner networks.
. /etc/lab/agent.sh
say INFO "L3 agent started"
mtu=$(cat /etc/lab/mtu 2>/dev/null || echo 1500)
made=
inside() { ip netns exec "$space" "$@"; }

# enter NAME: makes the namespace where it is not there; it is $space from then on, and forwards.
enter() {
  space=$1
  [ -e "/run/netns/$space" ] || ip netns add "$space"
  ip -n "$space" link set lo up
  inside sysctl -qw net.ipv4.ip_forward=1
}

# plugged DEVICE: the namespace has it, up, and Open vSwitch at its other end; after a restart of OVS the old one leads nowhere.
plugged() { ip -n "$space" link set "$1" up 2>/dev/null && ! ip -n "$space" link show "$1" | grep -q NO-CARRIER; }

# port DEVICE MTU: an internal port of br-int in the namespace, up. One that is plugged stays: the restart interrupts nobody; else $made
# says that there is a new one.
port() {
  if ! plugged "$1"; then
    ip -n "$space" link del "$1" 2>/dev/null || true
    mac=$(awk -v d="$1" '$1 == d { print $3 }' /etc/lab/ports)
    ovs-vsctl --timeout=20 --if-exists del-port "$1"
    ovs-vsctl --timeout=20 add-port br-int "$1" -- set Interface "$1" type=internal mtu_request="$2" "mac=\"$mac\"" \
      "external_ids:attached-mac=\"$mac\"" external_ids:iface-status=active
    ip link set "$1" netns "$space"
    made=yes
  fi
  bind "$1"
  ip -n "$space" link set "$1" mtu "$2" up
}

# addresses DEVICE ADDRESS...: these and no others, in this order: the first of a subnet is what the router itself sends from.
addresses() {
  device=$1; shift
  [ "$(ip -n "$space" -o -4 addr show dev "$device" | awk '{ print $4 }')" != "$(printf '%s\n' "$@")" ] || return 0
  ip -n "$space" -4 addr flush dev "$device"
  for address in "$@"; do
    case $address in */32) last=${address%/*} ;; *) last=+ ;; esac
    ip -n "$space" addr add "$address" brd "$last" dev "$device"
  done
}

# wrap TABLE CHAIN...: declares the chains of a table that the kernel has, and has each jump to the agent's own one of its name.
wrap() {
  table=$1; shift
  echo "*$table"
  for chain in "$@"; do printf ':%s ACCEPT\n:neutron-l3-agent-%s -\n' "$chain" "$chain"; done
  # neutron-filter-top stands before the agent's own chains.
  [ "$table" != filter ] || printf '%s\n' ":neutron-filter-top -" "-A FORWARD -j neutron-filter-top" "-A OUTPUT -j neutron-filter-top"
  for chain in "$@"; do echo "-A $chain -j neutron-l3-agent-$chain"; done
}

# filter DEVICE: the chains of the table of which each device has one rule; what drops in them drops nothing in a healthy router.
filter() {
  wrap filter INPUT FORWARD OUTPUT
  printf ':neutron-l3-agent-%s -\n' local scope
  echo "-A neutron-filter-top -j neutron-l3-agent-local"
  echo "-A neutron-l3-agent-FORWARD -j neutron-l3-agent-scope"
  echo "-A neutron-l3-agent-INPUT -m mark --mark 0x1/0xffff -j ACCEPT"
  echo "-A neutron-l3-agent-INPUT -p tcp -m tcp --dport 9697 -j DROP"
  echo "-A neutron-l3-agent-scope -o $1 -m mark ! --mark 0x4000000/0xffff0000 -j DROP"
  echo COMMIT
}
