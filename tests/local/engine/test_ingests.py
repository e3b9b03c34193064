"""Ingests without number: listing and pruning them take a page of memory, not all of them."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import tracemalloc
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb.local.layout import ingest_name

if TYPE_CHECKING:
    from pathlib import Path

MANY: Final = 3000
REF: Final = "x" * 2000


@pytest.fixture
def many(store: contentdb.Store, root: Path) -> contentdb.Store:
    """A store with abandoned ingests; each tenth has a file."""
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        for number in range(MANY):
            ref = f"{number:06d} {REF}"
            name = ingest_name("default", ref)
            db.execute(
                "INSERT INTO ingests"
                " VALUES ('default', ?, ?, 't', ?, NULL, 0, 1, 1, 'me', 1, NULL)",
                (ref, name, number),
            )
            if number % 10 == 0:
                (root / "ingest" / name).write_bytes(b"half")
                os.utime(root / "ingest" / name, ns=(1, 1))
        db.commit()
    return store


def test_statuses_are_streamed(many: contentdb.Store) -> None:
    """7.4: the listing of ingests takes no memory for what has been listed."""
    next(many.statuses())
    gc.collect()
    tracemalloc.start()
    try:
        for number, status in enumerate(many.statuses()):
            assert (status.ref[:6], status.total) == (f"{number:06d}", number)
            assert status.offset == (0 if number % 10 else 4)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number == MANY - 1
    assert peak < 3 << 20  # all of them have six megabytes of refs


def test_filters_choose_among_all(many: contentdb.Store) -> None:
    assert [status.total for status in many.statuses("total>=2998", "total==7")] == [7, 2998, 2999]
    assert sum(1 for _ in many.statuses("offset==4")) == MANY // 10


def test_an_ingest_that_ends_while_they_are_listed_is_left_out(many: contentdb.Store) -> None:
    """Its row was read before, and its file is gone: it is not one at offset 0."""
    going = many.statuses()
    refs = [next(going).ref]
    for number in (1000, 2999):
        many.abort(f"{number:06d} {REF}")
    refs += [status.ref for status in going]
    assert [int(ref[:6]) for ref in refs] == [n for n in range(MANY) if n not in {1000, 2999}]


def test_a_listing_goes_on_while_its_caller_aborts(many: contentdb.Store) -> None:
    for status in many.statuses():
        many.abort(status.ref)
    assert list(many.statuses()) == []


def test_a_listing_ends_with_its_store(many: contentdb.Store) -> None:
    going = many.statuses()
    next(going)
    many.close()
    with pytest.raises(contentdb.StoreClosedError):
        list(going)


def test_what_no_ingest_knows_is_found_among_many(many: contentdb.Store, root: Path) -> None:
    strange = [root / "ingest" / name for name in ("0" * 32, "näive", "strange")]
    for path in strange:
        path.write_bytes(b"left over")
        os.utime(path, ns=(1, 1))
    pruned = list(many.prune(older_than=3600))
    assert sorted(one.name for one in pruned if one.kind == "leftover") == sorted(
        path.name for path in strange
    )
    assert sum(one.kind == "ingest" for one in pruned) == MANY
    assert list((root / "ingest").iterdir()) == []
    assert list(many.statuses()) == []
