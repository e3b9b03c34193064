"""A verified file becomes a blob: it gets its name, then its row, an order that survives a crash.

The file's bytes are on disk before its name, its name is on disk before its row, and no sync
happens under the database's write lock. A crash after any step leaves at worst a whole file
without a row. `publish` is steps C3 to C7 of docs/design.md; C0 and C1 are in
`contentdb.local.ingest.begin`, C2 in `contentdb.local.ingest.held`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from contentdb import files
from contentdb.content import Info, NewInfo
from contentdb.errors import CorruptBlobError
from contentdb.local.damage import read_again, sync_blob
from contentdb.local.file_times import is_time_of
from contentdb.local.index import Outcome, State
from contentdb.local.layout import ENCODED

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.digest import Digest
    from contentdb.files import Directory
    from contentdb.labels import Labelling
    from contentdb.local.blobs import Shards
    from contentdb.local.resources import Parts

__all__ = [
    "Candidate",
    "Unpublished",
    "conclude",
    "find_stored",
    "link_or_replace",
    "look_up",
    "publish",
]

_ATTEMPTS: Final = 100
"""How many deletes of the same digest a commit can survive."""

_VOUCHED: Final = frozenset({State.LIVE})


class Candidate:
    """The facts of a file that becomes a blob; an `Entry` of `contentdb.local.index`."""

    __slots__ = ("checksum", "digest", "labelling", "now_ns", "only_if", "ref",
                 "seen_ns", "shards", "size", "token", "whole_ns")  # fmt: skip

    def __init__(
        self,
        shards: Shards,
        digest: Digest,
        size: int,
        checksum: int,
        labels: Labelling,
        now_ns: int,
        ref: str | None = None,
        token: str | None = None,
    ) -> None:
        self.shards = shards
        self.digest = digest
        self.size = size
        self.checksum = checksum
        self.labelling = labels
        self.now_ns = now_ns & ~1  # see `contentdb.local.index.record`
        self.ref = ref
        self.token = token
        self.only_if: frozenset[int | None] | None = None
        self.whole_ns = self.now_ns
        """Modification time of the file that is known to be whole: ours, or one with its name."""
        self.seen_ns: int | None = None

    def present(self) -> bool:
        """Return whether the blob's file still has its name and size; one stat."""
        found = self.shards.stat(self.digest)
        self.seen_ns = None if found is None else found.st_mtime_ns
        return found is not None and found.st_size == self.size

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:
        """Set the time that vouches for the file, unless another file has the name by now."""
        seen_ns = self.seen_ns
        if seen_ns is None or seen_ns == moment_ns or is_time_of(seen_ns, moment_ns):
            return
        if seen_ns in {self.whole_ns, instead_of_ns}:
            self.shards.stamp(self.digest, moment_ns)
            self.seen_ns = self.whole_ns = moment_ns

    def label(self, later: Labelling) -> None:
        """Add the labels of another call with the same content."""
        self.labelling = self.labelling.then(later)

    def info(self) -> Info:
        """Return the Info of the blob that recording this candidate makes."""
        labels = dict(self.labelling.new) or None
        return Info(self.digest, self.size, self.now_ns, self.now_ns, labels)


def find_stored(parts: Parts, digest: Digest, *, recorded: bool = False) -> Info | None:
    """Return the Info of a blob that is whole and as durable as the store; else None.

    With ``recorded``, the caller has put its row on disk just now.

    The file's time shows that it is whole. Where it does not, as after a copy or a change of the
    file by hand, the file is read. The file is looked up first: for new content, the common case,
    that is all.
    """
    found = parts.shards.stat(digest)
    if found is None:
        return None
    info = parts.known.get(digest, found) or _look_up(parts, digest, found)
    if info is None or not (_is_vouched_for(parts, info, found) or read_again(parts, digest)):
        return None
    if parts.durable and not parts.known.is_secured(info):
        _secure(parts, digest, info, recorded=recorded)
    return info


def _is_vouched_for(parts: Parts, info: Info, found: os.stat_result) -> bool:
    if is_time_of(found.st_mtime_ns, info[3]):  # by place: a property costs a tenth of a look-up
        return True
    return parts.sharing.several and parts.index.vouches(info.digest, found.st_mtime_ns)


def _secure(parts: Parts, digest: Digest, info: Info, *, recorded: bool) -> None:
    """Put a blob on disk that this process has not put there: its row, and bytes and name too.

    A row is seen before it is on disk. Bytes and name are not only if a process stored without
    durability.
    """
    if parts.sharing.unsynced and not sync_blob(parts, digest):
        return
    if recorded:  # but another process may have changed the row since
        return
    parts.index.sync()
    parts.known.secured(info)


def look_up(parts: Parts, digest: Digest) -> Info | None:
    """Return the Info of a blob; None unless its row is live and its file has the row's size."""
    found = parts.shards.stat(digest)
    if found is None and parts.shards.renew(digest):
        found = parts.shards.stat(digest)
    if found is None:
        return None
    return parts.known.get(digest, found) or _look_up(parts, digest, found)


def _look_up(parts: Parts, digest: Digest, found: os.stat_result) -> Info | None:
    row = parts.index.blob(digest)
    if row is None or row.state != State.LIVE or row.size != found.st_size:
        return None
    info = parts.index.info(digest, row)
    parts.known.put(info)
    return info


def conclude(parts: Parts, candidate: Candidate, outcome: Outcome) -> Info:
    """Return the Info of a blob after it was recorded; a new one needs no query.

    A healed blob is not new: it keeps its labels and its time of creation.
    """
    info = candidate.info()
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
        _replace(parts, shard, name, link)


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


def _replace(
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
