#!/bin/sh
# Becomes the systemd of a node: node.sh NAME LAYERS FILES
# PID 1 of new pid, mount, uts, ipc and cgroup namespaces, in the node's network namespace and cgroup. The node's / is an overlay:
# the machine's / below, LAYERS/base (base.sh) on it, the node's own layer on top; FILES is copied into that.
set -e
N=$1 L=$2 F=$3
D=$L/$N R=$L/$N/root
hostname "$N"
mount --make-rprivate /
mkdir -p "$D"
mount -t tmpfs -o size=256m,mode=755 "node-$N" "$D"
mkdir "$D/up" "$D/work" "$R"
mount -t overlay overlay -o "lowerdir=$L/base:/,upperdir=$D/up,workdir=$D/work" "$R"
cp -a "$F/." "$R/"

# Its own /proc with the machine's sysctls read-only (systemd would raise fs.file-max of the machine), those of its network writable.
mount -t proc proc "$R/proc"
mount --bind "$R/proc/sys" "$R/proc/sys"
mount --bind "$R/proc/sys/net" "$R/proc/sys/net"
mount -o remount,bind,ro "$R/proc/sys"
mount -t sysfs sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"

# Never the real /dev: systemd would own its consoles, and the disk is there.
mount -t tmpfs -o mode=755 dev "$R/dev"
cd "$R/dev"
mknod -m 666 null c 1 3
mknod -m 666 zero c 1 5
mknod -m 666 full c 1 7
mknod -m 666 random c 1 8
mknod -m 666 urandom c 1 9
mknod -m 666 tty c 5 0
mkdir pts shm net
mknod -m 666 net/tun c 10 200
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts pts
mount -t tmpfs -o mode=1777 shm shm
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
ln -s fd/0 stdin
ln -s fd/1 stdout
ln -s fd/2 stderr
mount -t tmpfs -o mode=755 run "$R/run"
mount -t tmpfs -o mode=1777 tmp "$R/tmp"
mkdir -p "$R/run/sshd" "$R/run/netns" "$R/run/lock"

cd "$R"
pivot_root . .old
exec chroot . /bin/sh -c '
  umount -l /.old
  exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit=lab.target --log-target=journal --show-status=no </dev/null >/dev/null 2>&1'
