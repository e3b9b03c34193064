"""Who is inside an open store: closing it waits for them, and lets nobody in any more.

They are counted by thread, and no thread waits for itself: where a signal's handler raised on
the way in or out, the count is not true any more.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from contentdb.errors import StoreClosedError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["Gate"]


class Gate:
    """A context manager around each use of what a close would free; it may be nested."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inside: dict[int, int] = {}
        self._closed = False
        self._lock = threading.Lock()
        self._left = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            if self._closed:
                raise StoreClosedError(str(self._root))
            me = threading.get_ident()
            self._inside[me] = self._inside.get(me, 0) + 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            me = threading.get_ident()
            left = self._inside.get(me, 0) - 1
            if left > 0:
                self._inside[me] = left
                return
            self._inside.pop(me, None)
            if self._closed:
                self._left.set()

    @property
    def closed(self) -> bool:
        """Whether nobody may come in any more."""
        return self._closed

    def close(self) -> bool:
        """Let nobody in, and wait until all have left; False if it was closed before."""
        with self._lock:
            if self._closed:
                return False
            self._closed = True
        while self._others():
            self._left.wait()
        return True

    def _others(self) -> bool:
        with self._lock:
            self._left.clear()
            return bool(self._inside.keys() - {threading.get_ident()})

    def after_fork_in_child(self) -> None:
        """Forget the threads that did not come along."""
        self._inside = {}
        self._lock = threading.Lock()
