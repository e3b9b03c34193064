"""When a blob's row says that a collector is to look at it: rules W1 to W6 of docs/design.md."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from contentdb.content import ANY
from contentdb.digest import Digest
from contentdb.engine import TagChange
from contentdb.errors import InvalidLabelError, LeaseEndedError
from contentdb.local.index import LeaseRow, Location, Outcome, State, grace
from contentdb.local.index.index import Index
from contentdb.local.index.packed import Found
from tests.local.index.databases import Record

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Was = Callable[[Digest, int | None], None]

ONE, TWO, THREE = (Digest.of(word) for word in (b"one", b"two", b"three"))
REF, BREF = "containerd.io/gc.ref.content", "containerd.io/gc.bref.content"
LEASE = LeaseRow("l", 5, None, 0, None, None)


@pytest.fixture
def was(db: sqlite3.Connection) -> Was:
    """Give a row another time of review."""

    def set_(digest: Digest, review_ns: int | None) -> None:
        db.execute("UPDATE blobs SET review_at = ? WHERE digest = ?", (review_ns, str(digest)))

    return set_


def review(index: Index, digest: Digest) -> int | None:
    blob = index.blob(digest)
    assert blob is not None
    return blob.review_ns


def is_fresh(index: Index, digest: Digest) -> bool:
    """Whether no collection looks at it for a whole grace, from now on."""
    found = review(index, digest)
    return found is not None and found >= time.time_ns() + grace.GRACE_NS


def is_due(index: Index, digest: Digest) -> bool:
    found = review(index, digest)
    return found is not None and found <= time.time_ns()


def add(index: Index, *digests: Digest, labels: dict[str, str] | None = None) -> None:
    for digest in digests:
        index.record([Record(digest, labels=labels or {})])


def tag(index: Index, name: str, digest: Digest) -> None:
    index.set_tag(TagChange(name, digest, None, None, ANY), 1)


# -- W1 and W2: what a caller is told is stored is fresh -------------------------------------------


def test_what_is_recorded_is_fresh(index: Index, was: Was) -> None:
    """W1: a new row, also one of a group, one that is revived, and one that is healed."""
    index.record([Record(ONE), Record(TWO)])
    assert is_fresh(index, ONE)
    assert is_fresh(index, TWO)
    index.entomb(ONE)
    assert review(index, ONE) is None
    assert index.record([Record(ONE)]) == [Outcome.CREATED]
    assert is_fresh(index, ONE)
    index.mark_damaged(TWO)
    was(TWO, 7)
    assert index.record([Record(TWO)]) == [Outcome.HEALED]
    assert is_fresh(index, TWO)


@pytest.mark.parametrize("before", [None, 7])
def test_what_is_met_again_is_fresh(index: Index, was: Was, before: int | None) -> None:
    """W2: alone and in a group."""
    add(index, ONE, TWO)
    was(ONE, before)
    was(TWO, before)
    assert index.record([Record(ONE)]) == [Outcome.EXISTS]
    assert index.record([Record(TWO), Record(THREE)]) == [Outcome.EXISTS, Outcome.CREATED]
    assert is_fresh(index, ONE)
    assert is_fresh(index, TWO)


def test_a_fresh_row_is_not_written_anew(index: Index, was: Was) -> None:
    """W2: as long as more than the promise is left."""
    add(index, ONE)
    enough = time.time_ns() + grace.GRACE_NS + grace.SEEN_NS + 10**12
    was(ONE, enough)
    index.record([Record(ONE)])
    index.meet(ONE, None)
    assert review(index, ONE) == enough
    was(ONE, time.time_ns() + grace.GRACE_NS)
    index.meet(ONE, None)
    assert is_fresh(index, ONE)


def test_only_a_live_blob_is_met(index: Index) -> None:
    assert not index.meet(ONE, None)
    add(index, ONE)
    assert index.meet(ONE, None)
    index.mark_damaged(ONE)
    assert not index.meet(ONE, None)
    add(index, ONE)
    index.entomb(ONE)
    assert not index.meet(ONE, None)


def test_what_upkeep_gives_a_row_is_left_alone_before_the_first_collection(index: Index) -> None:
    """4.18: nobody was told that it is stored; its references may be lost with the old index."""
    assert index.adopt(Record(ONE))
    assert review(index, ONE) is None
    for anew in (True, False):
        digest = Digest.of(b"%d" % anew)
        index.record_found([Found("default", _Found(digest), None, None)], 1, 1, anew=anew)
        assert (review(index, digest) is None) == anew


def test_what_upkeep_gives_a_row_is_fresh_where_collections_are_made(index: Index) -> None:
    """4.15: they find it later if nothing keeps it."""
    index.begin_collecting(1)
    index.adopt(Record(ONE))
    assert is_fresh(index, ONE)
    for number in range(3):
        some = [_Found(Digest.of(b"%d %d" % (number, each))) for each in range(number)]
        index.record_found([Found("default", each, None, None) for each in some], 1, 1, anew=True)
        assert all(is_fresh(index, each.digest) for each in some)


def test_a_commit_makes_an_adopted_row_fresh(index: Index) -> None:
    index.adopt(Record(ONE))
    assert index.record([Record(ONE)]) == [Outcome.CREATED]
    assert is_fresh(index, ONE)


PLACE = Location(1, 64)


@dataclass
class _Found(Record):
    location: Location = PLACE
    is_copy = False

    def drop_labels(self) -> None:
        self.labels = {}


# -- leases ----------------------------------------------------------------------------------------


@pytest.fixture
def lease(index: Index) -> LeaseRow:
    index.begin_lease(LEASE, {"k": "v"})
    return LEASE


def items(index: Index) -> set[str]:
    return {name for _, name in index.lease_items(LEASE.key)}


def test_a_lease_gets_what_is_recorded(index: Index, lease: LeaseRow, was: Was) -> None:
    """W1 and W2: in the transaction that records it."""
    add(index, TWO)
    was(TWO, 7)
    index.record([Record(ONE, lease=lease.key)])
    index.record([Record(TWO, lease=lease.key), Record(THREE, lease=lease.key)])
    assert items(index) == {ONE, TWO, THREE}
    assert is_fresh(index, TWO)


def test_a_group_of_new_blobs_goes_to_its_lease(index: Index, lease: LeaseRow) -> None:
    index.record([Record(ONE, lease=lease.key), Record(TWO)])
    assert items(index) == {ONE}


def test_nothing_is_recorded_for_a_lease_that_has_ended(index: Index, lease: LeaseRow) -> None:
    index.end_lease(lease.key)
    for entries in ([ONE], [ONE, TWO]):
        with pytest.raises(LeaseEndedError):
            index.record([Record(digest, lease=lease.key) for digest in entries])
    assert index.blob(ONE) is None
    add(index, ONE)
    with pytest.raises(LeaseEndedError):
        index.meet(ONE, lease.key)


def test_a_record_found_goes_to_its_lease(index: Index, lease: LeaseRow) -> None:
    """A power cut may take row and item together; both are made again from the record."""
    for digest in (ONE, TWO):
        index.record_found([Found("default", _Found(digest), None, None, lease.key)], 1, 1)
    assert items(index) == {ONE, TWO}
    index.end_lease(lease.key)
    index.record_found([Found("default", _Found(THREE), None, None, lease.key)], 1, 2)
    assert is_fresh(index, THREE)


def test_a_record_whose_labels_were_refused_goes_to_no_lease(
    index: Index, lease: LeaseRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call stored nothing, so the lease has nothing of it."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise InvalidLabelError("k", "too many")

    monkeypatch.setattr("contentdb.local.index.packed.record", refuse)
    index.record_found([Found("default", _Found(ONE), None, None, lease.key)], 1, 1)
    assert items(index) == set()


# -- W5: what loses a reference is queued ----------------------------------------------------------


def _untag(index: Index) -> None:
    index.drop_tag("n", ANY)


def _retag(index: Index) -> None:
    tag(index, "n", TWO)


def _end_lease(index: Index) -> None:
    index.end_lease(LEASE.key)
    for _ in index.let_go_of_lease(LEASE.key):
        pass
    assert index.lease_row("l") is None


LOSSES: dict[str, Callable[[Index], object]] = {
    "untag": _untag,
    "a tag moves": _retag,
    "end a lease": _end_lease,
    "drop an item": lambda index: index.drop_lease_item(LEASE.key, "content", str(ONE)),
    "remove all labels": lambda index: index.update_labels(TWO, {}, None, 5),
    "remove one": lambda index: index.update_labels(TWO, {}, frozenset([f"{REF}.0"]), 5),
    "replace one": lambda index: index.update_labels(TWO, {f"{REF}.0": "x"}, frozenset(
        [f"{REF}.0"]), 5),
    "merge one": lambda index: index.merge_labels(TWO, {f"{REF}.0": "x"}, 5),
    "merge one by a commit": lambda index: index.record([Record(TWO, labels={f"{REF}.0": "x"})]),
    "heal with another": lambda index: (
        index.mark_damaged(TWO), index.record([Record(TWO, labels={f"{REF}.0": "x"})])),
    "delete the parent": lambda index: index.entomb(TWO),
    "drop the parent": lambda index: index.drop([TWO], lambda _digest: True),
    "remove a back reference": lambda index: index.update_labels(ONE, {}, None, 5),
    "bury what refers back": lambda index: (
        index.entomb(THREE), index.bury(THREE, lambda: None)),
    "drop what refers back": lambda index: index.drop([THREE], lambda _digest: True),
    "remove a root label": lambda index: index.update_labels(
        ONE, {}, frozenset(["containerd.io/gc.root"]), 5),
    "remove a date": lambda index: index.update_labels(
        ONE, {}, frozenset(["containerd.io/gc.expire"]), 5),
}  # fmt: skip


@pytest.fixture
def kept(index: Index, lease: LeaseRow) -> Index:
    """ONE with all that may keep it."""
    own = {f"{BREF}.x": str(THREE), "containerd.io/gc.root": "1"}
    add(index, ONE, labels=own | {"containerd.io/gc.expire": "2999-01-01T00:00:00Z"})
    add(index, TWO, labels={f"{REF}.0": str(ONE), f"{REF}foo": str(THREE)})
    add(index, THREE)
    tag(index, "n", ONE)
    index.add_lease_item(lease.key, "content", str(ONE))
    return index


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("before", [None, 7])
def test_a_lost_reference_queues_what_it_led_to(
    kept: Index, was: Was, loss: str, before: int | None
) -> None:
    was(ONE, before)
    LOSSES[loss](kept)
    assert is_due(kept, ONE)
    assert review(kept, ONE) != before


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lost_reference_changes_the_time_of_a_fresh_blob_too(
    kept: Index, was: Was, loss: str
) -> None:
    """A collector that saw the old one must not take it out of the queue; it stays fresh."""
    fresh = time.time_ns() + 10**12
    was(ONE, fresh)
    LOSSES[loss](kept)
    found = review(kept, ONE)
    assert found is not None
    assert fresh < found <= fresh + 5


def test_what_keeps_nothing_queues_nothing(kept: Index, was: Was) -> None:
    """Other labels, tags that stay, items of another kind, a lease's other items."""
    was(ONE, None)
    kept.update_labels(TWO, {"k": "v"}, frozenset(["k"]), 5)
    kept.update_labels(TWO, {}, frozenset(["k"]), 6)
    kept.update_labels(ONE, {"k": "v"}, frozenset(["k"]), 6)
    kept.merge_labels(TWO, {f"{REF}.0": str(ONE)}, 7)
    tag(kept, "n", ONE)
    tag(kept, "other", TWO)
    kept.drop_tag("other", ANY)
    kept.add_lease_item(LEASE.key, "image", str(ONE))
    kept.drop_lease_item(LEASE.key, "image", str(ONE))
    assert review(kept, ONE) is None


