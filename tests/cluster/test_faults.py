"""An object store that refuses, breaks off, lies or is late: errors that say so, and no loss."""

from __future__ import annotations

import io
import tracemalloc
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.exceptions import GenericError

import contentdb
from contentdb.cluster import objects as bucket
from tests.cluster import proxy
from tests.cluster.fixtures import place_for_objects
from tests.cluster.proxy import Act, Proxy, Request, answer
from tests.inside import resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster.servers import SeaweedFS

DATA = b"0123456789" * 2_000
LONG = b"0123456789" * 2_000_000


@pytest.fixture
def between(seaweed: SeaweedFS) -> Iterator[Proxy]:
    with Proxy(seaweed.endpoint) as between:
        yield between


@pytest.fixture
def store(
    between: Proxy,
    database: str,
    seaweed: SeaweedFS,
    s3_keys: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[contentdb.Store]:
    monkeypatch.setattr(bucket, "DEADLINE_S", 0.2)  # obstore's own tries come first
    place = place_for_objects(seaweed)
    with contentdb.open(database, objects=place.url, endpoint=between.endpoint) as store:
        yield store


def only(action: str, act: Act, *, times: int = 1 << 30) -> Callable[[Request], Act]:
    """A rule for requests of one kind, the first few of them."""
    left = [times]

    def rule(request: Request) -> Act:
        if request.action != action or not left[0]:
            return proxy.FORWARD
        left[0] -= 1
        return act

    return rule


REFUSALS = {
    "403": answer(403), "409": answer(409), "500": answer(500), "503": answer(503),
    "cut": proxy.CUT,
}  # fmt: skip


@pytest.mark.parametrize("act", REFUSALS.values(), ids=REFUSALS)
def test_a_put_that_fails_is_a_storage_error_and_leaves_the_store_as_it_was(
    store: contentdb.Store, between: Proxy, act: Act
) -> None:
    """6.5: the error says what could not be written; nothing is listed; then it can be done."""
    between.rule = only("put", act)
    with pytest.raises(contentdb.StorageError, match="blobs/sha256"):
        store.add(DATA)
    assert not list(store.walk())
    between.rule = lambda _: proxy.FORWARD
    assert store.read(store.add(DATA).digest) == DATA


@pytest.mark.parametrize("act", REFUSALS.values(), ids=REFUSALS)
def test_an_ingest_whose_commit_fails_is_free_and_resumes(
    store: contentdb.Store, between: Proxy, act: Act
) -> None:
    """3.8, 6.5: the ref is free, what was written is kept, and the same bytes end it."""
    between.rule = only("put", act)
    with pytest.raises(contentdb.StorageError):
        store.ingest("ref", io.BytesIO(LONG))
    assert not list(store.walk())
    between.rule = lambda _: proxy.FORWARD
    assert store.read(store.ingest("ref", io.BytesIO(LONG)).digest) == LONG
    assert not list(store.statuses())


FAILURES = 8
"""More than obstore's own tries."""
PASSING = {"503": answer(503), "cut": proxy.CUT, "lost": proxy.LOSE, "late": proxy.LATE}


@pytest.mark.parametrize("act", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("action", ["put", "get", "delete"])
def test_what_passes_is_not_seen(
    store: contentdb.Store,
    between: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    act: Act,
) -> None:
    """And what arrives late then changes nothing."""
    monkeypatch.setattr(bucket, "DEADLINE_S", 30.0)
    between.rule = only(action, act, times=FAILURES)
    info = store.add(DATA)
    assert store.read(info.digest) == DATA
    store.delete(info.digest)
    assert [one.kind for one in store.prune(older_than=0)] == ["trash"]
    assert [request.action for request in between.seen].count(action) > FAILURES
    assert store.add(DATA).new
    between.deliver()
    assert store.read(info.digest) == DATA


LIES = {"cut off": proxy.SHORT, "half": proxy.SHORTER, "an error in a 200": proxy.ERROR_IN_200}


@pytest.mark.parametrize("act", LIES.values(), ids=LIES)
@pytest.mark.parametrize("data", [DATA, LONG], ids=["one object", "a run"])
def test_an_answer_that_is_not_so_is_never_served(
    store: contentdb.Store, between: Proxy, act: Act, data: bytes
) -> None:
    """4.5: an error, whose kind says whether the bytes or the way to them are bad."""
    info = store.add(data)
    between.rule = only("get", act)
    with pytest.raises((contentdb.CorruptBlobError, contentdb.StorageError)):
        store.read(info.digest)
    between.rule = lambda _: proxy.FORWARD
    assert store.read(store.add(data).digest) == data


def test_a_late_delete_takes_nothing_that_was_stored_since(
    store: contentdb.Store, between: Proxy
) -> None:
    """4.4: a key is never used twice, so the copy of a DELETE finds nothing."""
    info = store.add(DATA)
    store.delete(info.digest)
    between.rule = only("delete", proxy.TWICE_LATE)
    store.prune(older_than=0)
    assert between.late()
    between.rule = lambda _: proxy.FORWARD
    store.add(DATA)
    between.deliver()
    assert store.read(info.digest) == DATA


def test_what_a_late_put_brings_back_goes_once_its_process_has_ended(
    store: contentdb.Store, between: Proxy, database: str
) -> None:
    """7: no row names it, and the trash has it as gone."""
    with contentdb.open(f"{database}?application_name=other") as other:
        between.rule = only("put", proxy.TWICE_LATE)
        info = other.add(DATA)
        between.rule = lambda _: proxy.FORWARD
        other.delete(info.digest)
        other.prune(older_than=0)
    objects = resources_of(store).bucket
    assert not list(objects.list("blobs/"))
    assert between.deliver() == 1
    assert len(list(objects.list("blobs/"))) == 1
    assert not store.exists(info.digest)
    assert [one.kind for one in store.prune(older_than=0)] == ["orphan"]
    assert not list(objects.list("blobs/"))


@pytest.fixture
def objects_between(between: Proxy, seaweed: SeaweedFS, s3_keys: None) -> bucket.Bucket:
    return bucket.Bucket(place_for_objects(seaweed).url, between.endpoint)


def test_a_key_that_looks_like_a_status_is_tried_again(
    objects_between: bucket.Bucket, between: Proxy
) -> None:
    """obstore's text has the key, and ours end in numbers."""
    between.rule = only("put", proxy.CUT, times=FAILURES)
    objects_between.put("blobs/1.400", DATA)
    assert objects_between.get("blobs/1.400", 0, len(DATA)) == DATA


def test_a_list_that_fails_is_asked_for_again(
    objects_between: bucket.Bucket, between: Proxy
) -> None:
    """From its start: one that went on could lack something."""
    objects_between.put("parts/1.1/00000000", DATA)
    between.rule = only("list", proxy.CUT, times=FAILURES)
    assert objects_between.sizes("parts/1.1/") == {"parts/1.1/00000000": len(DATA)}


def test_a_read_that_fails_waits_for_one_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it asks beside is one request, not tries of its own."""
    asked: list[str] = []

    def fail(what: str) -> Callable[..., None]:
        def ask(*_: object, **_named: object) -> None:
            asked.append(what)
            raise GenericError("no answer")

        return ask

    monkeypatch.setattr(bucket, "DEADLINE_S", 0.5)
    monkeypatch.setattr(obstore, "get_range", fail("get"))
    monkeypatch.setattr(obstore, "head", fail("head"))
    with pytest.raises(contentdb.StorageError, match="no answer"):
        bucket.Bucket(f"file://{tmp_path}").get("key", 0, 10)
    assert asked == ["get", "head"] * (len(asked) // 2)


def test_a_request_that_is_wrong_is_sent_once(
    objects_between: bucket.Bucket, between: Proxy
) -> None:
    seen: list[Request] = []

    def rule(request: Request) -> Act:
        seen.append(request)
        return answer(400)

    between.rule = rule
    with pytest.raises(contentdb.StorageError):
        objects_between.put("blobs/1.1", DATA)
    assert len(seen) == 1


def test_a_read_far_behind_the_end_takes_no_memory(tmp_path: Path) -> None:
    objects = bucket.Bucket(f"file://{tmp_path}")
    objects.put("key", b"0123456789")
    tracemalloc.start()
    try:
        assert objects.get("key", 3 << 20, 100) == b""
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
