"""The transactions of a collection: R1 to R4 of docs/design.md, each short.

Those that write take slices by the clock: a writer that waits for the lock waits for one slice.
Each returns how far it came, and its caller goes on from there.
"""

# Long: the transactions of a run are read in their order.

from __future__ import annotations

import time

from contentdb.digest import Digest
from contentdb.errors import UndecidedError
from contentdb.light_typing import TYPE_CHECKING, Enum, NamedTuple
from contentdb.local.index import Blob, State, Tombstone, statements
from contentdb.local.index.deletes import Deletes
from contentdb.local.index.grace import COLLECTING_SINCE
from contentdb.local.index.references import queue_lost
from contentdb.local.index.rows import find_blob, find_labels
from contentdb.local.index.why import Walk
from contentdb.values import Info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from sqlite3 import Connection
    from typing import Any, Final

    from contentdb.content import Step
    from contentdb.local.index import FileTime
    from contentdb.local.index.why import Horizon

__all__ = ["Buried", "Candidate", "Collecting", "Going", "Judged", "Queue", "Verdict"]

_OLD_BEFORE: Final = "old_before"
"""The name of a setting."""

SLICE_S: Final = 0.01
"""Seconds for which a slice holds the write lock; a single step may take longer."""
_REVIEW_S: Final = 0.25
"""Seconds for which a review holds a snapshot, which keeps the log from being folded in."""
_LATER_NS: Final = 60 * 10**9
"""After that what was undecided is looked at again: its dead parents may be gone by then."""
_INGEST_NS: Final = 3600 * 10**9
"""After that what only an ingest expects is looked at again: its end queues nothing."""
_LABELS_AT_ONCE: Final = 100
_ROWS_OF_LABEL: Final = 5
"""Of tables and indexes that a reference has: its own, and those of what it led to."""


class Candidate(NamedTuple):
    """A row that a collection looks at."""

    digest: Digest
    review_ns: int | None
    """As it was seen; None if it was not in the queue."""
    size: int


class Going(NamedTuple):
    """A blob that nothing keeps, or one above such a blob."""

    info: Info
    review_ns: int | None


class Verdict(Enum):
    """What a review found."""

    GARBAGE = "garbage"
    KEPT = "kept"
    UNDECIDED = "undecided"


class Judged(NamedTuple):
    """A candidate, and what was found."""

    candidate: Candidate
    verdict: Verdict
    review_ns: int | None = None
    """Of a kept one: when to look at it again, though nothing happens until then."""
    going: tuple[Going, ...] = ()
    """Of garbage, if that was asked for: it, and all above it, which goes with it; () if it is gone
    by now."""


class Buried(NamedTuple):
    """A blob that a collection took, and its size in bytes."""

    tombstone: Tombstone
    size: int


class Queue(NamedTuple):
    """The queue of a namespace."""

    queued: int
    due: int
    oldest_due_ns: int | None


