"""Take back the room of deleted records: copy the others to another pack, and remove the old one.

Beside readers and writers. A reader that has the old pack open reads the same bytes on; one that
comes later finds it gone, and asks the index again. Interrupted at any point, both copies are
there or the old one alone, and rows point to whole records.
"""

from __future__ import annotations

from contentdb import files
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import Location, State
from contentdb.local.packs.directory import FIRST
from contentdb.local.packs.record import MOVED, STATE_AT
from contentdb.local.packs.replay import replay, replay_all
from contentdb.local.packs.scan import read_head
from contentdb.local.upkeep.copies import Copy, store_copies
from contentdb.logs import warn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from contentdb.local.index.packed import InPack
    from contentdb.local.packs.append import Appender
    from contentdb.local.packs.directory import PackDirectory
    from contentdb.local.resources import Parts

__all__ = ["Repacked", "repack"]

_GROUP_COUNT: Final = 500


class Repacked(NamedTuple):
    """A pack that was removed, or would be."""

    pack: int
    path: str
    size: int
    """Bytes of the records that nothing needed any more."""


def repack(parts: Parts, *, dead_share: float, dry_run: bool) -> Iterator[Repacked]:
    """Remove packs of whose records at least that share is dead; yield each when it is gone.

    A pack to which a living process appends is left out.
    """
    packs, appender = parts.packs, parts.appender
    if packs is None or appender is None:
        return
    replay_all(packs, parts.index)
    for pack in list(packs.names()):
        fd = _take(parts, packs, appender, pack)
        if fd is None:
            continue
        try:
            dead = _count_dead(parts, fd, pack, dead_share)
            if dead is None:
                continue
            if not dry_run:  # copies of this pack's records, if a move was cut off meanwhile
                replay_all(packs, parts.index)
            if dry_run or _empty(parts, packs, pack, fd):
                yield Repacked(pack, packs.path(pack), dead)
        finally:
            files.let_go(fd)


def _take(parts: Parts, packs: PackDirectory, appender: Appender, pack: int) -> int | None:
    """Keep others from appending to a pack, and record what it holds; None if one does."""
    if appender.number == pack:
        appender.let_go()
    with packs.choosing():
        fd = packs.take(pack)
        if fd is not None:
            replay(packs, parts.index, pack, fd)
        return fd


def _count_dead(parts: Parts, fd: int, pack: int, share: float) -> int | None:
    """Return the bytes of dead records, if they are that share; None if not."""
    used = parts.index.recorded(pack) - FIRST
    live = sum(_length(fd, one) for one in parts.index.in_pack(pack))
    dead = max(0, used - live)
    return dead if dead and dead >= share * used else None


def _length(fd: int, one: InPack) -> int:
    header = read_head(fd, one.offset, one.digest)
    return one.size if header is None else header.length


def _empty(parts: Parts, packs: PackDirectory, pack: int, fd: int) -> bool:
    """Move the records that rows point to; return whether the pack could be removed then."""
    live = [one for one in parts.index.in_pack(pack) if one.state == State.LIVE]
    for first in range(0, len(live), _GROUP_COUNT):
        _move(parts, pack, fd, live[first : first + _GROUP_COUNT])
    if parts.index.in_pack(pack):
        warn("local.packs", "a pack has damaged records, and stays", path=packs.path(pack))
        return False
    parts.index.sync()  # the rows that have pointed there are at their new places on disk, too
    packs.remove(pack)
    parts.index.forget_pack(pack)  # last: a pack without a row is read anew, deleted blobs and all
    return True


def _move(parts: Parts, pack: int, fd: int, some: list[InPack]) -> None:
    """Copy whole records to the pack of this process, and let the rows point there."""
    copies = []
    for one in some:
        header = read_head(fd, one.offset, one.digest)
        if header is None or header.digest != one.digest:
            continue
        raw = files.read_at(fd, header.length, one.offset, one.digest)
        if header.digest.matches(raw[header.content_at : header.content_at + header.size]):
            copy = raw[:STATE_AT] + MOVED + raw[STATE_AT + 1 :]
            copies.append(Copy(one.digest, Location(pack, one.offset), copy))
    if copies:
        store_copies(parts, copies)
