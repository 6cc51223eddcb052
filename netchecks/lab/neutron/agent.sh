# What the stand-ins of Neutron's agents have in common: the log, and the tag of a port.
ini=/etc/neutron/plugins/ml2/openvswitch_agent.ini
mkdir -p /var/log/neutron
say() { printf '%s %s %s neutron.agent [-] %s\n' "$(date '+%F %T.%3N')" $$ "$1" "$2" >>"/var/log/neutron/$log"; }
# bind DEVICE: gives a port of br-int the local VLAN of its network, as the OVS agent does.
bind() {
  set -- "$1" $(awk -v d="$1" '$1 == d { print $2 }' /etc/lab/ports)
  set -- "$1" $(awk -v n="$2" '$1 == n' /etc/lab/networks)
  ovs-vsctl --timeout=20 set Port "$1" tag="$3" other_config:net_uuid="$2" other_config:network_type="$4" \
    other_config:physical_network="$5" "other_config:segmentation_id=\"$6\"" "other_config:tag=\"$3\""
}
