"""The scripts behind the facts of DHCP servers, run: where they look, what of it they take, and in which order."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import netchecks.observations
from netchecks.observe import OBSERVATIONS
from tests.suites.vmhost.given import namespace

assert netchecks.observations.__doc__
LINE = "Nov 26 00:0{0}:00 dhcp1 dnsmasq-dhcp[7]: DHCPDISCOVER(br100) 52:54:00:00:00:4{0} "
OTHER = "Nov 26 00:00:00 dhcp1 sshd[9]: Accepted publickey for ops\n"


def run(fact: str, *words: str, prefix: tuple[str, ...] = (), shell: str = "sh") -> subprocess.CompletedProcess[str]:
    argv = [*prefix, shell, "-c", OBSERVATIONS[fact].command.shell, "sh", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "LC_ALL": "C"})


def clients(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [event.client[-2:] for event in OBSERVATIONS["dhcp_log"].parse(done.stdout).events]


def packed(path: Path, number: int, *, hours: float) -> None:
    """Write what was rotated away that long ago, packed as its name says."""
    text = f"{OTHER}{LINE.format(number)}\n".encode()
    if path.suffix == ".zst":
        subprocess.run(["zstd", "-q", "-o", str(path)], input=text, check=True)
    else:
        pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(text))
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd here")
@pytest.mark.parametrize("shell", ["sh", "bash", "busybox"])
def test_rotated_and_packed_logs_are_read_in_their_order(tmp_path, shell):
    prefix = ("busybox",) if shell == "busybox" else ()
    log = tmp_path / "dnsmasq.log"
    for number, (name, hours) in enumerate((("6.bz2", 9), ("5.zst", 0.9), ("4.xz", 0.7), ("3.gz", 0.5), ("1", 0.2)), 1):
        packed(Path(f"{log}.{name}"), number, hours=hours)
    log.write_text(OTHER + LINE.format(6) + "\n" + LINE.format(7) + "\n")
    (tmp_path / "dnsmasq.conf").write_text(LINE.format(9))
    done = run("dhcp_log", "60", "5000", str(log), prefix=prefix, shell="sh" if prefix else shell)
    assert clients(done) == ["42", "43", "44", "45", "46", "47"], "the first is older than an hour"
    assert f"@log {log}\n" in done.stdout
    assert "sshd" not in done.stdout


def test_of_many_lines_the_newest_are_taken(tmp_path):
    log = tmp_path / "syslog"
    log.write_text("".join(LINE.format(number % 10) + "\n" for number in range(100)))
    assert clients(run("dhcp_log", "60", "3", str(log))) == ["47", "48", "49"]


def test_a_log_without_such_lines_is_empty_and_one_that_is_not_there_is_not_seen(tmp_path):
    (tmp_path / "messages").write_text(OTHER)
    done = run("dhcp_log", "60", "5000", str(tmp_path / "messages"))
    assert clients(done) == []
    missing = run("dhcp_log", "60", "5000", str(tmp_path / "no; touch hacked"))
    assert missing.returncode == 1
    assert "no log at" in missing.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["messages"]


# -- with a real dnsmasq ---------------------------------------------------------------------------------------------

#: Prints what each of the scripts says, while the server runs.
SERVED = r"""
set -eu
ip link set lo up
ip link add eth0 type veth peer name far
ip link set eth0 up; ip link set far up
ip addr add 10.20.0.2/24 dev eth0
folder=$1; shift
dnsmasq --keep-in-foreground --no-hosts --no-resolv --port=0 --pid-file= --user="$(id -un)" --bind-interfaces "$@" >"$folder/out" 2>&1 & server=$!
trap 'kill $server' EXIT
n=0; until ss -Hlun 'sport = :67' | grep -q .; do n=$((n+1)); [ $n -lt 100 ] || { cat "$folder/out" >&2; exit 1; }; sleep 0.05; done
for fact in dhcp_processes dhcp_files dhcp_log; do
  echo "#### $fact"
  case $fact in dhcp_log) set -- 60 5000 "" "" ;; *) set -- "" ;; esac
  sh "$folder/$fact.sh" "$@" || echo "#### failed"
done
"""


@pytest.fixture
def served(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    for fact in ("dhcp_processes", "dhcp_files", "dhcp_log"):
        (tmp_path / f"{fact}.sh").write_text(OBSERVATIONS[fact].command.shell)

    def serve(*options: str) -> dict[str, Any]:
        argv = [*namespace(), "-pf", "--mount-proc", "--kill-child", "sh", "-c", SERVED, "sh", str(tmp_path), *options]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "LC_ALL": "C"})
        if "unshare" in done.stderr and "failed" in done.stderr:
            pytest.skip(f"no namespaces: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        parts = dict(part.partition("\n")[::2] for part in done.stdout.split("#### ")[1:])
        return {fact: text if text.startswith("failed") else OBSERVATIONS[fact].parse(text) for fact, text in parts.items()}

    return serve


needs_dnsmasq = pytest.mark.skipif(
    any(shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None for tool in ("dnsmasq", "unshare", "ss")), reason="no dnsmasq here",
)


@needs_dnsmasq
def test_what_a_server_is_told_is_found_in_all_its_places(served, tmp_path):
    """On its command line in both forms, in its configuration file, and in the folder that this names."""
    (tmp_path / "more").mkdir()
    (tmp_path / "hosts").write_text("# known\n52:54:00:00:00:42,vm42,10.20.0.142\n")
    (tmp_path / "leases").write_text("0 52:54:00:00:00:42 10.20.0.142 vm42 *\n")
    (tmp_path / "more" / "a.conf").write_text("dhcp-host = 52:54:00:00:00:43,10.20.0.143\n")
    (tmp_path / "dnsmasq.conf").write_text(
        f"# a comment\ninterface=eth0\n  dhcp-authoritative\ndhcp-leasefile={tmp_path}/leases\nconf-dir={tmp_path}/more\n",
    )
    found = served(
        "-C", f"{tmp_path}/dnsmasq.conf", "-F", "10.20.0.100,10.20.0.199,1h", "--dhcp-hostsfile", f"{tmp_path}/hosts",
        f"--log-facility={tmp_path}/dnsmasq.log",
    )
    (process,) = found["dhcp_processes"]
    assert process.serves
    assert process.own_network
    assert process.values("dhcp-range") == ("10.20.0.100,10.20.0.199,1h",)
    assert process.values("interface") == ("eth0",)
    assert process.has("dhcp-authoritative")
    (lease,) = found["dhcp_files"].leases
    assert (str(lease.address), lease.client, lease.left) == ("10.20.0.142", "52:54:00:00:00:42", None)
    assert {host.clients[0][-2:]: [str(address) for address in host.addresses] for host in found["dhcp_files"].hosts} == {
        "42": ["10.20.0.142"], "43": ["10.20.0.143"],
    }
    assert found["dhcp_log"].source == f"{tmp_path}/dnsmasq.log"
    assert [event.kind for event in found["dhcp_log"].events] == ["STARTED"]
