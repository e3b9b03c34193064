"""Each transaction of the index does what its role says, atomically."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from contentdb.content import Usage
from contentdb.declared import Takeover
from contentdb.digest import Digest
from contentdb.errors import FailedPreconditionError, IndexFailedError, StorageError
from contentdb.local.index import Blob, IngestRow, Outcome, State
from contentdb.local.index.index import Index
from tests.local.index.databases import Record, Recorder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

ONE = Digest.of(b"one")
TWO = Digest.of(b"two")
TOKEN, STALE, NEW = "token", "stale", "new"
ROW = IngestRow("r", "name", TOKEN, None, None, 0, 10, 10, "me", 10)


@pytest.fixture
def other(path: str, tmp_path: Path) -> Iterator[Index]:
    """Another namespace of the same database."""
    made = Index(path, str(tmp_path), namespace="other", durable=True)
    with contextlib.closing(made):
        yield made


def labels(index: Index, digest: Digest) -> dict[str, str]:
    blob = index.blob(digest)
    assert blob is not None
    return dict(index.info(digest, blob).labels)


def state(index: Index, digest: Digest) -> int | None:
    blob = index.blob(digest)
    return None if blob is None else blob.state


def row(index: Index, digest: Digest) -> Blob | None:
    """The row, but for its grace."""
    blob = index.blob(digest)
    return None if blob is None else blob._replace(review_ns=None)


# -- recording -------------------------------------------------------------------------------------


def test_a_blob_is_recorded_once(index: Index) -> None:
    assert index.record([Record(ONE, labels={"k": "v"})]) == [Outcome.CREATED]
    later = Record(ONE, size=8, labels={"k": "v"}, now_ns=2000)
    assert index.record([later, Record(TWO)]) == [Outcome.EXISTS, Outcome.CREATED]
    assert row(index, ONE) == Blob(7, 1, 1000, 1000, State.LIVE)
    assert labels(index, ONE) == {"k": "v"}


def test_labels_of_a_recorded_blob_are_merged(index: Index) -> None:
    """The file gets the row's new time of update first, and only where a label changes."""
    stamps: list[int] = []
    index.record([Record(ONE, labels={"a": "1", "b": "1"}, now_ns=5000)])
    later = Record(ONE, labels={"b": "2", "c": "2"}, now_ns=4000, stamped=stamps.append)
    assert [index.record([later]) for _ in range(2)] == [[Outcome.EXISTS]] * 2
    assert labels(index, ONE) == {"a": "1", "b": "2", "c": "2"}
    assert row(index, ONE) == Blob(7, 1, 5000, 5001, State.LIVE)
    assert stamps == [5000, 5001, 5001]


def test_a_file_that_cannot_be_stamped_keeps_its_labels(index: Index) -> None:
    class OfFile:
        def find(self) -> int:
            return 1000

        def set(self, _moment_ns: int) -> None:
            raise StorageError("stamp", "/file", OSError(5, "reason"))

    def refuse(moment_ns: int) -> None:
        if moment_ns != 1000:
            OfFile().set(moment_ns)

    index.record([Record(ONE, labels={"a": "1"})])
    with pytest.raises(StorageError):
        index.record([Record(ONE, labels={"a": "2"}, stamped=refuse)])
    with pytest.raises(StorageError):
        index.merge_labels(ONE, {"a": "2"}, 2000, OfFile())
    assert labels(index, ONE) == {"a": "1"}
    assert row(index, ONE) == Blob(7, 1, 1000, 1000, State.LIVE)


def test_labels_that_a_failed_commit_has_not_set_are_no_success(index: Index) -> None:
    """The blob was there before: that it is there says nothing of what the commit did."""
    index.record([Record(ONE, labels={"a": "1"})])
    for write in (
        lambda: index.record([Record(ONE, labels={"a": "2"})]),
        lambda: index.merge_labels(ONE, {"a": "2"}, 2000),
    ):
        Recorder.put_into(index._database).fail("COMMIT")
        with pytest.raises(IndexFailedError):
            write()
        assert labels(index, ONE) == {"a": "1"}
        Recorder.put_into(index._database).fail("COMMIT", after=True)
        assert write()
        assert labels(index, ONE) == {"a": "2"}
        index.update_labels(ONE, {"a": "1"}, None, 9000)


