"""What every contestant can be asked to do. Each does what it can; `cases` asks no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Entry", "Subject"]


class Subject:
    """A store, or the floor beneath one, in a directory of its own.

    Keys are what `put` gave: opaque text.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def close(self) -> None:
        """Free what is held."""

    def put(self, data: bytes) -> str:
        """Store one object."""
        raise NotImplementedError

    def put_many(self, items: Iterable[bytes]) -> Iterator[str]:
        """Store many, sharing the cost of durability where the contestant can."""
        return map(self.put, items)

    def put_known(self, data: bytes, key: str) -> None:
        """Store what is stored already, its key being known."""
        raise NotImplementedError

    def put_known_many(self, items: Sequence[bytes], keys: Sequence[str]) -> None:
        """Store many that are stored already, their keys being known."""
        for data, key in zip(items, keys, strict=True):
            self.put_known(data, key)

    def put_stream(self, stream: BinaryIO) -> str:
        """Store one large object."""
        raise NotImplementedError

    def begin(self, name: str, data: bytes) -> None:
        """Write the first part of an object and stop."""
        raise NotImplementedError

    def finish(self, name: str, data: bytes) -> str:
        """Write the rest and store the whole."""
        raise NotImplementedError

    def get(self, key: str) -> bytes:
        """Give all bytes of an object."""
        raise NotImplementedError

    def listing(self) -> Iterator[object]:
        """Give one record, with key and size, for each object."""
        raise NotImplementedError

    def delete(self, key: str) -> None:
        """Remove one object."""
        raise NotImplementedError


class Entry(NamedTuple):
    """A contestant by name."""

    name: str
    kind: str
    """``floor``, ``contentdb`` or ``rival``."""
    durable: str
    """What survives a power cut when the call has returned."""
    make: Callable[[Path], Subject]
    needs: str = ""
    """A module, or ``$program``, without which it is missing."""
