"""An index as a new store has it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from contentdb.local.index.database import connect
from contentdb.local.index.index import Index
from tests.local.index.databases import make_index

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> str:
    return make_index(tmp_path)


@pytest.fixture
def db(path: str) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect(path)) as connection:
        yield connection


@pytest.fixture
def index(path: str, tmp_path: Path) -> Iterator[Index]:
    made = Index(path, str(tmp_path), namespace="default", durable=True)
    with contextlib.closing(made):
        yield made
