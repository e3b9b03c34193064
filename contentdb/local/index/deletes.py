"""Deletes in the index, in two halves: a tombstone, then no row; and damage, which ends in neither.

Between the halves the file is moved away, under the write lock; see D1 to D3 in docs/design.md.
"""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.local.index import Blob, State, Tombstone, statements
from contentdb.local.index.bound import Bound
from contentdb.local.index.references import drop_labels, queue_back_referring
from contentdb.local.index.rows import find_blob, find_labels, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from sqlite3 import Connection
    from typing import Any

    from contentdb.local.index import FileTime

__all__ = ["Deletes"]


class Deletes(Bound):
    """The transactions that take blobs away."""

    def entomb(self, digest: Digest, time: FileTime | None = None) -> bool:
        """Do the first half of a delete; durable. Return False if there is no blob.

        Under the write lock, before the row changes, the file gets a time that says so, or that
        of another namespace's row.
        """
        return bool(self.entomb_all([digest], lambda _digest: time))

    def entomb_all(
        self,
        digests: Sequence[Digest],
        time_of: Callable[[Digest], FileTime | None],
        *,
        missing_ok: bool = False,
    ) -> list[Tombstone]:
        """Call `entomb` for each, in one transaction; durable. Return those that there were.

        Without ``missing_ok``, stop at the first that is missing.
        """
        begun: list[Tombstone] = []

        def work(connection: Connection) -> list[Tombstone]:
            begun.clear()  # it may be run again
            for digest in digests:
                tombstone = self._entomb(connection, digest, time_of(digest))
                if tombstone is not None:
                    begun.append(tombstone)
                elif not missing_ok:
                    break
            return begun

        def landed(connection: Connection) -> bool:
            states = (state_of(connection, self._key(one.digest)) for one in begun)
            return all(state == State.TOMBSTONE for state in states)

        return self._database.write(work, landed, durable=True, rows=len(digests))

    def _entomb(
        self, connection: Connection, digest: Digest, time: FileTime | None
    ) -> Tombstone | None:
        key = self._key(digest)
        blob = find_blob(connection, key)
        if blob is None or blob.state == State.TOMBSTONE:
            return None
        if time is not None:
            self._take_back(connection, key, blob, time)
        connection.execute(statements.ENTOMB, key)
        drop_labels(connection, key)
        return Tombstone(digest, blob.updated_ns, blob.location)

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
        """Remove a row that is still a tombstone. Not durable: the tombstone may come back.

        ``take_away`` is called under the write lock, to rename the file away, unless another
        namespace has the blob too. Return False if the row was revived meanwhile.
        """
        return bool(self.bury_all([Tombstone(digest, 0)], lambda _digest: take_away()))

    def bury_all(
        self, tombstones: Sequence[Tombstone], take_away: Callable[[Digest], object]
    ) -> list[Digest]:
        """Call `bury` for each, in one transaction; return which. Not durable, as `bury`."""
        buried: list[Digest] = []

        def work(connection: Connection) -> list[Digest]:
            buried[:] = [one.digest for one in tombstones if self._bury(connection, one, take_away)]
            return buried

        def landed(connection: Connection) -> bool:
            return all(find_blob(connection, self._key(digest)) is None for digest in buried)

        return self._database.write(work, landed, durable=False, rows=len(tombstones))

    def _bury(
        self, connection: Connection, tombstone: Tombstone, take_away: Callable[[Digest], object]
    ) -> bool:
        key = self._key(tombstone.digest)
        blob = find_blob(connection, key)
        if blob is None or blob.state != State.TOMBSTONE:
            return False
        if find_labels(connection, key):  # a collector has yet to queue what they keep
            return False
        if not self._have_others(connection, key):
            if blob.updated_ns != tombstone.updated_ns:  # stored and deleted again: seldom
                self._database.sync()
            take_away(tombstone.digest)
        queue_back_referring(connection, key)
        connection.execute(statements.BURY, key)
        return True

    def tombstones(self) -> Iterator[Tombstone]:
        """Yield deletes that were begun and not ended, and are on disk; the caller may end them."""
        for rows in self._read_pages(statements.TOMBSTONES):
            found = [self._find_tombstone(Digest(digest)) for (digest,) in rows]
            rows.clear()
            self._database.sync()  # or a power cut may bring a blob back without its file
            yield from filter(None, found)

    def _find_tombstone(self, digest: Digest) -> Tombstone | None:
        row = self._database.one(statements.FIND_BLOB, self._key(digest))
        blob = None if row is None else Blob._make(row)
        if blob is None or blob.state != State.TOMBSTONE:
            return None
        return Tombstone(digest, blob.updated_ns, blob.location)

    def mark_damaged(self, digest: Digest, take_away: Callable[[], bool] = lambda: True) -> bool:
        """Mark the row, which is not served until its content is stored again; durable.

        ``take_away`` is called under the write lock, to rename the file away, and may refuse:
        then return False. There need not be a row.
        """
        key = self._key(digest)

        def work(connection: Connection) -> bool:
            if not take_away():
                return False
            connection.execute(statements.MARK_DAMAGED, key)
            return True

        return self._database.write(work, lambda db: state_of(db, key) != State.LIVE, durable=True)

    def drop(self, digests: Sequence[Digest], is_gone: Callable[[Digest], bool]) -> int:
        """Remove rows whose files are gone, asked under the lock; durable. Return how many."""

        def work(connection: Connection) -> int:
            keys = [self._key(digest) for digest in digests if is_gone(digest)]
            for key in keys:
                drop_labels(connection, key)
                queue_back_referring(connection, key)
            return connection.executemany(statements.DROP_BLOB, keys).rowcount if keys else 0

        return self._database.write(
            work,
            lambda db: all(
                find_blob(db, self._key(digest)) is None for digest in digests if is_gone(digest)
            ),
            durable=True,
            rows=len(digests),
        )
