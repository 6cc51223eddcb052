"""The script of neutron_configs beside a process that has the agent's command line: what it was given counts, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.observe import OBSERVATIONS

FACT = OBSERVATIONS["neutron_configs"]
#: A namespace of processes, so that agents of a lab beside this test are not seen.
ALONE = ["unshare", "--user", "--map-root-user", "--fork", "--pid", "--mount-proc"]


def read(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the script while something sleeps that is called as the agent is."""
    words = " ".join(arguments)
    (folder / "neutron-openvswitch-agent").write_text("#!/bin/sh\nsleep 60; :\n")
    (folder / "neutron-openvswitch-agent").chmod(0o755)
    script = f"{folder}/neutron-openvswitch-agent {words} & while ! grep -qa agent /proc/$!/cmdline; do :; done\n{FACT.command.shell}"
    return subprocess.run([*ALONE, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=60, cwd=folder)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "agent.ini").write_text("[ovs]\nbridge_mappings = physnet1:br-a\nlocal_ip = 10.0.0.1\n")
    (tmp_path / "later.ini").write_text("[ovs]\nbridge_mappings = physnet1:br-b\n[DEFAULT]\ntransport_url = rabbit://openstack:secret@host\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "x.conf").write_text("[agent]\ntunnel_types = vxlan\n")
    return tmp_path


def test_the_files_that_the_agent_was_given_count_in_their_order(files: Path) -> None:
    done = read(files, f"--config-file={files}/agent.ini", "--config-file", f"{files}/later.ini", "--config-dir", f"{files}/conf.d", "--log-file=x")
    assert (done.returncode, done.stderr) == (0, "")
    found = FACT.parse(done.stdout)
    assert found.files == (f"{files}/agent.ini", f"{files}/later.ini", f"{files}/conf.d/x.conf")
    assert (found.mappings, found.local_ip, found.tunnel_types) == ((("physnet1", "br-b"),), "10.0.0.1", ("vxlan",))
    assert "secret" not in done.stdout


def test_one_that_was_given_none_has_those_of_its_distribution(files: Path) -> None:
    done = read(files, "--verbose")
    if not Path("/etc/neutron").exists():
        assert done.returncode == 1
        assert done.stderr.startswith("no configuration of the Open vSwitch agent found: /etc/neutron/")
    else:
        assert str(files) not in done.stdout


def test_who_only_names_the_agent_is_not_it(files: Path) -> None:
    """A log that is followed, an editor: their arguments are no configuration."""
    script = f"sh -c 'sleep 60; :' tail --config-file={files}/agent.ini /var/log/neutron-openvswitch-agent.log & sleep 0.2\n{FACT.command.shell}"
    done = subprocess.run([*ALONE, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert str(files) not in done.stdout


def test_files_of_the_agent_that_are_not_there_are_named(files: Path) -> None:
    done = read(files, "--config-file=/nowhere/a.ini")
    assert done.returncode == 1
    assert "its process names /proc/" in done.stderr
    assert "/nowhere/a.ini" in done.stderr
