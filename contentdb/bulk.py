"""Many sources at once: one group is being written while the one before it is being synced.

A group closes by count, by bytes, and when its source lets us wait: what has come by then is
made durable and handed out before the next source is asked for.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from contentdb import files
from contentdb.adding import add_bytes, add_path, candidate_of, check_digest
from contentdb.content import Info
from contentdb.digest import DEFAULT_ALGORITHM, Digest, checksum_of
from contentdb.errors import (
    ContentDBError,
    FailedPreconditionError,
    InvalidArgumentError,
    StorageError,
)
from contentdb.flight import Flight
from contentdb.group import Group, Temp
from contentdb.pipeline import Sink, pump
from contentdb.publish import stored
from contentdb.sources import bytes_of, open_source, reading, reading_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from contentdb.gate import Gate
    from contentdb.group import Item
    from contentdb.parts import Parts
    from contentdb.publish import Candidate

    Answer = Info | ContentDBError
    Slot = Answer | Item

__all__ = ["add_many", "write_into"]

_GROUP_COUNT: Final = 1000
_GROUP_BYTES: Final = 64 << 20
_GROWTH: Final = 8
"""The first group has one item, so that the first answer comes soon; the next are larger."""
_SLOW_S: Final = 0.01
"""A source that takes longer to come than this is worth a group by itself."""


def write_into(
    group: Group, parts: Parts, source: object, wanted: str | None, labels: Mapping[str, str]
) -> Slot:
    """Write a source for a group, unless its content is known: its Info, or its item.

    Raises:
        ContentDBError: The source is bad; the group is as it was.
    """
    expected = None if wanted is None else Digest(wanted)
    if expected is not None and (known := _known(group, parts, expected)) is not None:
        return known
    data = bytes_of(source)
    if data is not None:
        return _write_bytes(group, parts, data, expected, labels)
    if isinstance(source, os.PathLike):
        return _write_path(group, parts, source, expected, labels)
    return _write_stream(group, parts, reading(source), expected, labels)


def _known(group: Group, parts: Parts, digest: Digest) -> Slot | None:
    return group.known(digest) or stored(parts, digest)


class _FromBytes(Temp):
    """An item whose content is at hand."""

    __slots__ = ("data",)
    data: bytes | memoryview

    def again(self) -> Info:
        return add_bytes(self.parts, self.data, self.candidate.digest, self.candidate.labels)


class _FromPath(Temp):
    """An item whose content can be read once more."""

    __slots__ = ("path",)
    path: os.PathLike[str]

    def again(self) -> Info:
        found = self.candidate
        return add_path(self.parts, self.path, found.digest, found.labels, "copy")


def _write_bytes(
    group: Group,
    parts: Parts,
    data: bytes | memoryview,
    expected: Digest | None,
    labels: Mapping[str, str],
) -> Slot:
    digest = Digest.of(data, expected.algorithm if expected else DEFAULT_ALGORITHM)
    check_digest(digest, expected)
    if (known := _known(group, parts, digest)) is not None:
        return known
    name, fd = group.new_file()
    path = parts.ingest.child(name)
    candidate = candidate_of(parts, digest, len(data), checksum_of(data), labels)
    try:
        files.write_all(fd, data, path)
        _finish(fd, candidate, path)
    except BaseException:
        files.unlink(parts.ingest, name)
        raise
    finally:
        files.close(fd, path)
    item = _FromBytes(parts, name, candidate)
    item.data = data
    return group.join(item)


def _finish(fd: int, candidate: Candidate, path: str) -> None:
    files.make_read_only(fd, path)
    files.stamp(fd, candidate.now_ns, path)


def _write_path(
    group: Group,
    parts: Parts,
    source: os.PathLike[str],
    expected: Digest | None,
    labels: Mapping[str, str],
) -> Slot:
    fd = open_source(source)
    try:
        fill = reading_file(fd, os.fspath(source))
        return _write_stream(group, parts, fill, expected, labels, source)
    finally:
        files.let_go(fd)


def _write_stream(
    group: Group,
    parts: Parts,
    fill: Callable[[memoryview], int],
    expected: Digest | None,
    labels: Mapping[str, str],
    source: os.PathLike[str] | None = None,
) -> Slot:
    name, fd = group.new_file()
    path = parts.ingest.child(name)
    kept = False
    try:
        try:
            candidate = _taken_in(parts, fd, path, fill, expected, labels)
            known = _known(group, parts, candidate.digest)
            if known is None:
                _finish(fd, candidate, path)
        finally:
            files.close(fd, path)
        kept = known is None
        return known or group.join(_item(parts, name, candidate, source))
    finally:
        if not kept:
            files.unlink(parts.ingest, name)


def _item(parts: Parts, name: str, candidate: Candidate, source: os.PathLike[str] | None) -> Temp:
    if source is None:
        return Temp(parts, name, candidate)
    item = _FromPath(parts, name, candidate)
    item.path = source
    return item


def _taken_in(
    parts: Parts,
    fd: int,
    path: str,
    fill: Callable[[memoryview], int],
    expected: Digest | None,
    labels: Mapping[str, str],
) -> Candidate:
    algorithm = expected.algorithm if expected else DEFAULT_ALGORITHM
    with closing(Sink(fd, path, algorithm, durable=parts.durable)) as sink:
        pump(fill, sink)
        digest = sink.digest
        check_digest(digest, expected)
        return candidate_of(parts, digest, sink.size, sink.checksum, labels)


def _answer(slot: Slot) -> Answer:
    if isinstance(slot, Info | ContentDBError):
        return slot
    if slot.result is None:
        raise RuntimeError("an item of a flushed group has no result")
    return slot.result


def add_many(
    parts: Parts,
    gate: Gate,
    sources: Iterable[Any],
    expected: Iterable[str | None] | None,
    labels: Mapping[str, str],
) -> Generator[Answer]:
    """Store each source; an Info or an error of ours for each, in order, durable when yielded."""
    flight: _Flight | None = None
    group = Group(parts)
    slots: list[Slot] = []
    most = 1
    came = time.monotonic()
    try:
        for source, wanted in _paired(sources, expected):
            waited_s = time.monotonic() - came
            slots.append(_slot(gate, group, parts, source, wanted, labels))
            slow = waited_s > _SLOW_S
            full = len(slots) >= most or group.size >= _GROUP_BYTES
            if flight is not None and flight.advance(wait=full or slow):
                yield from flight.answers()
                flight = None
            if full or slow:
                flight, group, slots = _Flight(gate, group, slots), Group(parts), []
                if (most == 1 or slow) and flight.advance(wait=True):
                    yield from flight.answers()
                    flight = None
                most = min(most * _GROWTH, _GROUP_COUNT)
            came = time.monotonic()
        if flight is not None and flight.advance(wait=True):
            yield from flight.answers()
        flight = _Flight(gate, group, slots)
        flight.advance(wait=True)
        yield from flight.answers()
    finally:
        if flight is not None:
            flight.advance(wait=True)
        group.discard()


class _Flight(Flight):
    """A group on its way, and what is to be answered when it has landed."""

    def __init__(self, gate: Gate, group: Group, slots: list[Slot]) -> None:
        super().__init__(gate, group)
        self._slots = slots

    def answers(self) -> list[Answer]:
        """In the order of the sources."""
        return [_answer(slot) for slot in self._slots]


def _paired(
    sources: Iterable[Any], expected: Iterable[str | None] | None
) -> Iterator[tuple[Any, str | None]]:
    if expected is None:
        return zip(sources, repeat(None), strict=False)
    return _strictly(sources, expected)


def _strictly(
    sources: Iterable[Any], expected: Iterable[str | None]
) -> Iterator[tuple[Any, str | None]]:
    pairs = zip(sources, expected, strict=True)
    while True:
        try:
            pair = next(pairs, None)
        except ValueError as error:
            raise InvalidArgumentError(
                "expected must have one digest, or None, a source"
            ) from error
        if pair is None:
            return
        yield pair


def _slot(
    gate: Gate,
    group: Group,
    parts: Parts,
    source: object,
    wanted: str | None,
    labels: Mapping[str, str],
) -> Slot:
    """Write one source; what is wrong with it is its answer, and spoils no other."""
    if not group.is_ours:
        raise FailedPreconditionError("add_many goes on in the process that began it alone")
    try:
        with gate:
            return write_into(group, parts, source, wanted, labels)
    except ContentDBError as error:
        if gate.closed:
            raise
        return error
    except OSError as error:
        return StorageError("read", f"source {source!r:.80}", error)
    except (TypeError, ValueError) as error:  # such as a file that is closed
        return InvalidArgumentError(f"source {source!r:.80} cannot be read: {error}")
