"""The schema that this library uses, known without an import of the migrations.

A test compares the constants with the revisions in ``migrations/``.
"""

from __future__ import annotations

from contentdb.errors import MigrationNeededError, NewerStoreError, NotAStoreError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import statements
from contentdb.store_folder import APPLICATION_ID, FORMAT_VERSION

if TYPE_CHECKING:
    from sqlite3 import Connection
    from typing import Final

__all__ = [
    "HEAD",
    "REVISIONS",
    "check",
    "read_revision",
    "revision_of",
]

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Oldest first."""
HEAD: Final = REVISIONS[-1]


def revision_of(path: str, root: str) -> str | None:
    """Return a database's revision; None for one that is empty.

    Raises:
        NotAStoreError: It is a database of another program.
        NewerStoreError: Its layout is newer than this library.
        IndexDamagedError: It cannot be read.
    """
    from contentdb.local.index import driver as sqlite3
    from contentdb.local.index.connect import connect, refusal

    try:
        connection = connect(path, query_only=True)
        try:
            return read_revision(connection, root)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise refusal(path, error) from error


def read_revision(connection: Connection, root: str) -> str | None:
    """Return the revision like `revision_of`, on an open connection."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and tables == 0:
        return None
    if application != APPLICATION_ID:
        raise NotAStoreError(root, "its index.sqlite is the database of something else")
    if version > FORMAT_VERSION:
        raise NewerStoreError(
            root,
            f"its layout has version {version}, this contentdb knows {FORMAT_VERSION}; upgrade",
        )
    row = connection.execute(statements.REVISION).fetchone()
    return None if row is None else str(row[0])


def check(revision: str, root: str) -> None:
    """Raise for a store that this library cannot use as it is.

    Raises:
        NewerStoreError: The revision is unknown here.
        MigrationNeededError: It is older than `HEAD`.
    """
    if revision not in REVISIONS:
        raise NewerStoreError(
            root,
            f"its index has revision {revision}, this contentdb knows {HEAD}; upgrade contentdb",
        )
    if revision != HEAD:
        raise MigrationNeededError(
            root, f"its index has revision {revision}, not {HEAD}; run `contentdb migrate`"
        )
