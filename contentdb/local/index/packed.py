"""Packed blobs in the index: where their records are, and up to where each pack is recorded.

A row of a packed blob need not be on disk when its call returns: its record is, and `replay` makes
the row again from it (`contentdb.local.packs.replay`). That holds because one transaction records
the rows of some records and moves the pack's ``recorded`` offset behind them.

The offset never passes a record to which no row points, unless its state on disk says that nothing
needs it: else a later delete of the blob would not find the record, and an index that is made anew
from records would bring the blob back.
"""

# Long: it is the transactions on packs, which keep one rule together.

from __future__ import annotations

from functools import partial

from contentdb.digest import Digest
from contentdb.errors import InvalidLabelError, LeaseEndedError
from contentdb.light_typing import TYPE_CHECKING, NamedTuple, Protocol
from contentdb.local.index import Entry, LeaseKey, Location, Outcome, State, statements
from contentdb.local.index.bound import PACK_BELOW, Bound
from contentdb.local.index.leasing import CONTENT, add_items
from contentdb.local.index.record import insert_all, is_recorded, record
from contentdb.local.index.rows import find_blob, key_of, move_blob, place_of, points_to, who_needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from sqlite3 import Connection
    from typing import Final


__all__ = ["Found", "FoundEntry", "InPack", "LooseBlob", "Move", "Packed"]

_PAGE_ROWS: Final = 500


class FoundEntry(Entry, Protocol):
    """An entry from a record."""

    location: Location
    is_copy: bool
    """Whether upkeep has made the record, of a blob that had a row, which may have gone since."""

    def drop_labels(self) -> None:
        """Forget the record's labels: those of its row are younger."""
        ...


class Found(NamedTuple):
    """An entry that was found as a record without a row, and the namespace it belongs to."""

    namespace: str
    entry: FoundEntry
    ref: str | None
    token: str | None
    """Of the ingest that its commit ended."""
    lease: LeaseKey | None = None
    """The lease that its commit gave it to."""


class InPack(NamedTuple):
    """A record that a row points to."""

    offset: int
    digest: Digest
    size: int
    state: int


class LooseBlob(NamedTuple):
    """A blob that could be packed."""

    digest: Digest
    size: int
    checksum: int
    created_ns: int


class Move(NamedTuple):
    """A record's way to another place; from None, if the blob was loose."""

    digest: Digest
    old: Location | None
    new: Location


