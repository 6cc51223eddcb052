"""The command netchecks: what it prints, where, and its exit status."""

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from netchecks import __version__, cli
from netchecks.errors import LabError

ROOT = Path(__file__).parents[1]
EXAMPLE = str(ROOT / "inventories" / "examples" / "switching.yaml")


def test_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"netchecks {__version__}\n"


def test_version_imports_nothing_heavy():
    code = "import sys\nfrom netchecks import cli\ntry: cli.main(['--version'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert "netchecks.cli" in loaded
    assert {"pydantic", "yaml", "pytest", "scapy", "testinfra", "pyroute2"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "netchecks: the following arguments are required: COMMAND\nusage: netchecks"),
        (["fly"], "netchecks: argument COMMAND: invalid choice: 'fly'"),
        (["inventory"], "netchecks: the following arguments are required: ACTION\nusage: netchecks inventory"),
        (["inventory", "check", "--inventry"], "netchecks: unrecognized arguments: --inventry"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(capsys, arguments, said):
    assert cli.main(arguments) == 4
    printed = capsys.readouterr()
    assert printed.err.startswith(said)
    assert printed.out == ""


def test_a_good_inventory_is_counted(capsys):
    assert cli.main(["inventory", "check", "--inventory-file", EXAMPLE]) == 0
    assert capsys.readouterr().out == f"{EXAMPLE}: 4 nodes, 1 network, 2 VMs, 4 declared flows, 1 waiver\n"


def test_without_a_file_the_inventory_is_this_machine(capsys):
    assert cli.main(["inventory", "check"]) == 0
    assert capsys.readouterr().out.endswith("local.yaml: 1 node, 0 networks, 0 VMs, 0 declared flows, 0 waivers\n")


def test_every_mistake_of_an_inventory_is_a_line_and_the_status_4(capsys, tmp_path):
    (tmp_path / "a.yaml").write_text("nodes:\n  a: {usr: x}\n")
    (tmp_path / "b.yaml").write_text("nodes:\n  b: {port: x}\n")
    arguments = ["inventory", "show", "--inventory-file", str(tmp_path / "a.yaml"), "--inventory-file", str(tmp_path / "b.yaml")]
    assert cli.main(arguments) == 4
    printed = capsys.readouterr()
    assert [line.split(": ")[0] for line in printed.err.splitlines()] == [f"{tmp_path}/a.yaml:2:7", f"{tmp_path}/b.yaml:2:13"]
    assert printed.out == ""
    assert "Traceback" not in printed.err


def test_the_resolved_inventory_is_shown(capsys, tmp_path):
    assert cli.main(["inventory", "show", "--inventory-file", EXAMPLE]) == 0
    shown = tmp_path / "shown.yaml"
    shown.write_text(capsys.readouterr().out)
    assert cli.main(["inventory", "check", "--inventory-file", str(shown)]) == 0


def test_the_schema_is_printed(capsys):
    assert cli.main(["inventory", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((ROOT / "docs" / "inventory.schema.json").read_text())


def command(run):
    module = types.ModuleType("netchecks.lab.command")
    module.add_arguments = lambda parser: parser.add_argument("what")
    module.run = run
    return module


def test_a_subcommand_is_the_module_of_its_name(monkeypatch):
    seen = []
    monkeypatch.setitem(sys.modules, "netchecks.lab.command", command(lambda args: seen.append(args.what) or 7))
    assert cli.main(["lab", "up"]) == 7
    assert seen == ["up"]


def fails(error):
    def run(_):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (LabError("no such lab"), 4, "netchecks: no such lab\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_subcommand_raises_becomes_its_status(monkeypatch, capsys, error, status, said):
    monkeypatch.setitem(sys.modules, "netchecks.lab.command", command(fails(error)))
    assert cli.main(["lab", "up"]) == status
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "netchecks.lab.command", command(fails(ZeroDivisionError())))
    with pytest.raises(ZeroDivisionError):
        cli.main(["lab", "up"])


def test_a_subcommand_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "netchecks.lab.command", None)
    assert cli.main(["lab", "up"]) == 4
    assert capsys.readouterr().err.startswith("netchecks: 'netchecks lab' is not part of this installation: ")
    assert cli.main(["inventory", "check"]) == 0


def test_a_reader_that_goes_away_is_no_error():
    fleet = str(ROOT / "inventories" / "examples" / "fleet.yaml")
    with subprocess.Popen(
        [sys.executable, "-m", "netchecks", "inventory", "show", "--inventory-file", fleet],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as shown:  # fmt: skip
        assert shown.stdout is not None
        assert shown.stderr is not None
        assert shown.stdout.readline() == "version: 1\n"
        shown.stdout.close()
        assert shown.stderr.read() == ""
        assert shown.wait(timeout=20) == 0


def test_a_run_is_pytest_on_the_suites(monkeypatch):
    seen = []
    monkeypatch.setattr(pytest, "main", lambda arguments: seen.append(arguments) or pytest.ExitCode.NO_TESTS_COLLECTED)
    assert cli.main(["run", "--inventory-file", "x.yaml", "-k", "bridge", "--help"]) == 5
    assert seen[0][-6:] == [str(ROOT / "suites"), "--inventory-file", "x.yaml", "-k", "bridge", "--help"]


def test_a_run_of_one_id_runs_only_that():
    arguments = cli.pytest_arguments(["suites/node/test_login.py::test_node_answers[local]", "-v"])
    assert str(ROOT / "suites") not in arguments
    assert arguments[-2:] == [f"{ROOT}/suites/node/test_login.py::test_node_answers[local]", "-v"]


def test_the_plugin_is_named_only_where_pytest_does_not_find_it(monkeypatch):
    entry = types.SimpleNamespace(name="netchecks.plugin", value="netchecks.plugin")
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    monkeypatch.setattr(cli.metadata, "entry_points", lambda **_: [entry])
    assert "netchecks.plugin" not in cli.pytest_arguments([])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert "netchecks.plugin" in cli.pytest_arguments([])
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    monkeypatch.setattr(cli.metadata, "entry_points", lambda **_: [])
    assert "netchecks.plugin" in cli.pytest_arguments([])


def test_ids_of_a_run_are_those_of_the_checkout(tmp_path):
    """Also from another folder, where nothing is written but by the run."""
    listed = subprocess.run(
        [sys.executable, "-m", "netchecks", "run", "--collect-only", "-q", "-k", "node_answers"],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "suites/node/test_login.py::test_node_answers[local]" in listed.stdout.splitlines(), listed.stdout + listed.stderr
    assert listed.returncode == 0
    assert "warning" not in listed.stdout
