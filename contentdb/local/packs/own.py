"""The pack to which this process appends: taken over from a dead process, or made; then written.

Its flock shows that this process lives. It is let go of after any error, so that the process that
takes it next looks at what was written, and records it: see `contentdb.local.packs.replay`.
"""

from __future__ import annotations

import errno

from contentdb import files
from contentdb.errors import (
    ContentDBError,
    DurabilityError,
    NoSpaceError,
    StorageError,
)
from contentdb.light_typing import TYPE_CHECKING, NamedTuple, TypeVar
from contentdb.local.index import Location
from contentdb.local.packs.directory import FIRST
from contentdb.local.packs.record import DEAD, STATE_AT
from contentdb.local.packs.replay import replay
from contentdb.local.packs.scan import scan
from contentdb.logs import swallow, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from contentdb.local.index.index import Index
    from contentdb.local.packs.directory import PackDirectory

__all__ = ["OwnPack"]

T = TypeVar("T")

_MOST_BYTES: Final = 256 << 20
"""A pack takes no further records from this length on."""
_LEAST_STEP: Final = 64 << 10
_MOST_STEP: Final = 4 << 20

_UNSEALED: Final = "a pack whose sync failed could not be marked"
_UNDONE: Final = "records of a call that failed could not be removed from a pack"


class _Own(NamedTuple):
    """An open and locked pack."""

    number: int
    fd: int
    path: str


