"""Walks: in pages, as of their start, through the index that fits."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contentdb import forks
from contentdb.digest import Digest
from contentdb.errors import InvalidFieldError, NoSpaceError, UnsafeForkError
from contentdb.filters import parse
from contentdb.local.index import queries, readers, remaining
from contentdb.local.index.connect import connect
from contentdb.local.index.index import Index
from tests.local.index.databases import Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from contentdb.content import Info

MANY = 2500  # more than two pages


def fill(index: Index, count: int) -> list[Info]:
    """Store blobs; each third has labels, sizes go against the digests."""
    digests = sorted(Digest.of(b"%d" % number) for number in range(count))
    index.record(
        [
            Record(
                digest,
                size=count - number,
                labels={"k": "v" if number % 30 else "rare", "n": str(number)}
                if number % 3 == 0
                else {},
                now_ns=number,
            )
            for number, digest in enumerate(digests)
        ]
    )
    return list(index.walk(None, "digest", None, None))


def walk(
    index: Index,
    *filters: str,
    sort: str = "digest",
    after: str | None = None,
    limit: int | None = None,
) -> list[Info]:
    chosen = parse(*filters) if filters else None
    return list(index.walk(chosen, sort, after, limit))


def test_every_blob_comes_once_in_digest_order_with_its_labels(index: Index) -> None:
    infos = fill(index, MANY)
    assert [info.digest for info in infos] == sorted(Digest.of(b"%d" % n) for n in range(MANY))
    for number, info in enumerate(infos):
        assert info.labels.get("n") == (str(number) if number % 3 == 0 else None)
        assert (info.size, info.created_ns) == (MANY - number, number)


def test_other_orders_and_filters_give_the_same_blobs(index: Index) -> None:
    infos = fill(index, MANY)
    assert walk(index, sort="size") == infos[::-1]
    assert walk(index, sort="-created_at") == infos[::-1]
    assert walk(index, "size>=0") == infos
    assert walk(index, "labels.k") == infos[::3]
    assert walk(index, "labels.k==rare") == infos[::30]
    assert walk(index, "labels.k!=v") == [one for one in infos if one.labels.get("k") != "v"]
    assert walk(index, "labels.n~=^1?2$", "size==1") == [infos[12], infos[-1]]
    assert walk(index, rf"digest~={infos[5].digest[:20]}") == [infos[5]]
    assert walk(index, "size<=3", sort="size", limit=2) == infos[:-3:-1]


@pytest.mark.parametrize("filters", [(), ("size>=0",)])
def test_bounds(index: Index, filters: tuple[str, ...]) -> None:
    infos = fill(index, 10)
    after = infos[3].digest
    assert walk(index, *filters, after=after) == infos[4:]
    assert walk(index, *filters, after=after, limit=2) == infos[4:6]
    assert walk(index, *filters, limit=0) == []


def test_only_live_blobs_of_the_namespace(index: Index, path: str, tmp_path: Path) -> None:
    infos = fill(index, 10)
    index.entomb(infos[0].digest)
    index.mark_damaged(infos[1].digest)
    assert walk(index) == walk(index, "size>=0") == infos[2:]
    other = Index(path, str(tmp_path), namespace="other", durable=True)
    with contextlib.closing(other):
        assert walk(other) == walk(other, "labels.k") == []


@pytest.mark.parametrize("filters", [(), ("size>=0",)])
def test_a_walk_is_as_of_its_start(index: Index, filters: tuple[str, ...]) -> None:
    infos = fill(index, MANY)
    going = index.walk(parse(*filters) if filters else None, "digest", None, None)
    first = next(going)
    index.entomb(infos[-1].digest)
    index.update_labels(infos[-2].digest, {"k": "new"}, None, 5)
    assert [first, *going] == infos


def test_a_walk_goes_on_across_a_fork(index: Index) -> None:
    infos = fill(index, MANY)
    going = index.walk(None, "digest", None, None)
    first = next(going)
    index.before_fork()
    forks.free()
    index.entomb(infos[-1].digest)
    assert [first, *going] == infos


def test_a_long_walk_goes_on_across_a_fork_in_a_file(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the fork would take the memory of all that is still to come."""
    monkeypatch.setattr(remaining, "_IN_MEMORY", 1)
    labels = {f"k{number:02d}": "v" * 4000 for number in range(25)}
    for number in range(220):
        index.record([Record(Digest.of(b"%d" % number), labels=labels)])
    digests = [info.digest for info in walk(index)]
    before = open_files()
    going = index.walk(None, "digest", None, None)
    assert next(going).digest == digests[0]
    gc.collect()
    tracemalloc.start()
    try:
        index.before_fork()
        forks.free()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20  # all of them are 22 MB
    finally:
        tracemalloc.stop()
    index.entomb(digests[-1])
    rest = list(going)
    assert [info.digest for info in rest] == digests[1:]
    assert {len(info.labels) for info in rest} == {25}
    del going
    assert open_files() <= before


