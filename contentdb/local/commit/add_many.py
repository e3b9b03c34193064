"""Many sources at once: one group is being written while the one before it is being synced.

A group closes by count, by bytes, and when its source lets us wait: what has come by then is
made durable and handed out before the next source is asked for.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import (
    ContentDBError,
    FailedPreconditionError,
)
from contentdb.local.commit.flight import Flight
from contentdb.local.commit.group_commit import Group
from contentdb.local.commit.joining import Joined, write_into

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from contentdb.asked import Asked
    from contentdb.content import Info
    from contentdb.local.call_guard import Gate
    from contentdb.local.resources import Parts

    Answer = Info | ContentDBError

__all__ = ["add_many"]

_GROUP_COUNT: Final = 1000
_GROUP_BYTES: Final = 64 << 20
_GROWTH: Final = 8
"""The first group has one item, so that the first answer comes soon; the next are larger."""
_SLOW_S: Final = 0.01
"""A source that takes longer to come than this is worth a group by itself."""


class _Place(NamedTuple):
    """A source that was taken, and what is told of it."""

    told: Answer | Joined
    number: int
    source: str
    """In words."""

    def answer(self) -> Answer:
        """Once its group was flushed."""
        return self.told.answer() if isinstance(self.told, Joined) else self.told


def add_many(
    parts: Parts, gate: Gate, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
) -> Generator[Answer]:
    """Store each source; an Info for each, in order, durable when yielded.

    What concerns one source alone is yielded in the place of its Info, or with ``raising``
    raised, once those before it were yielded.
    """
    with closing(_settled(parts, gate, asked, keep_labels=keep_labels, stop=raising)) as places:
        for place in places:
            answer = place.answer()
            if raising and isinstance(answer, ContentDBError):
                raise answer.at_source(place.number, place.source) from answer
            yield answer


def _settled(
    parts: Parts, gate: Gate, asked: Iterator[Asked], *, keep_labels: bool, stop: bool
) -> Generator[_Place]:
    """Take sources up to the end, an error of their iterator's, or with ``stop`` a bad one.

    Each is handed out once its group has landed, an error of the iterator's after all of them.
    """
    groups = _Groups(parts, gate, as_values=not stop)
    failure: Exception | None = None
    last = slow = False
    try:
        while not last:
            began = time.monotonic()
            try:
                one = next(asked, None)
                slow = time.monotonic() - began > _SLOW_S
                place = None if one is None else groups.take(one, keep_labels=keep_labels)
            except Exception as error:  # noqa: BLE001 - raised below
                failure, place = error, None
            last = place is None or (stop and isinstance(place.told, ContentDBError))
            yield from groups.finish() if last else groups.settle(slow=slow)
        if failure is not None:
            raise failure
    finally:
        groups.discard()


class _Groups:
    """The group that is being written, and the one before it, which is being synced."""

    def __init__(self, parts: Parts, gate: Gate, *, as_values: bool) -> None:
        self._parts = parts
        self._gate = gate
        self._as_values = as_values
        self._group = Group(parts)
        self._places: list[_Place] = []
        self._flight: _Flight | None = None
        self._most = 1

    def _check_ours(self) -> None:
        """Refuse to go on in the child of a fork: the files are its parent's."""
        if not self._group.is_ours:
            raise FailedPreconditionError("add_many goes on in the process that began it alone")

    def take(self, one: Asked, *, keep_labels: bool) -> _Place:
        """Write one source; what is wrong with it is told of it, and spoils no other."""
        self._check_ours()
        told: Answer | Joined
        try:
            with self._gate:
                labels = one.labelling(keep_labels=keep_labels)
                told = write_into(self._group, self._parts, one.source, one.expected, labels)
        except Exception as error:
            if isinstance(error, ContentDBError) and self._gate.closed:
                raise
            told = one.answer_of(error, as_value=self._as_values)
        may_fail = isinstance(told, Joined | ContentDBError)  # what is stored cannot any more
        place = _Place(told, one.number, one.describe() if may_fail else "")
        self._places.append(place)
        return place

    def settle(self, *, slow: bool) -> Iterable[_Place]:
        """Hand out what is durable by now; with ``slow`` all, as the next source takes its time."""
        full = len(self._places) >= self._most or self._group.size >= _GROUP_BYTES
        if self._flight is None and not full and not slow:
            return ()
        return self._settle(full=full, slow=slow)

    def _settle(self, *, full: bool, slow: bool) -> Iterator[_Place]:
        yield from self._landed(wait=full or slow)
        if full or slow:
            soon = self._most == 1 or slow
            self._launch()
            if soon:
                yield from self._landed(wait=True)
            self._most = min(self._most * _GROWTH, _GROUP_COUNT)

    def finish(self) -> Iterator[_Place]:
        """Make durable and hand out all."""
        self._check_ours()
        yield from self._landed(wait=True)
        self._launch()
        yield from self._landed(wait=True)

    def _launch(self) -> None:
        group, places = self._group, self._places
        self._group, self._places = Group(self._parts), []
        self._flight = _Flight(self._gate, group, places)

    def _landed(self, *, wait: bool) -> Iterator[_Place]:
        if self._flight is not None and self._flight.advance(wait=wait):
            yield from self._flight.places
            self._flight = None

    def discard(self) -> None:
        """Let what is being synced become durable, and remove the files of what is not."""
        try:
            if self._flight is not None:
                self._flight.advance(wait=True)
        finally:
            self._group.discard()


class _Flight(Flight):
    """A group on its way, and the sources that are told of when it has landed, in order."""

    def __init__(self, gate: Gate, group: Group, places: list[_Place]) -> None:
        super().__init__(gate, group)
        self.places = places
