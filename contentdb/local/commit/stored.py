"""Whether content is stored already, whole and on disk: then it need not be stored again."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.damage import read_again, sync_blob
from contentdb.local.file_times import is_time_of
from contentdb.local.index import State
from contentdb.local.met import Met, meet
from contentdb.local.packed import find_packed

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Final

    from contentdb.content import Info
    from contentdb.digest import Digest
    from contentdb.local.index import Blob
    from contentdb.local.resources import Parts

    Owe = Callable[[Callable[[], object]], object]
    """Is told what to call once the index was synced."""

__all__ = ["find_stored", "look_up"]

_ATTEMPTS: Final = 100
"""How often a blob may be packed or unpacked while it is looked up."""


def find_stored(
    parts: Parts, digest: Digest, *, recorded: bool = False, owe_sync: Owe | None = None
) -> Info | None:
    """Return the Info of a blob that is whole and as durable as the store; else None.

    What is found is kept from a collector for a while; see `contentdb.local.met`. One sync of the
    index puts that on disk, and the blob's row. With ``owe_sync`` that is called instead, and the
    caller syncs the index before it answers. With ``recorded``, the caller has put the row on disk
    just now.

    The file's time shows that it is whole. Where it does not, as after a copy or a change of the
    file by hand, the file is read. Without packs the file is looked up first: for new content, the
    common case, that is all.
    """
    answering = _Answering(parts, digest, owe_sync, recorded=recorded)
    if parts.packs is not None:
        row = parts.index.blob(digest)
        if row is None or row.location is not None:
            info = None if row is None else find_packed(parts, digest, row)
            return info if info is not None and answering.may_say(info, row) else None
    found = parts.shards.stat(digest)
    if found is None:
        return None
    info = parts.known.get(digest, found) or _look_up(parts, digest, found)
    if info is None or not (_is_vouched_for(parts, info, found) or read_again(parts, digest)):
        return None
    return info if answering.may_say(info, None) else None


class _Answering(NamedTuple):
    """An answer "stored already", and what must be on disk before it is given."""

    parts: Parts
    digest: Digest
    owe_sync: Owe | None
    recorded: bool

    def may_say(self, info: Info, packed: Blob | None) -> bool:
        """Make the blob fresh, and put on disk what this process has not; False if it is gone.

        A row is seen before it is on disk. Bytes and names are not only if a process stored without
        durability.
        """
        parts, digest = self.parts, self.digest
        met = Met.KNOWN if self.recorded else meet(parts, digest)
        if met is Met.GONE:
            return False
        unsecured = parts.durable and not parts.known.is_secured(info)
        if unsecured and parts.sharing.unsynced:
            unsecured = self._sync_content(packed)
        if self.recorded:  # but another process may have changed the row since
            return True

        def note() -> None:  # not before the sync: another thread would answer by it
            if unsecured:
                parts.known.secured(info)
            if met is Met.FRESH:
                parts.met.note(digest)

        if self.owe_sync is not None and (unsecured or met is Met.FRESH):
            self.owe_sync(note)
            return True
        if unsecured or (met is Met.FRESH and parts.durable):
            parts.index.sync()
        note()
        return True

    def _sync_content(self, packed: Blob | None) -> bool:
        if packed is None:
            return sync_blob(self.parts, self.digest)
        if self.parts.packs is not None and packed.pack is not None:
            self.parts.packs.sync(packed.pack)
        return True


def _is_vouched_for(parts: Parts, info: Info, found: os.stat_result) -> bool:
    if is_time_of(found.st_mtime_ns, info[3]):  # by place: a property costs a tenth of a look-up
        return True
    return parts.sharing.several and parts.index.vouches(info.digest, found.st_mtime_ns)


def look_up(parts: Parts, digest: Digest) -> Info | None:
    """Return the Info of a blob; None unless its row is live, and packed or of its file's size."""
    found = parts.shards.stat(digest)
    if found is None and parts.shards.renew(digest):
        found = parts.shards.stat(digest)
    if found is not None:
        info = parts.known.get(digest, found) or _look_up(parts, digest, found)
        if info is not None or parts.packs is None:  # a packed blob may have a damaged file too
            return info
    return None if parts.packs is None else _look_up_packed(parts, digest)


def _look_up_packed(parts: Parts, digest: Digest) -> Info | None:
    """Look for a record, then again for what it was packed or unpacked to meanwhile."""
    row = parts.index.blob(digest)
    for _ in range(_ATTEMPTS):
        if (info := find_packed(parts, digest, row)) is not None:
            return info
        if (found := parts.shards.stat(digest)) is not None:
            return _look_up(parts, digest, found)
        before, row = row, parts.index.blob(digest)
        if before == row:
            return None
    return None


def _look_up(parts: Parts, digest: Digest, found: os.stat_result) -> Info | None:
    row = parts.index.blob(digest)
    if row is None or row.state != State.LIVE or row.size != found.st_size:
        return None
    info = parts.index.info(digest, row)
    parts.known.put(info)
    return info
