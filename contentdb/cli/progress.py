"""Progress bars for people: on a terminal only, and not before a second has passed."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

__all__ = ["bar", "reads"]

_PATIENCE_S: Final = 1.0
_REFRESH_S: Final = 0.1


@contextmanager
def bar(
    total: int | None, done: Callable[[], int] | None = None, *, what: str = ""
) -> Iterator[None]:
    """Show on standard error how far the block has come, if a terminal is looking there.

    Args:
        total: Bytes until the end, if that is known.
        done: Says how many there are so far; by default what the process has read by itself.
        what: Stands before the bar.
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
        except KeyboardInterrupt:  # else the bar would stay, and the cursor stay hidden
            drawing.join()
            raise


def reads() -> Callable[[], int]:
    """Count the bytes that this process reads from now on, whoever reads them; 0 if unknown.

    That is how far anything has come that reads content once, and asks nothing of it.
    """
    start = _read_so_far()
    return lambda: max(0, _read_so_far() - start)


def _read_so_far() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/io").read_bytes().split(maxsplit=2)[1])  # rchar, proc(5)
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
        # Lines go above the bar where both are on one terminal, and nowhere else than before.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
