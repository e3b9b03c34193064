"""Put copies of blobs into this process's pack, and let their rows point there."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import Location
from contentdb.local.index.packed import Move
from contentdb.local.packed import leave_records, mark_unneeded, return_to_records

if TYPE_CHECKING:
    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["Copy", "store_copies"]


class Copy(NamedTuple):
    """A record to be written, of a blob that has another place."""

    digest: Digest
    old: Location | None
    """None for a loose blob."""
    record: bytes


def store_copies(parts: Parts, copies: list[Copy]) -> None:
    """Write records, then move the rows of all namespaces, unless they have changed meanwhile.

    A loose blob's record says that it is not needed, until a row points there: the delete of a
    loose blob would not find it. On disk when it returns, in any store: then the old places may go.
    """
    if parts.appender is None:
        parts.refuse_writing()
    moves: list[Move] = []
    old = {copy.digest: copy.old for copy in copies if copy.old is not None}

    def record(pack: int, start: int, end: int) -> None:
        for copy in copies:
            moves.append(Move(copy.digest, copy.old, Location(pack, start)))
            start += len(copy.record)
        try:
            leave_records(parts, old)
            parts.index.move_records(moves, pack, end)
        except BaseException:
            return_to_records(parts, old)
            raise
        new = {move.digest: move.new for move in moves}
        return_to_records(parts, {digest: new[digest] for digest in new.keys() - old.keys()})
        mark_unneeded(parts, {digest: new[digest] for digest in old})  # was deleted meanwhile
        parts.index.set_recorded(pack, end)
        parts.index.sync()

    pieces = [copy.record for copy in copies]
    parts.appender.write(pieces, sum(map(len, pieces)), record)