def test_another_namespace_has_rows_of_its_own(kept: Index, path: str, tmp_path: Path) -> None:
    with contextlib.closing(Index(path, str(tmp_path), namespace="b", durable=True)) as other:
        add(other, ONE)
        before = review(kept, ONE)
        tag(other, "n", ONE)
        other.drop_tag("n", ANY)
        assert review(kept, ONE) == before


def test_a_lease_lets_go_in_pieces(index: Index, lease: LeaseRow) -> None:
    """Each is a transaction of its own; an ended lease keeps nothing from the first on."""
    for number in range(250):
        index.add_lease_item(lease.key, "content", f"{number}")
    assert list(index.let_go_of_lease(lease.key)) == []
    assert items(index) != set()
    assert index.end_lease(lease.key)
    assert not index.end_lease(lease.key)
    assert len(list(index.let_go_of_lease(lease.key))) == 2
    assert index.lease_row("l") is None


# -- W6: what is left of a tombstone ---------------------------------------------------------------


def tombstone_with_labels(db: sqlite3.Connection) -> None:
    """As a collector leaves it that was killed."""
    db.execute("UPDATE blobs SET state = 1 WHERE digest = ?", (str(TWO),))


def test_a_revived_blob_has_no_labels_of_its_earlier_life(
    kept: Index, db: sqlite3.Connection, was: Was
) -> None:
    """W6: and what they kept is queued."""
    tombstone_with_labels(db)
    was(ONE, None)
    assert kept.record([Record(TWO, labels={"k": "v"})]) == [Outcome.CREATED]
    blob = kept.blob(TWO)
    assert blob is not None
    assert kept.info(TWO, blob).labels == {"k": "v"}
    assert is_due(kept, ONE)


def test_a_tombstone_with_labels_is_not_buried(kept: Index, db: sqlite3.Connection) -> None:
    """Its labels would go with it, and what they kept would be kept for ever."""
    tombstone_with_labels(db)
    (tombstone,) = kept.tombstones()
    assert kept.bury_all([tombstone], lambda _digest: None) == []
    blob = kept.blob(TWO)
    assert blob is not None
    assert blob.state == State.TOMBSTONE


@pytest.fixture(autouse=True)
def _read_by_others(index: Index) -> Iterator[None]:
    """Leave no transaction behind."""
    yield
    assert index.check() == []
