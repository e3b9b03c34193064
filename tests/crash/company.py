"""Another process that has a store's index open, as others have in a busy store.

The last connection that closes an index folds the WAL into it and removes it, and opening a
store is such a close; a WAL that a crash left is gone on with at its end. Either way it would
grow, which commits the filesystem's journal and hides what was not synced. With company, and
after its checkpoint, the WAL is written over from its beginning.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["company"]


@contextlib.contextmanager
def company(root: Path) -> Iterator[None]:
    """Let a child hold a connection meanwhile; it ends as a killed process does."""
    path = root / "index.sqlite"
    if not path.exists():
        yield
        return
    ready, say_ready = os.pipe()
    wait, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        with contextlib.suppress(BaseException):
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
            os.write(say_ready, b".")
            os.read(wait, 1)
        os._exit(0)
    os.close(say_ready)
    os.close(wait)
    try:
        if not os.read(ready, 1):
            raise RuntimeError(f"{path} cannot be opened")
        yield
    finally:
        os.close(ready)
        os.close(end)
        os.waitpid(child, 0)