def test_a_walk_whose_rest_finds_no_room_ends_with_an_error(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remaining, "_IN_MEMORY", 1)
    infos = fill(index, 5000)
    going = index.walk(None, "digest", None, None)
    assert next(going) == infos[0]
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", failing(OSError(errno.ENOSPC, "No space left on device")))
        index.before_fork()
    forks.free()
    found: list[Info] = []
    with pytest.raises(NoSpaceError, match="rest of a listing"):
        found.extend(going)
    assert found == infos[1:2000]  # the first page, and what was read before the disk was full


def test_a_walk_that_was_cut_off_at_a_fork_does_not_end_as_if_it_were_whole(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal's handler raises while the rest is read; the hook is run again."""
    monkeypatch.setattr(remaining, "_IN_MEMORY", 1)
    infos = fill(index, 5000)
    going = index.walk(None, "digest", None, None)
    assert next(going) == infos[0]
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", failing(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            index.before_fork()
    index.before_fork()
    forks.free()
    with pytest.raises(UnsafeForkError):
        list(going)
    assert walk(index) == infos


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def failing(error: BaseException) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise error

    return fail


@pytest.mark.parametrize("filters", [(), ("size>=0",)])
@pytest.mark.parametrize("sort", ["digest", "-size"])
def test_a_page_is_bounded_by_the_weight_of_its_labels(
    index: Index, filters: tuple[str, ...], sort: str
) -> None:
    """200 blobs with 100 KB of labels each, and some with none, never are in memory together."""
    heavy = {f"k{number:02d}": "v" * 4000 for number in range(25)}
    digests = sorted(Digest.of(b"%d" % number) for number in range(220))
    for number, digest in enumerate(digests):
        index.record([Record(digest, size=number, labels=heavy if number % 11 else {})])
    expected = digests if sort == "digest" else digests[::-1]
    gc.collect()
    tracemalloc.start()
    try:
        going = index.walk(parse(*filters) if filters else None, sort, None, None)
        for number, info in enumerate(going):
            assert info.digest == expected[number]
            assert info.labels == ({} if info.size % 11 == 0 else heavy)
        assert number == 219
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20


def test_one_blob_may_weigh_more_than_a_page(index: Index) -> None:
    """An older release took labels without end; such a blob has a page of its own."""
    labels = {f"k{number:04d}": "v" * 4000 for number in range(1000)}
    for number in range(3):
        index.record([Record(Digest.of(b"%d" % number), labels=labels)])
    assert [info.labels for info in walk(index)] == [labels] * 3
    assert [info.labels for info in walk(index, sort="-size")] == [labels] * 3


@pytest.mark.parametrize(
    ("filters", "sort"), [((), "digest"), ((), "-size"), (("labels.k",), "digest")]
)
def test_labels_are_asked_for_once_a_page(
    index: Index, monkeypatch: pytest.MonkeyPatch, filters: tuple[str, ...], sort: str
) -> None:
    """And not once a blob: an order or a filter of a million asked a million times."""
    count = len(fill(index, MANY)[:: 3 if filters else 1])
    asked: list[str] = []

    def traced(path: str, *, query_only: bool = False) -> sqlite3.Connection:
        connection = connect(path, query_only=query_only)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(readers, "connect", traced)
    index.before_fork()  # which closes the connections there are
    forks.free()
    assert len(walk(index, *filters, sort=sort)) == count
    of_labels = [text for text in asked if text.lstrip().startswith("SELECT digest, key, value")]
    assert len(of_labels) == -(-count // 1000)


def test_an_unknown_order_is_refused(index: Index) -> None:
    with pytest.raises(InvalidFieldError, match="created_at"):
        walk(index, sort="colour")


def plan(db: sqlite3.Connection, *filters: str) -> list[str]:
    query = queries.compile_walk("default", parse(*filters), "digest", None, None)
    queries.teach(db)
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query.statement}", query.values)]


@pytest.mark.parametrize(
    ("filters", "bounds"),
    [
        (["labels.k==v"], "namespace=? AND key=? AND value=?"),
        (["labels.k"], "namespace=? AND key=?"),
        (["labels.k~=^v"], "namespace=? AND key=?"),
        (["labels.k==v,size>1"], "namespace=? AND key=? AND value=?"),
        (["labels.k!=v"], "namespace=? AND key=? AND value=?"),
    ],
)
def test_labels_are_found_in_their_index(
    db: sqlite3.Connection, filters: list[str], bounds: str
) -> None:
    steps = plan(db, *filters)
    index = "labels USING COVERING INDEX ix_labels_namespace_key_value"
    assert f"SEARCH {index} ({bounds})" in steps
    assert not [step for step in steps if re.match("SCAN (blobs|labels)", step)]


@pytest.mark.parametrize("text", ["labels.k==v", "labels.k", "labels.a==1,labels.b~=2"])
def test_a_label_looks_at_its_own_blobs_only(db: sqlite3.Connection, text: str) -> None:
    assert "SEARCH blobs USING PRIMARY KEY (namespace=? AND digest=?)" in plan(db, text)
