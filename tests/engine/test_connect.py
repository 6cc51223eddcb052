"""The way to a node, as ssh itself understands it, and what its refusals mean."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from netchecks import connect, inventory
from netchecks.errors import Why
from netchecks.models.subjects import Connection, Node

EXAMPLES = Path(__file__).parents[2] / "inventories" / "examples"

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")


def node(backend: str, address: str = "", **more: object) -> Node:
    return Node("n1", Connection(backend, address, **more))  # type: ignore[arg-type]  # one of its fields


def understood(argv: list[str]) -> dict[str, str]:
    """Give what ssh makes of a command line: its own word for every option."""
    done = subprocess.run(["ssh", "-G", *argv[1:]], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


# -- ssh -------------------------------------------------------------------------------------------------------------


@needs_ssh
def test_ssh_never_asks_and_notices_a_dead_peer() -> None:
    found = understood(connect.shell(node("ssh", "192.0.2.7")))
    assert found["hostname"] == "192.0.2.7"
    assert found["batchmode"] == "yes"
    assert found["requesttty"] == "false"
    assert (found["serveraliveinterval"], found["serveralivecountmax"]) == ("5", "3")
    assert int(found["connecttimeout"]) == connect.CONNECT_SECONDS
    assert found["stricthostkeychecking"] not in {"no", "off", "false", "accept-new"}
    assert found.get("controlmaster", "false") == "false", "no master process stays"


@needs_ssh
@pytest.mark.parametrize("address", ["192.0.2.7", "fd00::5", "node1.example.net", "node-1_x"])
def test_ssh_goes_where_the_inventory_says(address: str, tmp_path: Path) -> None:
    key = tmp_path / "a key"
    key.write_text("")
    found = understood(connect.shell(node("ssh", address, user="ops", port=2222, identity=str(key), jump="me@bastion:2200")))
    assert (found["hostname"], found["user"], found["port"]) == (address, "ops", "2222")
    assert found["proxyjump"] == "me@bastion:2200"
    assert found["identityfile"] == str(key)


@needs_ssh
def test_ssh_takes_the_user_s_configuration(tmp_path: Path) -> None:
    config = tmp_path / "my config"
    config.write_text("Host db\n  HostName 192.0.2.99\n  User eve\n  ProxyJump gate\n  Port 2022\n")
    found = understood(connect.shell(node("ssh", "db", ssh_config=str(config))))
    assert (found["hostname"], found["user"], found["port"], found["proxyjump"]) == ("192.0.2.99", "eve", "2022", "gate")


@pytest.mark.parametrize("hostile", ["; touch owned", "$(touch owned)", "`touch owned`", "a b", "'x", '"x', "-oProxyCommand=touch owned"])
def test_no_value_becomes_shell_or_an_option(hostile: str, tmp_path: Path) -> None:
    """As arguments of ssh they are one word each; what ssh itself makes of them is an error of its own."""
    for more in ({"user": hostile}, {"identity": hostile}, {"jump": hostile}, {"ssh_config": hostile}):
        argv = connect.shell(node("ssh", "192.0.2.7", **more))
        assert argv[0] == "ssh"
        assert argv[-1] == "sh -s"
        assert any(hostile in word for word in argv), "one word"
        subprocess.run([*argv[:1], "-G", *argv[1:]], cwd=tmp_path, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert not (tmp_path / "owned").exists()


def test_no_password_is_on_any_command_line() -> None:
    for one in inventory.load([EXAMPLES / "connections.yaml"]).nodes:
        if one.connection.backend in connect.STREAMED:
            assert not {"password", "sshpass"} & set(" ".join(connect.shell(one)).lower().split())


# -- what ssh says ---------------------------------------------------------------------------------------------------


@needs_ssh
def test_refusals_in_ssh_s_own_words(tmp_path: Path) -> None:
    """On loopback: a closed port, one that closes at once, a name that is none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "HOME": str(tmp_path)}

    def said(address: str, **more: object) -> str:
        argv = connect.shell(node("ssh", address, **more))
        return subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, timeout=60, check=False).stderr

    refused = connect.refused(said("127.0.0.1", port=port))
    assert (refused.why, refused.cause) == (Why.UNREACHABLE, "node.ssh_refused")
    assert str(port) in refused.detail, "ssh's own line is told"
    assert connect.refused(said("no-such-name.invalid")).cause == "node.name_unknown"


@pytest.mark.parametrize(("stderr", "cause"), [
    ("Host key verification failed.", "node.ssh_host_key_changed"), ("lab@10.0.0.1: Permission denied (publickey).", "node.ssh_login_refused"),
    ("ssh: connect to host x port 22: Connection timed out", "node.ssh_timed_out"), ("ssh: connect to host x port 22: No route to host", "node.ssh_no_route"),
    ("kex_exchange_identification: read: Connection reset by peer", "node.ssh_closed"), ("Connection closed by 10.0.0.1 port 22", "node.ssh_closed"),
    ("Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures", "node.ssh_login_refused"),
    ("something new", "node.unreachable"), ("", "node.unreachable"), ("\n \n", "node.unreachable"), ("x" * 5000, "node.unreachable"),
])
def test_a_refusal_has_a_stable_code(stderr: str, cause: str) -> None:
    reason = connect.refused(stderr)
    assert (reason.why, reason.cause) == (Why.UNREACHABLE, cause)
    assert "\n" not in str(reason)
    assert len(str(reason)) < 400


# -- other ways ------------------------------------------------------------------------------------------------------


def test_a_namespace_and_this_machine_need_no_ssh() -> None:
    assert connect.shell(node("local")) == ["sh", "-s"]
    assert connect.shell(node("netns", "lab; reboot")) == ["ip", "netns", "exec", "lab; reboot", "sh", "-s"]


def test_each_backend_of_the_example_is_testinfra_s() -> None:
    found = {one.name: connect.backend(one) for one in inventory.load([EXAMPLES / "connections.yaml"]).nodes}
    assert {name: backend.NAME for name, backend in found.items()} == {
        "here": "local", "namespace": "netns", "by_alias": "ssh", "by_config": "ssh", "behind": "ssh", "container": "docker", "pod": "kubectl", "chroot": "chroot",
    }
    assert found["chroot"].name == "/srv/chroot"
    assert (found["pod"].name, found["pod"].namespace, found["pod"].container) == ("web-0", "shop", "nginx")


@pytest.mark.parametrize("backend", ["ssh", "safe-ssh"])
def test_a_login_by_ssh_takes_user_port_and_jump(backend: str) -> None:
    made = connect.backend(node(backend, "fd00::5", user="ops", port=2222, jump="bastion", sudo=True))
    assert (made.host.name, made.host.user, made.host.port) == ("fd00::5", "ops", "2222")
    assert "-J bastion" in made.ssh_extra_args
    assert made.sudo is True
    assert connect.backend(node(backend, "x", sudo=True), sudo=False).sudo is False


def test_a_host_for_imperative_tests_runs_commands_as_they_are() -> None:
    host = connect.host(node("local"))
    text = "; rm -rf / $(reboot) `x` 'y' \"z\"\n"
    assert host.run("printf '%%s' %s", text).stdout == text


def test_connections_are_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text(json.dumps({"version": 1, "nodes": {"n1": {"address": "192.0.2.1", "user": "ops", "port": 2200, "jump": "gate", "roles": ["host"]}}}))
    (one,) = inventory.load([file]).nodes
    assert (one.connection.backend, one.connection.user, one.connection.port) == ("ssh", "ops", 2200)
