"""A progress bar over a stream, for people: rich, and not before a second has passed."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, BinaryIO, Final, cast

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["watched"]

_PATIENCE_S: Final = 1.0


class _Watched(io.RawIOBase):
    """Passes reads and seeks on, and shows how far they came."""

    def __init__(self, source: BinaryIO, total: int | None) -> None:
        self._source = source
        self._total = total
        self._done = 0
        self._begun = time.monotonic()
        self._bar: tuple[Progress, TaskID] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._source.seekable()

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._done = self._source.seek(offset, whence)
        return self._done

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._advance(len(data))
        return data

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # any buffer will do
        count = cast("io.RawIOBase", self._source).readinto(buffer) or 0
        self._advance(count)
        return count

    def close(self) -> None:
        """Take the bar away; the source stays open for its owner."""
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None
        super().close()

    def _advance(self, count: int) -> None:
        self._done += count
        if self._bar is None:
            if time.monotonic() - self._begun < _PATIENCE_S:
                return
            self._bar = _start(self._total)
        bar, task = self._bar
        bar.update(task, completed=self._done)
        if count == 0:
            self.close()


def _start(total: int | None) -> tuple[Progress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    bar = Progress(
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=total)
    bar.start()
    return bar, task


def watched(source: BinaryIO, total: int | None) -> BinaryIO:
    """Wrap a source of ``total`` bytes, if that is known."""
    return cast("BinaryIO", _Watched(source, total))
