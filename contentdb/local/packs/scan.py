"""Scan a pack: read its records one behind the other, up to the first that is not whole."""

from __future__ import annotations

from contentdb import files
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.packs.directory import FIRST
from contentdb.local.packs.record import (
    HEAD_BYTES,
    MAGIC,
    Header,
    begins_with,
    parse,
    read_facts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from contentdb.digest import Digest

__all__ = ["Record", "has_head", "heads", "read_head", "scan"]

_PIECE_BYTES: Final = 4 << 20


def read_head(fd: int, offset: int, path: str) -> Header | None:
    """Read the head of a record; return None if there is none. Its check is not made."""
    return parse(files.read_at(fd, HEAD_BYTES, offset, path))


def has_head(fd: int, offset: int, digest: Digest) -> bool:
    """Return whether a record of this digest begins at an offset. Its check is not made."""
    return begins_with(files.read_at(fd, HEAD_BYTES, offset, digest), digest)


class Record(NamedTuple):
    """A whole record: its content matches its digest."""

    offset: int
    header: Header
    content: bytes
    facts: dict[str, Any]
    raw: bytes
    """All of its bytes."""

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.offset + len(self.raw)


def scan(fd: int, path: str, start: int = FIRST, *, rescue: bool = False) -> Iterator[Record]:
    """Yield whole records from an offset on; dead ones too.

    A record with damaged content is stepped over. The first place without a record ends the scan;
    with ``rescue``, a place where the head is damaged does not.
    """
    window = _Window(fd, path)
    at = max(start, FIRST)
    while True:
        header = parse(window.read(at, HEAD_BYTES))
        raw, facts, behind, length = b"", None, 0, 0
        if header is not None:
            behind = header.content_at + header.size
            length = behind + header.facts_size
            raw = window.read(at, length)
            facts = read_facts(header, raw[behind:])
        if header is None or facts is None:
            found = window.find(MAGIC, at + 1) if rescue else None
            if found is None:
                return
            at = found
            continue
        content = raw[header.content_at : behind]
        if header.digest.matches(content):
            yield Record(at, header, content, facts, raw)
        at += length


def heads(fd: int, path: str) -> Iterator[Header]:
    """Yield the heads of all records that are whole themselves; their contents are not checked."""
    window = _Window(fd, path)
    at: int | None = FIRST
    while at is not None:
        header = parse(window.read(at, HEAD_BYTES))
        if header is not None:
            behind = at + header.content_at + header.size
            if read_facts(header, window.read(behind, header.facts_size)) is not None:
                yield header
                at += header.length
                continue
        at = window.find(MAGIC, at + 1)


class _Window:
    """A piece of a file in memory, so that small records cost no system call each."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._data = b""
        self._start = 0

    def read(self, at: int, size: int) -> bytes:
        begin = at - self._start
        if begin < 0 or begin + size > len(self._data):
            # most scans find nothing: the first piece is small
            piece = _PIECE_BYTES if self._data else size
            self._data = files.read_at(self._fd, max(size, piece), at, self._path)
            self._start, begin = at, 0
        return self._data[begin : begin + size]

    def find(self, mark: bytes, at: int) -> int | None:
        """Return where a mark is next; None if there is none up to the end."""
        while piece := files.read_at(self._fd, _PIECE_BYTES, at, self._path):
            if (place := piece.find(mark)) >= 0:
                return at + place
            if len(piece) <= len(mark):
                return None
            at += len(piece) - len(mark) + 1
        return None
