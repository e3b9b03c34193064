"""Labels of blobs in the index, and the time of update that each change gives row and file."""

from __future__ import annotations

from contentdb.labels import check_total_labels
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import State, statements
from contentdb.local.index.bound import Bound
from contentdb.local.index.references import queue_changed
from contentdb.local.index.rows import (
    find_blob,
    find_labels,
    has_labels,
    merge_labels,
    set_labels,
    state_of,
    touch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from sqlite3 import Connection
    from typing import Any

    from contentdb.digest import Digest
    from contentdb.local.index import Blob, FileTime

__all__ = ["Labels"]


class Labels(Bound):
    """The transactions that change labels or times."""

    def update_labels(
        self,
        digest: Digest,
        labels: Mapping[str, str],
        keys: frozenset[str] | None,
        now_ns: int,
        time: FileTime | None = None,
    ) -> bool:
        """Replace all labels, or those of the keys; durable. Return False without a live blob.

        Under the write lock, before the row changes, the file gets its new time of update:
        ``now_ns``, or later if the old one is. A file whose time did not vouch for it keeps it.
        """
        values = self._key(digest)
        moved_ns = now_ns

        def work(connection: Connection) -> bool:
            nonlocal moved_ns
            if state_of(connection, values) != State.LIVE:
                return False
            chosen = {key: value for key, value in labels.items() if keys is None or key in keys}
            stored = find_labels(connection, values)
            if chosen and keys is not None:
                check_total_labels(stored | chosen, stored)
            moved_ns = touch(connection, values, now_ns, self._make_stamp(connection, values, time))
            going = stored.keys() if keys is None else keys
            for key in going:
                connection.execute(statements.DROP_LABEL, values | {"key": key})
            set_labels(connection, values, chosen)
            queue_changed(connection, values, {k: stored[k] for k in stored if k in going}, chosen)
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
        """Set labels, and leave the others; durable. Return False without a live blob.

        If the blob has them already nothing changes; else the file gets its time as above.
        """
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
