#!/bin/sh
# What busybox udhcpc does with a lease, in a guest of the lab: its address and its default route, and nothing else.
case $1 in
  deconfig) ip -4 addr flush dev "$interface" scope global ;;
  bound | renew)
    ip addr replace "$ip/$mask" brd "${broadcast:-+}" dev "$interface"
    [ -z "$router" ] || ip route replace default via "${router%% *}" dev "$interface" proto static
    ;;
esac
exit 0