class Collecting(Deletes):
    """What a collector reads and writes."""

    # -- before a run ----------------------------------------------------------------------------

    def rest_s(self, share: float = 1) -> float:
        """Return for how many seconds more the write lock should be left to others.

        So many as this process had it, or a share of that, from when it was free.
        """
        return self._database.rest_s(share)

    def has_roots(self) -> bool:
        """Return whether the namespace has a tag, a live lease, or a label that makes a root."""
        values = {"namespace": self._namespace, "now": time.time_ns()}
        found = (statements.ANY_TAG, statements.ANY_LEASE, statements.ANY_ROOT_LABEL)
        return any(self._database.one(statement, values) is not None for statement in found)

    def collecting_since(self) -> int | None:
        """Return since when answers are written down for a collector, if they are."""
        since = self._setting(COLLECTING_SINCE)
        return None if since is None else int(since)

    def begin_collecting(self, now_ns: int) -> None:
        """Note that from now on answers are written down; durable."""
        values = {"name": COLLECTING_SINCE, "value": str(now_ns)}
        self._database.write(
            lambda connection: connection.execute(statements.SET_SETTING, values).rowcount,
            lambda connection: (
                connection.execute(statements.FIND_SETTING, values).fetchone() == (str(now_ns),)
            ),
            durable=True,
        )

    def queue(self, horizon_ns: int) -> Queue:
        """Count what is in the queue, and what of it is due at a time."""
        values = {"namespace": self._namespace, "horizon": horizon_ns}
        return Queue._make(self._database.one(statements.COUNT_QUEUE, values))

    def old_before(self) -> int:
        """Return the time before which blobs that are not in the queue are old; 0 in a new store.

        It is when the migration ran that brought the queue.
        """
        return int(self._setting(_OLD_BEFORE) or 0)

    def why(self, digest: Digest, horizon: Horizon) -> tuple[Step, ...]:
        """Return what keeps a blob; see `contentdb.local.index.why`."""
        with self._database.snapshot() as connection:
            return Walk(connection, self._namespace, horizon).run(str(digest))

    def unkept(
        self, digest: Digest, horizon: Horizon, may_go: Callable[[Info], bool] | None = None
    ) -> list[str]:
        """Return a blob that nothing keeps, and all above it; [] if something does.

        With ``may_go`` also [] if it, or one above it, may not go.
        """
        with self._database.snapshot() as connection:
            unkept = Walk(connection, self._namespace, horizon).unkept(str(digest))
            if may_go and not all(may_go(one.info) for one in self._going(connection, unkept)):
                return []
            return unkept

    def _going(
        self, connection: Connection, digests: Sequence[str], *, labels: bool = True
    ) -> Iterator[Going]:
        """Yield those that are still there: a delete may have come first."""
        for digest in digests:
            key = self._key(digest)
            blob = find_blob(connection, key)
            if blob is None or blob.state == State.TOMBSTONE:
                continue
            found = find_labels(connection, key) if labels else None
            info = Info(digest, blob.size, blob.created_ns, blob.updated_ns, found)
            yield Going(info, blob.review_ns)

    def put_off(self, later: Sequence[tuple[Candidate, int]], rest: Callable[[], object]) -> None:
        """Give rows a later time of review, unless theirs has changed since; not durable.

        ``rest`` is called before each slice.
        """

        def work(connection: Connection) -> int:
            return _in_slices(left, lambda one: self._put_off(connection, *one))

        left = list(later)
        while left:
            rest()
            left = left[self._database.write(work, _always, durable=False, rows=int) :]

    def _put_off(self, connection: Connection, one: Candidate, later_ns: int) -> None:
        values = self._key(one.digest) | {"seen": one.review_ns, "later": later_ns}
        connection.execute(statements.SET_REVIEW, values)

    def children(self, digest: Digest) -> list[str]:
        """Return what a blob refers to, there or not, some of it more than once."""
        rows = self._database.all(statements.CHILDREN, self._key(digest))
        return [text for (text,) in rows]

    def is_leased(self, kind: str, name: str) -> bool:
        """Return whether a live lease has an item."""
        values = {"namespace": self._namespace, "kind": kind, "item": name}
        found = self._database.one(statements.LEASED, values | {"now": time.time_ns()})
        return found is not None

    # -- R1: candidates, and what keeps them -----------------------------------------------------

    def due(self, horizon_ns: int, after: Candidate | None, limit: int) -> list[Candidate]:
        """Return the next rows whose review comes no later than a time, in order of that."""
        values = {"namespace": self._namespace, "horizon": horizon_ns, "limit": limit}
        values |= {"at": -1, "after": ""} if after is None else _place(after)
        return _candidates(self._database.all(statements.DUE, values))

    def every(self, after: Candidate | None, limit: int) -> list[Candidate]:
        """Return the next rows by digest, in the queue or not."""
        values = {"namespace": self._namespace, "limit": limit}
        values["after"] = "" if after is None else str(after.digest)
        return _candidates(self._database.all(statements.EVERY, values))

    def one_row(self, digest: str) -> Candidate | None:
        """Return the row of a blob, in the queue or not."""
        row = self._database.one(statements.FIND_BLOB, self._key(digest))
        blob = None if row is None else Blob._make(row)
        if blob is None or blob.state == State.TOMBSTONE:
            return None
        return Candidate(Digest(digest), blob.review_ns, blob.size)

    def judge(
        self,
        candidates: Sequence[Candidate],
        horizon: Horizon,
        *,
        going: bool = False,
        labels: bool = False,
    ) -> list[Judged]:
        """Find what keeps each, at one moment; stop after a quarter second, with one at least.

        With ``going`` find also what goes with garbage, and with ``labels`` the labels of that.
        """
        judged: list[Judged] = []
        began = time.monotonic()
        with self._database.snapshot() as connection:
            for candidate in candidates:
                walk = Walk(connection, self._namespace, horizon)
                one = _judge(walk, candidate)
                if going and one.verdict is Verdict.GARBAGE:
                    found = self._going(connection, walk.seen_unkept(), labels=labels)
                    one = one._replace(going=tuple(found))
                judged.append(one)
                if time.monotonic() - began > _REVIEW_S:
                    break
        return judged

    # -- R2: what is kept leaves the queue -------------------------------------------------------

    def dequeue(self, judged: Sequence[Judged], now_ns: int) -> int:
        """Take kept rows out of the queue, and put off undecided ones; return how far it came.

        Not durable. Only a row that was due at ``now_ns`` and has the time that was seen: a
        writer that takes a reference away changes it, and so does an answer that it is stored.
        """

        def work(connection: Connection) -> int:
            return _in_slices(judged, lambda one: self._dequeue(connection, one, now_ns))

        return self._database.write(work, _always, durable=False, rows=int)

    def _dequeue(self, connection: Connection, one: Judged, now_ns: int) -> None:
        seen_ns = one.candidate.review_ns
        if seen_ns is None or seen_ns > now_ns or one.verdict is Verdict.GARBAGE:
            return
        later = now_ns + _LATER_NS if one.verdict is Verdict.UNDECIDED else one.review_ns
        values = self._key(one.candidate.digest) | {"seen": seen_ns, "later": later}
        connection.execute(statements.SET_REVIEW, values)

    # -- R3: garbage becomes tombstones ----------------------------------------------------------

    def entomb_garbage(
        self,
        candidates: Sequence[Candidate],
        time_of: Callable[[Digest], FileTime | None],
        horizon: Horizon,
        may_go: Callable[[Info], bool] | None = None,
    ) -> tuple[int, list[Buried]]:
        """Make tombstones of those that nothing keeps, asked again under the lock; durable.

        With ``may_go`` only of those for which it, and for all above it, says so.

        What is above such a blob goes with it, in the same transaction: a parent never stays
        without its child, for a caller to give it a name. Labels stay for `let_go_of_references`.
        Return how far it came, and what went.
        """
        begun: list[Buried] = []

        def entomb(connection: Connection, candidate: Candidate) -> None:
            try:
                going = Walk(connection, self._namespace, horizon).unkept(str(candidate.digest))
            except UndecidedError:
                return
            if may_go and not all(may_go(one.info) for one in self._going(connection, going)):
                return
            for digest in map(Digest, going):
                begun.extend(self._entomb_one(connection, digest, time_of(digest)))

        def work(connection: Connection) -> int:
            begun.clear()  # it may be run again
            return _in_slices(candidates, lambda one: entomb(connection, one))

        def landed(connection: Connection) -> bool:
            rows = (find_blob(connection, self._key(one.tombstone.digest)) for one in begun)
            return all(row is not None and row.state == State.TOMBSTONE for row in rows)

        done = self._database.write(work, landed, durable=True, rows=lambda _done: len(begun))
        return done, begun

    def _entomb_one(
        self, connection: Connection, digest: Digest, time_: FileTime | None
    ) -> Iterator[Buried]:
        key = self._key(digest)
        blob = find_blob(connection, key)
        if blob is None or blob.state == State.TOMBSTONE:
            return
        if time_ is not None:
            self._take_back(connection, key, blob, time_)
        connection.execute(statements.ENTOMB, key)
        yield Buried(Tombstone(digest, blob.updated_ns, blob.location), blob.size)

    # -- R4: what tombstones referred to ---------------------------------------------------------

    def find_referring(self, tombstones: Sequence[Tombstone]) -> list[Tombstone]:
        """Return those that have labels; without the lock, as a tombstone never gets any."""
        with self._database.snapshot() as connection:
            return [
                one for one in tombstones if self._some_labels(connection, self._key(one.digest), 1)
            ]

    def let_go_of_references(self, tombstones: Sequence[Tombstone]) -> bool:
        """Remove labels of tombstones one by one, and queue what they kept; not durable.

        A slice; return whether it came to the end. A blob that was stored again keeps its labels.
        """
        dropped = 0

        def work(connection: Connection) -> bool:
            nonlocal dropped
            dropped = 0  # it may be run again
            began = time.monotonic()
            for one in tombstones:
                key = self._key(one.digest)
                blob = find_blob(connection, key)
                if blob is None or blob.state != State.TOMBSTONE:
                    continue
                while labels := self._some_labels(connection, key):
                    for name, value in labels:
                        connection.execute(statements.DROP_LABEL, key | {"key": name})
                        queue_lost(connection, key, [(name, value)])
                        dropped += 1
                        if time.monotonic() - began > SLICE_S:
                            return False
            return True

        return self._database.write(
            work, _always, durable=False, rows=lambda _is_over: dropped * _ROWS_OF_LABEL
        )

    def _some_labels(
        self, connection: Connection, key: dict[str, Any], most: int = _LABELS_AT_ONCE
    ) -> list[tuple[str, str]]:
        values = key | {"limit": most}
        return connection.execute(statements.SOME_LABELS, values).fetchall()


def _judge(walk: Walk, candidate: Candidate) -> Judged:
    try:
        if not walk.run(str(candidate.digest)):
            return Judged(candidate, Verdict.GARBAGE)
    except UndecidedError:
        return Judged(candidate, Verdict.UNDECIDED)
    own = walk.own_root
    if own is None or own.until_ns is None:
        return Judged(candidate, Verdict.KEPT)
    later = own.until_ns + (_INGEST_NS if own.step.kind == "ingest" else 0)
    return Judged(candidate, Verdict.KEPT, later)


def _in_slices(items: Sequence[Any], act: Callable[[Any], object]) -> int:
    """Act on each item until the slice is over; return how many were acted on, one at least."""
    began = time.monotonic()
    for count, item in enumerate(items, 1):
        act(item)
        if time.monotonic() - began > SLICE_S:
            return count
    return len(items)


def _always(_connection: Connection) -> bool:
    """Answer for changes that the next run makes again if they have not landed."""
    return True


def _candidates(rows: list[Any]) -> list[Candidate]:
    return [Candidate(Digest(digest), review_ns, size) for digest, review_ns, size in rows]


def _place(after: Candidate) -> dict[str, Any]:
    return {"at": after.review_ns, "after": str(after.digest)}
