"""An index of many images, made through SQL without files: what a collection looks at at scale.

One blob of a hundred is an index and ten are manifests: each index refers to ten manifests, each
manifest to a hundred layers, of which some are in many images. A million blobs have
ten million references. Nine of ten indexes have a tag; nothing is in the queue.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final, NamedTuple

import contentdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Images", "make_images"]

_MANIFESTS: Final = 10
_LAYERS: Final = 100
_OWN_LAYERS: Final = 8
_GROUP: Final = 50_000
_SOME_TIME_NS: Final = 1_700_000_000_000_000_000
_KEY: Final = "containerd.io/gc.ref.content"
_BLOB: Final = (
    "INSERT INTO blobs (namespace, digest, size, checksum, created_at, updated_at, state) "
    "VALUES ('default', ?, 1024, 0, ?, ?, 0)"
)
_LABEL: Final = "INSERT INTO labels (namespace, digest, key, value) VALUES ('default', ?, ?, ?)"
_TAG: Final = (
    "INSERT INTO tags (namespace, name, digest, created_at, updated_at) "
    "VALUES ('default', ?, ?, ?, ?)"
)


class Images(NamedTuple):
    """How many there are of each, and their digests by number: indexes, manifests, layers."""

    indexes: int
    manifests: int
    layers: int

    @classmethod
    def of(cls, blobs: int) -> Images:
        """Return what so many blobs are, rounded down to whole images."""
        return cls(blobs // 100, blobs // 10, blobs - blobs // 100 - blobs // 10)

    @property
    def references(self) -> int:
        """How many labels refer to a blob."""
        return self.indexes * _MANIFESTS + self.manifests * min(_LAYERS, self.layers)

    @property
    def tagged(self) -> int:
        """How many of the indexes have a tag: the first ones."""
        return self.indexes * 9 // 10

    @staticmethod
    def digest(number: int) -> str:
        """Return the digest of a blob, counted over all of them."""
        return f"sha256:{hashlib.sha256(number.to_bytes(8, 'little')).hexdigest()}"

    def children(self, number: int, rng: random.Random) -> list[tuple[str, int]]:
        """Return the labels' keys and the numbers of the blobs that an index or manifest names."""
        if number < self.indexes:
            first = self.indexes + number * _MANIFESTS
            return [(f"{_KEY}.m.{place}", first + place) for place in range(_MANIFESTS)]
        own = (number - self.indexes) * _OWN_LAYERS
        chosen = {(own + place) % self.layers for place in range(_OWN_LAYERS)}
        while len(chosen) < min(_LAYERS, self.layers):
            chosen.add(int(self.layers * rng.random() ** 2))  # some are in many images
        before = self.indexes + self.manifests
        return [(f"{_KEY}.l.{place}", before + one) for place, one in enumerate(sorted(chosen))]


def make_images(root: Path, blobs: int) -> Images:
    """Make a store whose index has so many blobs."""
    images = Images.of(blobs)
    contentdb.open(root).close()
    with closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -200000")
        made_last = _take_indexes(database, "labels")
        database.execute("BEGIN IMMEDIATE")
        digests = {images.digest(number): number for number in range(sum(images))}
        times = (_SOME_TIME_NS, _SOME_TIME_NS)
        database.executemany(_BLOB, ((digest, *times) for digest in sorted(digests)))
        names = [digest for digest, at in digests.items() if at < images.indexes + images.manifests]
        _insert_in_order(database, _labels(images, sorted(names), digests))
        tagged = (
            (f"app{number}", images.digest(number), *times) for number in range(images.tagged)
        )
        database.executemany(_TAG, tagged)
        database.execute("COMMIT")
        for statement in made_last:
            database.execute(statement)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return images


def _labels(
    images: Images, names: list[str], numbers: dict[str, int]
) -> Iterator[tuple[str, str, str]]:
    rng = random.Random(1)
    for name in names:
        for key, child in images.children(numbers[name], rng):
            yield name, key, images.digest(child)


def _insert_in_order(database: sqlite3.Connection, rows: Iterator[tuple[str, str, str]]) -> None:
    while group := list(itertools.islice(rows, _GROUP)):
        group.sort()
        database.executemany(_LABEL, group)


def _take_indexes(database: sqlite3.Connection, table: str) -> list[str]:
    """Drop the indexes of a table; return the statements that make them again, sorted at once."""
    found = database.execute(
        "SELECT name, sql FROM sqlite_master "
        "WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL",
        (table,),
    ).fetchall()
    for name, _ in found:
        database.execute(f"DROP INDEX {name}")
    return [sql for _, sql in found]
