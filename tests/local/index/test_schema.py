"""The tables as the code has them and as the migrations make them are the same."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from contentdb.local.index.migrate import upgrade
from contentdb.local.index.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

TABLES = sorted(metadata.tables)


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "migrated.sqlite"
    path.touch()
    upgrade(str(path))
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path))
    yield engine
    engine.dispose()


@pytest.fixture
def declared() -> Iterator[Engine]:
    driver = sqlite3.connect(":memory:", check_same_thread=False)
    with contextlib.closing(driver):
        engine = create_engine("sqlite://", creator=lambda: driver)
        metadata.create_all(engine)
        yield engine


def test_alembic_sees_no_difference(migrated: Engine) -> None:
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def parts(engine: Engine, table: str) -> dict[str, Any]:
    """All that autogenerate misses too: primary keys, checks, names, WITHOUT ROWID."""
    look = inspect(engine)
    with engine.connect() as connection:
        statement = "SELECT sql FROM sqlite_master WHERE name = ?"
        text = connection.exec_driver_sql(statement, (table,)).scalar_one()
        statement = (
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? ORDER BY name"
        )
        indexes = connection.exec_driver_sql(statement, (table,)).scalars().all()
    return {
        "columns": [column | {"type": str(column["type"])} for column in look.get_columns(table)],
        "primary key": look.get_pk_constraint(table),
        "foreign keys": look.get_foreign_keys(table),
        "checks": sorted(str(check) for check in look.get_check_constraints(table)),
        "indexes": indexes,
        "options": re.sub(r".*\)", "", text, flags=re.DOTALL).strip(),
    }


@pytest.mark.parametrize("table", TABLES)
def test_every_part_is_the_same(migrated: Engine, declared: Engine, table: str) -> None:
    found = parts(migrated, table)
    assert found == parts(declared, table)
    assert found["options"] == "WITHOUT ROWID"


def test_there_are_no_other_tables(migrated: Engine) -> None:
    assert inspect(migrated).get_table_names() == sorted(["alembic_version", *TABLES])
