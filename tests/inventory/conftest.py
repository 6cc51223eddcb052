"""What the tests of the inventory share: an inventory from text, and the mistakes of one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from netchecks.errors import InventoryError
from netchecks.inventory import load
from netchecks.models.subjects import Inventory


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Inventory]:
    """Load the texts, one file each."""

    def load_texts(*texts: str | bytes) -> Inventory:
        files = [tmp_path / f"{index}.yaml" for index in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(files)

    return load_texts


@pytest.fixture
def mistakes(read: Callable[..., Inventory], tmp_path: Path) -> Callable[..., list[str]]:
    """Give the mistakes of the texts, as ``file:line:column: message`` without the folder and ``.yaml``."""

    def found(*texts: str | bytes) -> list[str]:
        with pytest.raises(InventoryError) as raised:
            read(*texts)
        return str(raised.value).replace(f"{tmp_path}/", "").replace(".yaml:", ":").splitlines()

    return found


@pytest.fixture
def good() -> str:
    """A small inventory without a mistake."""
    return (Path(__file__).parent / "good.yaml").read_text()
