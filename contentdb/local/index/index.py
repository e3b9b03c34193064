"""The index in SQLite: each method one transaction of fixed statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from contentdb.content import Info, Usage
from contentdb.digest import Digest
from contentdb.errors import IndexDamagedError
from contentdb.labels import check_total_labels
from contentdb.local.file_times import BEING_DELETED_NS, is_time_of
from contentdb.local.index import Blob, IngestRow, State, statements, walks
from contentdb.local.index.connection import Database
from contentdb.local.index.ingests import begin
from contentdb.local.index.recording import adopt, is_recorded, record
from contentdb.local.index.revision import read_revision
from contentdb.local.index.rows import (
    find_blob,
    find_ingest,
    find_labels,
    has_labels,
    has_token,
    key_of,
    merge_labels,
    set_labels,
    state_of,
    touch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from sqlite3 import Connection

    from contentdb.declared import Takeover
    from contentdb.errors import UnsafeForkError
    from contentdb.filters import Filter
    from contentdb.local.index import Entry, FileTime, Outcome
    from contentdb.local.root_identity import Place

__all__ = ["SqliteIndex"]

_PAGE_ROWS: Final = 250
"""Rows of tombstones or ingests in a page: an ingest may weigh some kilobytes."""
_PREFIX_END: Final = "\U0010ffff"


def _open_read_only(path: str, root: str, place: Place | None) -> Database:
    from contentdb.local.index.readonly import ReadOnlyDatabase  # few stores are opened so

    return ReadOnlyDatabase(path, root, place)


class SqliteIndex:
    """A `contentdb.local.index.Index` in SQLite."""

    def __init__(
        self,
        path: str,
        root: str,
        *,
        namespace: str,
        durable: bool,
        read_only: bool = False,
        place: Place | None = None,
    ) -> None:
        self._database = (
            _open_read_only(path, root, place)
            if read_only
            else Database(path, root, durable=durable, place=place)
        )
        self._namespace = namespace
        self._root = root

    def _key(self, digest: str) -> dict[str, Any]:
        return key_of(self._namespace, digest)

    # -- blobs: reading ----------------------------------------------------------------------------

    def blob(self, digest: Digest) -> Blob | None:
        """Return the row of a blob, tombstones included."""
        row = self._database.one(statements.FIND_BLOB, self._key(digest))
        return None if row is None else Blob._make(row)

    def info(self, digest: Digest, blob: Blob) -> Info:
        """Return the Info of a row, with its labels."""
        labels = dict(self._database.all(statements.FIND_LABELS, self._key(digest)))
        return Info(str(digest), blob.size, blob.created_ns, blob.updated_ns, labels)

    def shortened(self, prefix: str) -> list[Digest]:
        """Return at most two digests that begin with the prefix."""
        rows = self._database.all(
            statements.SHORTENED,
            {"namespace": self._namespace, "first": prefix, "behind": prefix + _PREFIX_END},
        )
        return [Digest(digest) for (digest,) in rows]

    def rows_between(self, first: str, behind: str) -> list[tuple[str, int, int, int]]:
        """Return digest, size, checksum and state of a range of rows, in digest order."""
        values = {"namespace": self._namespace, "first": first, "behind": behind}
        return self._database.all(statements.ROWS_BETWEEN, values)

    def walk(
        self, chosen: Filter | None, sort: str, after: str | None, limit: int | None
    ) -> Iterator[Info]:
        """Yield live blobs as of the start of the walk."""
        return walks.walk(self._database, self._namespace, chosen, sort, after, limit)

    def is_empty(self) -> bool:
        """Return whether no namespace has a row of a blob."""
        return self._database.one(statements.ANY_BLOB, {}) is None

    def usage(self) -> Usage:
        """Count blobs, ingests and bytes, in one query."""
        return Usage._make(self._database.one(statements.USAGE, {"namespace": self._namespace}))

    def tombstones(self) -> Iterator[Digest]:
        """Yield deletes that were begun and not ended."""
        for (digest,) in self._read_paged(statements.TOMBSTONES):
            yield Digest(digest)

    def _read_paged(self, statement: str) -> Iterator[Any]:
        """Yield all rows of a statement, in pages by the text in its first column.

        No snapshot is held: rows may come and go while the caller works, and checkpoints go on.
        """
        values = {"namespace": self._namespace, "after": "", "limit": _PAGE_ROWS}
        while rows := self._database.all(statement, values):
            yield from rows
            values["after"] = rows[-1][0]

    def elsewhere(self, digest: Digest) -> Blob | None:
        """Return the live row of another namespace, if any has one."""
        row = self._database.one(statements.FIND_ELSEWHERE, self._key(digest))
        return None if row is None else Blob._make(row)

    def claims(self, digest: Digest) -> bool:
        """Return whether any namespace has a row of the blob, or an ingest that expects it."""
        with self._database.snapshot() as connection:
            return self._claims(connection, digest)

    def _claims(self, connection: Connection, digest: Digest) -> bool:
        key = self._key(digest)
        return any(
            connection.execute(statement, key).fetchone() is not None
            for statement in (
                statements.FIND_BLOB,
                statements.OTHER_NAMESPACE_HAS,
                statements.EXPECTED_BY_INGEST,
            )
        )

    # -- blobs: writing ----------------------------------------------------------------------------

    def record(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Insert blobs and end their ingests, in one durable transaction."""
        return self._database.write(
            lambda connection: record(connection, self._namespace, entries),
            lambda connection: all(
                is_recorded(connection, self._namespace, entry) for entry in entries
            ),
            durable=True,
            rows=len(entries),
        )

    def adopt(self, entry: Entry) -> bool:
        """Give a file without a row its row, unless something claims the blob; durable."""
        key = self._key(entry.digest)
        return self._database.write(
            lambda connection: adopt(
                connection, self._namespace, entry, lambda: self._claims(connection, entry.digest)
            ),
            lambda connection: state_of(connection, key) == State.LIVE,
            durable=True,
        )

    def update_labels(
        self,
        digest: Digest,
        labels: Mapping[str, str],
        keys: frozenset[str] | None,
        now_ns: int,
        time: FileTime | None = None,
    ) -> bool:
        """Replace all labels, or those of the keys; durable. Return False without a live blob."""
        values = self._key(digest)
        moved_ns = now_ns

        def work(connection: Connection) -> bool:
            nonlocal moved_ns
            if state_of(connection, values) != State.LIVE:
                return False
            chosen = {key: value for key, value in labels.items() if keys is None or key in keys}
            if chosen and keys is not None:
                stored = find_labels(connection, values)
                check_total_labels(stored | chosen, stored)
            moved_ns = touch(connection, values, now_ns, self._make_stamp(connection, values, time))
            if keys is None:
                connection.execute(statements.DROP_LABELS, values)
            for key in keys or ():
                connection.execute(statements.DROP_LABEL, values | {"key": key})
            set_labels(connection, values, chosen)
            return True

        def landed(connection: Connection) -> bool:
            blob = find_blob(connection, values)
            return blob is not None and blob.updated_ns == moved_ns

        return self._database.write(work, landed, durable=True)

    def merge_labels(
        self,
        digest: Digest,
        labels: Mapping[str, str],
        now_ns: int,
        time: FileTime | None = None,
    ) -> bool:
        """Set labels, and leave the others; durable. Return False without a live blob."""
        key = self._key(digest)

        def work(connection: Connection) -> bool:
            if state_of(connection, key) != State.LIVE:
                return False
            merge_labels(connection, key, labels, now_ns, self._make_stamp(connection, key, time))
            return True

        return self._database.write(work, lambda db: has_labels(db, key, labels), durable=True)

    def _make_stamp(
        self, connection: Connection, key: dict[str, Any], time: FileTime | None
    ) -> Callable[[Blob, int], object]:
        """Return a function that gives a file a new time, if its present one vouches for it."""

        def stamp(blob: Blob, moved_ns: int) -> None:
            if time is not None and self._vouches(connection, key, blob, time.find()):
                time.set(moved_ns)

        return stamp

    def _vouches(
        self, connection: Connection, key: dict[str, Any], blob: Blob, found_ns: int | None
    ) -> bool:
        """Return whether the file's time is that of its row, or of another namespace's."""
        if found_ns is None:
            return False
        if is_time_of(found_ns, blob.updated_ns):
            return True
        return (
            connection.execute(statements.VOUCHES, key | {"found": found_ns}).fetchone() is not None
        )

    def vouches(self, digest: Digest, found_ns: int) -> bool:
        """Return whether the time of the blob's file is that of a live row, in any namespace."""
        values = {"digest": str(digest), "found": found_ns}
        return self._database.one(statements.VOUCHES, values) is not None

    def restamp(self, digest: Digest, time: FileTime, is_whole: Callable[[], bool]) -> None:
        """Give the file the time of its live row, if under the write lock it is still whole."""

        def work(connection: Connection) -> None:
            blob = find_blob(connection, self._key(digest))
            if blob is not None and blob.state == State.LIVE and is_whole():
                time.set(blob.updated_ns)

        self._database.write(work, lambda _connection: True, durable=False, rows=0)

    def mark_damaged(self, digest: Digest, take_away: Callable[[], bool] = lambda: True) -> bool:
        """Mark the row, which is not served any more, if ``take_away`` moves its file; durable."""
        key = self._key(digest)

        def work(connection: Connection) -> bool:
            if not take_away():
                return False
            connection.execute(statements.MARK_DAMAGED, key)
            return True

        return self._database.write(work, lambda db: state_of(db, key) != State.LIVE, durable=True)

    def harden(self, digest: Digest) -> None:
        """Commit the row again: the sync of the WAL also makes all earlier commits durable."""
        key = self._key(digest)
        self._database.write(
            lambda connection: connection.execute(statements.HARDEN, key).rowcount,
            lambda _connection: False,
            durable=True,
        )

    def entomb(self, digest: Digest, time: FileTime | None = None) -> bool:
        """Begin a delete, and remove the labels; durable. Return False if there is no blob."""
        return bool(self.entomb_all([digest], lambda _digest: time))

    def entomb_all(
        self,
        digests: Sequence[Digest],
        time_of: Callable[[Digest], FileTime | None],
        *,
        missing_ok: bool = False,
    ) -> list[Digest]:
        """Begin deletes in one transaction; durable. Return those that were begun."""
        begun: list[Digest] = []

        def work(connection: Connection) -> list[Digest]:
            begun.clear()  # it may be run again
            for digest in digests:
                if self._entomb(connection, digest, time_of(digest)):
                    begun.append(digest)
                elif not missing_ok:
                    break
            return begun

        def landed(connection: Connection) -> bool:
            states = (state_of(connection, self._key(digest)) for digest in begun)
            return all(state == State.TOMBSTONE for state in states)

        return self._database.write(work, landed, durable=True, rows=len(digests))

    def _entomb(self, connection: Connection, digest: Digest, time: FileTime | None) -> bool:
        key = self._key(digest)
        blob = find_blob(connection, key)
        if blob is None or blob.state == State.TOMBSTONE:
            return False
        if time is not None:
            self._take_back(connection, key, blob, time)
        connection.execute(statements.ENTOMB, key)
        connection.execute(statements.DROP_LABELS, key)
        return True

    def _take_back(
        self, connection: Connection, key: dict[str, Any], blob: Blob, time: FileTime
    ) -> None:
        """Change the file's time, so that it vouches for no row, or for another namespace's."""
        others = connection.execute(statements.OTHER_NAMESPACE_LIVE, key).fetchone()
        if others is None or others[0] == blob.updated_ns:
            time.set(BEING_DELETED_NS)
        elif self._vouches(connection, key, blob, time.find()):
            time.set(others[0])

    def bury(self, digest: Digest, take_away: Callable[[], object]) -> bool:
        """Remove a row that is still a tombstone, and its file unless another namespace has it."""
        return bool(self.bury_all([digest], lambda _digest: take_away()))

    def bury_all(
        self, digests: Sequence[Digest], take_away: Callable[[Digest], object]
    ) -> list[Digest]:
        """Remove rows that are still tombstones, with their files, at once; return which."""
        buried: list[Digest] = []

        def work(connection: Connection) -> list[Digest]:
            buried[:] = [digest for digest in digests if self._bury(connection, digest, take_away)]
            return buried

        def landed(connection: Connection) -> bool:
            return all(find_blob(connection, self._key(digest)) is None for digest in buried)

        return self._database.write(work, landed, durable=False, rows=len(digests))

    def _bury(
        self, connection: Connection, digest: Digest, take_away: Callable[[Digest], object]
    ) -> bool:
        key = self._key(digest)
        if state_of(connection, key) != State.TOMBSTONE:
            return False
        if connection.execute(statements.OTHER_NAMESPACE_HAS, key).fetchone() is None:
            take_away(digest)
        connection.execute(statements.BURY, key)
        return True

    def drop(self, digests: Sequence[Digest], is_gone: Callable[[Digest], bool]) -> int:
        """Remove rows whose files are gone; durable. Return how many."""

        def work(connection: Connection) -> int:
            keys = [self._key(digest) for digest in digests if is_gone(digest)]
            return connection.executemany(statements.DROP_BLOB, keys).rowcount if keys else 0

        return self._database.write(
            work,
            lambda db: all(
                find_blob(db, self._key(digest)) is None for digest in digests if is_gone(digest)
            ),
            durable=True,
            rows=len(digests),
        )

    def unless_claimed(self, digest: Digest, act: Callable[[], bool]) -> bool:
        """Call ``act`` under the write lock if nothing claims the blob; return whether it acted."""
        return self._database.write(
            lambda connection: not self._claims(connection, digest) and act(),
            lambda _connection: True,
            durable=False,
            rows=0,
        )

    # -- ingests -----------------------------------------------------------------------------------

    def begin(self, row: IngestRow, takeover: Takeover) -> IngestRow:
        """Begin an ingest, or take it over, under the row's token."""
        return self._database.write(
            lambda connection: begin(connection, self._namespace, row, takeover),
            lambda connection: self._is_held(connection, row.ref, row.token),
            durable=False,
        )

    def _is_held(self, connection: Connection, ref: str, token: str) -> bool:
        return has_token(connection, self._namespace, ref, token)

    def pause(
        self, ref: str, token: str, offset: int, now_ns: int, *, durable: bool = False
    ) -> None:
        """Note a writer's offset: that many bytes are on disk, if its store is durable."""
        values: dict[str, Any] = {"namespace": self._namespace, "ref": ref, "token": token}
        values |= {"offset": offset, "now": now_ns}
        self._database.write(
            lambda connection: connection.execute(statements.PAUSE_INGEST, values).rowcount,
            lambda connection: not durable or self._has_offset(connection, ref, offset),
            durable=durable,
        )

    def _has_offset(self, connection: Connection, ref: str, offset: int) -> bool:
        found = find_ingest(connection, self._namespace, ref)
        return found is None or found.offset == offset

    def end(self, ref: str, token: str) -> bool:
        """Remove the row of an ingest, if it still has the token."""
        values = {"namespace": self._namespace, "ref": ref, "token": token}
        return self._database.write(
            lambda connection: connection.execute(statements.END_INGEST, values).rowcount == 1,
            lambda connection: not self._is_held(connection, ref, token),
            durable=False,
        )

    def ingest(self, ref: str) -> IngestRow | None:
        """Return the row of an ingest."""
        values = {"namespace": self._namespace, "ref": ref}
        row = self._database.one(statements.FIND_INGEST, values)
        return None if row is None else IngestRow._make(row)

    def ingests(self) -> Iterator[IngestRow]:
        """Yield all rows, by ref; an ingest that begins or ends meanwhile may be yielded or not."""
        return map(IngestRow._make, self._read_paged(statements.INGESTS))

    def ingest_of(self, name: str) -> tuple[str, str] | None:
        """Return namespace and ref of the ingest whose file has that name."""
        row: tuple[str, str] | None = self._database.one(statements.INGEST_OF_NAME, {"name": name})
        return row

    def ingests_named(self, names: Sequence[str]) -> set[str]:
        """Return those of the names that are an ingest's file, in any namespace."""
        with self._database.snapshot() as connection:
            rows = connection.execute(statements.ingests_named(len(names)), names).fetchall()
        return {name for (name,) in rows}

    # -- itself ------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Check the whole database for consistency; return what is wrong with it.

        ``quick_check`` is not enough: it does not find pages that were swapped.
        """
        try:
            found = self._database.all("PRAGMA integrity_check(10)", {})
        except IndexDamagedError as error:
            return [str(error.__cause__ or error.reason)]
        return [verdict for (verdict,) in found if verdict != "ok"]

    def revision(self) -> str | None:
        """Return the schema's revision; see `contentdb.local.index.revision.revision_of`."""
        with self._database.snapshot() as connection:
            return read_revision(connection, self._root)

    def before_fork(self) -> None:
        """Close everything: SQLite's state must not cross a fork."""
        self._database.before_fork()

    def look_at_unseen_fork(self) -> None:
        """Check whether a thread was inside SQLite; see `contentdb.local.index.connection`."""
        self._database.look_at_unseen_fork()

    def after_fork_in_child(self) -> UnsafeForkError | None:
        """Start anew; return an error if this process must not use the index."""
        return self._database.after_fork_in_child()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
