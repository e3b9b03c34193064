"""A store that another process serves, for acts of a client."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Served"]


class Served:
    """A server in a forked process, from when this is made until `kill`."""

    def __init__(self, root: Path, address: Path) -> None:
        from contentdb.server.daemon import Server  # gRPC: only where it is used

        address.unlink(missing_ok=True)
        ready, say_ready = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(ready)
            with Server(root) as server:
                server.listen_unix(address)
                server.start()
                os.write(say_ready, b".")
                _wait()
        os.close(say_ready)
        try:
            if not os.read(ready, 1):
                raise RuntimeError("the server did not start")
        finally:
            os.close(ready)

    def kill(self) -> None:
        """End it as a crash does; what it promised is on disk."""
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


def _wait() -> NoReturn:
    while True:
        threading.Event().wait()
