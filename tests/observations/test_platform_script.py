"""The platform's script, with each of the tools that a container may have, against a real sshd and against what is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.observe import OBSERVATIONS

COMMAND = OBSERVATIONS["platform_knocks"].command
PARSE = OBSERVATIONS["platform_knocks"].parse

#: Tool -> what it is called there, and the program.
TOOLS = {
    "python3": ("python3", "/usr/bin/python3"), "bash": ("bash", "bash"), "nc": ("nc", "nc"), "busybox nc": ("nc", "busybox"), "ssh": ("ssh", "ssh"),
}
TARGETS = {
    "127.0.0.1 2200": "ssh", "127.0.0.1 2201": "refused", "127.0.0.1 2202": "not_ssh", "127.0.0.1 2203": "closed",
    "127.0.0.1 2204": "timed_out", "192.0.2.1 22": "no_route", "::1 2200": "ssh",
}
#: No two of them agree on whether a server that says something else is one: ssh itself goes away without a word of it.
BY_SSH = {"127.0.0.1 2202": {"not_ssh", "closed", "failed", "timed_out"}}

PLAYGROUND = r"""
ip link set lo up
ip route add unreachable 192.0.2.0/24
nft 'table inet t { chain in { type filter hook input priority 0; tcp dport 2204 drop; }; }'
ssh-keygen -q -t ed25519 -N '' -f "$1/key"
mkdir -p /run/sshd
/usr/sbin/sshd -D -f /dev/null -h "$1/key" -p 2200 -o ListenAddress=127.0.0.1 -o ListenAddress=::1 -o PidFile=none & a=$!
python3 -c '
import socket, threading, time
def serve(port, greeting):
    s = socket.create_server(("127.0.0.1", port))
    while True:
        c, _ = s.accept()
        if greeting:
            c.sendall(greeting); time.sleep(0.5)
        c.close()
threading.Thread(target=serve, args=(2202, b"220 mail.example.org ESMTP\r\n"), daemon=True).start()
serve(2203, b"")
' & b=$!
n=0; until ss -ltnH | grep -q :2200 && ss -ltnH | grep -q :2203 && ss -ltnH | grep -q :2202; do n=$((n+1)); [ $n -lt 100 ]; sleep 0.05; done
PATH="$2" /bin/sh -c "$3" sh $4
kill $a $b
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="sshd in a namespace of its own needs root"),
    pytest.mark.skipif(not all(map(shutil.which, ("nft", "ssh-keygen", "unshare"))), reason="no nft, ssh-keygen or unshare here"),
]


def folder(path: Path, name: str, program: str) -> str:
    path.mkdir()
    for tool in ("timeout", "tr", "cut", "sh"):
        (path / tool).symlink_to(shutil.which(tool))
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} here")
    (path / name).symlink_to(found)
    return str(path)


def ask(tmp_path: Path, path: str, *words: str) -> str:
    argv = ["unshare", "-n", "-m", "sh", "-ec", PLAYGROUND, "sh", str(tmp_path), path, COMMAND.shell, " ".join(words)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_tells_what_answers(tool, tmp_path):
    path = folder(tmp_path / "bin", *TOOLS[tool])
    knocks = PARSE(ask(tmp_path, path, "0", *TARGETS))
    got = {target: knock.outcome for target, knock in knocks.items()}
    wrong = {target: (outcome, knocks[target].said) for target, outcome in got.items() if outcome not in BY_SSH.get(target if tool == "ssh" else "", {TARGETS[target]})}
    assert wrong == {}
    assert got.keys() == TARGETS.keys()


def test_a_prefix_is_put_before_what_runs_inside(tmp_path):
    text = ask(tmp_path, os.environ["PATH"], "4", "env", "-i", "-", "PATH=/usr/bin:/bin", "127.0.0.1 2200", "127.0.0.1 2201")
    assert {target: knock.outcome for target, knock in PARSE(text).items()} == {"127.0.0.1 2200": "ssh", "127.0.0.1 2201": "refused"}


@pytest.mark.parametrize(("words", "outcome"), [
    (("3", "no-such-command", "exec", "vm_box", "10.0.0.1 22"), "not_entered"),
    (("1", "false", "10.0.0.1 22"), "not_entered"),
])
def test_a_platform_that_is_not_there_is_told(words, outcome):
    text = subprocess.run(["sh", "-c", COMMAND.shell, "sh", *" ".join(words).split()], capture_output=True, text=True, check=True).stdout
    assert PARSE(text)[""].outcome == outcome


def test_a_container_without_any_tool_is_told(tmp_path):
    path = tmp_path / "bin"
    path.mkdir()
    (path / "sh").symlink_to("/bin/sh")
    text = subprocess.run(["/bin/sh", "-c", COMMAND.shell, "sh", "0", "10.0.0.1", "22"], capture_output=True, text=True, check=True, env={"PATH": str(path)}).stdout
    assert PARSE(text)[""].outcome == "no_tool"
