"""Who is inside an open store: closing it waits for them, and lets nobody in any more."""

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
        self._inside = 0
        self._closed = False
        self._lock = threading.Lock()
        self._left = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            if self._closed:
                raise StoreClosedError(str(self._root))
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._closed and self._inside <= 0:
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
            if self._inside <= 0:
                return True
        self._left.wait()
        return True

    def after_fork_in_child(self) -> None:
        """Forget the threads that did not come along."""
        self._inside = 0
        self._lock = threading.Lock()
