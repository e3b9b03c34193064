"""From a whole, verified file to a blob: its name, its row, in the order that survives a crash.

The file's bytes are on disk before its name, its name is on disk before its row, and no sync
happens under the database's write lock. A crash after any step leaves at worst a whole file
without a row.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.content import Info, NewInfo
from contentdb.errors import CorruptBlobError, StorageError
from contentdb.index import Outcome, State
from contentdb.labels import Labelling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.parts import Parts
    from contentdb.shards import Shards

__all__ = [
    "Candidate",
    "give_name",
    "link_or_replace",
    "looked_up",
    "publish",
    "put_on_disk",
    "settled",
    "stored",
]

_ATTEMPTS: Final = 100
"""Deletes of one digest that a commit of it outlasts."""

_VOUCHED: Final = frozenset({State.LIVE})


class Candidate:
    """What is to become a blob, or has just become one; plays `contentdb.index.Entry`."""

    __slots__ = ("checksum", "digest", "labelling", "now_ns", "only_if", "ref",
                 "shards", "size", "token")  # fmt: skip

    def __init__(  # noqa: PLR0913 - it is what a row is made of
        self,
        shards: Shards,
        digest: Digest,
        size: int,
        checksum: int,
        labels: Mapping[str, str],
        now_ns: int,
        ref: str | None = None,
        token: str | None = None,
        *,
        keep_labels: bool = False,
    ) -> None:
        """With ``keep_labels`` a blob that is stored already keeps its labels as they are."""
        self.shards = shards
        self.digest = digest
        self.size = size
        self.checksum = checksum
        self.labelling = Labelling(labels, {} if keep_labels else labels)
        self.now_ns = now_ns
        self.ref = ref
        self.token = token
        self.only_if: frozenset[int | None] | None = None

    def present(self) -> bool:
        """Whether the blob's file still has its name and size: one stat."""
        return self.shards.size(self.digest) == self.size

    def stamp(self, moment_ns: int) -> None:
        """Set the time of the blob's file; see `contentdb.known`."""
        self.shards.stamp(self.digest, moment_ns)

    def label(self, later: Labelling) -> None:
        """Let another call with the same content set its labels too."""
        self.labelling = self.labelling.then(later)

    def info(self) -> Info:
        """The Info of a blob that was made by recording this."""
        labels = dict(self.labelling.new) or None
        return Info(self.digest, self.size, self.now_ns, self.now_ns, labels)


def stored(parts: Parts, digest: Digest) -> Info | None:
    """Look up what need not be stored again: as `looked_up`, and as durable as the store is."""
    info = looked_up(parts, digest)
    if info is not None and parts.durable and parts.sharing.unsynced:
        _secure(parts, digest, info)
    return info


def _secure(parts: Parts, digest: Digest, info: Info) -> None:
    """Put a blob on disk that may have come without a sync: its bytes, its name, its row."""
    if parts.known.is_secured(info):
        return
    if put_on_disk(parts, digest):
        parts.index.harden(digest)
        parts.known.secured(info)


def put_on_disk(parts: Parts, digest: Digest) -> bool:
    """Sync a blob's bytes, and its name; False if it was deleted in this moment."""
    fd = parts.shards.open(digest)
    if fd is None:
        return False
    try:
        files.sync(fd, digest)
    finally:
        files.let_go(fd)
    shard = parts.shards.shard(digest)
    try:
        files.sync_directory(shard)
    finally:
        shard.close()
    return True


def looked_up(parts: Parts, digest: Digest) -> Info | None:
    """Look a blob up; None unless its row is live and its file there with the row's size.

    The file is asked first: for new content, which is the common case, that is all.
    """
    found = parts.shards.stat(digest)
    if found is None:
        return None
    if (known := parts.known.get(digest, found)) is not None:
        return known
    row = parts.index.blob(digest)
    if row is None or row.state != State.LIVE or row.size != found.st_size:
        return None
    info = parts.index.info(digest, row)
    parts.known.put(info)
    return info


def settled(parts: Parts, candidate: Candidate, outcome: Outcome) -> Info:
    """The Info of a blob after its recording: a new one is known without asking for it.

    A healed blob is not new: it has the labels and the time of creation that it had.
    """
    info = candidate.info()
    if outcome is not Outcome.CREATED:
        return stored(parts, candidate.digest) or info
    parts.known.put(info)
    return NewInfo.of(info)


def publish(parts: Parts, candidate: Candidate, link: Callable[[Directory, str], bool]) -> Outcome:
    """Name a file whose bytes are on disk, and record it; durable when it returns.

    Args:
        parts: The store.
        candidate: What is known of the file, which is whole and verified.
        link: Gives the file a name in a directory; False if that name is taken.

    Returns:
        CREATED, HEALED, EXISTS, or FENCED, when nothing was recorded.

    Raises:
        CorruptBlobError: The blob was deleted again and again meanwhile.
    """
    for _ in range(_ATTEMPTS):
        give_name(parts, candidate, link)
        (outcome,) = parts.index.record([candidate])
        if outcome is not Outcome.GONE:
            return outcome
    path = parts.shards.path(candidate.digest)
    raise CorruptBlobError(candidate.digest, path, "its file is removed again and again")


def give_name(parts: Parts, candidate: Candidate, link: Callable[[Directory, str], bool]) -> None:
    """Give the file its name in its shard, and put that name on disk."""
    parts.shards.make(candidate.digest.algorithm)
    shard = parts.shards.shard(candidate.digest)
    try:
        link_or_replace(parts, candidate, shard, link)
        if parts.durable:
            files.sync_directory(shard)
    finally:
        shard.close()


def link_or_replace(
    parts: Parts,
    candidate: Candidate,
    shard: Directory,
    link: Callable[[Directory, str], bool],
) -> None:
    """Give the file its name in its open shard, over a damaged file that has it."""
    candidate.only_if = None
    if not link(shard, candidate.digest.encoded) and not _is_whole(parts, candidate):
        _replace(parts, shard, candidate.digest.encoded, link)


def _is_whole(parts: Parts, candidate: Candidate) -> bool:
    """Whether the file that has the name already holds the same content, and safely.

    Where a row vouches for it, its size is enough, as long as that row stays. Otherwise it is
    read, and synced: whoever made it may have been about to.
    """
    shards = parts.shards
    if not candidate.present():
        return False
    row = parts.index.blob(candidate.digest)
    if row is not None and row.state == State.LIVE:
        candidate.only_if = _VOUCHED
        return True
    if not shards.holds(candidate.digest, candidate.size, candidate.checksum):
        return False
    if parts.durable and (fd := shards.open(candidate.digest)) is not None:
        try:
            files.sync(fd, candidate.digest)
        finally:
            files.let_go(fd)
    return True


def _replace(
    parts: Parts, shard: Directory, name: str, link: Callable[[Directory, str], bool]
) -> None:
    """Put the file in the place of a damaged one, in one step."""
    for _ in range(_ATTEMPTS):
        second = f"heal-{os.urandom(8).hex()}"
        link(parts.trash, second)
        try:
            files.rename(parts.trash, second, shard, name)
        except FileNotFoundError:  # somebody emptied the trash
            continue
        except StorageError:
            files.unlink(parts.trash, second)
            raise
        return
