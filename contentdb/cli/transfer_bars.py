"""Progress bars of several objects at once, on a terminal only."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.oci.transfer.progress import Event

__all__ = ["bars", "transfer"]

_OVER: Final = frozenset({"done", "exists", "mounted", "resolved"})
_SHORT: Final = 19
"""``sha256:`` and twelve characters, as image tools shorten."""


@contextmanager
def transfer(*, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Show a transfer with `bars`; the message of an interrupt tells how to resume."""
    try:
        with bars(quiet=quiet) as listen:
            yield listen
    except KeyboardInterrupt as stop:
        raise type(stop)("interrupted; run the same command again to go on from here") from stop


@contextmanager
def bars(*, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Yield a listener that draws bars on standard error, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _event: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    progress = Progress(
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[state]:<11}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
    )
    with progress:
        yield _Drawer(progress).draw


class _Drawer:
    """One bar for each object, made at its first event. Several threads send events."""

    def __init__(self, progress: Any) -> None:  # noqa: ANN401 - rich is not imported here
        self._progress = progress
        self._lock = Lock()
        self._tasks: dict[str, Any] = {}

    def draw(self, event: Event) -> None:
        state = "waiting" if event.kind == "queued" else event.kind
        with self._lock:
            task = self._tasks.get(event.name)
            if task is None:
                shown = event.name if event.kind == "resolving" else event.name[:_SHORT]
                task = self._progress.add_task(shown, total=event.total, state=state)
                self._tasks[event.name] = task
        over = event.kind in _OVER
        completed = event.total if over and event.total is not None else event.offset
        self._progress.update(task, total=event.total, completed=completed, state=state)
