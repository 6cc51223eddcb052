"""How scripts run the tools of Open vSwitch: those of the node, else those beside its daemon, as where that runs in a container."""

from __future__ import annotations

#: What a script of Open vSwitch's tools begins with. Only the mounts are the daemon's: network and user stay the node's and the caller's.
#: An alias, as POSIX has no function of such a name; it is in force from the next line on. kolla-ansible, TripleO and OpenStack-Ansible
#: have no tools on their nodes.
OVS_TOOLS = r"""
command -v ovs-vsctl >/dev/null 2>&1 || for ovs in /proc/[0-9]*/comm; do
  read -r name 2>/dev/null <"$ovs" && [ "$name" = ovs-vswitchd ] || continue
  ovs=${ovs#/proc/} ovs=${ovs%/comm}
  for name in ovs-vsctl ovs-ofctl ovs-appctl; do alias "$name=nsenter -t $ovs -m -- $name"; done
  break
done
"""
