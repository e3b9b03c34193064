"""Run the migrations, which bring an older index up to date.

Everything happens in one transaction: after a crash at any point the database has the old
revision or the new one. This module imports alembic, 0.3 s; making a store, and opening one
that is up to date, never import it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

import contentdb.migrations
from contentdb.local.index.database import connect, refusal
from contentdb.local.index.revision import HEAD
from contentdb.store_folder import APPLICATION_ID, FORMAT_VERSION

__all__ = ["config", "upgrade"]


def config() -> Config:
    """Return alembic's configuration, without a file; a ``%`` in the path must be doubled."""
    made = Config()
    folder = str(Path(contentdb.migrations.__path__[0]).resolve())
    made.set_main_option("script_location", folder.replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def upgrade(path: str, revision: str = HEAD) -> None:
    """Bring a database file, which may be empty, to a revision; the caller keeps others out.

    Durable when it returns.

    Raises:
        IndexFailedError: The database refused; it stays at the revision it had.
    """
    try:
        driver = connect(path)
    except sqlite3.Error as error:
        raise refusal(path, error) from error
    try:
        driver.execute("PRAGMA synchronous = FULL").fetchall()
        # SQLite alters a table by making a new one; dropping the old must not drop its labels
        # (https://sqlite.org/lang_altertable.html, the 12 steps).
        driver.execute("PRAGMA foreign_keys = OFF").fetchall()
        _upgrade(driver, revision)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise refusal(path, error.orig) from error
        raise
    except sqlite3.Error as error:
        raise refusal(path, error) from error
    finally:
        driver.close()


def _upgrade(driver: sqlite3.Connection, revision: str) -> None:
    engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {FORMAT_VERSION}")
        connection.commit()
