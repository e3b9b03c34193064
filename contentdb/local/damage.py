"""Check whether a blob's file is whole, by its bytes, and move a damaged one to quarantine."""

from __future__ import annotations

import errno
import os

from contentdb import files
from contentdb.digest import MISMATCH, new_hash
from contentdb.errors import ContentDBError, StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import State
from contentdb.local.layout import quarantine_name
from contentdb.local.packed import lose_record, why_record_damaged
from contentdb.logs import swallow, warn
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.local.blobs import Shards
    from contentdb.local.resources import Parts

__all__ = [
    "damage_of",
    "look",
    "quarantine",
    "read_again",
    "sync_blob",
    "sync_shard",
    "why_damaged",
    "why_stored_damaged",
]

_READ_AGAIN: Final = (
    "the time of a blob's file could not be set; it is read once more, the next time"
)

_OF_THIS_PROCESS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def why_damaged(shards: Shards, digest: Digest) -> str | None:
    """Compare a blob's file with its digest; return what is wrong, or None."""
    try:
        fd = shards.open(digest)
    except ContentDBError as error:
        return damage_of(error)
    if fd is None:
        return "it is gone"
    try:
        running = new_hash(digest.algorithm)
        while piece := files.read(fd, PIECE_BYTES, digest):
            running.update(piece)
    except ContentDBError as error:
        return damage_of(error)
    finally:
        files.let_go(fd)
    return None if running.hexdigest() == digest.encoded else MISMATCH


def why_stored_damaged(parts: Parts, digest: Digest) -> str | None:
    """Read a blob, packed or loose; return what is wrong with it, or None."""
    row = None if parts.packs is None else parts.index.blob(digest)
    if row is not None and row.state == State.LIVE and row.location is not None:
        return why_record_damaged(parts, digest, row)
    return why_damaged(parts.shards, digest)


def damage_of(error: ContentDBError) -> str:
    """Return what an error says of a file; raise it if it says something of this process only."""
    if isinstance(error, StorageError) and error.errno in _OF_THIS_PROCESS:
        raise error
    return str(error)


def read_again(parts: Parts, digest: Digest) -> bool:
    """Read a blob that no time vouches for; if it is whole, restore its row's time, return True.

    It is synced before it gets that time: it may have been copied to its place just now.
    """
    found = look(parts, digest)
    if found is None or why_damaged(parts.shards, digest) is not None:
        return False
    if parts.durable:
        sync_blob(parts, digest)
    with swallow("local.damage", _READ_AGAIN, ContentDBError, digest=digest):
        parts.index.restamp(
            digest, parts.shards.time(digest), lambda: _is_unchanged(found, look(parts, digest))
        )
    return True


def quarantine(parts: Parts, digest: Digest) -> bool:
    """Move a damaged file to quarantine and mark its row, if it is still damaged; durable."""
    row = None if parts.packs is None else parts.index.blob(digest)
    location = None if row is None else row.location
    if location is not None and lose_record(parts, digest, location):
        return True
    found = look(parts, digest)
    if found is None or why_damaged(parts.shards, digest) is None:
        return False
    name = quarantine_name(digest)

    def take_away() -> bool:
        """Move the file, unless a healed one has replaced it."""
        return _is_unchanged(found, look(parts, digest)) and parts.shards.move(
            digest, parts.quarantine, name
        )

    moved = parts.index.mark_damaged(digest, take_away)  # not that of a packed blob
    if moved:
        sync_shard(parts, digest)
        files.sync_directory(parts.quarantine)
        warn("local.damage", "a damaged blob was put into quarantine", digest=digest, file=name)
    return moved


def look(parts: Parts, digest: Digest) -> os.stat_result | None:
    """Return the stat of what has the blob's name, a file of ours or not; None if nothing has."""
    try:
        shard = parts.shards.shard(digest)
    except StorageError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    try:
        return files.stat_name(shard, digest.encoded)
    finally:
        shard.close()


def _is_unchanged(found: os.stat_result, now: os.stat_result | None) -> bool:
    """Return whether a file is still the one that was read, and unchanged."""
    return (
        now is not None
        and os.path.samestat(now, found)
        and (now.st_mtime_ns, now.st_ctime_ns) == (found.st_mtime_ns, found.st_ctime_ns)
    )


def sync_blob(parts: Parts, digest: Digest) -> bool:
    """Put a blob's bytes and its name on disk; return False if it was deleted just now."""
    fd = parts.shards.open(digest)
    if fd is None:
        return False
    try:
        files.sync(fd, digest)
    finally:
        files.let_go(fd)
    sync_shard(parts, digest)
    return True


def sync_shard(parts: Parts, digest: Digest) -> None:
    """Put the names of a blob's shard on disk."""
    shard = parts.shards.shard(digest)
    try:
        files.sync_directory(shard)
    finally:
        shard.close()
