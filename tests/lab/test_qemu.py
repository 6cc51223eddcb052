"""A guest that is a real QEMU machine, and what its real agent tells. Software emulation: it boots in some seconds."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

import netchecks.observations
from netchecks.observe import OBSERVATIONS
from suites.vmhost import test_guest as checks
from tests.suites.vmhost.given import _by, notes_of, wrong
from tests.suites.vmhost.inside import VM42

assert netchecks.observations.__doc__
pytestmark = pytest.mark.slow
NEEDED = ("libvirtd", "virsh", "qemu-system-x86_64", "busybox", "cpio", "dpkg", "apt-get", "apt-cache", "unshare", "gzip", "ldd")
HERE = Path(__file__).parent
PLAIN = replace(VM42, vm=replace(VM42.vm, guest=None))


def why_not() -> str:
    missing = [tool for tool in NEEDED if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if os.geteuid():
        return "libvirtd and a tap need root"
    return f"not installed: {', '.join(missing)}" if missing else "" if Path("/dev/net/tun").exists() else "no /dev/net/tun"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack a kernel and the guest agent, as Debian packages them; nothing is installed."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("qemu")
    depends = subprocess.run(["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, check=False).stdout
    kernel = next((line.split()[-1] for line in depends.splitlines() if "Depends: linux-image" in line), "")
    for name, package in (("k", kernel), ("ga", "qemu-guest-agent")):
        here = folder / f"{name}.d"
        here.mkdir()
        got = subprocess.run(["apt-get", "download", "-q", package], cwd=here, capture_output=True, text=True, check=False)
        files = list(here.glob("*.deb"))
        if got.returncode or not files:
            pytest.skip(f"{package or 'a kernel'} cannot be downloaded: {got.stderr.strip()[-200:]}")
        subprocess.run(["dpkg", "-x", str(files[0]), str(folder / name)], check=True)
    return folder


INVENTORY = """
nodes: {{node1: {{connection: local, links: {{br0: {{addresses: [10.20.0.11/24, "fd20::11/64"]}}}}}}}}
networks:
  lan:
    kind: switching
    bridge: br0
    uplink: eth0
    subnets: [{{cidr: 10.20.0.0/24, gateway: 10.20.0.1}}, {{cidr: "fd20::/64", gateway: "fd20::1"}}]
vms:
  vm42: {{node: node1, domain: instance-00000001, interfaces: [{{network: lan, mac: "52:54:00:00:00:42", addresses: ["{}", "fd20::142"]}}]}}
"""


@pytest.fixture(scope="module")
def told(packages: Path) -> dict[str, str]:
    """Give what the observation's own command prints, before the agent is there, with it, and when the machine is off."""
    def suite(name: str, address: str) -> str:
        """Give the line that runs the whole suite of VM hosts where the machine is."""
        (packages / f"{name}.yaml").write_text(INVENTORY.format(address), encoding="utf-8")
        argv = [sys.executable, "-m", "pytest", str(HERE.parents[1] / "suites/vmhost"), "-q", "-p", "no:cacheprovider",
                f"--inventory-file={packages}/{name}.yaml", f"--netchecks-run-dir={packages}/{name}"]
        return f"(cd {HERE.parents[1]} && {shlex.join(argv)} >{packages}/{name}.out 2>&1) || :"

    command = OBSERVATIONS["agent_addresses"].command
    asked = shlex.join(["sh", "-c", command.shell, "sh"])
    (packages / "script").write_text(f"""
        {asked} "$DOMAIN" >{packages}/early
        await_agent
        {asked} "$DOMAIN" >{packages}/agent
        {asked} nosuch >{packages}/nosuch
        {suite("healthy", "10.20.0.142")}
        {suite("wrong", "10.20.0.143")}
        grep -h tainted /var/log/libvirt/qemu/*.log >{packages}/tainted || :
        virsh -q -r dumpxml "$DOMAIN" >{packages}/xml
        virsh -q destroy "$DOMAIN" >/dev/null
        {asked} "$DOMAIN" >{packages}/off
    """, encoding="utf-8")
    argv = ["unshare", "-nm", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", str(HERE / "qemu.sh"), str(packages), str(packages / "script")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=240, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: (packages / name).read_text(encoding="utf-8") for name in ("early", "agent", "nosuch", "off", "tainted", "xml")}


def agent(told: dict[str, str], which: str = "agent"):
    return _by("agent_addresses", {"vm42": (PLAIN.vm, OBSERVATIONS["agent_addresses"].parse(told[which]))})


def test_the_agent_tells_the_addresses(told: dict[str, str]) -> None:
    found = {(item.device, item.mac, str(item.address)) for item in agent(told)[PLAIN.vm] if not item.address.ip.is_link_local}
    assert found >= {("eth0", "52:54:00:00:00:42", "10.20.0.142/24"), ("eth0", "52:54:00:00:00:42", "fd20::142/64")}


@pytest.mark.parametrize("which", ["early", "nosuch", "off"])
def test_without_an_agent_nothing_is_told(told: dict[str, str], which: str) -> None:
    assert agent(told, which)[PLAIN.vm] is None
    assert notes_of(checks.test_agent_addresses_match, PLAIN, agent(told, which)) == []


def test_asking_the_agent_taints_no_domain(told: dict[str, str]) -> None:
    """``high-privileges`` is this lab's: its QEMU runs as root. ``custom-ga-command`` would be ours."""
    assert "custom-ga-command" not in told["tainted"]


def test_the_tap_is_a_real_one(told: dict[str, str]) -> None:
    assert "<target dev='vnet0'/>" in told["xml"]


def diagnoses(packages: Path, name: str) -> list[tuple[str, str, list[str]]]:
    report = json.loads((packages / name / "report.json").read_text(encoding="utf-8"))
    assert not report["outcomes"]["broken"]
    return [(one["code"], one["severity"], one["places"]) for one in report["diagnoses"]]


def test_the_whole_suite_is_silent_about_a_healthy_machine(told: dict[str, str], packages: Path) -> None:
    assert told
    assert [one for one in diagnoses(packages, "healthy") if one[1] != "note"] == []


def test_the_whole_suite_names_the_wrong_address(told: dict[str, str], packages: Path) -> None:
    assert told
    assert diagnoses(packages, "wrong")[0] == ("guest.wrong_address", "cause", ["vm42"])


def test_the_check_believes_the_agent(told: dict[str, str]) -> None:
    assert notes_of(checks.test_agent_addresses_match, PLAIN, agent(told)) == []
    other = replace(PLAIN, addresses=(ip_address("10.20.0.143"),))
    with wrong("guest.wrong_address", "vm42 has 10.20.0.142/24 on eth0, says its agent, expected 10.20.0.143", breaks={"ipv4"}):
        checks.test_agent_addresses_match(other, agent(told))
