"""The namespaces of an index, and the store's id."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

import contentdb

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.local.index.namespaces import Namespace


def test_an_edit_that_raises_changes_nothing(tmp_path: Path) -> None:
    def refuse(_old: Namespace) -> NoReturn:
        raise contentdb.FailedPreconditionError("no")

    with contentdb.open(tmp_path / "s") as store, store.parts() as parts:
        parts.index.edit_namespace("n", lambda _old: {"a": "ä\n\"'"})
        with pytest.raises(contentdb.FailedPreconditionError):
            parts.index.edit_namespace("n", refuse)
        assert parts.index.namespace("n").labels == {"a": "ä\n\"'"}
        assert parts.index.edit_namespace("n", lambda _old: None) is None
        assert not parts.index.namespace("n").is_there


def test_they_are_listed_by_look_ups(tmp_path: Path) -> None:
    """One for each, and not one for each blob."""
    for name in ("b", "a", "a.b"):
        with contentdb.open(tmp_path / "s", namespace=name) as store:
            list(store.add_many([b"1", b"2", b"3"]))
    with contentdb.open(tmp_path / "s") as store, store.parts() as parts:
        asked: list[object] = []
        one = parts.index._database.one

        def count(statement: str, values: dict[str, object]) -> object:
            asked.append(values)
            return one(statement, values)

        parts.index._database.one = count  # type: ignore[method-assign]
        assert list(parts.index.namespaces()) == ["a", "a.b", "b"]
        assert len(asked) == 4


def test_an_id_is_given_once_and_the_other_settings_stay(tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "s", pack_below=1024) as store, store.parts() as parts:
        assert parts.index.store_id() is None
        made = parts.index.make_store_id()
        assert parts.index.make_store_id() == parts.index.store_id() == made
        assert list(parts.index.namespaces()) == []
    contentdb.open(tmp_path / "s", pack_below=1024).close()


def test_a_lease_is_something_that_a_namespace_has(tmp_path: Path) -> None:
    row = "INSERT INTO leases (namespace, id, created_at, flat) VALUES ('n', 'l', 1, 0)"
    with contentdb.open(tmp_path / "s") as store, store.parts() as parts:
        parts.index._database.write(
            lambda connection: connection.execute(row), lambda _connection: True, durable=True
        )
        assert list(parts.index.namespaces()) == ["n"]
        assert parts.index.namespace("n").holds == ("leases",)
