# Stand-in for neutron-dhcp-agent: at its start it makes the namespaces and starts dnsmasq with Neutron's own options.
# /etc/lab/dhcp: network, device, address with its prefix length, gateway (or -). /etc/lab/mtu: of the networks, else 1500.
log=dhcp-agent.log
. /etc/lab/agent.sh
mtu=$(cat /etc/lab/mtu 2>/dev/null || echo 1500)
while read -r net device own gateway; do
  d=/var/lib/neutron/dhcp/$net space=qdhcp-$net
  mkdir -p "$d"
  [ ! -e "$d/pid" ] || ! kill "$(cat "$d/pid")" || while kill -0 "$(cat "$d/pid")"; do sleep 0.02; done
  [ -e "/run/netns/$space" ] || ip netns add "$space"
  ip -n "$space" link set lo up
  mac=$(awk -v d="$device" '$1 == d { print $3 }' /etc/lab/ports)
  # Made anew: after a restart of OVS the old device in the namespace leads nowhere.
  ip -n "$space" link del "$device" 2>/dev/null || true
  ovs-vsctl --timeout=20 --if-exists del-port "$device"
  ovs-vsctl --timeout=20 add-port br-int "$device" \
    -- set Interface "$device" type=internal mtu_request="$mtu" "mac=\"$mac\"" "external_ids:attached-mac=\"$mac\"" external_ids:iface-status=active
  bind "$device"
  ip link set "$device" netns "$space"
  ip -n "$space" addr add "$own" brd + dev "$device"
  ip -n "$space" link set "$device" up
  ip -n "$space" link set "$device" mtu "$mtu"
  [ "$gateway" = - ] || ip -n "$space" route add default via "$gateway"
  : >"$d/host"; : >"$d/addn_hosts"; [ -e "$d/leases" ] || : >"$d/leases"
  ip=${own%/*} subnet=${own%.*}.0
  awk -v n="$net" -v own="$ip" '$2 == n && $4 != own {
    name = "host-" $4; gsub(/\./, "-", name); print $3 "," name ".openstacklocal," $4 }' /etc/lab/ports >"$d/host"
  {
    echo "tag:subnet-$net,option:dns-server,$ip"
    echo "tag:subnet-$net,option:classless-static-route,169.254.169.254/32,$ip,0.0.0.0/0,$gateway"
    echo "tag:subnet-$net,249,169.254.169.254/32,$ip,0.0.0.0/0,$gateway"
    echo "tag:subnet-$net,option:router,$gateway"
  } >"$d/opts"
  ip netns exec "$space" dnsmasq --no-hosts --no-resolv --pid-file="$d/pid" --dhcp-hostsfile="$d/host" \
    --addn-hosts="$d/addn_hosts" --dhcp-optsfile="$d/opts" --dhcp-leasefile="$d/leases" --dhcp-match=set:ipxe,175 \
    --local-service --bind-dynamic --dhcp-range="set:subnet-$net,$subnet,static,255.255.255.0,86400s" \
    --dhcp-option-force=option:mtu,$mtu --dhcp-lease-max=256 --conf-file=/dev/null --domain=openstacklocal \
    --log-dhcp --log-facility="/var/log/neutron/dnsmasq-$net.log"
done </etc/lab/dhcp
say INFO "Synchronizing state complete"
exec sleep infinity
