"""Where the bytes of content lie: in the row itself, in one object, or in a run of objects."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "Piece",
    "Place",
    "Run",
    "append",
    "pack_runs",
    "pieces",
    "size_of",
    "uncovered",
    "unpack_runs",
    "without_last",
]


class Run(NamedTuple):
    """Objects of one writer with consecutive numbers: all of one size, but for the last one."""

    prefix: str
    """Of their keys, with a slash at its end."""
    first: int
    length: int
    """Count of its objects."""
    size: int
    """Of each object but the last one, in bytes."""
    last_size: int

    @property
    def total(self) -> int:
        """Size of all objects together, in bytes."""
        return self.size * (self.length - 1) + self.last_size

    def key(self, index: int) -> str:
        """Return the key of one of its objects, counted from 0."""
        return f"{self.prefix}{self.first + index:08}"

    def objects(self) -> Iterator[str]:
        """Yield the keys of its objects."""
        return map(self.key, range(self.length))

    def sizes(self) -> Iterator[int]:
        """Yield the sizes of its objects, in bytes."""
        return chain(repeat(self.size, self.length - 1), (self.last_size,))


class Piece(NamedTuple):
    """A part of one object."""

    key: str
    offset: int
    size: int


class Place(NamedTuple):
    """Where an object row says the bytes are: ``inline``, or in ``runs``, or under ``key``.

    With ``runs`` the key is that of their manifest.
    """

    key: str | None = None
    runs: tuple[Run, ...] = ()
    inline: bytes | None = None

    def pieces(self, offset: int, size: int) -> Iterator[Piece]:
        """Yield the parts of objects that have these bytes, which are not in the row."""
        if self.runs:
            return pieces(self.runs, offset, size)
        return iter((Piece(self.key or "", offset, size),))

    @property
    def about(self) -> str:
        """Name the place, for messages."""
        if self.inline is not None:
            return "its row"
        return self.runs[0].prefix if self.runs else self.key or ""


def size_of(runs: Iterable[Run]) -> int:
    """Return how many bytes runs have together."""
    return sum(run.total for run in runs)


def pieces(runs: Iterable[Run], offset: int, size: int) -> Iterator[Piece]:
    """Yield the parts of objects that have ``size`` bytes from an offset on."""
    for run in runs:
        if offset >= run.total:
            offset -= run.total
            continue
        while size and offset < run.total:
            index, inside = min(offset // run.size, run.length - 1), 0
            inside = offset - index * run.size
            here = run.last_size if index == run.length - 1 else run.size
            count = min(size, here - inside)
            yield Piece(run.key(index), inside, count)
            offset, size = offset + count, size - count
        offset = 0
        if not size:
            return


def append(runs: tuple[Run, ...], prefix: str, number: int, size: int) -> tuple[Run, ...]:
    """Return the runs with one more object behind them."""
    last = runs[-1] if runs else None
    follows = last is not None and last.prefix == prefix and last.first + last.length == number
    if last is not None and follows and last.last_size == last.size >= size:
        return (*runs[:-1], last._replace(length=last.length + 1, last_size=size))
    return (*runs, Run(prefix, number, 1, size, size))


def without_last(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Return the runs without their last object."""
    last = runs[-1]
    if last.length == 1:
        return runs[:-1]
    return (*runs[:-1], last._replace(length=last.length - 1, last_size=last.size))


def uncovered(old: Iterable[Run], new: Iterable[Run]) -> list[Run]:
    """Return the objects of the old runs that the new runs do not have, as runs."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for run in new:
        spans.setdefault(run.prefix, []).append((run.first, run.first + run.length))
    left = []
    for run in old:
        end = run.first + run.length
        at = run.first
        for first, behind in sorted(spans.get(run.prefix, ())):
            if first > at:
                left.append(run._replace(first=at, length=min(first, end) - at))
            at = max(at, behind)
            if at >= end:
                break
        if at < end:
            left.append(run._replace(first=at, length=end - at))
    return [run for run in left if run.length > 0]


def pack_runs(runs: Iterable[Run]) -> list[list[Any]]:
    """Return the runs as a row has them."""
    return [list(run) for run in runs]


def unpack_runs(packed: Iterable[Iterable[Any]] | None) -> tuple[Run, ...]:
    """Return the runs that a row has."""
    return tuple(Run(*one) for one in packed or ())
