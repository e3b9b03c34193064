"""Runs the migrations, which bring the tables of an older store up to date.

All happens in one transaction, but for large indexes, which are built before it. A lock that a long
walk holds back would make every other statement queue behind the migration, so each try gives up
after a moment and begins again. This module imports alembic, 0.3 s; making a store, and opening one
that is up to date, never import it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

import contentdb.migrations.postgresql
from contentdb.cluster.catalog.meta import read_meta
from contentdb.cluster.open import LOCK, LOCK_KEY
from contentdb.cluster.schema import HEAD, LINKS, LINKS_INDEX
from contentdb.cluster.sql import Database
from contentdb.errors import IndexBusyError, MigrationNeededError

__all__ = ["build_indexes", "migrate", "upgrade"]

_TRIES: Final = 300
_PAUSE_S: Final = 0.1
_GIVE_UP: Final = "SET LOCAL lock_timeout = '100ms'"
_BROKEN: Final = """
SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('blobs_links') AND NOT indisvalid"""


def config() -> Config:
    """Return alembic's configuration, without a file; a ``%`` in the path must be doubled."""
    made = Config()
    folder = str(Path(contentdb.migrations.postgresql.__path__[0]).resolve())
    made.set_main_option("script_location", folder.replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def migrate(url: str, revision: str = HEAD) -> str:
    """Bring the tables of a store to a revision, whole or not at all; return the revision.

    Raises:
        StoreNotFoundError, NewerStoreError: There is nothing to migrate.
        IndexBusyError: Others held locks on the tables in every try.
        IndexFailedError: The database refused.
    """
    database = Database(url)
    try:
        with suppress(MigrationNeededError):
            read_meta(database)
        build_indexes(database)
        for tries_left in reversed(range(_TRIES)):
            try:
                upgrade(database, revision)
            except IndexBusyError:
                if not tries_left:
                    raise
                time.sleep(_PAUSE_S)
            else:
                break
    finally:
        database.close()
    return revision


def build_indexes(database: Database) -> None:
    """Build the large indexes while others write; may be repeated, also if it was cut off.

    The migrations find them and go on.
    """
    with database.connect() as connection:
        if connection.execute(_BROKEN).fetchone() is not None:
            connection.execute("DROP INDEX CONCURRENTLY IF EXISTS blobs_links")
        connection.execute(LINKS)
        connection.execute(LINKS_INDEX.format(how="CONCURRENTLY"))


def upgrade(database: Database, revision: str) -> None:
    """Bring the tables of a database, which may be empty, to a revision in one transaction."""
    driver = database.connect()
    try:
        driver.autocommit = False
        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: driver, poolclass=StaticPool
        )
        with engine.connect() as connection:
            connection.exec_driver_sql(LOCK, {"key": LOCK_KEY})  # one migration at a time
            connection.exec_driver_sql(_GIVE_UP)
            settings = config()
            settings.attributes["connection"] = connection
            command.upgrade(settings, revision)
            connection.commit()
    except DBAPIError as error:
        raise database.failure(error.orig or error) from error
    finally:
        driver.close()
