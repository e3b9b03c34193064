"""Tells of a transfer on standard error: bars, lines for programs, and a summary at its end."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from contentdb.cli.show import escape, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.oci.transfer.progress import Event

__all__ = ["Progress", "Transfer", "bars", "transfer"]

Progress = Literal["auto", "json", "none"]

_OVER: Final = frozenset({"done", "exists", "mounted", "resolved"})
_MOVING: Final = frozenset({"downloading", "uploading"})
_SHORT: Final = 19
"""``sha256:`` and twelve characters, as image tools shorten."""
_LINE_EVERY_S: Final = 0.1


class Transfer:
    """Counts the objects of a transfer, and passes their events on. Threads may share it."""

    def __init__(self, show: Callable[[Event], None]) -> None:
        self._show = show
        self._lock = Lock()
        self._began = time.monotonic()
        self._offsets: dict[str, int] = {}
        self._sizes: dict[str, dict[str, int]] = {"done": {}, "exists": {}, "mounted": {}}

    def __call__(self, event: Event) -> None:
        """Take an event: this is the listener."""
        with self._lock:
            if event.kind == "resumed":
                self._offsets.setdefault(event.name, event.offset)
            elif event.kind == "uploading":  # what is sent is sent whole, though it came in parts
                self._offsets.pop(event.name, None)
            elif event.kind in self._sizes:
                self._sizes[event.kind][event.name] = event.total or 0
        self._show(event)

    def fields(self) -> dict[str, int | float]:
        """Return what was counted so far: objects, bytes and seconds."""
        with self._lock:
            sizes = {kind: dict(known) for kind, known in self._sizes.items()}
            resumed = sum(self._offsets.get(name, 0) for name in sizes["done"])
        return {
            "objects": sum(map(len, sizes.values())),
            "moved_bytes": max(0, sum(sizes["done"].values()) - resumed),
            "present_bytes": sum(sizes["exists"].values()) + resumed,
            "mounted_bytes": sum(sizes["mounted"].values()),
            "elapsed_s": round(time.monotonic() - self._began, 3),
        }

    def summarize(self, what: str, *, moved: str, details: tuple[str, ...] = ()) -> None:
        """Print a line with what was done, and how long it took, to standard error.

        Args:
            what: What was done, as ``pulled a/b:v1``.
            moved: The word for bytes that went over the network: ``fetched`` or ``sent``.
            details: Further lines.
        """
        counted = self.fields()
        parts = [f"{size(int(counted['moved_bytes']))} {moved}"]
        parts.append(f"{size(int(counted['present_bytes']))} there already")
        if counted["mounted_bytes"]:
            parts.append(f"{size(int(counted['mounted_bytes']))} mounted")
        parts.append(f"{counted['elapsed_s']:.1f} s")
        for text in (f"{what}: {', '.join(parts)}", *details):
            click.echo(escape(text), err=True)


@contextmanager
def transfer(*, quiet: bool = False, progress: Progress = "auto") -> Iterator[Transfer]:
    """Show a transfer; the message of an interrupt tells how to resume.

    Args:
        quiet: Draw no bars.
        progress: ``auto`` draws `bars`; ``json`` prints one object for each event, even if
            ``quiet``, and ``summary`` as the last one; ``none`` shows nothing.
    """
    try:
        if progress == "json":
            watch = Transfer(_Lines().print)
            yield watch
            _print_record({"event": "summary"} | watch.fields())
        else:
            with bars(quiet=quiet or progress == "none") as draw:
                yield Transfer(draw)
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


class _Lines:
    """Prints events as JSON; of an object's bytes on their way, ten lines a second at most."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._began = time.monotonic()
        self._told: dict[str, float] = {}

    def print(self, event: Event) -> None:
        now = time.monotonic()
        with self._lock:
            if event.kind in _MOVING:
                if now - self._told.get(event.name, 0.0) < _LINE_EVERY_S:
                    return
                self._told[event.name] = now
            record = {
                "event": event.kind,
                "object": event.name,
                "media_type": event.media_type,
                "offset": event.offset,
                "total": event.total,
                "elapsed_s": round(now - self._began, 3),
            }
            _print_record(record)


def _print_record(record: dict[str, Any]) -> None:
    click.echo(json.dumps(record), err=True)


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
