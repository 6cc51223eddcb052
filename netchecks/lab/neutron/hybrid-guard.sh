# hybrid-guard DEVICE RULE...: the tap on a hybrid plug's bridge gets a security group, as the iptables_hybrid driver writes it.
# Each rule is words of iptables that match what may come in, such as "-p icmp"; what the guest begins itself may all leave. IPv4 alone.
# Chains: neutron, agent/linux/iptables_firewall.py (i, o and s with ten characters of the device: in, out, and against spoofing).
device=$1; shift
set -- $(awk -v d="$device" '$1 == d || $1 == "qvo" substr(d, 4) { print $3, $4 }' /etc/lab/ports) "$@"
mac=$1 ip=$2 id=${device#tap}; shift 2
id=$(printf %.10s "$id") n=neutron-openvswi
bridged() { echo "-A $1 -m physdev --physdev-$2 $device --physdev-is-bridged -j $3"; }
{
  echo '*filter'
  for chain in neutron-filter-top $n-FORWARD $n-INPUT $n-OUTPUT $n-local $n-sg-chain $n-sg-fallback "$n-i$id" "$n-o$id" "$n-s$id"; do echo ":$chain - [0:0]"; done
  echo "-A INPUT -j $n-INPUT
-A FORWARD -j neutron-filter-top
-A FORWARD -j $n-FORWARD
-A OUTPUT -j neutron-filter-top
-A OUTPUT -j $n-OUTPUT
-A neutron-filter-top -j $n-local"
  bridged $n-FORWARD out $n-sg-chain; bridged $n-FORWARD in $n-sg-chain; bridged $n-INPUT in "$n-o$id"
  echo "-A $n-i$id -m state --state RELATED,ESTABLISHED -j RETURN
-A $n-i$id -d $ip/32 -p udp -m udp --sport 67 --dport 68 -j RETURN"
  for rule in "$@"; do echo "-A $n-i$id $rule -j RETURN"; done
  echo "-A $n-i$id -m state --state INVALID -j DROP
-A $n-i$id -j $n-sg-fallback
-A $n-o$id -s 0.0.0.0/32 -d 255.255.255.255/32 -p udp -m udp --sport 68 --dport 67 -j RETURN
-A $n-o$id -j $n-s$id
-A $n-o$id -p udp -m udp --sport 68 --dport 67 -j RETURN
-A $n-o$id -p udp -m udp --sport 67 --dport 68 -j DROP
-A $n-o$id -m state --state RELATED,ESTABLISHED -j RETURN
-A $n-o$id -j RETURN
-A $n-o$id -m state --state INVALID -j DROP
-A $n-o$id -j $n-sg-fallback
-A $n-s$id -s $ip/32 -m mac --mac-source $mac -j RETURN
-A $n-s$id -j DROP"
  bridged $n-sg-chain out "$n-i$id"; bridged $n-sg-chain in "$n-o$id"
  echo "-A $n-sg-chain -j ACCEPT
-A $n-sg-fallback -j DROP
COMMIT"
} | iptables-restore --noflush
