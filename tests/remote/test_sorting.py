"""Another order than the server's: the same as at hand, and not in memory."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any, get_args

import pytest

import contentdb
from contentdb.content import SortOrder
from contentdb.store.connect import connect
from tests.remote.lying import lying

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.wire import content_pb2


@pytest.mark.parametrize("sort", get_args(SortOrder))
@pytest.mark.parametrize("limit", [None, 0, 1, 7, 2**63 - 1])
def test_every_order_is_that_of_a_store_at_hand(
    tmp_path: Path, served: Path, sort: SortOrder, limit: int | None
) -> None:
    """4.2: those that are equal are in the order of their digests, in both ways."""
    with contentdb.open(tmp_path / "store") as at_hand, connect(str(served)) as store:
        for number in range(12):
            at_hand.add(b"%d" % (number % 5) * (1 + number % 3), labels={"number": str(number)})
        at_hand.add(b"")
        there = list(store.walk(sort=sort, limit=limit))
        assert there == list(at_hand.walk(sort=sort, limit=limit))


_PEAK = """
import re, sys, contentdb

def peak_kib():  # of this program alone, which that of getrusage is not
    return int(re.search("VmHWM:\\s*([0-9]+)", open("/proc/self/status").read())[1])

store = contentdb.connect(sys.argv[1])
next(store.walk())
before = peak_kib()
sizes = [info.size for info in store.walk(sort="-size")]
assert len(sizes) == 60 and sizes == sorted(sizes, reverse=True)
print(peak_kib() - before)
"""


def test_labels_are_not_kept_in_memory(tmp_path: Path, served: Path) -> None:
    """7.4: sixty blobs with 0.8 MB of labels each, 48 MB in all, are sorted in a part of that."""
    labels = {f"key{number}": "v" * 4000 for number in range(200)}
    with contentdb.open(tmp_path / "store", durability="process") as at_hand:
        for number in range(60):
            at_hand.add(b"x" * number, labels=labels)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(served)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 24_000, f"{done.stdout} KiB"


def test_the_file_goes_with_the_listing(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.6: closed, dropped or come to its end, a listing leaves no descriptor."""
    made: list[sqlite3.Connection] = []
    plain = sqlite3.connect

    def connecting(*words: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - as it takes
        made.append(plain(*words, **options))
        return made[-1]

    with connect(str(served)) as store:
        store.add(b"1")
        store.add(b"22")
        monkeypatch.setattr(sqlite3, "connect", connecting)
        closed: Any = store.walk(sort="size")
        next(closed)
        closed.close()
        list(store.walk(sort="size"))
        next(store.walk(sort="size"))
        store.walk(sort="size")
    assert len(made) == 4
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_times_of_any_year_are_sorted(socket_path: Path) -> None:
    """4.2: a server may tell of times that no 64 bits of nanoseconds hold."""
    from contentdb.wire import content_pb2 as wire

    years_s = (253_402_300_799, 0, -62_135_596_800, 1)

    def listing(*_: object) -> Iterator[content_pb2.ListContentResponse]:
        infos = []
        for number, second in enumerate(years_s):
            info = wire.Info(digest=contentdb.Digest.of(b"%d" % number), size=number)
            info.created_at.seconds = second
            infos.append(info)
        yield wire.ListContentResponse(info=infos)

    with lying(socket_path, List=listing) as store:
        assert [info.size for info in store.walk(sort="created_at")] == [2, 1, 3, 0]
        assert [info.size for info in store.walk(sort="-created_at")] == [0, 3, 1, 2]


def test_where_there_is_no_room_it_says_so(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """6.5: a full disk is told as what it is."""
    plain = sqlite3.connect

    def small(*words: Any, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - as it takes
        connection: sqlite3.Connection = plain(*words, **options)
        connection.execute("PRAGMA max_page_count = 3")
        return connection

    with connect(str(served)) as store:
        store.add(b"1", labels={"key": "v" * 4000})
        store.add(b"2", labels={f"key{number}": "v" * 4000 for number in range(20)})
        monkeypatch.setattr(sqlite3, "connect", small)
        with pytest.raises(contentdb.StoreError, match=r"sort.*full"):
            store.walk(sort="size")