def test_labels_are_merged_onto_a_live_blob_alone(index: Index) -> None:
    assert not index.merge_labels(ONE, {"a": "1"}, 2000)
    index.record([Record(ONE)])
    assert index.merge_labels(ONE, {"a": "1"}, 2000)
    assert index.merge_labels(ONE, {"a": "1"}, 3000)
    assert row(index, ONE) == Blob(7, 1, 1000, 2000, State.LIVE)
    index.mark_damaged(ONE)
    assert not index.merge_labels(ONE, {"b": "1"}, 4000)
    index.entomb(ONE)
    assert not index.merge_labels(ONE, {"b": "1"}, 4000)


def test_a_blob_without_its_file_is_not_recorded(index: Index) -> None:
    assert index.record([Record(ONE, present=lambda: False)]) == [Outcome.GONE]
    assert index.blob(ONE) is None


def test_a_group_is_recorded_whole_or_not_at_all(index: Index) -> None:
    def refuse() -> bool:
        raise StorageError("stat", "/file", OSError(5, "reason"))

    with pytest.raises(StorageError):
        index.record([Record(ONE), Record(TWO, present=refuse)])
    assert index.blob(ONE) is None


def test_a_revived_blob_is_new_and_a_healed_one_is_not(index: Index) -> None:
    index.record([Record(ONE, labels={"k": "v"}), Record(TWO, labels={"k": "v"})])
    assert index.entomb(ONE)
    assert index.mark_damaged(TWO)
    again = [Record(digest, labels={"new": "1"}, now_ns=2000) for digest in (ONE, TWO)]
    assert index.record(again) == [Outcome.CREATED, Outcome.HEALED]
    assert row(index, ONE) == Blob(7, 1, 2000, 2000, State.LIVE)
    assert row(index, TWO) == Blob(7, 1, 1000, 2000, State.LIVE)
    assert labels(index, ONE) == {"new": "1"}
    assert labels(index, TWO) == {"k": "v", "new": "1"}


def test_recording_ends_the_ingest_unless_it_is_anothers(index: Index) -> None:
    index.begin(ROW, Takeover.AGREE)
    stale = Record(ONE, ref="r", token=STALE)
    assert index.record([stale]) == [Outcome.FENCED]
    assert index.blob(ONE) is None
    assert index.record([Record(ONE, ref="r", token=TOKEN)]) == [Outcome.CREATED]
    assert index.ingest("r") is None
    assert index.record([Record(ONE, ref="r", token=TOKEN)]) == [Outcome.FENCED]


def test_a_commit_that_fails_late_is_still_the_outcome(index: Index) -> None:
    index.begin(ROW, Takeover.AGREE)
    Recorder.put_into(index._database).fail("COMMIT", after=True)
    assert index.record([Record(ONE, ref="r", token=TOKEN)]) == [Outcome.CREATED]


# -- deleting --------------------------------------------------------------------------------------


def test_deleting_takes_the_labels_then_the_file_and_the_row(index: Index) -> None:
    taken: list[int] = []
    index.record([Record(ONE, labels={"k": "v"})])
    assert not index.bury(ONE, lambda: taken.append(1))
    assert index.entomb(ONE)
    assert not index.entomb(ONE)
    assert (state(index, ONE), labels(index, ONE)) == (State.TOMBSTONE, {})
    assert [one.digest for one in index.tombstones()] == [ONE]
    assert index.bury(ONE, lambda: taken.append(2))
    assert (taken, index.blob(ONE), list(index.tombstones())) == ([2], None, [])


def test_a_file_that_another_namespace_has_stays(index: Index, other: Index) -> None:
    taken: list[int] = []
    for one in (index, other):
        one.record([Record(ONE)])
        one.entomb(ONE)
    other.record([Record(ONE)])
    assert index.bury(ONE, lambda: taken.append(1))
    assert (taken, state(other, ONE)) == ([], State.LIVE)
    other.entomb(ONE)
    assert other.bury(ONE, lambda: taken.append(2))
    assert taken == [2]


