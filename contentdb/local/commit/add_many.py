"""Many sources at once: one group is being written while the one before it is being synced.

A group closes at a number of sources, at a number of bytes, or after a source that was slow to
come: then all its items become durable and are yielded before the next source is asked for.
"""

from __future__ import annotations

import time
from contextlib import closing

from contentdb.errors import (
    ContentDBError,
    FailedPreconditionError,
)
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.commit.flight import Flight
from contentdb.local.commit.group_commit import Group
from contentdb.local.commit.joining import Joined, write_into

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import Final

    from contentdb.asked import Asked
    from contentdb.call_guard import Gate
    from contentdb.content import Info
    from contentdb.local.resources import Parts

    Answer = Info | ContentDBError

__all__ = ["add_many"]

_GROUP_COUNT: Final = 1000
_GROWTH: Final = 8
"""The first group has one source, so that its answer comes soon; the next ones are larger."""
_SLOW_S: Final = 0.01
"""A source that takes longer than this to come closes its group."""


class _Place(NamedTuple):
    """A source with its number and its result."""

    result: Answer | Joined
    number: int
    source: str
    """A description for messages."""

    def answer(self) -> Answer:
        """Return the Info or the error, after its group was flushed."""
        return self.result.answer() if isinstance(self.result, Joined) else self.result


def add_many(
    parts: Parts, gate: Gate, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
) -> Generator[Answer]:
    """Store each source and yield its Info, in order, durable when yielded.

    An error of one source is yielded in place of its Info; with ``raising`` it is raised, after
    the Infos of the sources before it were yielded.
    """
    with closing(_store_all(parts, gate, asked, keep_labels=keep_labels, stop=raising)) as places:
        for place in places:
            answer = place.answer()
            if raising and isinstance(answer, ContentDBError):
                raise answer.at_source(place.number, place.source) from answer
            yield answer


def _store_all(
    parts: Parts, gate: Gate, asked: Iterator[Asked], *, keep_labels: bool, stop: bool
) -> Generator[_Place]:
    """Take sources until the iterator ends or raises, or with ``stop`` until one source fails.

    Yield each once its group is durable; raise the iterator's error after all of them.
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
            last = place is None or (stop and isinstance(place.result, ContentDBError))
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
        self._group = Group(parts, looks_later=True)
        self._places: list[_Place] = []
        self._flight: _Flight | None = None
        self._most = 1

    def _check_ours(self) -> None:
        """Raise in the child of a fork: the files belong to its parent."""
        if not self._group.is_ours:
            raise FailedPreconditionError("only the process that began add_many can continue it")

    def take(self, one: Asked, *, keep_labels: bool) -> _Place:
        """Write one source; an error of it becomes its result and does not affect other sources."""
        self._check_ours()
        result: Answer | Joined
        try:
            with self._gate:
                labels = one.labelling(keep_labels=keep_labels)
                result = write_into(self._group, self._parts, one.source, one.expected, labels)
        except Exception as error:
            if isinstance(error, ContentDBError) and self._gate.closed:
                raise
            result = one.answer_of(error, as_value=self._as_values)
        may_fail = isinstance(result, Joined | ContentDBError)  # a stored blob cannot fail
        place = _Place(result, one.number, one.describe() if may_fail else "")
        self._places.append(place)
        return place

    def settle(self, *, slow: bool) -> Iterable[_Place]:
        """Return the sources that are durable by now; all of them with ``slow``."""
        full = len(self._places) >= self._most or self._group.is_large
        if self._flight is None and not full and not slow:
            return ()
        return self._settle(full=full, slow=slow)

    def _settle(self, *, full: bool, slow: bool) -> Iterator[_Place]:
        yield from self._yield_landed(wait=full or slow)
        if full or slow:
            soon = self._most == 1 or slow
            self._launch()
            if soon:
                yield from self._yield_landed(wait=True)
            self._most = min(self._most * _GROWTH, _GROUP_COUNT)

    def finish(self) -> Iterator[_Place]:
        """Make all sources durable and yield them."""
        self._check_ours()
        yield from self._yield_landed(wait=True)
        self._launch()
        yield from self._yield_landed(wait=True)

    def _launch(self) -> None:
        group, places = self._group, self._places
        self._group, self._places = Group(self._parts, looks_later=True), []
        self._flight = _Flight(self._gate, group, places)

    def _yield_landed(self, *, wait: bool) -> Iterator[_Place]:
        if self._flight is not None and self._flight.advance(wait=wait):
            yield from self._flight.settled()
            self._flight = None

    def discard(self) -> None:
        """Wait until the group being synced is durable; remove the files of the other one."""
        try:
            if self._flight is not None:
                self._flight.advance(wait=True)
        finally:
            self._group.discard()


class _Flight(Flight):
    """A group that is becoming durable, and its sources in order."""

    def __init__(self, gate: Gate, group: Group, places: list[_Place]) -> None:
        super().__init__(gate, group)
        self._places = places

    def settled(self) -> Iterator[_Place]:
        """Yield the sources, once all are durable, or have failed."""
        error = self._group.owed_error
        for place in self._places:
            is_known = not isinstance(place.result, Joined | ContentDBError)
            yield place if error is None or not is_known else place._replace(result=error)
