"""Progress bars: only on a terminal, and only after a second."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager, suppress

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from rich.progress import Progress

__all__ = ["bar", "reads"]

_PATIENCE_S: Final = 1.0
_REFRESH_S: Final = 0.1


@contextmanager
def bar(
    total: int | None, done: Callable[[], int] | None = None, *, what: str = ""
) -> Iterator[None]:
    """Draw the progress of the block on standard error, if that is a terminal.

    Args:
        total: Bytes in all, if known.
        done: Returns the bytes done so far; by default those that this process has read.
        what: Text before the bar.
    """
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    drawing = threading.Thread(
        target=_draw, args=(over, total, done or reads(), what), name="progress", daemon=True
    )
    drawing.start()
    try:
        yield
    finally:
        over.set()
        try:
            drawing.join()
        except KeyboardInterrupt:  # without a second join the cursor would stay hidden
            drawing.join()
            raise


def reads() -> Callable[[], int]:
    """Return a function that counts the bytes this process has read since now; 0 if unknown.

    It measures any work that reads its content once, without help of that work.
    """
    start = _count_read_bytes()
    return lambda: max(0, _count_read_bytes() - start)


def _count_read_bytes() -> int:
    with (
        suppress(OSError, ValueError, IndexError),
        open("/proc/self/io", "rb") as file,  # noqa: PTH123 - pathlib is slow to import
    ):
        return int(file.read().split(maxsplit=2)[1])  # rchar, proc(5)
    return 0


def _draw(over: threading.Event, total: int | None, done: Callable[[], int], what: str) -> None:
    if over.wait(_PATIENCE_S):
        return
    progress = _columns(known=total is not None)
    with progress:
        task = progress.add_task(what, total=total)
        while True:
            so_far = done()
            progress.update(task, completed=so_far if total is None else min(so_far, total))
            if over.wait(_REFRESH_S):
                return


def _columns(*, known: bool) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn() if known else TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        # If both are on one terminal, lines go above the bar; else stdout is left alone.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
