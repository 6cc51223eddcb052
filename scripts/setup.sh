#!/bin/sh
# Installs what is missing, and says what: setup.sh python | demo | test | test-all
#
#   python   a virtual environment in .venv with this project and its tools, at the versions of constraints.txt
#   demo     that, and the programs that a lab is made of; goes on without them where they cannot be installed
#   test     that, and the programs that the tests use; ends with status 1 and the one command to run where it may not install
#   test-all that, and what a real QEMU guest under libvirt takes
#
# Packages come from apt (Debian, Ubuntu), and only as root. Without anything missing it takes a moment and needs no network.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# A program and the package that has it.
LAB='ip:iproute2 bridge:iproute2 tc:iproute2 ss:iproute2 nft:nftables iptables:iptables ebtables:ebtables dnsmasq:dnsmasq-base
  ping:iputils-ping tcpdump:tcpdump dig:bind9-dnsutils virsh:libvirt-clients conntrack:conntrack ps:procps'
# Nodes of a rooted lab are real hosts; rule sets are tried with every tool that makes some; the script runs in every shell.
TESTS='/usr/bin/python3:python3 sshd:openssh-server ssh:openssh-client ssh-keygen:openssh-client sudo:sudo systemctl:systemd useradd:passwd iperf3:iperf3
  setpriv:util-linux iptables-legacy:iptables ebtables-legacy:ebtables arptables-legacy:arptables busybox:busybox-static git:git
  vtysh:frr nc:netcat-openbsd ncat:ncat curl:curl perl:perl-base arping:iputils-arping mawk:mawk gawk:gawk zstd:zstd
  mariadbd:mariadb-server mariadb-install-db:mariadb-server mariadb:mariadb-client ovs-vsctl:openvswitch-switch ethtool:ethtool keepalived:keepalived'
SLOW_TESTS='qemu-system-x86_64:qemu-system-x86,seabios,ipxe-qemu libvirtd:libvirt-daemon-system,libvirt-daemon-driver-qemu cpio:cpio'
# What apt would start at the machine's next boot, though nobody asked for it: package and unit.
DAEMONS='mariadb-server:mariadb.service openvswitch-switch:openvswitch-switch.service openssh-server:ssh.service openssh-server:ssh.socket frr:frr.service libvirt-daemon-system:libvirtd.service
  libvirt-daemon-system:libvirtd.socket libvirt-daemon-system:libvirt-guests.service keepalived:keepalived.service'

say() { printf 'setup: %s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

# ---- programs --------------------------------------------------------------------------------------------------------

missing_packages() {
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"
  done | tr ',' '\n' | sort -u | tr '\n' ' '
}

# Debian starts the daemons it installs. A test needs them as programs: no port of this machine shall open for it.
quietly() {
  policy=/usr/sbin/policy-rc.d
  [ -e $policy ] && policy=
  [ -z "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod 755 $policy; trap 'rm -f "$policy"' EXIT; }
  "$@" && status=0 || status=$?
  [ -z "$policy" ] || { rm -f $policy; trap - EXIT; }
  return $status
}

apt_install() {
  say "installing with apt-get: $*"
  export DEBIAN_FRONTEND=noninteractive
  if ! quietly apt-get install -y -q --no-install-recommends "$@" </dev/null >/dev/null 2>&1; then
    apt-get update -q </dev/null || return 1
    quietly apt-get install -y -q --no-install-recommends "$@" </dev/null || return 1
  fi
  not_at_boot "$@"
}

not_at_boot() {
  [ -d /run/systemd/system ] || return 0
  for pair in $DAEMONS; do
    case " $* " in *" ${pair%%:*} "*)
      say "${pair%%:*} is installed for the tests; it is not started: systemctl disable ${pair#*:}"
      systemctl disable --quiet "${pair#*:}" 2>/dev/null || true ;;
    esac
  done
}

# install PACKAGE...: 0 when they are there now; else says what to do.
install() {
  if ! command -v apt-get >/dev/null 2>&1; then
    say "missing: $*. This is neither Debian nor Ubuntu: install what has these names here"
    return 1
  elif [ "$(id -u)" != 0 ]; then
    say "missing: $*. Install them with this one command, then try again:"
    say "  sudo apt-get install -y --no-install-recommends $*"
    return 1
  fi
  apt_install "$@"
}

programs() {
  packages=$(missing_packages "$@")
  # shellcheck disable=SC2086 # one word a package
  [ -z "$packages" ] || install $packages
}

# ---- Python ----------------------------------------------------------------------------------------------------------

find_python() {
  for name in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$name"; return 0; }
  done
  return 1
}

# What an environment was made from: settings of tools need no new one. And where: its scripts have its path in them.
stamp() { { sed '/^\[tool\./,$d' pyproject.toml; cat constraints.txt; } | cksum; pwd; }

environment() {
  [ "$(cat .venv/.setup 2>/dev/null)" = "$(stamp)" ] && .venv/bin/python -c '' >/dev/null 2>&1 && return 0
  if [ "$(tail -n 1 .venv/.setup 2>/dev/null)" = "$(pwd)" ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "bringing .venv to the packages of constraints.txt"
  else
    new_environment
  fi
  # First what builds this project: so that its version is that of constraints.txt too.
  pip_install hatchling editables && pip_install --no-build-isolation -e '.[dev]' \
    || die "pip could not install the packages: see above; without a network set PIP_FIND_LINKS to a folder that has them"
  stamp >.venv/.setup
}

pip_install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"; }

new_environment() {
  python=$(find_python) || { install python3 python3-venv && python=$(find_python); } \
    || die "no Python 3.11 or newer was found (python3.11 ... python3); name one with PYTHON=/path/to/python3.12"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || install "$(venv_package "$python")" \
    || die "$python cannot make virtual environments"
  say "making .venv with $("$python" --version), and installing this project with the packages of constraints.txt"
  "$python" -m venv --clear .venv || die "$python cannot make a virtual environment in $(pwd)/.venv"
}

venv_package() { "$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'; }

# ---------------------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2086 # one word a pair
case ${1:-} in
  python) environment ;;
  demo)
    programs $LAB || say "going on without: what cannot be shown here is replayed"
    environment ;;
  test)
    programs $LAB $TESTS || die "the tests need these programs"
    environment ;;
  test-all)
    programs $LAB $TESTS $SLOW_TESTS || die "the tests need these programs"
    environment ;;
  *) die "usage: setup.sh python | demo | test | test-all" ;;
esac
