"""The scripts of netchecks/observations/nova.py on trees of files, in the shells that nodes have: no secret leaves a node."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import netchecks.observations
from netchecks.models.console import Console
from netchecks.observe import OBSERVATIONS
from netchecks.reading import console

assert netchecks.observations.__doc__
SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(shell[0])]
NOVA_CONF = """
[DEFAULT]
# flat_interface = eth9
network_manager=nova.network.manager.FlatDHCPManager
  flat_network_bridge = br100
flat-interface = eth1
flat_interface=eth1 \t
sql_connection = mysql://nova:n0va-secret@10.0.0.1/nova
rabbit_password = guest-secret
metadata_proxy_shared_secret=n0va-secret
my_ip = 10.0.0.11
[database]
connection=mysql://nova:n0va-secret@10.0.0.1/nova
[libvirt]
rbd_secret_uuid = n0va-secret
"""
FLAGS = "--network_manager=nova.network.manager.VlanManager\n--vlan_interface=eth1\n--sql_connection=mysql://nova:n0va-secret@h/nova\n--verbose\n"


def ran(fact, shell, folder, *changes):
    script, words = OBSERVATIONS[fact].command.shell, OBSERVATIONS[fact].command.argv
    for old, new in changes:
        assert old in script
        script = script.replace(old, str(new))
    words = [str(folder) if "{" in word else word for word in words]
    return subprocess.run([*shell, "-c", script, "sh", *words], capture_output=True, text=True, check=False, timeout=20)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize(("text", "expected"), [
    (NOVA_CONF, {"flat_network_bridge": "br100", "flat_interface": "eth1", "my_ip": "10.0.0.11", "vlan_interface": ""}),
    (FLAGS, {"vlan_interface": "eth1", "flat_interface": ""}),
])
def test_only_what_says_how_the_network_is_built_leaves_the_node(shell, text, expected, tmp_path):
    (tmp_path / "nova.conf").write_text(text)
    done = ran("nova_config", shell, tmp_path, ("/etc/nova", tmp_path), ("/usr/share/nova", tmp_path))
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    config = OBSERVATIONS["nova_config"].parse(done.stdout)
    assert {name: config.get(name) for name in expected} == expected
    assert config.manager in {"FlatDHCPManager", "VlanManager"}


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_later_file_wins(shell, tmp_path):
    (tmp_path / "nova.conf").write_text("flat_interface=eth1\n")
    (tmp_path / "nova-compute.conf").write_text("flat_interface=eth2\n")
    done = ran("nova_config", shell, tmp_path, ("/etc/nova", tmp_path), ("/usr/share/nova", tmp_path))
    config = OBSERVATIONS["nova_config"].parse(done.stdout)
    assert config.get("flat_interface") == "eth2"
    assert config.file.count(str(tmp_path)) == 2


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_no_configuration_is_no_answer(shell, tmp_path):
    done = ran("nova_config", shell, tmp_path, ("/etc/nova", tmp_path), ("/usr/share/nova", tmp_path))
    assert done.returncode == 1
    assert "no nova.conf found" in done.stderr


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_console_is_read_to_its_end_whatever_stands_in_it(shell, tmp_path):
    folder = tmp_path / "instance-0000002a"
    folder.mkdir()
    (folder / "console.log").write_bytes(b"@end\n\x00\x00\x1b[32mLease of 10.0.2.24 obtained, lease time 120\x1b[0m\n")
    done = ran("console_logs", shell, "instance-0000002a", ("/var/lib/nova/instances", tmp_path))
    assert done.returncode == 0, done.stderr
    assert OBSERVATIONS["console_logs"].parse(done.stdout).leased == ("10.0.2.24",)


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_a_console_that_is_not_there_is_no_answer(shell, tmp_path):
    done = ran("console_logs", shell, "$(reboot)", ("/var/lib/nova/instances", tmp_path))
    assert done.returncode == 1
    assert "no console.log of $(reboot)" in done.stderr


# -- what consoles say -------------------------------------------------------------------------------------------------


def told(text):
    found = console.read("/log", text.splitlines())
    return {name: getattr(found, name) for name in Console.__slots__ if name != "path" and getattr(found, name)}


DHCLIENT = """
DHCPDISCOVER on eth0 to 255.255.255.255 port 67 interval 3
DHCPOFFER of 10.0.2.24 from 10.0.2.1
DHCPACK of 10.0.2.24 from 10.0.2.1
bound to 10.0.2.24 -- renewal in 55 seconds.
"""
NO_OFFERS = """
DHCPDISCOVER on eth0 to 255.255.255.255 port 67 interval 7
No DHCPOFFERS received.
No working leases in persistent database - sleeping.
"""
CLOUD_INIT = """
ci-info: | Device |   Up  |  Address  |    Mask   |     Hw-Address    |
ci-info: |   lo   |  True | 127.0.0.1 | 255.0.0.0 |         .         |
ci-info: |  eth0  | False |     .     |     .     | fa:16:3e:00:00:43 |
2013-02-27 22:01:36,123 - url_helper.py[WARNING]: Calling 'http://169.254.169.254/2009-04-04/meta-data/instance-id' failed [50/120s]: no route
"""


LEASE = {"leased": ("10.0.2.24",)}


def test_dhclient_and_cloud_init_are_read_too():
    assert told(DHCLIENT) == LEASE
    (refused,) = told(NO_OFFERS)["refused"]
    assert refused.said.startswith("No working leases")
    found = told(CLOUD_INIT)
    assert [(one.said[:16], one.mac) for one in found["refused"]] == [("ci-info: |  eth0", "fa:16:3e:00:00:43")]
    assert "169.254.169.254" in found["unreachable"]


def test_the_last_word_on_a_nic_counts_and_a_new_start_begins_anew():
    assert told(NO_OFFERS + DHCLIENT) == LEASE
    assert set(told(DHCLIENT + NO_OFFERS)) == {"refused"}
    assert told(NO_OFFERS + "[    0.000000] Linux version 3.2.0-37-virtual\n") == {}


UNUSED = """
ci-info: |  eth0  |  True | 10.0.2.24 | 255.255.255.0 | global | fa:16:3e:00:00:42 |
ci-info: |  eth0  |  True | fe80::f816:3eff:fe00:42/64 | . | link | fa:16:3e:00:00:42 |
ci-info: |  eth1  | False |     .     |       .       |   .    | fa:16:3e:00:01:42 |
"""
UDHCPC = "udhcpc (v1.17.2) started\nSending discover...\n"


def test_each_nic_has_its_own_word():
    found = told(UNUSED)
    assert found["leased"] == ("10.0.2.24",)
    assert [one.mac for one in found["refused"]] == ["fa:16:3e:00:01:42"]
    second = DHCLIENT.replace("eth0", "eth1").replace("10.0.2.24", "10.1.0.7")
    assert told(DHCLIENT + second) == {"leased": ("10.0.2.24", "10.1.0.7")}
    assert told(DHCLIENT + NO_OFFERS.replace("eth0", "eth1"))["leased"] == ("10.0.2.24",)
    udhcpc = told(f"{UDHCPC}Lease of 10.0.2.24 obtained, lease time 120\n{UDHCPC}No lease, forking to background\n")
    assert udhcpc["leased"] == ("10.0.2.24",)
    assert udhcpc["refused"][0].mac == ""


def test_every_curl_error_has_its_words():
    assert all(re.fullmatch(r"\d+", code) and words for code, words in console.CURL.items())
