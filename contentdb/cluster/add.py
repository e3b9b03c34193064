"""Content without a ref: it comes in, is hashed, and waits in memory or in segments for its row."""

from __future__ import annotations

import errno
import os
from pathlib import Path
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
from contentdb.errors import ContentDBError, InvalidArgumentError, StorageError
from contentdb.logs import swallow
from contentdb.store_folder import is_store
from contentdb.streams.pump import pump
from contentdb.streams.source import bytes_of, open_source, reading, reading_file

if TYPE_CHECKING:
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
    algorithm = DEFAULT_ALGORITHM if expected is None else expected.algorithm
    view = bytes_of(source)
    if view is not None and len(view) <= SEGMENT_BYTES:
        hasher = Hasher(algorithm)
        hasher.update(view)
        check_digest(hasher.digest, expected)
        return Content(hasher.digest, len(view), hasher.checksum, view, None)
    intake = _Intake(resources, algorithm)
    try:
        _pump(intake, view, source)
        return _taken(intake, expected)
    except BaseException:
        discard(resources, intake.segments)
        raise


def _pump(intake: _Intake, view: bytes | memoryview | None, source: object) -> None:
    if view is not None:
        for at in range(0, len(view), SEGMENT_BYTES):
            intake.feed(memoryview(view)[at : at + SEGMENT_BYTES])
    elif isinstance(source, os.PathLike):
        fd = open_source(source)
        try:
            pump(reading_file(fd, os.fspath(source)), intake)
        finally:
            files.let_go(fd)
    else:
        pump(reading(source), intake)


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
    moved = link == "move" and isinstance(source, os.PathLike)
    if expected is not None and not moved:
        known = label_stored(resources, namespace, expected, labels)
        if known is not None:
            return known
    if moved:
        _check_outside(os.fspath(source))  # type: ignore[call-overload]
    content = take(resources, source, expected)
    if moved:
        examine(resources, content.digest)  # the last good copy may be the one that is moved
    info = _add(resources, namespace, content, labels)
    if moved:
        _remove(source)  # type: ignore[arg-type]
    return info


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


def _check_outside(path: str) -> None:
    """Raise if a path that is to be moved is a file of a store, or a symbolic link."""
    real = Path(os.path.realpath(path))
    for folder in real.parents:
        if is_store(folder):
            raise InvalidArgumentError(f"{path} is a file of the store at {folder}; copy it")
    if Path(path).is_symlink():
        raise InvalidArgumentError(f"{path} is a symbolic link; move {real} itself, or copy it")


def _remove(source: os.PathLike[str]) -> None:
    path = os.fspath(source)
    try:
        Path(path).unlink()
    except OSError as error:
        raise StorageError.of("remove", path, error) from error
