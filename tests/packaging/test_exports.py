"""`import contentdb` gives everything public, nothing else, and says which version it is."""

import __future__

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import contentdb
from contentdb import content, errors


def _is_part_of_the_package(name: str, value: object) -> bool:
    """An import binds a submodule in its package; `annotations` is a flag of the language."""
    if isinstance(value, ModuleType):
        return value.__name__ == f"contentdb.{name}"
    return value is __future__.annotations


def _as_ruff_sorts(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then the rest: the order of rule RUF022."""
    return (not name.isupper(), not name[0].isupper(), name)


def test_everything_in_all_can_be_imported() -> None:
    assert [name for name in contentdb.__all__ if not hasattr(contentdb, name)] == []


def test_all_is_sorted_and_names_nothing_twice() -> None:
    assert list(contentdb.__all__) == sorted(set(contentdb.__all__), key=_as_ruff_sorts)


def test_nothing_leaks() -> None:
    public = {
        name
        for name, value in vars(contentdb).items()
        if not name.startswith("_") and not _is_part_of_the_package(name, value)
    }
    assert public - set(contentdb.__all__) == set()


def test_what_is_imported_late_is_what_the_types_say() -> None:
    """Two lists: one for type checkers, one for the interpreter."""
    typed: dict[str, str] = {}
    for node in ast.walk(ast.parse(Path(contentdb.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and "contentdb." in node.module:
            typed |= {name.asname or name.name: node.module for name in node.names}
    assert set(typed) == set(contentdb.__all__) - {"__version__"}
    for name, module in typed.items():
        real = "open_store" if name == "open" else name
        assert getattr(contentdb, name) is getattr(import_module(module), real)


def test_a_module_that_is_documented_is_there_without_being_imported() -> None:
    code = "import contentdb; contentdb.errors, contentdb.content, contentdb.filters"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_there_is_told_as_python_tells_it() -> None:
    with pytest.raises(AttributeError, match="module 'contentdb' has no attribute 'opne'"):
        contentdb.opne  # type: ignore[attr-defined]  # noqa: B018 - to look is what is tested


def test_every_error_and_every_protocol_is_exported() -> None:
    assert {*errors.__all__, *content.__all__} - set(contentdb.__all__) == set()


def test_the_version_is_that_of_the_metadata() -> None:
    assert contentdb.__version__ == version("contentdb")
