"""A seekable stream over one blob: it reads ahead, and verifies what is read from its start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NoReturn

from contentdb import forks
from contentdb.cluster.fetch import MissingError, fetch
from contentdb.digest import MISMATCH
from contentdb.streams.reader import VerifyingReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.cluster.extents import Place
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest

    Damaged = Callable[[Digest, Place, str], NoReturn]
    """A function of digest, place and reason that records the damage and raises the error."""

__all__ = ["ClusterReader"]

_FIRST_BYTES: Final = 256 << 10
_MOST_BYTES: Final = 8 << 20


class ClusterReader(VerifyingReader):
    """A `contentdb.content.Reader`; for one thread at a time.

    A read that follows the last one is served from a window, which grows from 256 KiB to 8 MiB.
    """

    def __init__(
        self,
        resources: Resources,
        digest: Digest,
        size: int,
        place: Place,
        damaged: Damaged,
        *,
        verify: bool,
    ) -> None:
        super().__init__(digest, size, verify=verify)
        self._resources = resources
        self._place = place
        self._damaged = damaged
        self._pid = os.getpid()
        self._window = memoryview(place.inline or b"")
        self._window_at = 0
        self._ahead_bytes = _FIRST_BYTES

    def _bytes(self, offset: int, size: int) -> bytes:
        """Return bytes from the window, or from the object store and with them the next window."""
        begin = offset - self._window_at
        if begin >= 0 and begin + size <= len(self._window):
            return bytes(self._window[begin : begin + size])
        follows = 0 <= begin <= len(self._window)
        head = self._window[begin:] if follows else self._window[:0]
        if size - len(head) >= self._ahead_bytes:  # larger than a window: nothing is kept of it
            return b"".join((head, *self._fetch(offset + len(head), size - len(head))))
        more = min(self._ahead_bytes, self._size - offset - len(head))
        if follows or not offset:
            self._ahead_bytes = min(2 * self._ahead_bytes, _MOST_BYTES)
        else:
            self._ahead_bytes = _FIRST_BYTES
            more = min(size, self._size - offset)  # a jump: perhaps nothing follows
        window = b"".join((head, *self._fetch(offset + len(head), more)))
        self._window, self._window_at = memoryview(window), offset
        return bytes(self._window[:size])

    def _fetch(self, offset: int, size: int) -> Iterator[bytes]:
        try:
            yield from fetch(self._resources, self._place, offset, size)
        except MissingError as error:
            self._damaged(self._digest, self._place, f"object {error} is gone or cut off")

    def _begin(self, size: int) -> Iterator[bytes]:
        return self._fetch(0, size)

    def _mismatch(self) -> NoReturn:
        self._damaged(self._digest, self._place, MISMATCH)

    def _check_open(self) -> None:
        super()._check_open()
        forks.check()
        if self._pid != os.getpid():
            raise ValueError(f"the reader of {self._digest} belongs to the parent of this process")
