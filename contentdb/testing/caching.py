"""Section 4, rules 20 to 23: caches. Only for a store that collects by last use."""

# Long: a list of rules, each on its own.

from __future__ import annotations

import io
import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast

import pytest

from contentdb.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidFilterError,
    NotFoundError,
    QuotaExceededError,
)
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from typing import Protocol

    from contentdb.content import Collected, Collector, ContentStore, Tagger

    class Cache(ContentStore, Collector, Tagger, Protocol):
        """A store with all that a cache needs."""


__all__ = ["CachingRules"]

SIZE: Final = 100_000
"""Of each blob: more than any store packs, so that its reads are uses."""
NO_GRACE: Final = timedelta(0)


def _fill(store: Cache, count: int) -> list[str]:
    return [str(store.add(os.urandom(SIZE)).digest) for _ in range(count)]


def _held(store: Cache) -> int:
    status = store.queue_status()
    return (status.bytes or 0) + (status.reserved or 0)


def _left(store: Cache, digests: list[str]) -> list[int]:
    """The places of those that are still stored; this asks for no content, so it is no use."""
    there = {str(info.digest) for info in store.walk()}
    return [place for place, digest in enumerate(digests) if digest in there]


class CachingRules(Rules):
    """What goes first, and a bound that is never exceeded."""

    @pytest.fixture
    def cache(self, store: ContentStore) -> Cache:
        """The store, if it is a collector."""
        if not self.has_policies:
            pytest.skip("the store has no policies")
        return cast("Cache", store)

    @pytest.fixture
    def bounded(self, cache: Cache) -> Cache:
        """A cache of ten blobs."""
        cache.set_policy(max_bytes=10 * SIZE, grace=NO_GRACE)
        return cache

    # -- which goes first ----------------------------------------------------------------------

    def test_what_was_stored_first_goes_first(self, cache: Cache) -> None:
        """4.20: down to nine tenths of the bytes."""
        digests = _fill(cache, 10)
        assert cache.collect(max_bytes=10 * SIZE, grace=NO_GRACE).blobs == 0
        digests += _fill(cache, 1)
        done = cache.collect(max_bytes=10 * SIZE, grace=NO_GRACE)
        assert (done.blobs, done.bytes) == (2, 2 * SIZE)
        assert _left(cache, digests) == list(range(2, 11))

    def test_what_was_read_stays(self, bounded: Cache, second: ContentStore) -> None:
        """4.20: a read by any handle is a use, however often the cache turns over."""
        digests = _fill(bounded, 5)
        for _ in range(12):
            assert len(second.read(digests[1])) == SIZE
            with bounded.open(digests[3]) as reader:
                reader.read(10)
            _fill(bounded, 5)
        assert _left(bounded, digests) == [1, 3]

    def test_what_was_used_is_taken_in_its_turn(self, bounded: Cache) -> None:
        """4.20: a use gives one chance more, not another one for ever."""
        digests = _fill(bounded, 3)
        bounded.read(digests[0])
        _fill(bounded, 30)
        assert _left(bounded, digests) == []

    def test_a_copy_is_no_use(self, bounded: Cache, tmp_path: os.PathLike[str]) -> None:
        """4.20: a backup must not keep all that it copies."""
        digests = _fill(bounded, 10)
        for digest in digests[:5]:
            bounded.export(digest, os.path.join(tmp_path, digest[-9:]))  # noqa: PTH118 - a path is text here
        _fill(bounded, 5)
        assert not set(_left(bounded, digests)) & {0, 1, 2, 3, 4}

    def test_what_is_wanted_never_goes(self, bounded: Cache) -> None:
        """4.20: a tag keeps content in a cache as anywhere."""
        kept = _fill(bounded, 1)
        bounded.tag("kept", kept[0])
        _fill(bounded, 30)
        assert _left(bounded, kept) == [0]

    def test_only_what_was_unused_for_so_long_goes(self, cache: Cache) -> None:
        """4.20: what was stored just now was used."""
        digests = _fill(cache, 3)
        assert cache.collect(unused_for=timedelta(hours=1), grace=NO_GRACE).blobs == 0
        assert _left(cache, digests) == [0, 1, 2]

    def test_only_what_the_filters_select_goes(self, cache: Cache) -> None:
        """4.20: what is not selected stays, with all that it refers to."""
        kept = cache.add(os.urandom(10))
        wanted = cache.add(os.urandom(10), labels={"kind": "part"})
        parent = {"containerd.io/gc.ref.content.0": str(wanted.digest)}
        cache.add(os.urandom(10), labels=parent)
        gone = cache.add(os.urandom(10), labels={"kind": "part"})
        told = cache.collect(
            filters=["labels.kind==part"], grace=NO_GRACE, no_roots=True, dry_run=True
        )
        done = cache.collect(filters=["labels.kind==part"], grace=NO_GRACE, no_roots=True)
        assert (told.blobs, told.bytes) == (done.blobs, done.bytes)
        assert done.blobs == 1
        assert cache.exists(kept.digest)
        assert cache.exists(wanted.digest)
        assert not cache.exists(gone.digest)

    def test_a_dry_run_tells_what_would_go(self, cache: Cache) -> None:
        """4.20: in its order, and nothing changes."""
        digests = _fill(cache, 6)
        cache.read(digests[0])
        told: list[str] = []
        terms = {"max_bytes": 4 * SIZE, "grace": NO_GRACE}
        cache.collect(**terms, dry_run=True, progress=lambda one: told.append(str(one.digest)))  # type: ignore[arg-type]
        assert len(_left(cache, digests)) == 6
        done: list[str] = []
        cache.collect(**terms, progress=lambda one: done.append(str(one.digest)))  # type: ignore[arg-type]
        assert told == done == digests[1:4]

    def test_a_collection_may_be_watched_by_one_who_stores(self, bounded: Cache) -> None:
        """4.22: it finds the room that there is, and waits for no other collection."""
        _fill(bounded, 10)
        refused: list[Exception] = []

        def store_more(_gone: Collected) -> None:
            if refused:
                return
            bounded.add(os.urandom(SIZE))
            with pytest.raises(QuotaExceededError) as caught:
                bounded.add(os.urandom(9 * SIZE))
            refused.append(caught.value)

        assert bounded.collect(max_bytes=9 * SIZE + 1, progress=store_more).blobs == 3
        assert refused

    def test_a_collection_within_a_collection_is_refused(self, bounded: Cache) -> None:
        """4.22: it would wait for itself."""
        _fill(bounded, 2)

        def collect_more(_gone: Collected) -> None:
            with pytest.raises(FailedPreconditionError, match="progress"):
                bounded.collect(max_bytes=0)

        assert bounded.collect(max_bytes=0, progress=collect_more).blobs == 2

    # -- the policy ----------------------------------------------------------------------------

    def test_a_policy_is_kept_by_every_handle(self, cache: Cache, second: ContentStore) -> None:
        """4.21: and replaced as a whole."""
        assert cache.policy() is None
        made = cache.set_policy(
            grace=NO_GRACE,
            max_bytes=1000,
            low=0.5,
            unused_for=timedelta(days=30),
            filters=["size>3"],
        )
        assert made == (NO_GRACE, 1000, 500, timedelta(days=30), ("size>3",))
        assert cast("Cache", second).policy() == made
        cache.set_policy(grace=timedelta(hours=1))
        assert cast("Cache", second).policy() == (timedelta(hours=1), None, None, None, ())
        cache.clear_policy()
        cache.clear_policy()
        assert cast("Cache", second).policy() is None

    def test_a_collection_goes_by_the_policy(self, cache: Cache) -> None:
        """4.21: where its arguments say nothing else."""
        digests = _fill(cache, 4)
        cache.set_policy(max_bytes=3 * SIZE, low=0.5, grace=NO_GRACE)
        assert cache.collect().blobs == 3
        assert _left(cache, digests) == [3]

    def test_a_bad_policy_is_refused(self, cache: Cache) -> None:
        """4.21: by what is wrong with it."""
        with pytest.raises(InvalidArgumentError, match="max_bytes"):
            cache.set_policy(max_bytes=-1)
        with pytest.raises(InvalidArgumentError, match="low"):
            cache.set_policy(max_bytes=1, low=90)
        with pytest.raises(InvalidArgumentError, match="low"):
            cache.set_policy(low=0.5)
        with pytest.raises(InvalidArgumentError, match="grace"):
            cache.set_policy(grace=60)  # type: ignore[arg-type]
        with pytest.raises(InvalidFilterError):
            cache.set_policy(filters=["size>"])
        with pytest.raises(InvalidArgumentError, match="filters"):
            cache.set_policy(filters="size>3")
        for name in ("grace", "unused_for"):
            with pytest.raises(InvalidArgumentError, match=name):
                cache.set_policy(**{name: timedelta.max})  # type: ignore[arg-type]
            with pytest.raises(InvalidArgumentError, match=name):
                cache.collect(**{name: timedelta.max})  # type: ignore[arg-type]
        assert cache.policy() is None

    def test_the_largest_policy_holds(self, cache: Cache) -> None:
        """4.21: as large as the index can hold; it takes nothing."""
        longest, most = timedelta(days=106_751), 2**63 - 1
        digests = _fill(cache, 1)
        made = cache.set_policy(grace=longest, max_bytes=most, low=1.0, unused_for=longest)
        assert cache.policy() == made == (longest, most, most, longest, ())
        assert cache.collect(no_roots=True).blobs == 0
        digests += _fill(cache, 1)
        assert cache.collect(grace=longest, unused_for=longest).blobs == 0
        assert _left(cache, digests) == [0, 1]

    # -- the bound -----------------------------------------------------------------------------

    def test_no_way_of_storing_exceeds_the_bound(self, bounded: Cache) -> None:
        """4.22: with whatever call, and of known size or not."""
        for _ in range(8):
            bounded.add(os.urandom(3 * SIZE))
            assert _held(bounded) <= 10 * SIZE
            bounded.add(io.BytesIO(os.urandom(2 * SIZE)))
            assert _held(bounded) <= 10 * SIZE
            bounded.ingest("r", io.BytesIO(os.urandom(3 * SIZE)))
            assert _held(bounded) <= 10 * SIZE
            with bounded.writer("w", total=SIZE) as writer:
                writer.write(os.urandom(SIZE))
                assert _held(bounded) <= 10 * SIZE
                writer.commit()
            for _ in bounded.add_many([os.urandom(SIZE // 2) for _ in range(40)]):
                assert _held(bounded) <= 10 * SIZE
        assert bounded.queue_status().reserved == 0
        assert bounded.queue_status().bytes == bounded.usage().blob_bytes

    def test_what_does_not_fit_is_refused_before_a_byte_is_taken(self, bounded: Cache) -> None:
        """4.22: and nothing is left of it."""
        source = io.BytesIO(bytes(SIZE))
        with pytest.raises(QuotaExceededError, match="larger bound") as caught:
            bounded.ingest("r", source, total=10 * SIZE + 1)
        assert (caught.value.wanted, caught.value.max_bytes) == (10 * SIZE + 1, 10 * SIZE)
        assert source.tell() == 0
        with pytest.raises(NotFoundError):
            bounded.status("r")
        with pytest.raises(QuotaExceededError):
            bounded.add(bytes(10 * SIZE + 1))
        with pytest.raises(QuotaExceededError):
            bounded.add(io.BytesIO(bytes(10 * SIZE + 1)))
        assert _held(bounded) == 0

    def test_what_is_kept_makes_no_room(self, bounded: Cache) -> None:
        """4.22: it stays, and the new content is refused; once it may go there is room."""
        digests = _fill(bounded, 10)
        for digest in digests:
            bounded.tag(digest, digest)
        with pytest.raises(QuotaExceededError, match="kept by tags"):
            bounded.add(os.urandom(SIZE))
        assert _left(bounded, digests) == list(range(10))
        bounded.untag(digests[4])
        bounded.add(os.urandom(SIZE))
        assert 4 not in _left(bounded, digests)

    def test_grace_holds_in_a_cache(self, cache: Cache) -> None:
        """4.22: what a caller was just told is stored makes no room."""
        cache.set_policy(max_bytes=2 * SIZE)
        digests = _fill(cache, 2)
        with pytest.raises(QuotaExceededError, match="grace"):
            cache.add(os.urandom(SIZE))
        assert _left(cache, digests) == [0, 1]

    def test_stored_content_needs_no_room(self, bounded: Cache) -> None:
        """4.22: a cache that is full answers for what it has."""
        data = os.urandom(10 * SIZE)
        assert bounded.add(data).new
        assert not bounded.add(data).new
        assert bounded.ingest("r", io.BytesIO(b""), expected=bounded.add(data).digest)
        assert _held(bounded) == 10 * SIZE

    def test_a_writer_has_its_room_from_the_beginning(self, bounded: Cache) -> None:
        """4.22: no other one gets it, before the first byte is there."""
        with bounded.writer("w", total=8 * SIZE) as writer:
            assert bounded.queue_status().reserved == 8 * SIZE
            with pytest.raises(QuotaExceededError):
                bounded.add(bytes(3 * SIZE))
            writer.write(bytes(8 * SIZE))
            writer.commit()
        assert (_held(bounded), bounded.queue_status().reserved) == (8 * SIZE, 0)

    def test_what_ends_gives_its_room_back(self, bounded: Cache) -> None:
        """4.23: a pause keeps that of the bytes that are there, an abort nothing."""
        with bounded.writer("w", total=8 * SIZE) as writer:
            writer.write(bytes(SIZE))
        assert bounded.queue_status().reserved == SIZE
        with bounded.writer("w", resume=True) as writer:
            assert bounded.queue_status().reserved == 8 * SIZE
        bounded.abort("w")
        assert bounded.queue_status().reserved == 0
        with bounded.writer("u") as writer:
            writer.write(b"some")
            assert (bounded.queue_status().reserved or 0) >= 4
        assert bounded.queue_status().reserved == 4
        with bounded.writer("u", resume=True) as writer:
            writer.write(b"more")
            writer.commit()
        assert (bounded.queue_status().reserved, bounded.queue_status().bytes) == (0, 8)

    def test_a_delete_makes_room(self, bounded: Cache) -> None:
        """4.23: as does whatever else takes a blob."""
        info = bounded.add(bytes(9 * SIZE))
        bounded.delete(info.digest)
        assert _held(bounded) == 0

    def test_a_bound_counts_what_is_there(self, cache: Cache) -> None:
        """4.22: blobs and ingests from before it; and its end ends it."""
        _fill(cache, 2)
        with cache.writer("w") as writer:
            writer.write(bytes(SIZE))
        cache.set_policy(max_bytes=4 * SIZE, grace=NO_GRACE)
        status = cache.queue_status()
        assert (status.bytes, status.reserved) == (2 * SIZE, SIZE)
        cache.clear_policy()
        cache.add(bytes(5 * SIZE))
        status = cache.queue_status()
        assert (status.bytes, status.reserved) == (None, None)
