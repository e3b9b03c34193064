"""Write and hash one source for a group, unless its content is stored already."""

from __future__ import annotations

import os

from contentdb import files
from contentdb.declared import check_digest
from contentdb.digest import DEFAULT_ALGORITHM, Digest, checksum_of
from contentdb.errors import ContentDBError
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.commit.add import (
    add_bytes,
    add_path,
    label_stored,
    read_small,
    write_hashed,
)
from contentdb.local.commit.candidate import candidate_of
from contentdb.local.commit.items import Small, Temp
from contentdb.local.reservation import reserving
from contentdb.streams.source import bytes_of, open_source, reading, reading_file
from contentdb.values import Info, NewInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.labels import Labelling
    from contentdb.local.commit.candidate import Candidate
    from contentdb.local.commit.group_commit import Group
    from contentdb.local.commit.items import Item
    from contentdb.local.commit.stored import Owe
    from contentdb.local.resources import Parts

__all__ = ["Joined", "answer_stored", "write_into"]


class Joined(NamedTuple):
    """A source whose content is in a group; ``is_first`` if this source brought it."""

    item: Item
    is_first: bool

    def answer(self) -> Info | ContentDBError:
        """Return the Info or the error, after the group was flushed."""
        result = self.item.result
        if result is None:
            raise RuntimeError("an item of a flushed group has no result")
        if isinstance(result, NewInfo) and not self.is_first:
            return result.known()
        return result

    def expected_answer(self) -> Info:
        """Return the Info that the blob will have, before the group is flushed."""
        info = self.item.candidate.info()
        return NewInfo.of(info) if self.is_first else info


def write_into(
    group: Group, parts: Parts, source: object, wanted: str | None, labels: Labelling
) -> Info | Joined:
    """Write a source for a group; if its content is stored already, return its Info instead.

    Raises:
        ContentDBError: The source is bad; the group is unchanged.
    """
    expected = None if wanted is None else Digest(wanted)
    if expected is not None and (known := _reuse(group, parts, expected, labels)) is not None:
        return known
    data = bytes_of(source)
    if data is not None:
        return _write_bytes(group, parts, data, expected, labels)
    if isinstance(source, os.PathLike):
        return _write_path(group, parts, source, expected, labels)
    return _write_stream(group, parts, reading(source), expected, labels)


def _reuse(group: Group, parts: Parts, digest: Digest, labels: Labelling) -> Info | Joined | None:
    return _reuse_own(group, digest, labels) or label_stored(parts, digest, labels, group.owe_sync)


def _reuse_own(group: Group, digest: Digest, labels: Labelling) -> Joined | None:
    item = group.known(digest)
    if item is None:
        return None
    item.candidate.label(labels)
    return Joined(item, is_first=False)


def answer_stored(parts: Parts, items: list[Item], owe_sync: Owe) -> list[Item]:
    """Give their results to those items whose content is stored already, and return them.

    One statement looks for all of them; most are new.
    """
    digests = [item.candidate.digest for item in items]
    with_rows = parts.index.which_have_rows(digests)
    found = [item for item in items if item.candidate.digest in with_rows] if with_rows else []
    for item in found:
        digest, labels = item.candidate.digest, item.candidate.labelling
        try:
            item.result = label_stored(parts, digest, labels, owe_sync)
        except ContentDBError as error:
            item.result = error
    return [item for item in found if item.result is not None]


class _FromBytes(Temp):
    """An item whose content is in memory."""

    __slots__ = ("data",)
    data: bytes | memoryview

    def again(self) -> Info:
        found = self.candidate
        return add_bytes(self.parts, self.data, found.digest, found.labelling)


class _FromPath(Temp):
    """An item whose source file can be read again."""

    __slots__ = ("path",)
    path: os.PathLike[str]

    def again(self) -> Info:
        found = self.candidate
        return add_path(self.parts, self.path, found.digest, found.labelling, "copy")


def _write_bytes(
    group: Group,
    parts: Parts,
    data: bytes | memoryview,
    expected: Digest | None,
    labels: Labelling,
) -> Info | Joined:
    is_small = parts.packs_up(len(data))
    if is_small:
        data = bytes(data)  # the caller may change it before the group is written
    digest = Digest.of(data, expected.algorithm if expected else DEFAULT_ALGORITHM)
    check_digest(digest, expected)
    known: Info | Joined | None
    if is_small and group.looks_later:
        known = _reuse_own(group, digest, labels)
    else:
        known = _reuse(group, parts, digest, labels)
    if known is not None:
        return known
    group.cover(len(data))
    candidate = candidate_of(parts, digest, len(data), checksum_of(data), labels)
    if is_small:
        return Joined(group.join(Small(candidate, data)), is_first=True)
    name, fd = group.new_file()
    path = parts.ingest.child(name)
    try:
        files.write_all(fd, data, path)
        files.seal(fd, path, candidate.now_ns)
    except BaseException:
        files.unlink(parts.ingest, name)
        raise
    finally:
        files.close(fd, path)
    item = _FromBytes(parts, name, candidate)
    item.data = data
    return Joined(group.join(item), is_first=True)


def _write_path(
    group: Group,
    parts: Parts,
    source: os.PathLike[str],
    expected: Digest | None,
    labels: Labelling,
) -> Info | Joined:
    fd = open_source(source)
    try:
        small = read_small(parts, fd, os.fspath(source))
        if small is not None:
            return _write_bytes(group, parts, small, expected, labels)
        os.lseek(fd, 0, os.SEEK_SET)
        fill = reading_file(fd, os.fspath(source))
        return _write_stream(group, parts, fill, expected, labels, source)
    finally:
        files.let_go(fd)


def _write_stream(
    group: Group,
    parts: Parts,
    fill: Callable[[memoryview], int],
    expected: Digest | None,
    labels: Labelling,
    source: os.PathLike[str] | None = None,
) -> Info | Joined:
    name, fd = group.new_file()
    path = parts.ingest.child(name)
    kept = False
    try:
        try:
            fill = reserving(fill, group.cover)
            candidate = write_hashed(parts, fd, path, fill, expected, labels)
            known = _reuse(group, parts, candidate.digest, labels)
            if known is None and parts.packs_up(candidate.size):
                item = Small(candidate, files.read_from_start(fd, path))
                return Joined(group.join(item), is_first=True)
            if known is None:
                files.seal(fd, path, candidate.now_ns)
        finally:
            files.close(fd, path)
        kept = known is None
        if known is not None:
            return known
        return Joined(group.join(_item(parts, name, candidate, source)), is_first=True)
    finally:
        if not kept:
            files.unlink(parts.ingest, name)


def _item(parts: Parts, name: str, candidate: Candidate, source: os.PathLike[str] | None) -> Temp:
    if source is None:
        return Temp(parts, name, candidate)
    item = _FromPath(parts, name, candidate)
    item.path = source
    return item
