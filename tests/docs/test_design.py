"""docs/design.md and its picture are drawn from the code, and every setting has its reason."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from contentdb import files
from contentdb.local.index import connect
from contentdb.local.layout import DIRECTORIES, INDEX, SHARDS

CHECKOUT = Path(__file__).parents[2]
DESIGN = (CHECKOUT / "docs/design.md").read_text()


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", CHECKOUT / "docs/draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_modules_is_that_of_the_tree(drawing: ModuleType) -> None:
    """`make docs` writes it."""
    assert drawing.filled(DESIGN) == DESIGN


def test_the_picture_is_that_of_the_tree(drawing: ModuleType) -> None:
    """`make docs` draws it."""
    assert drawing.draw() == (CHECKOUT / "docs/house.svg").read_text()


@pytest.mark.parametrize("pragma", connect._PRAGMAS)
def test_every_setting_of_the_database_has_its_reason(pragma: str) -> None:
    name, _, value = pragma.removeprefix("PRAGMA ").partition(" = ")
    assert f"`{name}={value}`" in DESIGN or f"`{name}` of" in DESIGN


def test_the_tree_on_disk_is_that_of_the_layout() -> None:
    tree = DESIGN.partition("## On disk")[2].partition("\n**")[0]
    for name in (INDEX, *(f"{name}/" for name in DIRECTORIES)):
        assert name in tree
    assert f"{len(SHARDS)} shards" in DESIGN


def test_functions_that_the_text_names_are_there() -> None:
    names = re.findall(r"`files\.(?!py)(\w+)`", DESIGN)
    assert names
    assert [name for name in names if not hasattr(files, name)] == []
