"""Keeps blobs open between consecutive reads of one client.

`ctr content get` makes a call for every 32 KiB, and finding and opening the file took a third of
the server's time. So calls within `TRUST_S` of the opening share a reader. Like any open reader
it outlives a delete by another process, but for no longer than `TRUST_S`.
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
"""How long an unused reader may keep a deleted blob's space on disk."""


class OpenBlobs:
    """Readers by store and digest. A reader closes when its last user drops its reference."""

    def __init__(self) -> None:
        self._readers: dict[tuple[Store, str], tuple[Reader, float]] = {}
        self._forgotten = 0
        """How often `forget` ran: a reader opened before the last time may be of a deleted blob."""
        self._lock = Lock()
        self._timer: Timer | None = None

    def reader(self, store: Store, digest: str) -> Reader:
        """Return a shared reader, at most `TRUST_S` old; use only its `fileno` and `size`."""
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
        """Drop a deleted blob's reader: the next call opens the blob anew."""
        with self._lock:
            self._forgotten += 1
            self._readers.pop((store, digest), None)

    def clear(self) -> None:
        """Drop all readers."""
        with self._lock:
            self._readers.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
