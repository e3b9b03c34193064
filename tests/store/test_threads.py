"""One store shared by many threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import contentdb
from contentdb import ContentDBError, Digest, NotFoundError, StoreClosedError, Usage
from contentdb.local.index.index import Index
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from contentdb import Store


def test_threads_do_not_mix_their_bytes(store: Store) -> None:
    """Eight threads write eight ingests piece by piece, and each blob is that of its own ref."""

    def write(number: int) -> str:
        with store.writer(f"ref {number}") as writer:
            for count in range(50):
                writer.write(b"%d %d\n" % (number, count))
            return writer.commit().digest

    def whole(number: int) -> bytes:
        return b"".join(b"%d %d\n" % (number, count) for count in range(50))

    outcomes = together(*[lambda number=number: write(number) for number in range(8)])
    assert outcomes == [Digest.of(whole(number)) for number in range(8)]
    assert all(store.read(Digest.of(whole(number))) == whole(number) for number in range(8))


def test_threads_share_a_store(store: Store) -> None:
    """Adds, reads, updates, walks and deletes at once: the end is the sum of what each did."""

    def work(number: int) -> None:
        for count in range(15):
            data = b"%d %d" % (number, count)
            digest = store.add(data).digest
            assert store.read(digest) == data
            store.update(digest, {"thread": str(number)})
            assert digest in {info.digest for info in store.walk()}
            if count % 3 == 0:
                store.delete(digest)

    together(*[lambda number=number: work(number) for number in range(8)])
    left = [b"%d %d" % (n, count) for n in range(8) for count in range(15) if count % 3]
    assert {info.digest for info in store.walk()} == {Digest.of(data) for data in left}
    assert store.usage() == Usage(len(left), sum(map(len, left)), 0, 0)
    assert len(list(store.walk("labels.thread==3"))) == 10


def test_threads_find_blobs_or_not(store: Store) -> None:
    """Readers beside an adder and deleter get the whole content, or are told that it is absent."""
    data = bytes(range(256)) * 4000
    digest = Digest.of(data)
    stop = threading.Event()

    def read() -> int:
        found = 0
        while not stop.is_set():
            try:
                assert store.read(digest) == data
                found += 1
            except NotFoundError:
                pass
        return found

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        try:
            for _ in range(25):
                store.add(data)
                store.delete(digest)
        finally:
            stop.set()
        for reader in readers:
            reader.result()


def test_close_beside_working_threads(root: Path) -> None:
    """Whoever is caught by a close is done or told so; nothing is left half done."""
    store = contentdb.open(root)
    started = threading.Barrier(5)

    def work(number: int) -> ContentDBError | None:
        started.wait()
        try:
            for count in range(10_000):
                store.add(b"%d %d" % (number, count))
        except ContentDBError as error:
            return error
        return None

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(work, number) for number in range(4)]
        started.wait()
        store.close()
        outcomes = [one.result() for one in running]
    assert all(isinstance(one, StoreClosedError) for one in outcomes)
    with contentdb.open(root, create=False) as again:
        assert list(again.verify()) == []
        assert list(again.statuses()) == []


def test_a_drop_that_is_overtaken_has_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next writer begins between the bytes and the row: its ingest stays, from 0 on."""
    with store.writer("ref") as first:
        first.write(b"old")
    end = Index.end
    begun: list[contentdb.Writer] = []

    def overtaken(self: Index, ref: str, token: str) -> bool:
        begun.append(store.writer("ref", resume=True))
        return end(self, ref, token)

    with monkeypatch.context() as slow:
        slow.setattr(Index, "end", overtaken)
        store.abort("ref")
    (writer,) = begun
    assert (writer.offset, store.status("ref").held) == (0, True)
    writer.write(b"new")
    assert store.read(writer.commit().digest) == b"new"
