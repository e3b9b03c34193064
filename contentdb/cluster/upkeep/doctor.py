"""Checks of what a store in a database stands on: tries what its promises need, and asks."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from contentdb.cluster.catalog.meta import read_meta
from contentdb.cluster.mark import check_mark
from contentdb.cluster.resources import Resources
from contentdb.cluster.schema import HEAD
from contentdb.cluster.sql import Database
from contentdb.cluster.upkeep.prune import owns_bucket, was_restored
from contentdb.errors import (
    ContentDBError,
    MigrationNeededError,
    NewerStoreError,
    StorageError,
    StoreNotFoundError,
)
from contentdb.findings import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.cluster.catalog.meta import Meta
    from contentdb.cluster.objects import Bucket

__all__ = ["examine"]

_OLDEST: Final = 140_000
"""PostgreSQL 14, by its own number."""
_CONNECTIONS: Final = 9
"""Of one process: eight for statements, one that holds its lock."""
_SKEW_S: Final = 60.0
_MOST_SKEW_S: Final = 600.0
"""S3 refuses the signatures of a host whose clock is fifteen minutes off."""
_SCRATCH: Final = "blobs/doctor/"
_WAITING_S: Final = 7 * 86_400.0
_SETTINGS: Final = """
SELECT current_setting('server_version_num')::int, current_setting('server_version'),
    current_setting('synchronous_commit'), current_setting('fsync'),
    current_setting('full_page_writes'), current_setting('synchronous_standby_names'),
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    (SELECT count(*) FROM pg_stat_replication),
    extract(epoch FROM clock_timestamp())::float"""
_TRASH: Final = """
SELECT count(*) FROM trash WHERE NOT gone AND since < now() - make_interval(secs => %(age)s)"""


def examine(url: str) -> Iterator[Check]:
    """Check a database, and if a store is in it its object store too.

    A session is begun and ended, and an object is written where no blob is, and deleted.
    """
    try:
        database = Database(url)
        try:
            yield from _check_database(database)
            meta = read_meta(database)
        finally:
            database.close()
    except StoreNotFoundError as error:
        yield Check("store", "warn", str(error))
    except (MigrationNeededError, NewerStoreError) as error:
        yield Check("revision", "fail", str(error))
    except ContentDBError as error:
        yield Check("database", "fail", str(error))
    else:
        yield Check("revision", "ok", HEAD)
        yield from _check_store(url, meta)


# -- the database ----------------------------------------------------------------------------------


def _check_database(database: Database) -> Iterator[Check]:
    before_s = time.time()
    number, version, commit, fsync, whole_pages, standbys, most, used, replicas, now_s = (
        database.rows(_SETTINGS)[0]
    )
    yield Check("PostgreSQL", "ok" if number >= _OLDEST else "fail", version)
    yield _check_setting("synchronous_commit", commit, "a crash of the server loses changes")
    yield _check_setting("fsync", fsync, "a power cut can destroy the database")
    yield _check_setting("full page writes", whole_pages, "a power cut can destroy the database")
    if replicas and not standbys:
        detail = f"{replicas} asynchronous: a failover to one loses the last changes"
        yield Check("standby", "warn", detail)
    else:
        yield Check("standby", "ok", standbys or "none is connected")
    free = most - used
    detail = f"{free} of {most} are free, and a process needs up to {_CONNECTIONS}"
    yield Check("connections", "ok" if free >= _CONNECTIONS else "warn", detail)
    yield _check_clock("clock", now_s, before_s, "PostgreSQL's")


def _check_setting(name: str, value: str, otherwise: str) -> Check:
    if value == "off":
        return Check(name, "fail" if name == "fsync" else "warn", f"off: {otherwise}")
    return Check(name, "ok", value)


def _check_clock(name: str, there_s: float, here_s: float, whose: str) -> Check:
    """Compare a clock with this host's, which read ``here_s`` before the answer came."""
    late_s = max(0.0, there_s - time.time(), here_s - there_s)
    if late_s > _MOST_SKEW_S:
        return Check(name, "fail", f"{whose} and this host's differ by {late_s:.0f} s")
    if late_s > _SKEW_S:
        return Check(name, "warn", f"{whose} and this host's differ by {late_s:.0f} s")
    return Check(name, "ok", f"{whose} and this host's agree to a minute")


