"""The script of guest_name_answers with the tools of one guest or another, in a namespace with a resolver; and what ping may say."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.errors import Unreadable
from netchecks.models.answers import UNTOLD
from netchecks.observe import OBSERVATIONS

FACT = OBSERVATIONS["guest_name_answers"]
#: What the script needs beside a tool that asks.
SMALL = ("cat", "grep", "head", "sed", "sleep", "tr", "true", "wc")
#: timeout(1) of busybox before 1.30: without -t the first word is the program.
OLD_TIMEOUT = f"""#!/bin/sh
if [ "$1" != -t ]; then echo "timeout: can't execute '$1': No such file or directory" >&2; exit 127; fi
shift; exec {shutil.which("busybox")} timeout "$@"
"""
#: 127.0.0.1 knows gw.lab.test, says of another name that there is none, and forwards .silent to where nobody answers.
PLAYGROUND = r"""
ip link set lo up
cd "$1"
mount --bind resolv.conf /etc/resolv.conf; mount --bind hosts /etc/hosts
if [ -e nsswitch.conf ]; then mount --bind nsswitch.conf /etc/nsswitch.conf; fi
ip link add v0 type veth peer name v1; ip addr add 10.20.0.1/24 dev v0; ip link set v0 up; ip link set v1 up
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --port=53 --listen-address=127.0.0.1 --bind-interfaces --pid-file= \
  --user=root --host-record=gw.lab.test,10.20.0.1 --local=/lab.test/ --server=/silent/10.20.0.98 & d=$!
n=0; until ss -lunH | grep -q 127.0.0.1:53; do n=$((n+1)); [ $n -lt 100 ] || exit 9; sleep 0.05; done
shell=$2 script=$3; shift 3
PATH=$PWD/bin $shell -c "$script" sh "$@"; r=$?
kill $d
exit $r
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("busybox", "dnsmasq", "ping", "nslookup", "unshare"))), reason="needs root and these tools",
)


def ask(folder: Path, *names: str, tool: str = "ping", program: str = "busybox", shell: str = "/bin/sh", hosts: str = "", nss: str = "hosts: files dns",
        timeout: str = ""):
    """Ask in a guest that has but one tool, and a timeout(1) of a text, or none."""
    (folder / "bin").mkdir()
    for small in SMALL:
        (folder / "bin" / small).symlink_to(shutil.which("busybox"))
    (folder / "bin" / tool).symlink_to(shutil.which(program))
    if timeout:
        (folder / "bin" / "timeout").write_text(timeout)
        (folder / "bin" / "timeout").chmod(0o755)
    for name, text in {"resolv.conf": "nameserver 127.0.0.1\n", "hosts": f"127.0.0.1 localhost\n{hosts}", "nsswitch.conf": f"passwd: files\n{nss}\n"}.items():
        (folder / name).write_text(text)
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", PLAYGROUND, "sh", str(folder), shell, FACT.command.shell, *names]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def answers(done):
    assert (done.returncode, done.stderr) == (0, "")
    return {answer.name: answer for answer in FACT.parse(done.stdout)}


@pytest.mark.parametrize(("tool", "program", "shell", "timeout"), [
    ("nslookup", "busybox", "dash", ""), ("nslookup", "busybox", "dash", OLD_TIMEOUT), ("nslookup", "busybox", "bash", ""),
    ("ping", "busybox", "dash", ""), ("ping", "busybox", "bash", OLD_TIMEOUT), ("ping", "ping", "dash", OLD_TIMEOUT), ("ping", "ping", "bash", ""),
])
def test_a_silent_resolver_is_told_from_one_that_answers_whatever_timeout_there_is(tmp_path, tool, program, shell, timeout):
    begun = time.monotonic()
    found = answers(
        ask(tmp_path, "gw.lab.test", "nosuch.lab.test", "www.silent", tool=tool, program=program, shell=shutil.which(shell), timeout=timeout),
    )
    assert found["gw.lab.test"].rcode == 0
    assert found["gw.lab.test"].addresses == ("10.20.0.1",)
    assert found["nosuch.lab.test"].rcode == (UNTOLD if tool == "ping" else 3)
    assert (found["www.silent"].rcode, found["www.silent"].error) == (-1, "silent")
    assert time.monotonic() - begun < 9


def test_what_is_answered_at_once_is_kept_apart_where_sh_is_bash(tmp_path):
    done = ask(tmp_path, *["gw.lab.test"] * 40, shell=shutil.which("bash"))
    assert (done.returncode, done.stderr) == (0, "")
    assert [answer.addresses for answer in FACT.parse(done.stdout)] == [("10.20.0.1",)] * 40


def test_ping_is_not_asked_for_names_that_it_may_know_from_elsewhere(tmp_path):
    done = ask(tmp_path, "gw.lab.test", "www.lab.test", "10.20.0.1", hosts="10.20.0.7\tx  WWW.lab.test # gw.lab.test\n#10.20.0.8 gw.lab.test\n")
    assert set(answers(done)) == {"gw.lab.test"}


@pytest.mark.parametrize(("nss", "asked"), [
    ("hosts: files dns", True), ("hosts:\tfiles mdns4_minimal [NOTFOUND=return] dns # ldap", True), ("", True),
    ("hosts: files myhostname resolve [!UNAVAIL=return] dns", True),
    ("hosts: files", False), ("hosts: files mdns4 dns", False), ("hosts: files ldap dns", False), ("#hosts: files ldap\nhosts: dns", True),
])
def test_ping_tells_of_a_resolver_only_where_names_are_asked_of_one(tmp_path, nss, asked):
    done = ask(tmp_path, "gw.lab.test", nss=nss)
    assert done.returncode == (0 if asked else 127), done.stderr
    if asked:
        assert answers(done)["gw.lab.test"].addresses == ("10.20.0.1",)


def test_names_of_mdns_are_not_asked_for_with_ping(tmp_path):
    assert ask(tmp_path, "printer.local", nss="hosts: files mdns4_minimal [NOTFOUND=return] dns").returncode == 127


# -- what ping says, by its sources: iputils before and since 2016, busybox -----------------------------------------------


def read(*said: tuple[int, str]):
    rows = [f"@ 10.20.0.53 n{number} 1.00 1.10 {status}\n{text}\n" for number, (status, text) in enumerate(said)]
    return FACT.parse("".join([*rows, "@end\n"]))


@pytest.mark.parametrize(("said", "rcode"), [
    ("ping: unknown host n0", UNTOLD), ("ping: n0: Name or service not known", UNTOLD), ("ping: bad address 'n0'", UNTOLD),
    ("PING n0 (192.0.2.1): 56 data bytes\nping: sendto: Network unreachable", 0),
    ("ping: sendmsg: Network is unreachable\nPING n0 (192.0.2.1) 56(84) bytes of data.", 0),
])
def test_a_name_is_resolved_where_ping_names_an_address(said, rcode):
    (answer,) = read((1, said))
    assert (answer.rcode, answer.addresses) == (rcode, () if rcode else ("192.0.2.1",))


@pytest.mark.parametrize(("status", "said"), [
    (2, "ping: connect: Network is unreachable"), (2, "connect: Network is unreachable"), (1, "ping: permission denied (are you root?)"),
    (127, "sh: ping: not found"), (126, "sh: nslookup: Permission denied"),
])
def test_a_name_that_cannot_be_read_is_left_out_and_the_others_are_not(status, said):
    good = (0, "PING n1 (192.0.2.1): 56 data bytes")
    assert [answer.name for answer in read((status, said), good)] == ["n1"]
    with pytest.raises(Unreadable):
        read((status, said))
