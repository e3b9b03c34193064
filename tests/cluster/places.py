"""Stores of tests: a database of the shared PostgreSQL, and objects in a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["place", "store"]


@pytest.fixture
def place(database: str, tmp_path: Path) -> str:
    """The URL of a new store."""
    contentdb.open(database, objects=f"file://{tmp_path}/objects").close()
    return database


@pytest.fixture
def store(place: str) -> Iterator[contentdb.Store]:
    with contentdb.open(place) as store:
        yield store