class OwnPack:
    """The pack of this process; the caller lets one thread at a time in."""

    def __init__(self, packs: PackDirectory, index: Index, *, durable: bool) -> None:
        self._packs = packs
        self._index = index
        self._durable = durable
        self._own: _Own | None = None
        self._end = 0
        """Where the next record begins."""
        self._size = 0
        """Length of the pack, filled with zeros behind `_end`."""

    def write(
        self,
        pieces: Sequence[bytes | memoryview],
        size: int,
        record: Callable[[int, int, int], T],
        *,
        always_sync: bool = False,
    ) -> T:
        """Write records and put them on disk, then call ``record`` with pack, start and end.

        If that raises, the pack is let go of, and the records are removed if nothing was recorded.

        Raises:
            DurabilityError: The sync failed; ``record`` was not called.
        """
        own = self._take_whole()
        if self._end + size > max(_MOST_BYTES, FIRST + size):
            self.let_go()
            own = self._make()
        start = self._end
        path = own.path
        try:
            self._lengthen(own, start + size)
            _write_all(own.fd, b"".join(pieces), start, path)
            if self._durable or always_sync:
                self._sync(own)
            self._check_name(own)
            self._end = start + size
            return record(own.number, start, start + size)
        except BaseException:
            self._give_up(own, start, start + size)
            raise

    def settle(self, unneeded: Sequence[Location]) -> None:
        """Mark records that no row came to point to, and note that all others have their rows."""
        own = self._own
        if own is not None:
            path = own.path
            for pack, offset in unneeded:
                if pack == own.number:
                    files.write_at(own.fd, DEAD, offset + STATE_AT, path)
            if self._durable and unneeded:
                files.sync_data(own.fd, path)
            self._index.set_recorded(own.number, self._end)

    def _sync(self, own: _Own) -> None:
        try:
            files.sync_data(own.fd, own.path)
        except DurabilityError:
            with swallow("local.packs", _UNSEALED, ContentDBError, pack=own.number):
                self._packs.seal(own.number)
            raise

    def _give_up(self, own: _Own, start: int, end: int) -> None:
        """Let go of the pack; what was not recorded no later scan must find."""
        path = own.path
        try:
            with swallow("local.packs", _UNDONE, ContentDBError, path=path):
                unrecorded = self._find_last(own, start, end)
                if unrecorded < end:
                    _write_all(own.fd, bytes(end - unrecorded), unrecorded, path)
                    files.sync_data(own.fd, path)
        finally:
            self.let_go()

    def _find_last(self, own: _Own, start: int, end: int) -> int:
        """Return the offset behind which nothing is recorded, and no row points to anything."""
        last = max(start, self._index.recorded(own.number))
        for record in scan(own.fd, own.path, last):
            at = Location(own.number, record.offset)
            if record.end > end:
                break
            if self._index.is_in_place(record.header.digest, at, tombstones=True):
                last = record.end
        return last

    def _lengthen(self, own: _Own, end: int) -> None:
        """Fill the pack with zeros up to an offset or further: such blocks sync faster.

        Measured on ext4: 1 flush instead of 2.2, and no commit of the journal, for each sync.
        """
        if end <= self._size:
            return
        path = own.path
        step = min(max(self._size, _LEAST_STEP), _MOST_STEP)
        for target in (max(end, self._size + step), end):
            try:
                _write_all(own.fd, bytes(target - self._size), self._size, path)
            except NoSpaceError:
                if target == end:
                    raise
                files.truncate(own.fd, self._size, path)
                continue
            self._size = target
            return

    # -- whose pack ----------------------------------------------------------------------------

    def _take(self) -> _Own:
        """Take over a pack that no process has, or make one."""
        with self._packs.choosing():
            for pack in self._packs.names():
                if (own := self._try_take(pack)) is not None:
                    return own
            return self._make()

    def _try_take(self, pack: int) -> _Own | None:
        if self._packs.is_sealed(pack):
            return None
        fd = self._packs.take(pack)
        if fd is None:
            return None
        path = self._packs.path(pack)
        try:
            if files.stat_open(fd, path).st_size >= _MOST_BYTES:
                files.let_go(fd)
                return None
            end = replay(self._packs, self._index, pack, fd)
            if end > files.stat_open(fd, path).st_size:  # it was cut by hand
                files.let_go(fd)
                return None
            if next(scan(fd, path, end, rescue=True), None) is not None:
                warn("local.packs", "a pack is damaged, and gets no more blobs", path=path)
                self._packs.seal(pack)
                files.let_go(fd)
                return None
            self._clear_behind(fd, end, path)
        except BaseException:
            files.let_go(fd)
            raise
        self._end, self._size = end, files.stat_open(fd, path).st_size
        self._own = _Own(pack, fd, path)
        return self._own

    def _take_whole(self) -> _Own:
        """Return the pack of this process; another one, if it was removed or cut by hand."""
        if self._own is not None:
            found = files.stat_open(self._own.fd, self._own.path)
            if found.st_nlink and found.st_size == self._size:
                return self._own
            self.let_go()
        return self._take()

    def _check_name(self, own: _Own) -> None:
        """Raise if the pack was removed by hand just now, with what was written into it."""
        if not files.stat_open(own.fd, own.path).st_nlink:
            raise StorageError("write", own.path, FileNotFoundError(errno.ENOENT, "it was removed"))

    def _make(self) -> _Own:
        pack, fd = self._packs.make()
        self._end = self._size = FIRST
        self._own = _Own(pack, fd, self._packs.path(pack))
        return self._own

    def _clear_behind(self, fd: int, end: int, path: str) -> None:
        """Write zeros over what was torn: a later scan must not find a whole record in it."""
        at = end
        while piece := files.read_at(fd, _MOST_STEP, at, path):
            if piece.strip(b"\0"):
                warn("local.packs", "the end of a pack was torn", path=path, offset=at)
                _write_all(fd, bytes(len(piece)), at, path)
                files.sync_data(fd, path)
            at += len(piece)

    @property
    def number(self) -> int | None:
        """The pack of this process, if it has one."""
        return None if self._own is None else self._own.number

    def let_go(self) -> None:
        """Let other processes append to the pack; the next call takes one again."""
        own, self._own = self._own, None
        if own is not None:
            files.let_go(own.fd)


def _write_all(fd: int, data: bytes, offset: int, path: str) -> None:
    written = files.write_at(fd, data, offset, path)
    while written < len(data):
        written += files.write_at(fd, memoryview(data)[written:], offset + written, path)
