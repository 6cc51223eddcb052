# guard DEVICE RULE...: a port of br-int gets a security group, as flows of the openvswitch firewall driver with connection tracking.
# Each rule is a match that may come in, such as icmp or tcp,tp_dst=22; what the guest begins itself may all leave. IPv4 alone.
# Tables: 60 transient, 71 to 73 what leaves, 81 and 82 what comes in, 91 and 94 accepted, 93 dropped (neutron, doc
# contributor/internals/openvswitch_firewall). The agent's stand-in writes its flows without them, so its restart ends it.
device=$1; shift
set -- $(awk -v d="$device" '$1 == d { print $2, $3, $4 }' /etc/lab/ports) "$@"
vlan=$(awk -v n="$1" '$1 == n { print $2 }' /etc/lab/networks) mac=$2 ip=$3; shift 3
n=$(ovs-vsctl --timeout=20 get Interface "$device" ofport) zone='ct(commit,zone=NXM_NX_REG6[0..15])'
{
  echo "table=60,priority=100,in_port=$n,actions=load:$n->NXM_NX_REG5[],load:$vlan->NXM_NX_REG6[],resubmit(,71)"
  echo "table=60,priority=90,dl_vlan=$vlan,dl_dst=$mac,actions=load:$n->NXM_NX_REG5[],load:$vlan->NXM_NX_REG6[],resubmit(,81)"
  echo "table=71,priority=110,ct_state=+trk,actions=ct_clear,resubmit(,71)"
  echo "table=71,priority=95,arp,reg5=$n,in_port=$n,dl_src=$mac,arp_spa=$ip,actions=resubmit(,94)"
  echo "table=71,priority=80,udp,reg5=$n,in_port=$n,tp_src=68,tp_dst=67,actions=resubmit(,73)"
  echo "table=71,priority=70,udp,reg5=$n,in_port=$n,tp_src=67,tp_dst=68,actions=resubmit(,93)"
  echo "table=71,priority=65,ip,reg5=$n,in_port=$n,dl_src=$mac,nw_src=$ip,actions=ct(table=72,zone=NXM_NX_REG6[0..15])"
  echo "table=71,priority=10,reg5=$n,in_port=$n,actions=resubmit(,93)"
  echo "table=71,priority=0,actions=drop"
  echo "table=72,priority=75,ct_state=+est-rel-rpl,ip,reg5=$n,actions=resubmit(,73)"
  echo "table=72,priority=75,ct_state=+new-est,ip,reg5=$n,actions=resubmit(,73)"
  echo "table=72,priority=50,ct_state=+inv+trk,actions=resubmit(,93)"
  echo "table=72,priority=50,ct_state=+est-rel+rpl,ct_zone=$vlan,ct_mark=0,reg5=$n,actions=resubmit(,94)"
  echo "table=72,priority=40,ct_state=-est,reg5=$n,actions=resubmit(,93)"
  echo "table=72,priority=0,actions=drop"
  echo "table=73,priority=100,reg6=$vlan,dl_dst=$mac,actions=load:$n->NXM_NX_REG5[],resubmit(,81)"
  echo "table=73,priority=90,ip,ct_state=+new-est,reg5=$n,actions=$zone,resubmit(,91)"
  echo "table=73,priority=80,reg5=$n,actions=resubmit(,94)"
  echo "table=73,priority=0,actions=drop"
  echo "table=81,priority=100,arp,reg5=$n,actions=strip_vlan,output:$n"
  echo "table=81,priority=95,udp,reg5=$n,tp_src=67,tp_dst=68,actions=strip_vlan,output:$n"
  echo "table=81,priority=90,ct_state=-trk,ip,reg5=$n,actions=ct(table=82,zone=NXM_NX_REG6[0..15])"
  echo "table=81,priority=80,ct_state=+trk,reg5=$n,actions=resubmit(,82)"
  echo "table=81,priority=0,actions=drop"
  for rule in "$@"; do
    echo "table=82,priority=75,ct_state=+est-rel-rpl,$rule,reg5=$n,actions=strip_vlan,output:$n"
    echo "table=82,priority=75,ct_state=+new-est,$rule,reg5=$n,actions=$zone,strip_vlan,output:$n,resubmit(,92)"
  done
  echo "table=82,priority=50,ct_state=+inv+trk,actions=resubmit(,93)"
  echo "table=82,priority=50,ct_state=+est-rel+rpl,ct_zone=$vlan,ct_mark=0,reg5=$n,actions=strip_vlan,output:$n"
  echo "table=82,priority=40,ct_state=-est,reg5=$n,actions=resubmit(,93)"
  echo "table=82,priority=0,actions=drop"
  echo "table=91,priority=1,actions=resubmit(,94)"
  echo "table=92,priority=0,actions=drop"
  echo "table=93,priority=0,actions=drop"
  echo "table=94,priority=1,actions=NORMAL"
} | ovs-ofctl add-flows br-int -
