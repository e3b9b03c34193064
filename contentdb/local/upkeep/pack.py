"""Pack what is loose, and unpack what is packed: beside readers and writers, blob by blob.

The new place of a blob is on disk before its row points there, and the old one goes after. Files
that `Store.path` has named before are removed when their blobs are packed.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.errors import CorruptBlobError
from contentdb.labels import NO_LABELS
from contentdb.local.commit.materialise import make_file
from contentdb.local.delete import remove_from_trash, trash_name
from contentdb.local.index import State
from contentdb.local.packed import leave_records, mark_unneeded, return_to_records
from contentdb.local.packs.record import DEAD, encode, facts_of
from contentdb.local.upkeep.copies import Copy, store_copies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.digest import Digest
    from contentdb.local.index import Location
    from contentdb.local.index.packed import LooseBlob
    from contentdb.local.resources import Parts

__all__ = ["pack_loose", "unpack_all"]

_GROUP_COUNT: Final = 200


def pack_loose(parts: Parts, *, dry_run: bool) -> Iterator[Digest]:
    """Pack the loose blobs that are small enough; yield each when it is packed, durably.

    A damaged file is left as it is, for `verify`.
    """
    packs = parts.packs
    if packs is None:
        return
    loose = parts.index.loose_below(packs.below)
    while some := list(islice(loose, _GROUP_COUNT)):
        read = [(one, content) for one in some if (content := _read(parts, one)) is not None]
        if not dry_run and read:
            _pack(parts, read)
        yield from (one.digest for one, _ in read)


def _read(parts: Parts, one: LooseBlob) -> bytes | None:
    fd = parts.shards.open(one.digest)
    if fd is None:
        return None
    try:
        content = files.read_from_start(fd, one.digest)
    finally:
        files.let_go(fd)
    return content if one.digest.matches(content) else None


def _pack(parts: Parts, read: list[tuple[LooseBlob, bytes]]) -> None:
    facts = facts_of(parts.namespace, NO_LABELS, None, None)
    copies = []
    for one, content in read:
        pieces = encode(one.digest, content, one.checksum, one.created_ns, facts, DEAD)
        copies.append(Copy(one.digest, None, b"".join(pieces)))
    store_copies(parts, copies)
    for one, _ in read:
        _remove_file(parts, one.digest)


def _remove_file(parts: Parts, digest: Digest) -> None:
    """Remove the file of a packed blob, unless it was unpacked or deleted meanwhile."""
    name = trash_name(digest)
    try:
        parts.index.act_if_packed(
            digest, lambda _updated_ns: parts.shards.move(digest, parts.trash, name)
        )
    finally:
        remove_from_trash(parts, [name])


def unpack_all(parts: Parts, *, dry_run: bool) -> Iterator[Digest]:
    """Give each packed blob of the namespace a file, and drop its record; yield each then, durably.

    A damaged record is left as it is, for `verify`.
    """
    for digest in parts.index.packed():
        if dry_run or _unpack(parts, digest):
            yield digest


def _unpack(parts: Parts, digest: Digest) -> bool:
    row = parts.index.blob(digest)
    if row is None or row.state != State.LIVE or row.location is None:
        return False
    try:
        made = make_file(parts, digest, row, always_sync=True)
    except CorruptBlobError:
        return False
    return made and _leave_pack(parts, digest, row.location, row.size)


def _leave_pack(parts: Parts, digest: Digest, location: Location, size: int) -> bool:
    """Let a blob's row point to its file alone, which is on disk; durable."""
    record = {digest: location}
    unpacked = False
    try:
        if parts.index.elsewhere(digest) is None:  # another row may need the record
            leave_records(parts, record)
        unpacked = parts.index.unpack(digest, location, lambda: parts.shards.size(digest) == size)
    finally:
        if not unpacked:
            return_to_records(parts, record)
    parts.index.sync()
    mark_unneeded(parts, record)
    return unpacked
