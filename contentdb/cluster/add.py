"""Content without a ref: it comes in, is hashed, and waits in memory or in segments for its row."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb import files
from contentdb.cluster.catalog.record import Candidate, FencedError, trash
from contentdb.cluster.damage import examine
from contentdb.cluster.publish import (
    conclude,
    label_stored,
    place_bytes,
    place_runs,
    publish,
)
from contentdb.cluster.segments import SEGMENT_BYTES, Segments
from contentdb.declared import check_digest
from contentdb.digest import DEFAULT_ALGORITHM, Digest, Hasher
from contentdb.errors import ContentDBError, StorageError
from contentdb.logs import swallow
from contentdb.streams.pump import pump
from contentdb.streams.source import (
    bytes_of,
    check_movable,
    open_source,
    reading,
    reading_file,
    remove_moved,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from contentdb.cluster.extents import Place
    from contentdb.cluster.resources import Resources
    from contentdb.content import Info, Link
    from contentdb.labels import Labelling

__all__ = ["Content", "add", "discard", "judged_dead", "place", "take"]

_LEFT: Final = "objects that are not needed stay until this process has ended, and a prune ran"
_TRIES: Final = 5
"""How often content may be written again because a prune judged this process dead."""


class Content(NamedTuple):
    """Content that came in whole, and its bytes: in memory, or in segments."""

    digest: Digest
    size: int
    checksum: int
    data: bytes | memoryview | None
    segments: Segments | None

    def candidate(self, place: Place, labels: Labelling) -> Candidate:
        """Return the candidate for its row."""
        return Candidate(self.digest, self.size, self.checksum, place, labels)


class _Intake:
    """A sink of `pump`: it hashes, and keeps bytes as segments."""

    def __init__(self, resources: Resources, algorithm: str) -> None:
        self.segments = Segments(resources)
        self.hasher = Hasher(algorithm)

    def feed(self, data: Buffer, /) -> None:
        """Take a piece in."""
        self.segments.add(memoryview(data).cast("B"))
        self.hasher.update(data)

    def settle(self, *, pending: int = 0) -> None:
        """Return at once: the piece was copied."""


def take(resources: Resources, source: object, expected: Digest | None) -> Content:
    """Read and hash a source; what is longer than a segment is written on the way.

    Raises:
        DigestMismatchError: It is not what was expected.
    """
    view = bytes_of(source)
    if view is not None and len(view) <= SEGMENT_BYTES:
        hasher = Hasher(_algorithm(expected))
        hasher.update(view)
        check_digest(hasher.digest, expected)
        return Content(hasher.digest, len(view), hasher.checksum, view, None)
    if view is not None:
        return _collect(resources, expected, lambda sink: _feed(sink, view))
    if not isinstance(source, os.PathLike):
        fill = reading(source)
        return _collect(resources, expected, lambda sink: pump(fill, sink))
    fd = open_source(source)
    try:
        return _take_file(resources, fd, os.fspath(source), expected)
    finally:
        files.let_go(fd)


def _take_file(resources: Resources, fd: int, path: str, expected: Digest | None) -> Content:
    """Read and hash an open file as `take` does."""
    fill = reading_file(fd, path)
    return _collect(resources, expected, lambda sink: pump(fill, sink))


def _algorithm(expected: Digest | None) -> str:
    return DEFAULT_ALGORITHM if expected is None else expected.algorithm


def _collect(
    resources: Resources, expected: Digest | None, bring: Callable[[_Intake], object]
) -> Content:
    intake = _Intake(resources, _algorithm(expected))
    try:
        bring(intake)
        return _taken(intake, expected)
    except BaseException:
        discard(resources, intake.segments)
        raise


def _feed(intake: _Intake, view: bytes | memoryview) -> None:
    for at in range(0, len(view), SEGMENT_BYTES):
        intake.feed(memoryview(view)[at : at + SEGMENT_BYTES])


def discard(resources: Resources, segments: Segments | None) -> None:
    """Put the objects of content that is not needed into the trash."""
    if segments is None or segments.is_small:
        return
    with swallow("cluster.add", _LEFT, ContentDBError):
        segments.wait()
        segments.finish_way()
    with swallow("cluster.add", _LEFT, ContentDBError):
        resources.database.transact(lambda connection: trash(connection, segments.runs))


def _taken(intake: _Intake, expected: Digest | None) -> Content:
    segments, hasher = intake.segments, intake.hasher
    check_digest(hasher.digest, expected)
    if segments.is_small:
        data = bytes(segments.buffer)
        return Content(hasher.digest, len(data), hasher.checksum, data, None)
    segments.finish()
    return Content(hasher.digest, segments.size, hasher.checksum, None, segments)


def place(resources: Resources, content: Content) -> Place:
    """Write what is not in the object store yet; return the place of it all."""
    if content.segments is not None:
        return place_runs(resources, content.digest, content.segments)
    return place_bytes(resources, content.digest, bytes(content.data or b""))


def add(
    resources: Resources,
    namespace: str,
    source: object,
    expected: Digest | None,
    labels: Labelling,
    link: Link,
) -> Info:
    """Store one source; a reflink or hard link becomes a copy."""
    if link == "move" and isinstance(source, os.PathLike):
        return _move(resources, namespace, source, expected, labels)
    if expected is not None:
        known = label_stored(resources, namespace, expected, labels)
        if known is not None:
            return known
    return _add(resources, namespace, take(resources, source, expected), labels)


def _move(
    resources: Resources,
    namespace: str,
    source: os.PathLike[str],
    expected: Digest | None,
    labels: Labelling,
) -> Info:
    """Store a file and remove it, unless its path leads to another one by then."""
    path = os.fspath(source)
    check_movable(path)
    fd = open_source(source)
    try:
        content = _take_file(resources, fd, path, expected)
        examine(resources, content.digest)  # the last good copy may be the one that is moved
        info = _add(resources, namespace, content, labels)
        remove_moved(fd, path)
        return info
    finally:
        files.let_go(fd)


def _add(resources: Resources, namespace: str, content: Content, labels: Labelling) -> Info:
    """Store content, again where a prune has judged this process dead in the midst of it."""
    for _ in range(_TRIES):
        inline = content.size <= resources.meta.inline_bytes
        if not inline:
            known = label_stored(resources, namespace, content.digest, labels)
            if known is not None:
                discard(resources, content.segments)
                return known
        try:
            candidate = content.candidate(place(resources, content), labels)
            return conclude(resources, namespace, publish(resources, namespace, candidate))
        except FencedError as error:
            resources.session.renew(error.args[0])
            if content.segments is not None:  # some of them may be removed by now
                break
    raise judged_dead(content.digest)


def judged_dead(digest: Digest) -> StorageError:
    """Return the error for content whose process was judged dead while it was stored."""
    reason = "a prune took this process for dead meanwhile; store the content again"
    return StorageError("store", str(digest), OSError(errno.ESTALE, reason))
