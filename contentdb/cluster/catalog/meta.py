"""The row that says which store a database is, and where its objects are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.cluster.schema import HEAD
from contentdb.errors import (
    IndexFailedError,
    MigrationNeededError,
    NewerStoreError,
    NotAStoreError,
    StoreNotFoundError,
)

if TYPE_CHECKING:
    from contentdb.cluster.sql import Database

__all__ = ["EPOCH", "Epoch", "Meta", "names_objects", "read_epoch", "read_meta"]

_TABLES: Final = "SELECT to_regclass('meta'), to_regclass('alembic_version')"
_REVISION: Final = "SELECT version_num FROM alembic_version"
_META: Final = """
SELECT uuid::text, objects, endpoint, inline_bytes, system_id, timeline, database_oid, meta_oid
FROM meta"""
_NAMES: Final = """
SELECT EXISTS (SELECT 1 FROM objects WHERE key IS NOT NULL)
OR EXISTS (SELECT 1 FROM ingests WHERE jsonb_array_length(runs) > 0)"""
EPOCH: Final = """
SELECT system_identifier, timeline_id, d.oid::bigint, 'meta'::regclass::oid::bigint
FROM pg_control_system(), pg_control_checkpoint(), pg_database d
WHERE d.datname = current_database()"""


class Epoch(NamedTuple):
    """One life of a database.

    A base backup has another timeline or system once it is in use, as after a failover; a copy of
    the database another oid; a dump makes the tables again, so the table has another.
    """

    system_id: int
    timeline: int
    database_oid: int
    meta_oid: int

    def __str__(self) -> str:
        """Return it as the bucket's mark has it."""
        return ".".join(map(str, self))


class Meta(NamedTuple):
    """What a store was made with."""

    uuid: str
    objects: str
    """The address of the object store with its prefix."""
    endpoint: str | None
    inline_bytes: int
    """Blobs up to this size are in their rows."""
    epoch: Epoch
    """The life of the database that knows all objects."""


def read_epoch(database: Database) -> Epoch:
    """Return the life of a database that it is in now."""
    return Epoch(*database.rows(EPOCH)[0])


def names_objects(database: Database) -> bool:
    """Return whether a blob or an ingest of the store has bytes in its bucket."""
    return bool(database.rows(_NAMES)[0][0])


def read_meta(database: Database) -> Meta:
    """Return what a database says of its store.

    Raises:
        StoreNotFoundError: It holds none.
        NewerStoreError, MigrationNeededError: Another version of contentdb made it.
    """
    try:
        has_meta, has_revision = database.rows(_TABLES)[0]
    except IndexFailedError as error:
        if "does not exist" in error.reason:
            raise StoreNotFoundError(database.place, error.reason) from error
        raise
    if not has_meta or not has_revision:
        raise StoreNotFoundError(
            database.place,
            f"no store is in this database; contentdb init --root {database.place} "
            "--objects s3://BUCKET/PREFIX makes one",
        )
    revisions = [row[0] for row in database.rows(_REVISION)]
    if revisions != [HEAD]:
        if not revisions or revisions[0] < HEAD:
            reason = f"its tables are of revision {revisions}, this contentdb needs {HEAD}"
            raise MigrationNeededError(database.place, f"{reason}; run contentdb migrate")
        raise NewerStoreError(
            database.place, f"its tables are of revision {revisions[0]}; upgrade contentdb"
        )
    found = database.rows(_META)
    if len(found) != 1:
        raise NotAStoreError(database.place, "its table meta is not a store's")
    uuid, objects, endpoint, inline_bytes, *epoch = found[0]
    return Meta(uuid, objects, endpoint, inline_bytes, Epoch(*epoch))
