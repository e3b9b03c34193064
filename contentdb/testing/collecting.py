"""Section 4, rules 15 to 19: collection. Only for a store that collects."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import pytest

from contentdb.content import Step
from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError, NoRootsError, NotFoundError
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from typing import Protocol

    from contentdb.content import Collector, ContentStore, Leaser, Tagger

    class Collecting(ContentStore, Collector, Tagger, Leaser, Protocol):
        """A store with all that makes roots."""


__all__ = ["CollectingRules"]

NO_GRACE: Final = timedelta(0)
REF: Final = "containerd.io/gc.ref.content"
BREF: Final = "containerd.io/gc.bref.content"


def _there(store: Collecting) -> set[str]:
    return {str(info.digest) for info in store.walk()}


def _taken(store: Collecting) -> set[str]:
    """What goes without a grace; a dry run says the same first."""
    before = _there(store)
    dry: list[str] = []
    store.collect(grace=NO_GRACE, dry_run=True, progress=lambda one: dry.append(str(one.digest)))
    assert _there(store) == before
    told: list[str] = []
    done = store.collect(grace=NO_GRACE, progress=lambda one: told.append(str(one.digest)))
    gone = before - _there(store)
    assert set(dry) == set(told) == gone
    assert done.blobs == len(told) == len(dry)
    return gone


class CollectingRules(Rules):
    """What a collection takes, what it leaves, and what it says of that."""

    @pytest.fixture
    def collecting(self, store: ContentStore) -> Collecting:
        """The store, with a tag of a blob."""
        if not self.has_collections:
            pytest.skip("needs an implementation with has_collections")
        made = cast("Collecting", store)
        made.tag("root", made.add(b"tagged").digest)
        return made

    def test_what_nothing_keeps_goes(self, collecting: Collecting) -> None:
        """4.15: and what it refers to, as far as nothing else keeps that."""
        store = collecting
        child, shared = store.add(b"child").digest, store.add(b"shared").digest
        parent = store.add(b"parent", labels={f"{REF}.0": child, f"{REF}.1": shared}).digest
        store.tag("n", store.add(b"other", labels={REF: shared}).digest)
        assert _taken(store) == {child, parent}
        for digest in (child, parent):
            with pytest.raises(NotFoundError):
                store.read(digest)
        assert store.read(shared) == b"shared"
        store.untag("n")
        assert _taken(store) == {shared, Digest.of(b"other")}
        assert store.add(b"child").new

    def test_each_root_keeps(self, collecting: Collecting) -> None:
        """4.15: until it goes, a lease and an ingest too."""
        store = collecting
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        with store.lease() as lease:
            leased = lease.add(b"leased", labels={REF: Digest.of(b"child")}).digest
            child = store.add(b"child").digest
            expected = store.add(b"expected").digest
            ahead = Digest.of(b"ahead")
            store.writer("r", expected=ahead).close()
            store.add(b"ahead")
            labelled = store.add(b"labelled", labels={"containerd.io/gc.root": "yes"}).digest
            dated = store.add(b"dated", labels={"containerd.io/gc.expire": soon}).digest
            assert _taken(store) == {expected}
        assert _taken(store) == {leased, child}
        store.abort("r")
        store.update(labelled, {})
        store.update(dated, {})
        store.add(b"ahead")  # the end of an ingest is seen later, or by a full run
        assert _taken(store) | {ahead} == {ahead, labelled, dated}

    def test_a_flat_lease_keeps_its_items_alone(self, collecting: Collecting) -> None:
        """4.15: not what they refer to; and what refers to one is not kept by that."""
        store = collecting
        child = store.add(b"child").digest
        with store.lease(flat=True) as lease:
            parent = lease.add(b"parent", labels={REF: child}).digest
            assert _taken(store) == {child}
        assert _taken(store) == {parent}

    def test_a_reference_of_the_child(self, collecting: Collecting) -> None:
        """4.15: by `bref` the child names the blob that keeps it."""
        store = collecting
        child = store.add(b"child", labels={f"{BREF}.x": Digest.of(b"tagged")}).digest
        assert _taken(store) == set()
        assert store.why(child) == (
            Step("content", child),
            Step("content", Digest.of(b"tagged"), f"{BREF}.x"),
            Step("tag", "root"),
        )
        store.delete(Digest.of(b"tagged"))
        assert _taken(store) == {child}

    def test_a_cycle_goes(self, collecting: Collecting) -> None:
        """4.15: its members keep each other only while something keeps one."""
        store = collecting
        one, two = store.add(b"one").digest, store.add(b"two").digest
        store.update(one, {REF: two})
        store.update(two, {REF: one})
        store.tag("n", one)
        assert _taken(store) == set()
        store.untag("n")
        assert _taken(store) == {one, two}

    def test_what_loses_its_reference_goes(self, collecting: Collecting) -> None:
        """4.15: by a change of labels, a tag that moves, a delete, an item that is dropped."""
        store = collecting
        digests = [store.add(b"%d" % number).digest for number in range(4)]
        parent = store.add(b"parent", labels={REF: digests[0]}).digest
        deleted = store.add(b"deleted", labels={REF: digests[2]}).digest
        store.tag("parent", parent)
        store.tag("moves", digests[1])
        store.tag("deleted", deleted)
        with store.lease() as lease:
            assert lease.keep(digests[3])
            assert _taken(store) == set()
            store.update(parent, {f"{REF}.other": digests[1]})
            assert _taken(store) == {digests[0]}
            store.tag("moves", parent)
            assert _taken(store) == set()
            store.update(parent, {})
            store.delete(deleted)
            lease.drop_item("content", digests[3])
            assert _taken(store) == set(map(str, digests[1:]))

    def test_it_refuses_without_roots(self, store: ContentStore) -> None:
        """4.16: it would take all that is not new."""
        if not self.has_collections:
            pytest.skip("needs an implementation with has_collections")
        bare = cast("Collecting", store)
        bare.add(b"content")
        for dry_run in (False, True):
            with pytest.raises(NoRootsError) as caught:
                bare.collect(grace=NO_GRACE, dry_run=dry_run)
            assert caught.value.namespace
        with bare.lease():
            assert bare.collect(grace=NO_GRACE).blobs == 1
        bare.add(b"content")
        assert bare.collect(grace=NO_GRACE, no_roots=True).blobs == 1

    def test_what_is_new_stays(self, collecting: Collecting) -> None:
        """4.17: for a day, with all that it refers to."""
        store = collecting
        store.collect()
        child = store.add(b"child").digest
        parent = store.ingest("r", io.BytesIO(b"parent"), labels={REF: child}).digest
        assert store.collect().blobs == store.collect(full=True).blobs == 0
        assert store.queue_status().begins_ns is not None
        assert {str(child), str(parent)} <= _there(store)

    def test_why(self, collecting: Collecting) -> None:
        """4.19: the way up, rather to a name than to what is new; () is garbage."""
        store = collecting
        child = store.add(b"child").digest
        assert [step.kind for step in store.why(child)] == ["content", "fresh"]
        parent = store.add(b"parent", labels={f"{REF}.0": child}).digest
        store.tag("n", parent)
        way = (Step("content", child), Step("content", parent, f"{REF}.0"), Step("tag", "n"))
        assert store.why(child) == way
        assert store.why(parent) == (Step("content", parent), Step("tag", "n"))
        with pytest.raises(NotFoundError):
            store.why(Digest.of(b"absent"))

    def test_limit_and_filters(self, collecting: Collecting) -> None:
        """4.15: a part of the garbage goes, if asked so."""
        store = collecting
        for number in range(5):
            store.add(b"%d" % number, labels={"n": str(number)})
        assert store.collect(grace=NO_GRACE, filters=["labels.n==3", "size==77"]).blobs == 1
        assert store.collect(grace=NO_GRACE, limit=2).blobs == 2
        assert store.collect(grace=NO_GRACE, limit=0).blobs == 0
        assert len(_taken(store)) == 2
        for bad in (-1, True, 1.5):
            with pytest.raises(InvalidArgumentError):
                store.collect(limit=bad)  # type: ignore[arg-type]
