"""`import contentdb` gives everything public, nothing else, and says which version it is."""

import __future__

from importlib.metadata import version
from types import ModuleType

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


def test_every_error_and_every_protocol_is_exported() -> None:
    assert {*errors.__all__, *content.__all__} - set(contentdb.__all__) == set()


def test_the_version_is_that_of_the_metadata() -> None:
    assert contentdb.__version__ == version("contentdb")