class Packed(Bound):
    """The transactions on packs."""

    def pack_below(self) -> int:
        """Return the size in bytes below which blobs are packed; 0 in a store without packs."""
        return int(self._setting(PACK_BELOW) or 0)

    def recorded(self, pack: int) -> int:
        """Return the offset up to which a pack's records need no look; 0 for an unknown pack."""
        row = self._database.one(statements.RECORDED, {"pack": pack})
        return 0 if row is None else int(row[0])

    def record_packed(self, entries: Sequence[Entry], pack: int, end: int) -> list[Outcome]:
        """Record blobs whose records are on disk, and that the pack is recorded up to ``end``.

        If rows point elsewhere, the pack is recorded up to the first such record: the caller marks
        these, and then calls `set_recorded`. Not durable, and need not be: the rows are made again
        from the records.
        """

        def work(connection: Connection) -> list[Outcome]:
            outcomes = record(self._namespace, entries, connection)
            unneeded = (
                entry.location.offset
                for entry, outcome in zip(entries, outcomes, strict=True)
                if outcome is not Outcome.CREATED
                and entry.location is not None
                and not points_to(connection, entry.digest, entry.location)
            )
            _set_recorded(connection, pack, min((end, *unneeded)))
            return outcomes

        return self._database.write(
            work, partial(is_recorded, self._namespace, entries), durable=False, rows=len(entries)
        )

    def set_recorded(self, pack: int, end: int) -> None:
        """Note that up to ``end`` no record needs a look. Not durable."""
        self._database.write(
            lambda connection: _set_recorded(connection, pack, end),
            partial(_is_recorded_up_to, pack, end),
            durable=False,
            rows=0,
        )

    def record_found(
        self, found: Sequence[Found], pack: int, end: int, *, anew: bool = False
    ) -> list[Location]:
        """Record blobs whose rows were lost, and end their ingests, as `record_packed`; durable.

        With ``anew`` rows that are there keep their labels, which are younger than the records, and
        no collection looks at those that are made. Return the records that are not needed, since
        their blobs are elsewhere: the pack is recorded up to ``end`` if there is none.
        """

        def work(connection: Connection) -> list[Location]:
            unneeded: list[Location] = []
            if not _insert_found(connection, found, anew=anew):
                for one in found:
                    _record_found(connection, one, anew=anew)
                entries = [one.entry for one in found if _is_elsewhere(connection, one)]
                unneeded = [entry.location for entry in entries]
            if not unneeded:
                _set_recorded(connection, pack, end)
            return unneeded

        landed = partial(_is_recorded_up_to, pack, end)
        return self._database.write(work, landed, durable=True, rows=len(found))

    def is_in_place(self, digest: Digest, location: Location, *, tombstones: bool = False) -> bool:
        """Return whether a row of any namespace points to a record, ``tombstones`` or not."""
        values = place_of(digest, location, tombstones=tombstones)
        return self._database.one(statements.IN_PLACE, values) is not None

    def who_needs(self, digest: Digest, location: Location) -> tuple[bool, bool]:
        """Return whether a row points to a record, and whether another namespace has its blob."""
        with self._database.snapshot() as connection:
            return who_needs(connection, self._key(digest), location)

    def lose_record(self, digest: Digest, location: Location, has_file: Callable[[], bool]) -> bool:
        """Mark a packed blob whose record was found damaged or gone; durable.

        If it has a file too, asked under the lock, it is loose from then on. Return False if its
        row points elsewhere by now.
        """

        def state() -> int:
            return State.LIVE if has_file() else State.DAMAGED

        return self._leave_record(digest, location, state)

    def _leave_record(
        self, digest: Digest, location: Location, state_of_row: Callable[[], int | None]
    ) -> bool:
        """Give a row that points to a record another state, and no record, unless it is None."""
        key = self._key(digest)

        def work(connection: Connection) -> bool:
            state = state_of_row()
            values = key | location._asdict() | {"state": state}
            return state is not None and (
                connection.execute(statements.LOSE_RECORD, values).rowcount == 1
            )

        def landed(connection: Connection) -> bool:
            blob = find_blob(connection, key)
            return blob is None or blob.location != location

        return self._database.write(work, landed, durable=True)

    def act_in_place(
        self, records: Mapping[Digest, Location], act: Callable[[list[Location]], object]
    ) -> None:
        """Call ``act``, under the write lock, with those of these records that rows point to."""

        def work(connection: Connection) -> None:
            act([at for digest, at in records.items() if points_to(connection, digest, at)])

        self._database.write(work, lambda _connection: True, durable=False, rows=0)

    def places(self, digest: Digest) -> list[Location]:
        """Return the records to which live rows of a blob point, of any namespace."""
        rows = self._database.all(statements.PLACES, {"digest": str(digest)})
        return [Location._make(row) for row in rows]

    def act_if_packed(self, digest: Digest, act: Callable[[int], object]) -> bool:
        """Call ``act`` with a live packed blob's time of update, under the write lock.

        Return False if there is no such blob.
        """

        def work(connection: Connection) -> bool:
            blob = find_blob(connection, self._key(digest))
            if blob is None or blob.state != State.LIVE or blob.pack is None:
                return False
            act(blob.updated_ns)
            return True

        return self._database.write(work, lambda _connection: True, durable=False, rows=0)

    # -- moving records ----------------------------------------------------------------------------

    def move_records(self, moves: Sequence[Move], pack: int, end: int) -> None:
        """Let rows point to new records, of all namespaces, unless they have changed; durable.

        The pack is recorded as by `record_packed`.
        """

        def work(connection: Connection) -> None:
            unneeded = [
                move.new.offset
                for move in moves
                if not move_blob(connection, move.digest, move.old, move.new)
            ]
            _set_recorded(connection, pack, min((end, *unneeded)))

        def landed(connection: Connection) -> bool:
            return all(points_to(connection, move.digest, move.new) for move in moves)

        self._database.write(work, landed, durable=True, rows=len(moves))

    def unpack(self, digest: Digest, location: Location, is_whole: Callable[[], bool]) -> bool:
        """Let a blob's row point to its file alone, if that is whole under the lock; durable."""
        return self._leave_record(digest, location, lambda: State.LIVE if is_whole() else None)

    def forget_pack(self, pack: int) -> None:
        """Drop the own row of a pack whose file is gone, durably removed; not durable."""
        self._database.write(
            lambda connection: connection.execute(statements.FORGET_PACK, {"pack": pack}).rowcount,
            lambda _connection: True,
            durable=False,
        )

    def packs(self) -> set[int]:
        """Return the packs that rows point into."""
        return {pack for (pack,) in self._database.all(statements.PACKS, {})}

    def in_pack(self, pack: int) -> list[InPack]:
        """Return the records of a pack that rows point to, by offset."""
        rows = self._database.all(statements.IN_PACK, {"pack": pack})
        return [InPack(offset, Digest(text), size, state) for offset, text, size, state in rows]

    def loose_below(self, size: int) -> Iterator[LooseBlob]:
        """Yield loose blobs of fewer bytes, in pages."""
        values = {"namespace": self._namespace, "after": "", "below": size, "limit": _PAGE_ROWS}
        while rows := self._database.all(statements.LOOSE_BELOW, values):
            yield from (LooseBlob(Digest(row[0]), *row[1:]) for row in rows)
            values["after"] = rows[-1][0]

    def packed(self) -> Iterable[Digest]:
        """Yield packed blobs, in pages."""
        return (Digest(text) for (text,) in self._read_paged(statements.PACKED))


