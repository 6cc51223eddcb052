#!/bin/sh
# A real QEMU machine by software emulation under real libvirtd, with a real tap and a real guest agent, in namespaces of its own:
#   unshare -nm --pid --fork --kill-child --mount-proc sh qemu.sh FOLDER SCRIPT
# FOLDER holds the unpacked packages of a kernel (k) and of qemu-guest-agent (ga). SCRIPT runs, with $DOMAIN, as soon as libvirt answers;
# "await_agent" in it waits for the agent. Everything ends with this script: the namespaces are its own.
set -eu
folder=$1 script=$2
DOMAIN=instance-00000001
export DOMAIN

initrd() {
  root=$folder/root kernel=$(ls "$folder/k/lib/modules")
  rm -rf "$root"
  mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/run" "$root/etc" "$root/mod" "$root/usr/sbin" "$root/var"
  cp /usr/bin/busybox "$root/bin/busybox"
  for one in drivers/virtio/virtio drivers/virtio/virtio_ring drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci_modern_dev \
      drivers/virtio/virtio_pci net/core/failover drivers/net/net_failover drivers/net/virtio_net drivers/char/virtio_console; do
    cp "$folder/k/lib/modules/$kernel/kernel/$one.ko" "$root/mod/"
  done
  cp "$folder/ga/usr/sbin/qemu-ga" "$root/usr/sbin/"
  for library in $(ldd "$folder/ga/usr/sbin/qemu-ga" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
  cat >"$root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
for one in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net virtio_console; do
  insmod /mod/$one.ko
done
ln -s /run /var/run
while [ ! -e /sys/class/net/eth0 ]; do sleep 0.1; done
ip link set lo up; ip link set eth0 up
ip addr add 10.20.0.142/24 dev eth0; ip -6 addr add fd20::142/64 dev eth0
ip route add default via 10.20.0.1; ip -6 route add default via fd20::1
for port in /sys/class/virtio-ports/*; do [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] && channel=/dev/$(basename $port); done
qemu-ga -m virtio-serial -p $channel -t /run &
while :; do sleep 3600; done
END
  chmod +x "$root/init"
  (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$folder/initrd.gz"
}

private() {  # nothing of the machine's own libvirt is touched
  mount --make-rprivate /
  for path in /run/netns /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt; do
    mkdir -p "$path"
    mount -t tmpfs own "$path"
  done
  mkdir -p /var/log/libvirt/qemu /var/lib/libvirt/images /etc/libvirt/qemu
  printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'cgroup_controllers = [ ]' 'namespaces = [ ]' \
    'stdio_handler = "file"' 'remember_owner = 0' >/etc/libvirt/qemu.conf
  printf '%s\n' 'unix_sock_group = "root"' 'auth_unix_rw = "none"' 'auth_unix_ro = "none"' >/etc/libvirt/libvirtd.conf
  ip link set lo up
  ip link add br0 type bridge forward_delay 0
  ip addr add 10.20.0.11/24 dev br0
  ip -6 addr add fd20::11/64 dev br0 nodad
  ip link set br0 up
  ip netns add fabric  # the gateway behind the uplink
  ip link add eth0 type veth peer name sw0 netns fabric
  ip -n fabric addr add 10.20.0.1/24 dev sw0
  ip -n fabric -6 addr add fd20::1/64 dev sw0 nodad
  ip -n fabric link set sw0 up
  ip link set eth0 up master br0
}

domain() {
  cat <<END
<domain type='qemu'><name>$DOMAIN</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>$(ls "$folder"/k/boot/vmlinuz*)</kernel><initrd>$folder/initrd.gz</initrd>
    <cmdline>console=ttyS0 panic=-1 quiet</cmdline></os>
  <features><acpi/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>
    <interface type='bridge'><mac address='52:54:00:00:00:42'/><source bridge='br0'/><model type='virtio'/><rom enabled='no'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><memballoon model='none'/></devices></domain>
END
}

await() { n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 600 ] || return 1; sleep 0.1; done; }
connected() { virsh -q -r dumpxml "$DOMAIN" | grep -q "guest_agent.0' state='connected'"; }
answers() { virsh -q domifaddr --source agent "$DOMAIN" | grep -q 10.20.0.142; }
await_agent() { await connected; await answers; }

initrd
private
libvirtd -f /etc/libvirt/libvirtd.conf >/var/log/libvirt/own.log 2>&1 &
await virsh version
domain >"$folder/domain.xml"
virsh -q define "$folder/domain.xml" >/dev/null
virsh -q start "$DOMAIN" >/dev/null
. "$script"
