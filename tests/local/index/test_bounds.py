"""What the index does costs as much as what it is about, however much else there is."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
import tracemalloc
from typing import TYPE_CHECKING, Final

import pytest

from contentdb.declared import Takeover
from contentdb.digest import Digest
from contentdb.local.index import IngestRow
from contentdb.local.index.index import Index
from tests.local.index.databases import Record, make_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")
TOKEN, OTHER = "token", "t"
INGEST: Final = IngestRow("r", "name", TOKEN, 7, str(ONE), 0, 10, 10, "me", 10)

WRITES: Final[dict[str, Callable[[Index], object]]] = {
    "begin": lambda index: index.begin(INGEST, Takeover.AGREE),
    "pause": lambda index: index.pause("r", TOKEN, 7, 20),
    "commit": lambda index: index.record([Record(ONE, labels={"k": "v"}, ref="r", token=TOKEN)]),
    "add": lambda index: index.record([Record(TWO, labels={"k": "v"})]),
    "add again": lambda index: index.record([Record(TWO)]),
    "update": lambda index: index.update_labels(ONE, {"k": "w"}, None, 30),
    "update one": lambda index: index.update_labels(ONE, {"l": "w"}, frozenset("l"), 40),
    "mark damaged": lambda index: index.mark_damaged(TWO),
    "heal": lambda index: index.record([Record(TWO)]),
    "is it claimed": lambda index: index.unless_claimed(Digest.of(b"of none"), lambda: True),
    "entomb": lambda index: index.entomb(ONE),
    "bury": lambda index: index.bury(ONE, lambda: None),
    "drop": lambda index: index.drop([TWO], lambda _digest: True),
    "begin again": lambda index: index.begin(INGEST, Takeover.REPLACE),
    "end": lambda index: index.end("r", TOKEN),
}


@contextlib.contextmanager
def filled(folder: Path, count: int) -> Iterator[Index]:
    """An index with so many blobs, labels and ingests, in three namespaces."""
    folder.mkdir()
    path = make_index(folder)
    with contextlib.closing(sqlite3.connect(path)) as db:
        for number in range(count):
            namespace = ("another", "default", "other")[number % 3]
            digest = str(Digest.of(b"%d" % number))
            db.execute(
                "INSERT INTO blobs VALUES (?, ?, 1, 1, 1, 1, 0, NULL, NULL, NULL)",
                (namespace, digest),
            )
            db.execute("INSERT INTO labels VALUES (?, ?, 'k', 'v')", (namespace, digest))
            expected = Digest.of(b"%d comes" % number)
            db.execute(
                "INSERT INTO ingests VALUES (?, ?, ?, 't', NULL, ?, 0, 1, 1, 'me', 1, NULL)",
                (namespace, f"ref {number:06d}", f"name {number}", expected),
            )
        db.commit()
    index = Index(path, str(folder), namespace="default", durable=False)
    with contextlib.closing(index):
        yield index


def steps(index: Index) -> dict[str, int]:
    """How many instructions SQLite runs for each write."""
    index.begin(INGEST._replace(ref="first", name="first"), Takeover.AGREE)
    writer = index._database._writer
    assert writer is not None
    counted: dict[str, int] = {}

    def count() -> int:
        counted[name] += 1
        return 0

    writer.set_progress_handler(count, 1)
    for name, write in WRITES.items():
        counted[name] = 0
        write(index)
    return counted


def test_no_write_looks_at_what_it_is_not_about(tmp_path: Path) -> None:
    """6.4: all that is done under the write lock goes by a key, what SQLite does by itself too."""
    with filled(tmp_path / "few", 30) as index:
        few = steps(index)
    with filled(tmp_path / "many", 3000) as index:
        many = steps(index)
    assert min(few.values()) > 0
    assert {name for name in few if many[name] > 2 * few[name]} == set()


def test_ingests_come_in_pages_while_they_are_ended(tmp_path: Path) -> None:
    with filled(tmp_path / "many", 3000) as index:
        refs = []
        for row in index.ingests():
            refs.append(row.ref)
            assert index.end(row.ref, OTHER)
        assert refs == [f"ref {number:06d}" for number in range(1, 3000, 3)]
        assert list(index.ingests()) == []


def test_tombstones_come_in_pages_while_they_are_buried(tmp_path: Path) -> None:
    with filled(tmp_path / "many", 3000) as index:
        digests = [info.digest for info in index.walk(None, "digest", None, None)]
        for digest in digests:
            index.entomb(digest)
        buried = []
        for tombstone in index.tombstones():
            buried.append(tombstone.digest)
            assert index.bury_all([tombstone], lambda _digest: None)
        assert buried == digests
        assert len(buried) == 1000


@pytest.mark.parametrize("listed", ["ingests", "tombstones"])
def test_a_listing_takes_no_memory_for_what_it_has_passed(index: Index, listed: str) -> None:
    """7.4: listings drop what they have listed."""
    with index._database.snapshot():
        pass
    with contextlib.closing(sqlite3.connect(index._database._path)) as db:
        for number in range(5000):
            ref = f"{number:06d}" + "x" * 2000
            db.execute(
                "INSERT INTO ingests"
                " VALUES ('default', ?, ?, 't', NULL, NULL, 0, 1, 1, 'me', 1, NULL)",
                (ref, f"name {number}"),
            )
            digest = str(Digest.of(b"%d" % number))
            db.execute(
                "INSERT INTO blobs VALUES ('default', ?, 1, 1, 1, 1, 1, NULL, NULL, NULL)",
                (digest,),
            )
        db.commit()
    gc.collect()
    tracemalloc.start()
    try:
        assert sum(1 for _ in getattr(index, listed)()) == 5000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (2 << 20 if listed == "ingests" else 200_000)


def test_which_names_are_those_of_ingests(tmp_path: Path) -> None:
    with filled(tmp_path / "few", 30) as index:
        assert index.find_ingests_named([]) == set()
        names = [f"name {number}" for number in range(25, 700)]
        assert index.find_ingests_named(names) == set(names[:5])