def _insert_found(connection: Connection, found: Sequence[Found], *, anew: bool) -> bool:
    """Insert the rows of a group at once; return False if not all of it is new.

    In an index that is made anew all are, and one statement for each row is what takes the time.
    """
    namespace = found[0].namespace if found else ""
    for one in found:
        if one.namespace != namespace or one.token or one.lease or (one.entry.is_copy and not anew):
            return False
    all_new = False
    connection.execute("SAVEPOINT found")
    try:
        entries = [one.entry for one in found]
        all_new = insert_all(connection, namespace, entries, anew=anew) is not None
    except InvalidLabelError:  # a call was refused for that: its record alone is left out
        connection.execute("ROLLBACK TO found")
    connection.execute("RELEASE found")
    return all_new


def _record_found(connection: Connection, one: Found, *, anew: bool) -> None:
    namespace, entry, ref, token, lease = one
    if entry.is_copy and not anew:  # its blob has a row, or was deleted since
        return
    blob = find_blob(connection, key_of(namespace, entry.digest))
    state = None if blob is None else blob.state
    if blob is not None and state == State.TOMBSTONE and (anew or blob.location == entry.location):
        return  # its delete goes on
    if state == State.LIVE and anew:
        entry.drop_labels()
    connection.execute("SAVEPOINT one")
    try:
        record(namespace, [entry], connection, anew=anew)
        if lease is not None and not anew:
            add_items(connection, namespace, lease, [(CONTENT, str(entry.digest))])
    except InvalidLabelError:  # its call was refused for that
        connection.execute("ROLLBACK TO one")
    except LeaseEndedError:  # the blob stays, as one that was stored without a lease
        pass
    connection.execute("RELEASE one")
    if token is not None:
        values = {"namespace": namespace, "ref": ref, "token": token}
        connection.execute(statements.END_INGEST, values)


def _is_elsewhere(connection: Connection, one: Found) -> bool:
    """Return whether the row of a record's blob is live, and points to other content, still there.

    Without a row the record may be all that is left, beside an index that is older.
    """
    blob = find_blob(connection, key_of(one.namespace, one.entry.digest))
    if blob is None or blob.state != State.LIVE or not one.entry.has_content(blob):
        return False
    return not points_to(connection, one.entry.digest, one.entry.location)


def _set_recorded(connection: Connection, pack: int, end: int) -> None:
    connection.execute(statements.SET_RECORDED, {"pack": pack, "recorded": end})


def _is_recorded_up_to(pack: int, end: int, connection: Connection) -> bool:
    row = connection.execute(statements.RECORDED, {"pack": pack}).fetchone()
    return row is not None and row[0] >= end