def test_a_tombstone_elsewhere_keeps_no_file(index: Index, other: Index) -> None:
    taken: list[int] = []
    for one in (index, other):
        one.record([Record(ONE)])
        one.entomb(ONE)
    assert index.bury(ONE, lambda: taken.append(1))
    assert taken == [1]


def test_a_row_goes_with_its_labels(index: Index, db: sqlite3.Connection) -> None:
    index.record([Record(ONE, labels={"k": "v"}), Record(TWO)])
    assert index.drop([ONE, TWO], lambda digest: digest == ONE) == 1
    assert index.blob(TWO) is not None
    assert index.drop([ONE, TWO], lambda _digest: True) == 1
    assert db.execute("SELECT * FROM labels").fetchall() == []


def test_what_is_claimed_is_left_alone(index: Index, other: Index) -> None:
    assert index.unless_claimed(ONE, lambda: True)
    assert not index.unless_claimed(ONE, lambda: False)
    other.begin(ROW._replace(expected=str(ONE)), Takeover.AGREE)
    other.record([Record(TWO)])
    for digest in (ONE, TWO):
        assert index.claims(digest)
        assert not index.unless_claimed(digest, pytest.fail)


# -- labels and looks ------------------------------------------------------------------------------


def test_labels_are_replaced_or_set_one_by_one(index: Index) -> None:
    index.record([Record(ONE, labels={"a": "1", "b": "2"})])
    assert index.update_labels(ONE, {"b": "3", "c": "4"}, frozenset({"a", "b"}), 2000)
    assert labels(index, ONE) == {"b": "3"}
    assert index.update_labels(ONE, {"c": "4"}, None, 3000)
    assert labels(index, ONE) == {"c": "4"}
    assert row(index, ONE) == Blob(7, 1, 1000, 3000, State.LIVE)
    assert not index.update_labels(TWO, {"c": "4"}, None, 3000)


def test_shortened_digests(index: Index) -> None:
    digests = sorted(Digest.of(b"%d" % number) for number in range(40))
    index.record([Record(digest) for digest in digests])
    assert index.find_by_prefix("sha256:") == digests[:2]
    assert index.find_by_prefix(digests[7][:20]) == [digests[7]]
    assert index.find_by_prefix(digests[7]) == [digests[7]]
    assert index.find_by_prefix("sha512:") == []


def test_usage(index: Index) -> None:
    assert index.usage() == Usage(0, 0, 0, 0)
    index.record([Record(ONE), Record(TWO, size=0)])
    index.begin(ROW, Takeover.AGREE)
    index.pause("r", "token", 5, 20)
    index.pause("r", "stale", 9, 30)
    assert index.usage() == Usage(2, 7, 1, 5)


# -- ingests ---------------------------------------------------------------------------------------


def test_an_ingest_is_taken_over_where_it_stood(index: Index) -> None:
    index.begin(ROW, Takeover.AGREE)
    index.pause("r", "token", 5, 20)
    newer = ROW._replace(token=NEW, total=9, started_ns=30, held_since_ns=30)
    merged = index.begin(newer, Takeover.AGREE)
    assert merged == newer._replace(offset=5, started_ns=10, updated_ns=20)
    assert index.ingest("r") == merged
    assert list(index.ingests()) == [merged]
    assert index.begin(ROW, Takeover.AGREE).total == 9


def test_a_contradiction_changes_nothing(index: Index) -> None:
    declared = ROW._replace(total=0, expected=str(ONE))
    index.begin(declared, Takeover.AGREE)
    stored = index.ingest("r")
    with pytest.raises(FailedPreconditionError, match="0 bytes, not 1"):
        index.begin(ROW._replace(total=1, token=NEW), Takeover.AGREE)
    with pytest.raises(FailedPreconditionError, match=str(TWO)):
        index.begin(ROW._replace(expected=str(TWO), token=NEW), Takeover.AGREE)
    assert index.ingest("r") == stored
    other = ROW._replace(total=1, expected=str(TWO), token=NEW)
    assert index.begin(other, Takeover.REPLACE).total == 1


def test_an_ingest_is_ended_by_its_own_token(index: Index) -> None:
    index.begin(ROW, Takeover.AGREE)
    assert not index.end("r", "stale")
    assert index.end("r", "token")
    assert not index.end("r", "token")
