"""Content without a ref: written to a file without a name, so that a crash leaves nothing."""

# Long: each way in, from memory, a stream or a path, ends in the same steps.

from __future__ import annotations

import os
import time
from contextlib import closing

from contentdb import files
from contentdb.declared import check_digest
from contentdb.digest import DEFAULT_ALGORITHM, Digest, checksum_of
from contentdb.errors import (
    CorruptBlobError,
    InvalidArgumentError,
    StorageError,
)
from contentdb.labels import Labelling, labelling
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.candidate import Candidate, candidate_of
from contentdb.local.commit.publish import conclude, pack_up, publish
from contentdb.local.commit.stored import find_stored
from contentdb.local.commit.temporary import Temporary
from contentdb.local.damage import quarantine, why_stored_damaged
from contentdb.local.reservation import STEP_BYTES, Reservation, reserving
from contentdb.local.sink import Sink
from contentdb.streams.pump import pump
from contentdb.streams.source import (
    check_movable,
    check_unchanged,
    open_source,
    reading_file,
    remove_moved,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.content import Info, Link
    from contentdb.files import Directory
    from contentdb.local.commit.publish import Unpublished
    from contentdb.local.commit.stored import Owe
    from contentdb.local.resources import Parts

__all__ = [
    "add_bytes",
    "add_path",
    "add_stream",
    "label_stored",
    "read_small",
    "write_hashed",
]


_HEALINGS: Final = 3
"""Attempts to heal one blob; if it is damaged after each of them, the disk is failing."""


def label_stored(
    parts: Parts,
    digest: Digest,
    labels: Labelling,
    owe_sync: Owe | None = None,
) -> Info | None:
    """Add to stored content the labels that it lacks, and return its Info; durable.

    Return None if it is not stored or is deleted meanwhile: the caller then stores it, with labels.
    ``owe_sync`` as in `find_stored`.
    """
    info = find_stored(parts, digest, owe_sync=owe_sync)
    if info is None:
        if not parts.shares:
            return None
        from contentdb.local.commit.claim import claim  # few stores share

        return claim(parts, digest, labels)
    if not labels.stored or labels.stored.items() <= info.labels.items():
        return info
    of_file = parts.shards.time(digest)
    if not parts.index.merge_labels(digest, labels.stored, time.time_ns(), of_file):
        return None
    return find_stored(parts, digest, recorded=True)


def add_bytes(
    parts: Parts, data: bytes | memoryview, expected: Digest | None, labels: Labelling
) -> Info:
    """Store bytes; they are hashed first, so that stored content costs no write."""
    if parts.packs_up(len(data)):
        data = bytes(data)  # another thread may change it before this one's turn
    digest = Digest.of(data, expected.algorithm if expected else DEFAULT_ALGORITHM)
    check_digest(digest, expected)
    if (known := label_stored(parts, digest, labels)) is not None:
        return known
    with closing(Reservation(parts)) as room:
        room.cover(len(data))
        candidate = candidate_of(parts, digest, len(data), checksum_of(data), labels)
        if parts.packs_up(candidate.size):
            candidate.reserved = room.name
            info = conclude(parts, candidate, pack_up(parts, candidate, data))
            room.settle()
            return info
        with closing(Temporary(parts)) as file:
            files.write_all(file.fd, data, file.path)
            return _finish(parts, candidate, file, room)


def add_stream(
    parts: Parts,
    fill: Callable[[memoryview], int],
    expected: Digest | None,
    labels: Labelling,
    size: int = 0,
) -> Info:
    """Store the bytes of a stream, up to its end; ``size`` is how many are expected."""
    with closing(Reservation(parts)) as room, closing(Temporary(parts)) as file:
        room.cover(size)
        fill = reserving(fill, lambda taken: room.cover(taken, step=STEP_BYTES))
        candidate = write_hashed(parts, file.fd, file.path, fill, expected, labels)
        known = label_stored(parts, candidate.digest, labels)
        return known or _finish(parts, candidate, file, room)


def write_hashed(
    parts: Parts,
    fd: int,
    path: str,
    fill: Callable[[memoryview], int],
    expected: Digest | None,
    labels: Labelling,
) -> Candidate:
    """Write a stream to an open file, up to its end; return the facts of its bytes.

    Raises:
        DigestMismatchError: The bytes are not what is expected.
    """
    algorithm = expected.algorithm if expected else DEFAULT_ALGORITHM
    with closing(Sink(fd, path, algorithm, durable=parts.durable)) as sink:
        pump(fill, sink)
        digest = sink.digest
        check_digest(digest, expected)
        return candidate_of(parts, digest, sink.size, sink.checksum, labels)


def _finish(parts: Parts, candidate: Candidate, file: Unpublished, room: Reservation) -> Info:
    room.confirm(candidate.size)  # a bound may have been set meanwhile
    candidate.reserved = room.name
    info = conclude(parts, candidate, publish(parts, candidate, file))
    if candidate.size == room.held:
        room.settle()
    return info


# -- from a path ------------------------------------------------------------------------------


def add_path(
    parts: Parts,
    source: os.PathLike[str],
    expected: Digest | None,
    labels: Labelling,
    link: Link,
) -> Info:
    """Store a file; share its blocks or use the file itself where the filesystem allows it."""
    if link in {"hardlink", "move"}:
        _check_movable(parts, os.fspath(source), moves=link == "move")
    fd = open_source(source)
    try:
        small = read_small(parts, fd, os.fspath(source))
        if small is not None:
            info: Info | None = add_bytes(parts, small, expected, labels)
        elif link in {"hardlink", "move"}:
            info = _take_over(parts, fd, os.fspath(source), expected, labels)
        else:
            info = None if link == "copy" else _clone(parts, fd, expected, labels)
        if info is None:
            os.lseek(fd, 0, os.SEEK_SET)
            bounded = parts.sharing.bounded
            size = files.stat_open(fd, os.fspath(source)).st_size if bounded else 0
            info = add_stream(parts, reading_file(fd, os.fspath(source)), expected, labels, size)
        if link == "move":
            _check_stored(parts, fd, os.fspath(source), Digest(info.digest))
            remove_moved(fd, os.fspath(source))
        return info
    finally:
        files.let_go(fd)


def read_small(parts: Parts, fd: int, path: str) -> bytes | None:
    """Return the bytes of an open source file that goes into a pack; None for a larger one."""
    if parts.packs is None or not parts.packs_up(files.stat_open(fd, path).st_size):
        return None
    buffer = bytearray(parts.packs.below)
    fill, taken = reading_file(fd, path), 0
    while taken < len(buffer) and (count := fill(memoryview(buffer)[taken:])):
        taken += count
    return bytes(buffer[:taken]) if taken < len(buffer) else None


def _check_movable(parts: Parts, path: str, *, moves: bool) -> None:
    """Raise if the path is a file of this store, or what `check_movable` refuses."""
    if os.path.realpath(path).startswith(os.path.join(parts.root, "")):  # noqa: PTH118 - pathlib is slow to import
        raise InvalidArgumentError(f"{path} is the store's own file; copy it, if you mean that")
    check_movable(path, moves=moves)


def _clone(parts: Parts, fd: int, expected: Digest | None, labels: Labelling) -> Info | None:
    """Store a file by sharing its blocks (reflink); return None where that is impossible."""
    with closing(Reservation(parts)) as room, closing(Temporary(parts)) as file:
        if not files.clone(fd, file.fd):
            return None
        room.cover(files.stat_open(file.fd, file.path).st_size)
        candidate = _hash(parts, file.fd, file.path, expected, labels)
        known = label_stored(parts, candidate.digest, labels)
        return known or _finish(parts, candidate, file, room)


def _hash(
    parts: Parts, fd: int, path: str, expected: Digest | None, labels: Labelling
) -> Candidate:
    algorithm = expected.algorithm if expected else DEFAULT_ALGORITHM
    with closing(Sink(fd, path, algorithm, durable=False)) as sink:
        sink.take_what_is_there(files.stat_open(fd, path).st_size)
        check_digest(sink.digest, expected)
        return candidate_of(parts, sink.digest, sink.size, sink.checksum, labels)


class _Taken:
    """A source file that becomes the blob itself: sealed before it was hashed, and synced."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def seal(self, now_ns: int) -> None:
        pass

    def sync(self) -> None:
        pass

    def link(self, directory: Directory, name: str) -> bool:
        return files.link_unnamed(self._fd, directory, name)

    def content(self) -> bytes:
        """Return all bytes of the source."""
        return files.read_from_start(self._fd, "the source")

    def take_away(self) -> None:
        """Leave the name of the source, which is the caller's."""


def _take_over(
    parts: Parts, fd: int, path: str, expected: Digest | None, labels: Labelling
) -> Info | None:
    """Make the source file itself the blob; it becomes read-only before it is hashed.

    Return None where that is impossible: the file is on another filesystem, belongs to another
    user, has all the links that it may have, or is open for writing, so that a process could
    change the blob. Also in the store of a group: the file may not belong to that group.
    """
    found = files.stat_open(fd, path)
    there = files.stat_open(parts.ingest.fd, parts.ingest.path)
    if not files.is_private_file(found) or found.st_dev != there.st_dev:
        return None
    if parts.ingest.group is not None:
        return None
    files.make_read_only(fd, path)
    if files.has_writer(fd):
        files.set_mode(fd, found.st_mode & 0o7777, path)
        return None
    # A process may have a cached Info of a deleted blob with this file's old time.
    now_ns = time.time_ns() & ~1
    files.stamp(fd, now_ns, path)
    stamped = files.stat_open(fd, path)
    try:
        candidate = _hash(parts, fd, path, expected, labels)
        candidate.now_ns = candidate.whole_ns = now_ns
        if (known := label_stored(parts, candidate.digest, labels)) is not None:
            return known
        if parts.durable:
            files.sync(fd, path)
        check_unchanged(fd, stamped, path)
        with closing(Reservation(parts)) as room:
            return _finish(parts, candidate, _Taken(fd), room)
    except StorageError as error:
        if error.errno not in files.LINK_REFUSED:
            raise
        return None
    finally:
        now = files.stat_open(fd, path)
        if now.st_nlink <= found.st_nlink:  # it has not become a blob
            files.set_mode(fd, found.st_mode & 0o7777, path)
            if now.st_mtime_ns == stamped.st_mtime_ns:
                files.stamp(fd, found.st_mtime_ns, path)


def _check_stored(parts: Parts, fd: int, path: str, digest: Digest) -> None:
    """Read the stored blob before its source is removed; heal it from the source if damaged.

    Bit rot changes no file time, so only a read finds it; the source may be the last good copy.
    """
    for _ in range(_HEALINGS):
        found = parts.shards.stat(digest)
        is_source = found is not None and os.path.samestat(found, files.stat_open(fd, path))
        if is_source or why_stored_damaged(parts, digest) is None:
            return
        quarantine(parts, digest)
        os.lseek(fd, 0, os.SEEK_SET)
        add_stream(parts, reading_file(fd, path), digest, labelling(None))
    raise CorruptBlobError(
        digest, parts.shards.path(digest), f"it cannot be healed; {path} is kept"
    )
