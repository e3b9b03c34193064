"""contentdb, by each of its ways in."""

from __future__ import annotations

import os
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

import contentdb
from benchmarks.subject import Entry, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO, Literal

__all__ = ["ENTRIES"]


class Ours(Subject):
    """`Store.add`."""

    durability: Literal["full", "process"] = "full"
    pack_below: int | None = None

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.store = contentdb.open(
            directory, durability=self.durability, pack_below=self.pack_below
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def put(self, data: bytes) -> str:
        """`add`."""
        return self.store.add(data).digest

    def put_known(self, data: bytes, key: str) -> None:
        """`add` of a known digest."""
        self.store.add(data, expected=key)

    def put_stream(self, stream: BinaryIO) -> str:
        """`add` of a file object."""
        return self.store.add(stream).digest

    def begin(self, name: str, data: bytes) -> None:
        """A writer that stops half-way."""
        with self.store.writer(name) as writer:
            writer.write(data)

    def finish(self, name: str, data: bytes) -> str:
        """Resume by ref, write the rest, commit."""
        with self.store.writer(name, resume=True) as writer:
            writer.write(data)
            return writer.commit().digest

    def get(self, key: str) -> bytes:
        """`read`, verified."""
        return self.store.read(key)

    def listing(self) -> Iterator[object]:
        """`walk`."""
        return self.store.walk()

    def delete(self, key: str) -> None:
        """`delete`."""
        self.store.delete(key)


class OursProcess(Ours):
    """`Store.add`, given up to a power cut."""

    durability = "process"


class OursWriter(Ours):
    """A writer for each object, by ref."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._count = iter(range(1 << 62))

    def put(self, data: bytes) -> str:
        """`writer(ref)`, `write`, `commit`."""
        with self.store.writer(f"object {next(self._count)}") as writer:
            writer.write(data)
            return writer.commit().digest

    def put_known(self, data: bytes, key: str) -> None:  # noqa: ARG002 - the bytes are not needed
        """`writer(ref, expected=)`, which answers by an error."""
        try:
            self.store.writer("a ref", expected=key).close()
        except contentdb.AlreadyExistsError:
            return
        raise RuntimeError("a stored blob was not noticed")


class OursMany(Ours):
    """`Store.add_many`."""

    def put_many(self, items: Iterable[bytes]) -> Iterator[str]:
        """`add_many`; a source that fails would raise here."""
        for info in self.store.add_many(items):
            yield info.digest

    def put_known_many(self, items: Sequence[bytes], keys: Sequence[str]) -> None:
        """`add_many` with their digests."""
        for _ in self.store.add_many(items, expected=keys):
            pass


class OursBatch(Ours):
    """`Store.batch` around plain adds."""

    def put_many(self, items: Iterable[bytes]) -> Iterator[str]:
        """All in one block: what is given is durable when the last has been given."""
        with self.store.batch():
            for data in items:
                yield self.store.add(data).digest


class OursOpen(Ours):
    """`Store.open`, read whole: verified as it streams."""

    def get(self, key: str) -> bytes:
        """`open` and `read`."""
        with self.store.open(key) as reader:
            return reader.read()


class OursPacked(Ours):
    """`Store.add` in a store that packs."""

    pack_below = 32 << 10


class OursPackedWriter(OursWriter):
    """A writer for each object, in a store that packs."""

    pack_below = 32 << 10


class OursPackedMany(OursMany):
    """`Store.add_many` in a store that packs."""

    pack_below = 32 << 10


class OursCache(Ours):
    """`Store.add` in a cache that is full: each object takes the place of another."""

    size = 1 << 10
    count = 1000

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.store.set_policy(max_bytes=self.size * self.count, grace=timedelta(0))
        deque(self.store.add_many(map(os.urandom, [self.size] * self.count)), maxlen=0)


class OursLargeCache(OursCache):
    """The same, of large objects."""

    size = 512 << 10
    count = 60


ENTRIES = (
    Entry("contentdb add", "contentdb", "yes", Ours),
    Entry("contentdb writer", "contentdb", "yes", OursWriter),
    Entry("contentdb add_many", "contentdb", "per group", OursMany),
    Entry("contentdb batch", "contentdb", "per block", OursBatch),
    Entry("contentdb add, process", "contentdb", "no", OursProcess),
    Entry("contentdb packed add", "contentdb", "yes", OursPacked),
    Entry("contentdb packed writer", "contentdb", "yes", OursPackedWriter),
    Entry("contentdb packed add_many", "contentdb", "per group", OursPackedMany),
    Entry("contentdb open", "contentdb", "yes", OursOpen),
    Entry("contentdb add, cache", "contentdb", "yes", OursCache),
    Entry("contentdb add, large cache", "contentdb", "yes", OursLargeCache),
)
