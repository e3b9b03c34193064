"""The map in docs/design.md is that of the code: every module, every layer, every setting."""

import re
import tomllib
from pathlib import Path

import pytest

from contentdb import files
from contentdb.index import opening
from contentdb.layout import DIRECTORIES, INDEX, SHARDS
from tests.docs.blocks import blocks_of

CHECKOUT = Path(__file__).parents[2]
PACKAGE = CHECKOUT / "contentdb"
DESIGN = (CHECKOUT / "docs/design.md").read_text()
ROWS = re.findall(r"^\| (`.*?) \| (.*) \|$", DESIGN.partition("## Layers")[2], re.MULTILINE)


def modules() -> list[str]:
    """Below `contentdb/`, but for what is generated and what a folder's own name says."""
    return sorted(
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" and "_pb2" not in path.name and "migrations" not in path.parts
    )


def named() -> set[str]:
    """What the map names: in the first column by path, in the second below the first's folder."""
    found = set()
    for where, what in ROWS:
        places = re.findall(r"`([^`]+)`", where)
        found.update(places)
        if len(places) == 1 and places[0].endswith("/"):
            found.update(places[0] + name for name in re.findall(r"`([a-z_0-9]+\.py)`", what))
    return found


def test_every_module_is_on_the_map() -> None:
    assert set(modules()) - named() == set()


def test_the_map_names_nothing_that_is_not_there() -> None:
    assert [name for name in sorted(named()) if not (PACKAGE / name).exists()] == []


def test_layers_are_those_that_the_linter_keeps() -> None:
    (block,) = (each for each in blocks_of("", DESIGN) if each.language == "text")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    (contract,) = (
        each for each in project["tool"]["importlinter"]["contracts"] if each["type"] == "layers"
    )
    assert block.code.splitlines() == contract["layers"]


@pytest.mark.parametrize("pragma", opening._PRAGMAS)
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
