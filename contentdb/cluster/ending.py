"""Tells a thread to end, which waits for a socket or for a time."""

from __future__ import annotations

import os
import threading

__all__ = ["Ending"]


class Ending:
    """The end of one thread; it polls `read` beside its socket, or waits for `begun`."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.read, self._write = os.pipe()
        self._open = True
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Wake the thread, to end."""
        self.begun.set()
        with self._lock:
            if self._open:  # else another file may have the number by now
                os.write(self._write, b"x")

    def close(self) -> None:
        """Free the pipe."""
        with self._lock:
            self._open = False
            os.close(self.read)
            os.close(self._write)
