"""Compares a source with the bytes that an ingest has, before anything is appended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from contentdb.streams.pump import count_common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from contentdb.call_guard import Gate
    from contentdb.digest import Digest, Hasher

__all__ = ["Comparison"]


class _Intake(Protocol):
    @property
    def offset(self) -> int: ...
    def stored_bytes(self) -> Iterator[bytes]: ...
    def cut(self, size: int, hasher: Hasher) -> None: ...


class Comparison:
    """A comparison of a source with the bytes received already, from the start of both."""

    def __init__(self, intake: _Intake, gate: Gate, hasher: Hasher) -> None:
        self._intake = intake
        self._gate = gate
        self._hasher = hasher
        self._held = intake.stored_bytes()
        self._rest = memoryview(b"")
        self._received = intake.offset
        self.size = 0
        """Bytes found equal so far."""

    @property
    def digest(self) -> Digest:
        """Digest of those bytes."""
        return self._hasher.digest

    @property
    def left(self) -> int:
        """Received bytes that were not compared yet."""
        return self._received - self.size

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; return how many of them are equal."""
        view = memoryview(data).cast("B")[: self.left]
        same = 0
        with self._gate:
            while same < len(view):
                if not self._rest:
                    self._rest = memoryview(next(self._held, b""))
                    if not self._rest:
                        break
                most = min(len(view) - same, len(self._rest))
                equal = count_common(view[same : same + most], self._rest[:most])
                self._hasher.update(view[same : same + equal])
                same += equal
                self._rest = self._rest[equal:]
                if equal < most:
                    break
        self.size += same
        return same

    def end(self) -> None:
        """Keep only the equal bytes; the next write goes behind them."""
        with self._gate:
            self._intake.cut(self.size, self._hasher)
