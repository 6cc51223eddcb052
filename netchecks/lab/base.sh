#!/bin/sh
# Makes the layer that all nodes of a lab have between the machine's / and their own: base.sh LAYERS PUBLIC_KEY
# Runs in the mount namespace of the lab's holder; LAYERS is a folder there that becomes a tmpfs. Nothing is written to the machine.
set -e
L=$1
mount -t tmpfs -o mode=700 nc-layers "$L"
mkdir "$L/base" "$L/work" "$L/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$L/base,workdir=$L/work" "$L/root"
R=$L/root

# A user that logs in by key and may become root without a password. '*': no password, but not locked (sshd without PAM refuses '!').
chroot "$R" useradd -m -s /bin/bash lab 2>/dev/null || chroot "$R" id lab >/dev/null
chroot "$R" usermod -p '*' lab
mkdir -p "$R/home/lab/.ssh"
cp "$2" "$R/home/lab/.ssh/authorized_keys"
: >"$R/home/lab/.bashrc"
chroot "$R" chown -R lab: /home/lab
chmod 700 "$R/home/lab/.ssh"
cat >"$R/etc/sudoers.d/lab" <<X
Defaults:lab !requiretty, env_keep += "LIBVIRT_DEFAULT_URI"
lab ALL=(ALL) NOPASSWD: ALL
X
chmod 440 "$R/etc/sudoers.d/lab"

# The machine's own settings are not the node's: shell start-up files cost each ssh command 200 ms where they are heavy.
: >"$R/root/.bashrc"
: >"$R/root/.profile"
: >"$R/etc/fstab"
rm -rf "$R"/etc/resolv.conf "$R"/etc/rc?.d "$R"/etc/ssh/sshd_config.d "$R"/etc/ssh/ssh_host_* "$R"/etc/cron* "$R"/etc/netns
rm -rf "$R"/root/.ssh "$R"/var/log/journal "$R"/etc/openvswitch/* "$R"/var/log/openvswitch/*
# Nor is how the machine configures its own network at boot: each node has files that say what it is (netchecks/lab/boot.py).
rm -rf "$R"/etc/network/interfaces "$R"/etc/network/interfaces.d/* "$R"/etc/netplan "$R"/etc/NetworkManager/system-connections \
  "$R"/etc/sysconfig/network-scripts "$R"/etc/systemd/network/* "$R"/etc/systemd/system/systemd-networkd.service \
  "$R"/etc/systemd/system/networking.service "$R"/etc/init.d/networking
mkdir -p "$R/etc/lab" "$R/var/log/journal" "$R/.old" "$R/etc/libvirt"

# virsh talks to libvirt's test driver on a file: for root by its configuration, for everybody else by sshd's environment.
echo 'uri_default = "test:////etc/lab/node.xml"' >"$R/etc/libvirt/libvirt.conf"
cat >"$R/etc/ssh/sshd_config" <<X
HostKey /etc/ssh/ssh_host_ed25519_key
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
MaxStartups 50:30:100
SetEnv LIBVIRT_DEFAULT_URI=test:////etc/lab/node.xml
Subsystem sftp internal-sftp
X

S=$R/etc/systemd/system
rm -rf "$S"/*.wants "$S"/*.requires "$S"/*.timer "$S"/default.target
mkdir -p "$S/lab.target.wants"
for unit in \
  systemd-udevd.service systemd-udev-trigger.service systemd-udev-settle.service systemd-udevd-control.socket \
  systemd-udevd-kernel.socket systemd-sysctl.service systemd-modules-load.service systemd-random-seed.service \
  systemd-timesyncd.service systemd-remount-fs.service dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount \
  sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
  proc-sys-fs-binfmt_misc.mount systemd-binfmt.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
  systemd-logind.service getty.target getty@tty1.service console-getty.service systemd-tmpfiles-setup-dev.service \
  kmod-static-nodes.service systemd-sysusers.service systemd-hwdb-update.service systemd-journal-catalog-update.service \
  ldconfig.service systemd-pstore.service systemd-ask-password-console.path systemd-ask-password-wall.path \
  systemd-firstboot.service systemd-machine-id-commit.service systemd-journal-flush.service \
  systemd-resolved.service systemd-boot-system-token.service modprobe@.service systemd-repart.service systemd-oomd.service \
  systemd-networkd.socket apparmor.service snapd.apparmor.service; do
  ln -sf /dev/null "$S/$unit"
done
cat >"$S/lab.target" <<X
[Unit]
Description=lab node
Requires=basic.target
After=basic.target
AllowIsolate=yes
X
cat >"$S/ssh.service" <<X
[Unit]
Description=OpenBSD Secure Shell server
[Service]
ExecStart=/usr/sbin/sshd -D
KillMode=process
RuntimeDirectory=sshd
X
ln -sf ../ssh.service "$S/lab.target.wants/ssh.service"
umount "$R"
