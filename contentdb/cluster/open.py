"""Opens a store in a database and an object store, and makes one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog.meta import EPOCH, Epoch, Meta, names_objects, read_meta
from contentdb.cluster.mark import check_mark, read_mark, write_mark
from contentdb.cluster.objects import Bucket, check_objects
from contentdb.cluster.resources import Resources, borrow
from contentdb.cluster.schema import HEAD, LINKS, LINKS_INDEX, TABLES
from contentdb.cluster.sql import Database
from contentdb.errors import InvalidArgumentError, NotAStoreError, StoreNotFoundError

if TYPE_CHECKING:
    from contentdb.cluster.sql import Connection

__all__ = ["INLINE_BYTES", "LOCK", "LOCK_KEY", "create", "open_resources"]

INLINE_BYTES: Final = 4096
_MOST_INLINE_BYTES: Final = 1 << 20
LOCK: Final = "SELECT pg_advisory_xact_lock(%(key)s)"
LOCK_KEY: Final = 0x636462_00000001
_VERSION: Final = """CREATE TABLE alembic_version (version_num varchar(32) NOT NULL,
CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""
_MADE: Final = """
INSERT INTO meta (uuid, objects, endpoint, inline_bytes,
    system_id, timeline, database_oid, meta_oid)
VALUES (%(uuid)s, %(objects)s, %(endpoint)s, %(inline)s,
    %(system_id)s, %(timeline)s, %(database_oid)s, %(meta_oid)s)"""


def open_resources(url: str, objects: str | None = None, endpoint: str | None = None) -> Resources:
    """Open a store's database and bucket, or share those that this process has open.

    With ``objects`` the store is made if there is none, as `create` does.

    Raises:
        StoreNotFoundError: The database holds no store.
        NotAStoreError: The bucket belongs to another store, or to none.
        InvalidArgumentError: The store keeps its objects elsewhere.
        IndexFailedError, StorageError: One of them does not answer.
    """
    if objects is None:
        return borrow(url, lambda: _open(url))
    check_objects(objects)
    made = borrow(url, lambda: _open_or_make(url, objects, endpoint))
    try:
        _check_same(made.database, made.meta, objects)
    except InvalidArgumentError:
        made.close()
        raise
    return made


def _open_or_make(url: str, objects: str, endpoint: str | None) -> Resources:
    try:
        return _open(url)
    except (StoreNotFoundError, NotAStoreError):  # no mark: its making may have been cut off
        create(url, objects, endpoint=endpoint)
        return _open(url)


def _open(url: str) -> Resources:
    database = Database(url)
    try:
        made = Resources(database, read_meta(database))
        check_mark(made.bucket, made.meta.uuid)
    except BaseException:
        database.close()
        raise
    return made


def create(
    url: str, objects: str, *, endpoint: str | None = None, inline_bytes: int = INLINE_BYTES
) -> Meta:
    """Make a store in an empty database and an empty prefix; one that is there stays as it is.

    A bucket without a mark gets one only if no row names an object of it: else the bucket of the
    store is away, and this is another place.

    Args:
        url: The database.
        objects: ``s3://BUCKET/PREFIX``.
        endpoint: The object store's address, where it is not that of AWS.
        inline_bytes: Blobs up to this size are kept in their rows.

    Raises:
        NotAStoreError: The prefix is another store's, or lacks the objects of this one.
        InvalidArgumentError: The database has a store with other objects.
    """
    check_objects(objects)
    if type(inline_bytes) is not int or not 0 <= inline_bytes <= _MOST_INLINE_BYTES:
        raise InvalidArgumentError(
            f"inline_bytes is 0 to {_MOST_INLINE_BYTES}, not {inline_bytes!r:.80}"
        )
    database = Database(url)
    try:
        bucket = Bucket(objects, endpoint)
        meta = _create(database, bucket, endpoint, inline_bytes)
        _check_same(database, meta, bucket.url)
        if read_mark(bucket) is None and not names_objects(database):
            write_mark(bucket, meta.uuid, meta.epoch)
        check_mark(bucket, meta.uuid)
        return meta
    finally:
        database.close()


def _check_same(database: Database, meta: Meta, objects: str) -> None:
    """Raise if a store keeps its objects elsewhere."""
    wanted = check_objects(objects)
    if meta.objects != wanted:
        raise InvalidArgumentError(
            f"the store at {database.place} keeps its objects at {meta.objects}, not at {wanted}"
        )


def _create(database: Database, bucket: Bucket, endpoint: str | None, inline_bytes: int) -> Meta:
    try:
        return read_meta(database)
    except StoreNotFoundError:
        found = read_mark(bucket)
    if found is not None:
        raise NotAStoreError(
            bucket.url, f"it holds the objects of store {found.uuid}; choose another prefix"
        )

    def work(connection: Connection[tuple[object, ...]]) -> None:
        connection.execute(LOCK, {"key": LOCK_KEY})
        there = connection.execute("SELECT to_regclass('meta')").fetchone()
        if there is not None and there[0] is not None:
            return  # another process has made it meanwhile
        connection.execute(TABLES + LINKS + LINKS_INDEX.format(how=""))
        connection.execute(_VERSION)
        connection.execute("INSERT INTO alembic_version VALUES (%(head)s)", {"head": HEAD})
        values: dict[str, object] = {"uuid": str(uuid.uuid4()), "objects": bucket.url}
        values |= {"endpoint": endpoint, "inline": inline_bytes}
        epoch: Any = connection.execute(EPOCH).fetchone()  # of one row
        connection.execute(_MADE, values | Epoch(*epoch)._asdict())

    database.transact(work)
    return read_meta(database)
