"""How scripts run the tools of Open vSwitch: those of the node, else those beside its daemon, as where that runs in a container."""

from __future__ import annotations

#: What a script of Open vSwitch's tools begins with. They are run with the daemon's mounts, and its numbers of processes, by which
#: they find it; network and user stay the node's and the caller's. As a name proves nothing, only a daemon of root, of the node's own
#: network and users counts, and none where several differ in their mounts. An alias, as POSIX has no function of such a name; it is in
#: force from the next line on. kolla-ansible has no tools on its nodes.
OVS_TOOLS = r"""
ovs= ovs_mounts=
command -v ovs-vsctl >/dev/null 2>&1 || for name in $(grep -lsx ovs-vswitchd /proc/[0-9]*/comm); do
  name=${name%/comm}
  [ "$(stat -c %u "$name")" = 0 ] && [ "$(readlink "$name/ns/net")" = "$(readlink /proc/self/ns/net)" ] &&
    [ "$(readlink "$name/ns/user")" = "$(readlink /proc/self/ns/user)" ] || continue
  now=$(readlink "$name/ns/mnt")
  [ -z "$ovs" ] || [ "$now" = "$ovs_mounts" ] || { echo "several ovs-vswitchd run, each with mounts of its own" >&2; exit 1; }
  ovs=${name#/proc/} ovs_mounts=$now
done
[ -z "$ovs" ] || for name in ovs-vsctl ovs-ofctl ovs-appctl; do alias "$name=nsenter -t $ovs -m -p -- $name"; done
"""