# -- the store in it -------------------------------------------------------------------------------


def _check_store(url: str, meta: Meta) -> Iterator[Check]:
    try:
        resources = Resources(Database(url), meta).share()
    except ContentDBError as error:
        yield Check("objects", "fail", str(error))
        return
    try:
        yield _check_session(resources)
        yield from _check_objects(resources.bucket, meta)
        yield _check_epoch(resources)
        yield _check_trash(resources.database)
    finally:
        resources.close()


def _check_session(resources: Resources) -> Check:
    """Begin a session as writers do: it proves that its lock is no pooler's."""
    try:
        resources.session.id  # noqa: B018 - it begins it
    except ContentDBError as error:
        return Check("session lock", "fail", str(error))
    return Check("session lock", "ok", "held by this process alone")


def _check_objects(bucket: Bucket, meta: Meta) -> Iterator[Check]:
    try:
        check_mark(bucket, meta.uuid)
    except ContentDBError as error:
        yield Check("bucket", "fail", str(error))
        return
    yield Check("bucket", "ok", bucket.url)
    if not bucket.signs:
        yield Check("durability", "warn", f"{bucket.url} does not sync: it is for tests")
    else:
        yield Check(
            "durability", "ok", "what an S3 server acknowledges; it cannot be seen from here"
        )
    key = f"{_SCRATCH}{uuid.uuid4()}"
    before_s = time.time()
    try:
        changed_s = _try_objects(bucket, key)
    except ContentDBError as error:
        yield Check("requests", "fail", str(error))
    else:
        yield Check("requests", "ok", "PUT, GET of a range, HEAD, LIST, DELETE")
        yield _check_clock("bucket's clock", changed_s, before_s, "the object store's")


def _try_objects(bucket: Bucket, key: str) -> float:
    """Write, read, list and delete an object; return when it was written, by its store's clock.

    Raises:
        StorageError: A request was refused, or its answer is wrong.
    """
    bucket.put(key, b"0123456789")
    try:
        listed: dict[str, Any] = {one.key: one for one in bucket.list(_SCRATCH)}
        right = bucket.get(key, 3, 4) == b"3456" and bucket.size(key) == 10  # noqa: PLR2004 - as written
        if not right or key not in listed:
            raise _wrong(key, "what was written is not read or listed at once")
    finally:
        bucket.delete([key])
    if bucket.size(key) is not None:
        raise _wrong(key, "what was deleted is still there")
    return float(listed[key].changed_s)


def _wrong(key: str, reason: str) -> StorageError:
    return StorageError.of("try", key, OSError(5, reason))


def _check_epoch(resources: Resources) -> Check:
    try:
        if was_restored(resources):
            reason = "it was restored, copied or failed over: run `contentdb reindex`"
            return Check("life", "warn", f"prune removes nothing in this database: {reason}")
        if not owns_bucket(resources):
            reason = "a copy of it has taken the bucket over"
            return Check("life", "warn", f"prune removes nothing in this database: {reason}")
    except ContentDBError as error:
        return Check("life", "fail", str(error))
    return Check("life", "ok", "this database knows all objects")


def _check_trash(database: Database) -> Check:
    try:
        count = database.rows(_TRASH, {"age": _WAITING_S})[0][0]
    except ContentDBError as error:
        return Check("trash", "fail", str(error))
    if count:
        detail = f"{count} deleted objects or runs wait for more than a week: run `contentdb prune`"
        return Check("trash", "warn", detail)
    return Check("trash", "ok", "nothing waits for more than a week")
