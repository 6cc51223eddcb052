"""The JSON Schema that editors use says the same as the loader, and is the one in docs/."""

import datetime as dt
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from netchecks.inventory import schema
from netchecks.inventory.entries import FileEntry, LinkEntry, SubnetEntry, fields, model_at

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "inventories" / "local.yaml", *sorted((ROOT / "inventories" / "examples").iterdir())]


def as_editors_read(text: str) -> object:
    """YAML 1.2, which editors read, has no dates."""
    return json.loads(json.dumps(yaml.safe_load(text), default=lambda value: value.isoformat() if isinstance(value, dt.date) else None))


def offences(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema())
    return [error.message for error in validator.iter_errors(as_editors_read(text))]


def test_the_schema_in_docs_is_current():
    """Make it again with: netchecks inventory schema > docs/inventory.schema.json"""
    assert json.loads((ROOT / "docs" / "inventory.schema.json").read_text()) == schema()


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_valid_by_the_schema(file):
    assert offences(file.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "nodes: {a: {usr: x}}",
        "nodes: {a b: {}}",
        "nodes: {'a[x]': {}}",
        "nodes: {a: {connection: shh}}",
        "nodes: {a: {port: 70000}}",
        "nodes: {a: {sudo: maybe}}",
        "nodes: {a: {roles: hypervisor}}",
        "networks: {a: {kind: bridged}}",
        "networks: {a: {nodes: [{bridge: x}]}}",
        "vms: {a: {interfaces: [{network: lan}]}}",
        "flows: [{from: a}]",
        "flows: [{from: a, to: b, throughput: {back: 1 Mbit/s}}]",
        "version: 2",
        "vmss: {}",
    ],
)
def test_the_schema_finds_what_the_loader_finds(text, mistakes):
    assert offences(text)
    assert mistakes(text)


def test_every_field_is_described():
    made = schema()
    undescribed = [
        f"{name}.{field}"
        for name, model in made["$defs"].items()
        for field, what in model.get("properties", {}).items()
        if not what.get("description") and name != "DefaultsEntry"
    ]
    assert undescribed == []


def test_models_are_found_by_place():
    assert model_at(FileEntry, ("nodes", "a", "links", "eth0")) is LinkEntry
    assert model_at(FileEntry, ("networks", "a", "subnets", 0)) is SubnetEntry
    assert model_at(FileEntry, ("nodes", "a", "port")) is None
    assert "from" in fields(model_at(FileEntry, ("flows", 0)) or FileEntry)
