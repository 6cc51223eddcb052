"""The script of boot_configuration on trees of files: what it prints in every shell, and what it never prints."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from netchecks.observations.boot_configuration.script import FILE_BYTES, SCRIPT
from netchecks.observe import OBSERVATIONS

HERE = Path(__file__).parent / "boot_configuration"
TREES = sorted((HERE / "trees").iterdir())
TOOLS = ("stat", "head", "wc", "sort", "tr", "cat")
#: Shell and awk: Debian's, bash with GNU awk, busybox for all.
SHELLS = {"dash": ("dash", "mawk"), "bash": ("bash", "gawk"), "busybox": ("busybox", "busybox")}


def tree(source: Path, target: Path) -> Path:
    """Copy a tree; keyfiles get the mode that git does not keep."""
    shutil.copytree(source, target)
    for path in target.rglob("*"):
        if path.is_file():
            path.chmod(0o600 if "system-connections" in path.parts and path.name != "open.nmconnection" else 0o644)
    return target


def run(root: Path, *shell: str, path: str = "") -> str:
    environment = {**os.environ, "LC_ALL": "C", **({"PATH": path} if path else {})}
    done = subprocess.run([*(shell or ("sh",)), "-c", SCRIPT, "sh", str(root)], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == ""
    return done.stdout.replace(f" {os.geteuid()} /", " 0 /")


def parse(text: str):
    return OBSERVATIONS["boot_configuration"].parse(text)


def write(root: Path, path: str, text: str) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("source", TREES, ids=lambda path: path.name)
def test_every_shell_prints_what_was_recorded(source, name, tmp_path):
    shell, awk = SHELLS[name]
    if not shutil.which(shell) or not shutil.which(awk):
        pytest.skip(f"no {shell} or {awk} here")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which("busybox" if name == "busybox" else tool))
    (tools / "awk").symlink_to(shutil.which(awk))
    command = (shutil.which(shell), *(["sh"] if name == "busybox" else []))
    assert run(tree(source, tmp_path / "root"), *command, path=str(tools)) == (HERE / f"{source.name}.out").read_text()


@pytest.mark.parametrize("source", TREES, ids=lambda path: path.name)
def test_no_secret_leaves_the_node(source, tmp_path):
    texts = "".join(path.read_text() for path in source.rglob("*") if path.is_file())
    printed = run(tree(source, tmp_path / "root"))
    assert "s3cret" not in printed
    assert ("s3cret" in texts) == (source.name not in {"almalinux8", "proxmox", "nothing"})  # they have some to be left out


SECRETS = {
    "etc/netplan/a.yaml": [
        "network:\n  wifis:\n    w0:\n      access-points: {x: {password: s3cret}}\n",
        "network:\n  wifis: {w0: {access-points: {x: {password: s3cret}}}}\n",
        "network: {ethernets: {e0: {auth: {password: 's3cret, too', key-management: eap}}}}\n",
        'network: {ethernets: {e0: {auth: {"password": "s3c\\"ret s3cret", method: x}}}}\n',
        "network:\n  ethernets:\n    e0:\n      auth:\n        password: |\n          s3cret\n        client-key-password: >-\n          s3cret\n",
        "network:\n  ethernets: {e0: {auth: {password:\n    s3cret}}}\n",
        'network:\n  tunnels:\n    wg0:\n      key: "s3cret\n        s3cret"\n      keys: {input: s3cret, output: s3cret}\n      mode: wireguard\n',
        "network:\n  modems:\n    m0:\n      pin: s3cret\n      password: s3cret\n  version: 2 # s3cret\n",
        "network:\n  openvswitch: {ssl: {private-key: /s3cret}}\n",
    ],
    "etc/NetworkManager/system-connections/a.nmconnection": [
        "[connection]\nid=a\n[wifi-security]\npsk=s3cret\n",
        "[connection]\nid=a\n[vpn-secrets]\npassword=s3cret\n[vpn]\nuser=s3cret\n",
        "[connection]\nid=a\nsecondary-password=s3cret\n#s3cret\n ; s3cret\n[gsm]\npin=s3cret\n[802-1x]\nprivate-key-password=s3cret\n",
    ],
    "etc/systemd/network/a.netdev": [
        "[NetDev]\nName=wg0\n[WireGuard]\nPrivateKey=s3cret\n[WireGuardPeer]\nPresharedKey=\\\ns3cret\n",
        "[NetDev]\nName=m0\n[MACsecReceiveAssociation]\nKey=s3cret\n[Tunnel]\nKey=s3cret\n[Match]\nPrivateKey = s3cret\n",
    ],
    "etc/network/interfaces": [
        "iface w0 inet dhcp\n wpa-psk s3cret\n wireless-key1 s3cret\n wpa-passphrase s3cret\n up echo s3cret; ip route add default via 10.0.0.1\n",
        "iface e0 inet static\n up /sbin/ip xfrm state add src a dst b auth sha s3cret link x\n post-up curl -u s3cret | true\n down x s3cret\n",
        "iface e0 inet ppp\n provider s3cret\n # password s3cret \\\n s3cret s3cret\n",
    ],
    "etc/sysconfig/network-scripts/ifcfg-w0": [
        "DEVICE=w0\nKEY=s3cret\nKEY1=s3cret\nWPA_PSK='s3cret'\nIEEE_8021X_PASSWORD=\"s3cret\"\nUSERCTL=s3cret\n# s3cret\nTYPE=Wireless # s3cret\n",
        "DEVICE=w0 PASSWORD=s3cret\nMTU=$(s3cret)\nNAME=\"w0\"s3cret\nPASS=\\\ns3cret\nIPADDR=10.0.0.1;s3cret\nBRIDGE='br0\ns3cret'\n",
    ],
}


@pytest.mark.parametrize(("path", "text"), [(path, text) for path, texts in SECRETS.items() for text in texts])
def test_no_form_of_a_secret_leaves_the_node(path, text, tmp_path):
    write(tmp_path, path, text).chmod(0o600)
    printed = run(tmp_path)
    assert f"/{path}" in printed
    assert "s3cret" not in printed.replace("$(s3cret)", "")
    parse(printed)


def test_what_is_around_a_secret_is_still_read(tmp_path):
    write(tmp_path, "usr/sbin/netplan", "")
    write(tmp_path, "etc/netplan/a.yaml", "network: {ethernets: {e0: {auth: {password: 's3, ret'}, addresses: [10.0.0.2/24]}}}\n")
    (interface,) = parse(run(tmp_path)).interfaces
    assert [str(one) for one in interface.addresses] == ["10.0.0.2/24"]


def test_shell_in_a_file_is_never_run(tmp_path):
    marker = tmp_path / "run"
    write(tmp_path, "etc/network/interfaces", f"source $(touch {marker})\nsource `touch {marker}`/*\nsource ;touch {marker};\n")
    write(tmp_path, "etc/sysconfig/network-scripts/ifcfg-$(touch x)", f"DEVICE=$(touch {marker})\n")
    found = parse(run(tmp_path))
    assert not marker.exists()
    assert len(found.unread) == 2  # the two patterns that are shell


def test_a_file_that_sources_itself_ends(tmp_path):
    write(tmp_path, "etc/network/interfaces", "source /etc/network/interfaces\nsource /etc/network/interfaces.d/*\nauto e0\niface e0 inet manual\n")
    write(tmp_path, "etc/network/interfaces.d/a", "source /etc/network/interfaces.d/*\niface e1 inet manual\n")
    assert [item.name for item in parse(run(tmp_path)).interfaces] == ["e0", "e1"]


def test_too_large_and_too_many_files_are_said_to_be_unread(tmp_path):
    write(tmp_path, "etc/network/interfaces", "auto e0\n" * FILE_BYTES)
    for number in range(310):
        write(tmp_path, f"etc/systemd/network/{number:03}.network", f"[Match]\nName=e{number}\n")
    found = parse(run(tmp_path))
    assert found.unread == ("ifupdown /etc/network/interfaces", "- more than 300 files")
    assert len(found.interfaces) == 299


def test_a_masked_file_hides_the_one_below(tmp_path):
    write(tmp_path, "usr/lib/systemd/network/10-a.network", "[Match]\nName=e0\n")
    target = tmp_path / "etc/systemd/network/10-a.network"
    target.parent.mkdir(parents=True)
    target.symlink_to("/dev/null")
    assert parse(run(tmp_path)).interfaces == ()


def test_a_link_to_nowhere_is_unread(tmp_path):
    (tmp_path / "etc/netplan").mkdir(parents=True)
    (tmp_path / "etc/netplan/a.yaml").symlink_to("gone")
    assert parse(run(tmp_path)).unread == ("netplan /etc/netplan/a.yaml",)


def test_a_file_that_may_not_be_read_is_unread():
    """Root may read everything: then somebody else runs it."""
    shell = () if os.geteuid() else ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        write(Path(folder), "etc/netplan/a.yaml", "network: {}\n").chmod(0)
        assert parse(run(Path(folder), *shell)).unread == ("netplan /etc/netplan/a.yaml",)


def test_here_it_says_which_services_there_are():
    text = subprocess.run(["sh", "-c", SCRIPT, "sh"], capture_output=True, text=True, check=True).stdout
    assert {service.name for service in parse(text).services} >= {"networking", "network", "NetworkManager", "systemd-networkd"}
