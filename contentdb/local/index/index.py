"""The index of blobs and ingests in SQLite."""

from __future__ import annotations

from functools import partial

from contentdb.digest import Digest
from contentdb.errors import IndexDamagedError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import Blob, State, statements
from contentdb.local.index.collecting import Collecting
from contentdb.local.index.database import Database
from contentdb.local.index.grace import SEEN_NS, review
from contentdb.local.index.ingests import Ingests
from contentdb.local.index.labels import Labels
from contentdb.local.index.leases import Leases
from contentdb.local.index.leasing import CONTENT, add_items, is_kept
from contentdb.local.index.namespaces import Namespaces
from contentdb.local.index.packed import Packed
from contentdb.local.index.policy import Policies
from contentdb.local.index.record import adopt, is_recorded, record
from contentdb.local.index.reservations import Reservations
from contentdb.local.index.revision import read_revision
from contentdb.local.index.rows import find_blob, state_of
from contentdb.local.index.tags import Tags
from contentdb.values import Info, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from sqlite3 import Connection
    from typing import Final

    from contentdb.errors import UnsafeForkError
    from contentdb.filters import Filter
    from contentdb.local.index import Entry, LeaseKey, Outcome
    from contentdb.local.root_identity import Place

__all__ = ["Index"]

_PREFIX_END: Final = "\U0010ffff"


def _open_read_only(path: str, root: str, place: Place | None) -> Database:
    from contentdb.local.index.readonly import ReadOnlyDatabase  # few stores are opened so

    return ReadOnlyDatabase(path, root, place)


class Index(Labels, Collecting, Ingests, Packed, Tags, Leases, Namespaces, Policies, Reservations):
    """The transactions of one namespace of a store, each atomic, each of fixed statements.

    The changes of those that say "durable" survive a power cut once the call has returned, unless
    the index was opened without durability.
    """

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

    # -- blobs: reading ----------------------------------------------------------------------------

    def blob(self, digest: Digest) -> Blob | None:
        """Return the row of a blob, tombstones included."""
        row = self._database.one(statements.FIND_BLOB, self._key(digest))
        return None if row is None else Blob._make(row)

    def which_have_rows(self, digests: Sequence[Digest]) -> set[str]:
        """Return those digests that have a row, tombstones included; by one statement."""
        statement = statements.which_have_rows(len(digests))
        rows = self._database.all(statement, (self._namespace, *map(str, digests)))
        return {digest for (digest,) in rows}

    def info(self, digest: Digest, blob: Blob) -> Info:
        """Return the Info of a row, with its labels."""
        labels = dict(self._database.all(statements.FIND_LABELS, self._key(digest)))
        return Info(str(digest), blob.size, blob.created_ns, blob.updated_ns, labels)

    def find_by_prefix(self, prefix: str) -> list[Digest]:
        """Return at most two digests that begin with the prefix."""
        rows = self._database.all(
            statements.SHORTENED,
            {"namespace": self._namespace, "first": prefix, "behind": prefix + _PREFIX_END},
        )
        return [Digest(digest) for (digest,) in rows]

    def rows_between(
        self, first: str, behind: str
    ) -> list[tuple[str, int, int, int, int | None, int | None]]:
        """Return digest, size, checksum, state and location of a range of rows, by digest."""
        values = {"namespace": self._namespace, "first": first, "behind": behind}
        return self._database.all(statements.ROWS_BETWEEN, values)

    def walk(
        self, chosen: Filter | None, sort: str, after: str | None, limit: int | None
    ) -> Iterator[Info]:
        """Yield live blobs as of the start, in bounded memory."""
        from contentdb.local.index import walks  # few commands list

        return walks.walk(self._database, self._namespace, chosen, sort, after, limit)

    def is_empty(self) -> bool:
        """Return whether no namespace has a row of a blob."""
        return self._database.one(statements.ANY_BLOB, {}) is None

    def usage(self) -> Usage:
        """Count blobs, ingests and bytes, in one query."""
        return Usage._make(self._database.one(statements.USAGE, {"namespace": self._namespace}))

    def elsewhere(self, digest: Digest) -> Blob | None:
        """Return the row that another namespace has of a live blob, if any does."""
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
        """Insert blobs and end their ingests, in one transaction; durable."""
        return self._database.write(
            partial(record, self._namespace, entries),
            partial(is_recorded, self._namespace, entries),
            durable=True,
            rows=len(entries),
        )

    def meet(self, digest: Digest, lease: LeaseKey | None) -> bool:
        """Make a live blob fresh, and its lease's; not durable. Return False if there is none.

        Raises:
            LeaseEndedError: The lease has ended; nothing changed.
        """
        key = self._key(digest)

        def work(connection: Connection) -> bool:
            if state_of(connection, key) != State.LIVE:
                return False
            until = review()
            values = key | {"review": until.at_ns, "below": until.below_ns}
            connection.execute(statements.MEET, values)
            if lease is not None:
                add_items(connection, self._namespace, lease, [(CONTENT, str(digest))])
            return True

        def landed(connection: Connection) -> bool:
            blob = find_blob(connection, key)
            if blob is None or (blob.review_ns or 0) < review().at_ns - SEEN_NS - SEEN_NS:
                return False
            return lease is None or is_kept(connection, self._namespace, lease, digest)

        return self._database.write(work, landed, durable=False)

    def adopt(self, entry: Entry) -> bool:
        """Give a file a row, if it has none or a row that says damaged; durable.

        ``entry.now_ns`` is the file's modification time: by it a commit that has named this file
        and not recorded it yet knows the row as its own. Return False if there is nothing to
        adopt any more, or if something claims the blob.
        """
        key = self._key(entry.digest)
        return self._database.write(
            lambda connection: adopt(
                connection, self._namespace, entry, lambda: self._claims(connection, entry.digest)
            ),
            lambda connection: state_of(connection, key) == State.LIVE,
            durable=True,
        )

    def sync(self) -> None:
        """Put on disk what any process has recorded so far.

        A row can be read before it is on disk: call this before a promise, or an act that cannot
        be undone, that rests on a row of another process.
        """
        self._database.sync()

    def _is_unclaimed(self, connection: Connection, digest: Digest) -> bool:
        claimed = self._claims(connection, digest)
        return not claimed and not self._have_others(connection, self._key(digest))

    def unless_claimed(self, digest: Digest, act: Callable[[], bool]) -> bool:
        """Call ``act`` under the write lock if nothing claims the blob; return whether it acted."""
        return self._database.write(
            lambda connection: self._is_unclaimed(connection, digest) and act(),
            lambda _connection: True,
            durable=False,
            rows=0,
        )

    # -- itself ------------------------------------------------------------------------------------

    def check(self) -> list[str]:
        """Check the whole database for consistency; return one sentence for each fault."""
        try:
            found = self._database.all("PRAGMA integrity_check(10)", {})
        except IndexDamagedError as error:
            return [str(error.__cause__ or error.reason)]
        return [verdict for (verdict,) in found if verdict != "ok"]

    def revision(self) -> str | None:
        """Return the schema's revision; None for an empty file. Raise for a foreign database."""
        with self._database.snapshot() as connection:
            return read_revision(connection, self._root)

    def before_fork(self) -> None:
        """Close everything: SQLite's state must not cross a fork."""
        self._database.before_fork()

    def look_at_unseen_fork(self) -> None:
        """Check whether a thread was inside SQLite; see `contentdb.local.index.database`."""
        self._database.look_at_unseen_fork()

    def after_fork_in_child(self) -> UnsafeForkError | None:
        """Start anew; return an error if this process must not use the index."""
        return self._database.after_fork_in_child()

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
