"""The examples of docs/inventory.md load, its messages are the real ones, and it leaves out no field."""

import re
from pathlib import Path

import pytest

from netchecks.errors import InventoryError
from netchecks.inventory import entries, fields, load

TEXT = (Path(__file__).parents[2] / "docs" / "inventory.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```\n(?:\n```text\n(.*?)```)?", TEXT, re.DOTALL)


@pytest.mark.parametrize(("text", "mistakes"), BLOCKS, ids=[text.splitlines()[1].strip() for text, _ in BLOCKS])
def test_an_example_is_as_the_text_says(text, mistakes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("inventory.yaml").write_text(text)
    if not mistakes:
        assert load([Path("inventory.yaml")]).nodes
        return
    with pytest.raises(InventoryError) as raised:
        load([Path("inventory.yaml")])
    assert str(raised.value).splitlines() == mistakes.splitlines()


def test_there_are_examples():
    assert len(BLOCKS) == 10
    assert sum(bool(mistakes) for _, mistakes in BLOCKS) == 1


@pytest.mark.parametrize("model", [value for value in vars(entries).values() if isinstance(value, type) and issubclass(value, entries.Written)])
def test_every_field_is_told(model):
    assert [name for name in entries.fields(model) if not re.search(rf"(^|[`{{ ]){name}[`:]", TEXT, re.MULTILINE)] == []


def test_every_kind_and_connection_is_told():
    assert [word for word in fields.KINDS + fields.BACKENDS if f"`{word}`" not in TEXT] == []
