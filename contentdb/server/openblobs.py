"""Blobs that stay open between the calls of one client's reading.

`ctr content get` makes a call for every 32 KiB, and finding and opening the file were a third of
its time here. So calls that follow one another within `TRUST_S` share a reader, as if the client
had opened it: like any reader it outlasts a delete by another process, by that time and no more.
"""

from __future__ import annotations

from threading import Lock, Timer
from time import monotonic
from typing import TYPE_CHECKING, Final

from contentdb.digest import Digest

if TYPE_CHECKING:
    from contentdb.content import Reader
    from contentdb.store import Store

__all__ = ["TRUST_S", "OpenBlobs"]

TRUST_S: Final = 0.02
_KEPT: Final = 64
_IDLE_S: Final = 1.0
"""How long the space of a deleted blob may stay taken."""


class OpenBlobs:
    """Readers by store and digest. Whoever uses one keeps it open: none is closed by hand."""

    def __init__(self) -> None:
        self._readers: dict[tuple[Store, str], tuple[Reader, float]] = {}
        self._forgotten = 0
        """How often one was forgotten: what was opened before that may be deleted by now."""
        self._lock = Lock()
        self._timer: Timer | None = None

    def reader(self, store: Store, digest: str) -> Reader:
        """Open a blob, or give what was opened just now. Shared: only `fileno` and `size`."""
        key, now = (store, digest), monotonic()
        found = self._readers.get(key)
        if found is not None and now - found[1] < TRUST_S:
            return found[0]
        forgotten = self._forgotten
        reader = store.open(Digest(digest), verify=False)
        with self._lock:
            if forgotten != self._forgotten:
                return reader
            if len(self._readers) >= _KEPT:
                self._readers.clear()
            self._readers[key] = (reader, now)
            if self._timer is None:
                self._timer = Timer(_IDLE_S, self.clear)
                self._timer.daemon = True
                self._timer.start()
        return reader

    def forget(self, store: Store, digest: str) -> None:
        """Open the blob anew at the next call."""
        with self._lock:
            self._forgotten += 1
            self._readers.pop((store, digest), None)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._readers.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
