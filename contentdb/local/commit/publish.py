"""A verified file becomes a blob: it gets its name, then its row, an order that survives a crash.

The file's bytes are on disk before its name, its name is on disk before its row, and no sync
happens under the database's write lock. A crash after any step leaves at worst a whole file
without a row. `publish` is steps C3 to C7 of docs/design.md; C0 to C2 are in
`contentdb.local.ingest`.
"""

from __future__ import annotations

import os

from contentdb import files
from contentdb.errors import ContentDBError, CorruptBlobError
from contentdb.light_typing import TYPE_CHECKING, Protocol
from contentdb.local.commit.stored import find_stored
from contentdb.local.file_times import is_time_of
from contentdb.local.index import Outcome, State
from contentdb.local.layout import ENCODED
from contentdb.values import Info, NewInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.files import Directory
    from contentdb.local.commit.candidate import Candidate
    from contentdb.local.packs.append import Packing
    from contentdb.local.resources import Parts

__all__ = [
    "Unpublished",
    "conclude",
    "link_or_replace",
    "pack_all",
    "pack_up",
    "publish",
    "replace_file",
]

_ATTEMPTS: Final = 100
"""How many deletes of the same digest a commit can survive."""

_VOUCHED: Final = frozenset({State.LIVE})


def conclude(parts: Parts, candidate: Candidate, outcome: Outcome) -> Info:
    """Return the Info of a blob after it was recorded; a new one needs no query.

    A healed blob is not new: it keeps its labels and its time of creation.
    """
    info = candidate.info()
    parts.met.note(candidate.digest)
    if outcome is not Outcome.CREATED:
        return find_stored(parts, candidate.digest, recorded=True) or info
    parts.known.put(info)
    if parts.durable:
        parts.known.secured(info)
    return NewInfo.of(info)


class Unpublished(Protocol):
    """A whole, verified file that is to become a blob."""

    def seal(self, now_ns: int) -> None:
        """Give the file the mode and the time of a blob."""
        ...

    def sync(self) -> None:
        """Put the file's bytes on disk, if the store is durable."""
        ...

    def link(self, directory: Directory, name: str) -> bool:
        """Give the file a name in a directory; return False if that name is taken."""
        ...

    def content(self) -> bytes:
        """Return all bytes of the file, which are few enough for a pack."""
        ...

    def take_away(self) -> None:
        """Remove the name that the file had before; the blob's name stays."""
        ...


def publish(parts: Parts, candidate: Candidate, file: Unpublished) -> Outcome:
    """Make a file a blob: name it, and record it; durable when it returns.

    Args:
        parts: The store.
        candidate: The facts of the file.
        file: The file, which is whole and verified.

    Returns:
        CREATED, HEALED, EXISTS, or FENCED if another writer took the ref: nothing was recorded.

    Raises:
        CorruptBlobError: The blob was deleted again and again meanwhile.
        DurabilityError: A sync failed; nothing was recorded.
    """
    digest = candidate.digest
    if parts.packs_up(candidate.size):
        outcome = pack_up(parts, candidate, file.content())  # P1 to P3
        if outcome is not Outcome.FENCED:
            file.take_away()
        return outcome
    file.seal(candidate.now_ns)  # C3
    file.sync()
    key = id(candidate)
    parts.in_flight[key] = digest
    try:
        for _ in range(_ATTEMPTS):
            shard = parts.shards.shard_to_name_in(digest)
            try:
                link_or_replace(parts, candidate, shard, file.link)  # C4
                if parts.durable:
                    files.sync_directory(shard)  # C5
            finally:
                shard.close()
            (outcome,) = parts.index.record([candidate])  # C6: from here there is no way back
            if outcome is not Outcome.GONE:
                break
        else:
            path = parts.shards.path(digest)
            raise CorruptBlobError(digest, path, "its file is removed again and again")
    finally:
        parts.in_flight.pop(key, None)  # a single call, so that no signal handler runs before it
    if outcome is not Outcome.FENCED:
        file.take_away()  # C7: any process can do that, at any time
    return outcome


def pack_up(parts: Parts, candidate: Candidate, data: bytes | memoryview) -> Outcome:
    """Make content a packed blob; durable when it returns. Raise as `publish`."""
    from contentdb.local.packs.append import Packing  # few stores have packs

    (outcome,) = pack_all(parts, [Packing(candidate, data)])
    if isinstance(outcome, ContentDBError):
        raise outcome
    return outcome


def pack_all(parts: Parts, packings: list[Packing]) -> list[Outcome | ContentDBError]:
    """Make packed blobs together; return the outcome of each. Raise as `publish`."""
    if parts.appender is None:
        parts.refuse_writing()
    return parts.appender.append(packings)


def link_or_replace(
    parts: Parts,
    candidate: Candidate,
    shard: Directory,
    link: Callable[[Directory, str], bool],
) -> None:
    """Link the file into its open shard; replace a damaged file that has its name."""
    candidate.only_if = None
    candidate.whole_ns = candidate.now_ns
    name = candidate.digest[ENCODED]
    if not link(shard, name) and not _is_whole(parts, candidate):
        replace_file(parts, shard, name, link)


def _is_whole(parts: Parts, candidate: Candidate) -> bool:
    """Return whether the file that has the name holds the same content, and is on disk.

    Where a row vouches for it, its size and time are enough, as long as that row stays. Otherwise
    it is read, and synced: the process that made it may not have synced it yet.
    """
    shards = parts.shards
    if not candidate.present() or candidate.seen_ns is None:
        return False
    candidate.whole_ns = candidate.seen_ns
    row = parts.index.blob(candidate.digest)
    if (
        row is not None
        and row.state == State.LIVE
        and is_time_of(candidate.seen_ns, row.updated_ns)
    ):
        candidate.only_if = _VOUCHED
        return True
    if not shards.holds(candidate.digest, candidate.size, candidate.checksum):
        candidate.whole_ns = candidate.now_ns  # our file replaces it
        return False
    if parts.durable and (fd := shards.open(candidate.digest)) is not None:
        try:
            files.sync(fd, candidate.digest)
        finally:
            files.let_go(fd)
    return True


def replace_file(
    parts: Parts, shard: Directory, name: str, link: Callable[[Directory, str], bool]
) -> None:
    """Replace a damaged file by ours in one rename."""
    for _ in range(_ATTEMPTS):
        second = f"heal-{os.urandom(8).hex()}"
        try:
            link(parts.trash, second)
            files.rename(parts.trash, second, shard, name)
        except FileNotFoundError:  # another process emptied the trash
            continue
        except BaseException:
            files.unlink(parts.trash, second)
            raise
        return
