"""What a collection takes and leaves, when it begins, and what an interrupted one leaves behind."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import files
from contentdb.content import Step
from contentdb.digest import Digest
from contentdb.errors import NoRootsError, NotFoundError, UndecidedError
from contentdb.local.index import collecting, grace
from contentdb.local.index.collecting import Candidate, Judged, Verdict
from tests.inside import blob_path, parts_of
from tests.local.collect.graphs import REF, History, check_way_up, kept, there

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store

NOTHING = timedelta(0)
ABSENT = Digest.of(b"absent")


def change(root: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        db.execute(statement, values)
        db.commit()


def age(root: Path) -> None:
    """Let all grace be over, and the first collection be long ago."""
    change(root, "UPDATE blobs SET review_at = 7 WHERE review_at IS NOT NULL")
    change(root, "UPDATE settings SET value = '7' WHERE name = 'collecting_since'")


@pytest.fixture
def collecting_store(root: Path, store: Store) -> Store:
    """A store in which a collection has begun the grace long ago, with a root."""
    store.tag("root", store.add(b"tagged").digest)
    store.collect()
    age(root)
    return store


# -- whether it begins -----------------------------------------------------------------------------


def test_it_refuses_where_nothing_says_what_is_wanted(store: Store) -> None:
    """4.16: each of the three kinds of roots will do; another namespace's will not."""
    digest = store.add(b"content").digest
    with contentdb.open(store.root, namespace="other") as other:
        other.tag("n", other.add(b"other").digest)
        for dry in (False, True):
            with pytest.raises(NoRootsError) as caught:
                store.collect(grace=NOTHING, dry_run=dry)
            assert caught.value.namespace == "default"
    assert store.collect(no_roots=True, dry_run=True, grace=NOTHING).blobs == 1
    store.update(digest, {"containerd.io/gc.root": "x"})
    assert store.collect(grace=NOTHING).kept == 1
    store.update(digest, {})
    with store.lease(), contextlib.suppress(NotFoundError):
        store.collect(grace=NOTHING)


def test_the_lease_of_a_dead_process_says_nothing(store: Store) -> None:
    """It ends first, and then nothing is left that does."""
    script = "import contentdb, sys, os; s = contentdb.open(sys.argv[1]); l = s.lease()"
    script += "; l.add(b'theirs'); os._exit(1)"
    subprocess.run([sys.executable, "-c", script, str(store.root)], check=False)
    with pytest.raises(NoRootsError):
        store.collect(grace=NOTHING)
    assert store.exists(Digest.of(b"theirs"))
    assert store.collect(grace=NOTHING, no_roots=True).blobs == 1


def test_the_first_collection_begins_the_grace(root: Path, store: Store) -> None:
    """4.17: what was answered before it is written down nowhere."""
    store.tag("n", store.add(b"tagged").digest)
    store.add(b"old")
    change(root, "UPDATE blobs SET review_at = 7")
    begins = store.collect().begins_ns
    assert begins is not None
    status = store.queue_status()
    assert (status.queued, status.due) == (2, 2)
    assert status.begins_ns is not None
    assert abs(begins - status.begins_ns) < 10**9
    assert store.collect(dry_run=True).begins_ns == status.begins_ns
    assert len(there(store)) == 2
    change(root, "UPDATE settings SET value = '7' WHERE name = 'collecting_since'")
    assert store.collect() == (1, 3, 1, 0, 0, None)


def test_a_lost_flag_begins_the_grace_anew(root: Path, collecting_store: Store) -> None:
    """Processes without it write nothing down."""
    collecting_store.close()
    (root / "index.sqlite-shared").unlink()
    with contentdb.open(root) as store:
        assert store.collect().begins_ns is not None
        assert parts_of(store).sharing.collects


# -- what it takes ---------------------------------------------------------------------------------


def test_what_is_fresh_stays_and_what_it_refers_to(root: Path, collecting_store: Store) -> None:
    """4.17: for a day after the last answer; with a longer grace for longer."""
    store = collecting_store
    child = store.add(b"child").digest
    other = store.add(b"other").digest
    age(root)
    parent = store.add(b"parent", labels={REF: child}).digest
    assert store.collect().blobs == 1
    assert there(store) == {child, parent, Digest.of(b"tagged")} - {other}
    age(root)
    assert store.collect(grace=timedelta(days=365 * 100)).blobs == 0
    assert store.collect().blobs == 2


def test_a_shorter_grace_takes_what_was_stored_before_it(
    root: Path, collecting_store: Store
) -> None:
    store = collecting_store
    digest = store.add(b"content").digest
    hour = 3600 * 10**9
    ahead = parts_of(store).index.blob(digest)
    assert ahead is not None
    assert store.collect(grace=timedelta(hours=1)).blobs == 0
    earlier = (ahead.review_ns or 0) - 7 * hour
    change(root, "UPDATE blobs SET review_at = ? WHERE digest = ?", earlier, str(digest))
    assert store.collect().blobs == 0
    assert store.collect(grace=timedelta(hours=1)).blobs == 1


def test_a_run_without_grace_ends_beside_a_writer(store: Store) -> None:
    """What is stored since the run began is for the next one."""
    digests = [store.add(b"first").digest]

    def add_more(_gone: object) -> None:
        assert len(digests) < 5, "it takes what is stored meanwhile, without an end"
        digests.append(store.add(b"%d" % len(digests)).digest)

    done = store.collect(grace=NOTHING, no_roots=True, progress=add_more)
    assert done.blobs == 1
    assert there(store) == {digests[1]}
    assert store.collect(grace=NOTHING, no_roots=True).blobs == 1


def test_a_longer_grace_leaves_in_the_queue_what_is_due_by_the_usual_one(
    root: Path, collecting_store: Store
) -> None:
    """4.15: a full run sees it too early, and a later one must find it."""
    collecting_store.add(b"unwanted")
    an_hour_ago = time.time_ns() - 3600 * 10**9
    change(root, "UPDATE blobs SET review_at = ? WHERE review_at > 7", an_hour_ago)
    assert collecting_store.collect(full=True, grace=timedelta(days=2)).blobs == 0
    assert collecting_store.collect().blobs == 1


def test_what_is_answered_for_meanwhile_stays(root: Path, collecting_store: Store) -> None:
    """Between the review and the lock: asked again there."""
    store = collecting_store
    digest = store.add(b"content").digest
    store.add(b"other content")
    age(root)
    index = parts_of(store).index
    entomb = index.entomb_garbage

    def answer_first(*arguments: object) -> object:
        with contentdb.open(root) as another:
            assert not another.add(b"content").new
        return entomb(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "entomb_garbage", answer_first)
        assert store.collect().blobs == 1
    assert store.read(digest) == b"content"


@pytest.mark.parametrize("terms", [{"filters": ["size==1"]}, {"max_bytes": 0}])
@pytest.mark.parametrize(("step", "kind"), [("due", ""), ("due", "dry"), ("entomb_garbage", "")])
def test_what_is_deleted_meanwhile_is_left_out(
    store: Store, step: str, kind: str, terms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its row is looked at, or between that and the lock."""
    gone = [store.add(b"%d" % number).digest for number in range(4)][:2]
    index = parts_of(store).index
    original = getattr(index, step)

    def delete_beside(*arguments: object) -> object:
        found = original(*arguments) if step == "due" else None
        while gone:
            store.delete(gone.pop())
        return found if step == "due" else original(*arguments)

    monkeypatch.setattr(index, step, delete_beside)
    assert store.collect(grace=NOTHING, no_roots=True, dry_run=bool(kind), **terms).blobs == 2


def test_a_parent_never_stays_without_its_child(root: Path, collecting_store: Store) -> None:
    """Who tags it then has an image with a hole: they go in one transaction."""
    store = collecting_store
    child = store.add(b"child").digest
    parents = [store.add(b"%d" % number, labels={REF: child}).digest for number in range(3)]
    change(root, "UPDATE blobs SET review_at = NULL WHERE digest <> ?", str(child))
    index = parts_of(store).index
    finish = index.bury_all

    def look(*arguments: object) -> object:
        for digest in parents:
            with pytest.raises(NotFoundError):
                store.tag("late", digest)
        return finish(*arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "bury_all", look)
        assert store.collect(grace=NOTHING, limit=1).blobs == 4


def test_a_cycle_goes(collecting_store: Store) -> None:
    store = collecting_store
    one, two = store.add(b"one").digest, store.add(b"two").digest
    store.update(one, {REF: two})
    store.update(two, {REF: one})
    store.tag("n", one)
    assert store.collect(grace=NOTHING).blobs == 0
    store.untag("n")
    assert store.collect(grace=NOTHING).blobs == 2


def test_damaged_blobs_go_too(collecting_store: Store) -> None:
    store = collecting_store
    digest = store.add(b"content").digest
    path = blob_path(store.root, digest)
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    with pytest.raises(contentdb.CorruptBlobError):
        store.read(digest)
    assert store.collect(grace=NOTHING).blobs == 1
    assert list(store.verify()) == []


def test_an_expiry_keeps_until_its_date(root: Path, collecting_store: Store) -> None:
    """It stays in the queue for that date; a text that is no date keeps for ever."""
    store = collecting_store
    moment = datetime.now(UTC) + timedelta(hours=1)
    dated = store.add(b"1", labels={"containerd.io/gc.expire": moment.isoformat()}).digest
    store.add(b"2", labels={"containerd.io/gc.expire": "tomorrow"})
    store.add(b"3", labels={"containerd.io/gc.expire": "2001-01-01T00:00:00Z"})
    age(root)
    assert store.collect().blobs == 1
    row = parts_of(store).index.blob(dated)
    assert row is not None
    assert row.review_ns is not None
    assert abs(row.review_ns - moment.timestamp() * 1e9) < 10**6


def test_what_an_ingest_expects_stays(root: Path, collecting_store: Store) -> None:
    """Its client was told that it need not be there yet, and may find it stored."""
    store = collecting_store
    store.writer("r", expected=Digest.of(b"content")).close()
    store.add(b"content")
    age(root)
    assert store.collect().blobs == 0
    assert store.why(Digest.of(b"content"))[-1] == Step("ingest", "r")
    store.abort("r")
    change(root, "UPDATE blobs SET review_at = 7 WHERE review_at IS NOT NULL")
    assert store.collect().blobs == 1


def test_an_old_store_loses_nothing(root: Path) -> None:
    """4.18: what was there before the queue, and what that refers to, waits for a full run."""
    with contentdb.open(root) as store:
        child = store.add(b"child").digest
        parent = store.add(b"parent", labels={REF: child}).digest
        old = store.add(b"old").digest
        store.tag("n", store.add(b"tagged").digest)
        change(root, "UPDATE blobs SET review_at = NULL")
        change(root, "INSERT INTO settings VALUES ('old_before', ?)", str(2**62))
        for grace_ in (None, NOTHING):
            assert store.collect(grace=grace_).blobs == 0
        store.add(b"child")  # now it is in the queue
        assert store.collect(grace=NOTHING).blobs == 0
        assert store.why(child)[-1].kind == store.why(old)[-1].kind == "old"
        assert store.collect(grace=NOTHING, full=True).blobs == 3
        assert {child, parent, old} & there(store) == set()


def test_a_blob_with_many_dead_parents_goes_after_them(
    collecting_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = collecting_store
    monkeypatch.setattr("contentdb.local.index.why._MOST_SEEN", 8)
    child = store.add(b"child").digest
    for number in range(30):
        store.add(b"%d" % number, labels={REF: child})
    with pytest.raises(UndecidedError) as caught:
        store.why(child) if not store.collect(grace=NOTHING, dry_run=True).blobs else _raise(store)
    assert caught.value.digest == child
    assert store.collect(grace=NOTHING).undecided == 0
    assert there(store) == {Digest.of(b"tagged")}


def test_what_a_first_pass_found_is_counted_once(collecting_store: Store) -> None:
    """4.17: what goes makes a second pass, which does not see most of it again."""
    store = collecting_store
    for number in range(6):
        store.add(b"%d" % number)  # fresh: each waits in the queue
    assert store.collect(full=True, dry_run=True).kept == 7
    assert store.collect(full=True).kept == 7
    gone = store.add(b"gone").digest
    change(store.root, "UPDATE blobs SET review_at = 7 WHERE digest = ?", gone)
    done = store.collect(full=True, grace=timedelta(hours=1))
    assert (done.blobs, done.kept) == (1, 7)


def test_an_undecided_blob_is_told_after_later_passes(
    collecting_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off, so that the pass that finds nothing more does not see it."""
    store = collecting_store
    monkeypatch.setattr("contentdb.local.index.why._MOST_SEEN", 8)
    child = store.add(b"child").digest
    for number in range(30):
        store.add(b"%d" % number, labels={REF: child})
    gone = store.add(b"gone").digest
    for digest in (child, gone):
        change(store.root, "UPDATE blobs SET review_at = 7 WHERE digest = ?", digest)
    change(store.root, "UPDATE blobs SET review_at = NULL WHERE review_at <> 7")
    change(store.root, "INSERT OR REPLACE INTO settings VALUES ('old_before', '0')")
    done = store.collect()
    assert (done.blobs, done.undecided) == (1, 1)


def _raise(store: Store) -> None:
    from contentdb.local.index.why import Horizon

    parts_of(store).index.why(Digest.of(b"child"), Horizon(2**62))


def test_its_limit(collecting_store: Store) -> None:
    store = collecting_store
    for number in range(5):
        store.add(b"%d" % number)
    assert store.collect(grace=NOTHING, limit=2).blobs == 2
    assert store.collect(grace=NOTHING, limit=0).blobs == 0
    taken: list[str] = []
    done = store.collect(grace=NOTHING, progress=lambda one: taken.append(one.digest))
    assert (done.blobs, done.bytes, len(taken)) == (3, 3, 3)
    for bad in (-1, True, 1.5):
        with pytest.raises(contentdb.InvalidArgumentError):
            store.collect(limit=bad)  # type: ignore[arg-type]
    with pytest.raises(contentdb.InvalidArgumentError):
        store.collect(grace=timedelta(seconds=-1))


def test_abandoned_ingests_go_if_asked(collecting_store: Store) -> None:
    """But for one that a writer or a lease holds; `prune` leaves those too."""
    store = collecting_store
    for ref in ("abandoned", "leased"):
        store.writer(ref).close()
    with store.lease() as lease, store.writer("held"):
        lease.add_item("ingest", "leased")
        assert store.collect(grace=NOTHING).ingests == 0
        assert store.collect(grace=NOTHING, ingests=timedelta(hours=1)).ingests == 0
        assert store.collect(grace=NOTHING, ingests=NOTHING, dry_run=True).ingests == 1
        assert store.collect(grace=NOTHING, ingests=NOTHING).ingests == 1
        assert [one.name for one in store.prune(older_than=0) if one.kind == "ingest"] == []
        assert [status.ref for status in store.statuses()] == ["held", "leased"]


# -- beside others, and interrupted ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_every_step_may_be_a_slice_of_its_own(
    root: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "SLICE_S", -1)
    monkeypatch.setattr(collecting, "_REVIEW_S", -1)
    with contentdb.open(root, durability="process") as store:
        History(store, seed).run(120)
        wanted = kept(store)
        store.collect(grace=NOTHING, no_roots=True)
        assert there(store) == wanted


def test_what_changed_since_it_was_seen_stays_in_the_queue(collecting_store: Store) -> None:
    """W7: another process took a reference away meanwhile; and what is not due yet stays, too."""
    store, index = collecting_store, parts_of(collecting_store).index
    digest = store.add(b"content").digest
    judged = [Judged(Candidate(digest, 7, 7), Verdict.KEPT)]
    for review_ns, left in ((8, 8), (7, None)):
        change(store.root, "UPDATE blobs SET review_at = ?", review_ns)
        assert index.dequeue(judged, 10) == 1
        row = index.blob(digest)
        assert row is not None
        assert row.review_ns == left
    change(store.root, "UPDATE blobs SET review_at = 7")
    index.dequeue(judged, 6)
    row = index.blob(digest)
    assert row is not None
    assert row.review_ns == 7


@pytest.mark.parametrize("after", ["entomb_garbage", "let_go_of_references", "bury_all"])
def test_an_opening_ends_what_an_interrupted_run_began(
    root: Path, collecting_store: Store, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4 is repeated before D2: what the tombstones referred to is in the queue then."""
    store = collecting_store
    monkeypatch.setattr(collecting, "SLICE_S", -1)
    child = store.add(b"child").digest
    store.tag("n", store.add(b"parent", labels={REF: child, f"{REF}.x": ABSENT}).digest)
    store.collect(grace=NOTHING)
    age(root)
    store.collect()
    store.untag("n")
    index = parts_of(store).index
    step = getattr(index, after)

    def stop(*arguments: object) -> None:
        step(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(index, after, stop)
    with pytest.raises(KeyboardInterrupt):
        store.collect()
    monkeypatch.undo()
    store.close()
    with contentdb.open(root) as again:
        assert list(again.verify()) == []
        assert there(again) == {child, Digest.of(b"tagged")}
        assert again.collect().blobs == 1


def test_a_second_run_waits_for_the_first(root: Path, collecting_store: Store) -> None:
    """It would do no harm, and no good."""
    store = collecting_store
    digest = store.add(b"content").digest
    directory = files.open_directory(str(root / "ingest"))
    assert files.lock(directory.fd, directory.path)
    runs = threading.Thread(target=lambda: store.collect(grace=NOTHING))
    runs.start()
    runs.join(0.2)
    assert runs.is_alive()
    assert store.exists(digest)
    directory.close()
    runs.join()
    assert not store.exists(digest)


def test_two_runs_at_once_are_right(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "lock", lambda *_arguments, **_options: True)
    monkeypatch.undo()
    with (
        contentdb.open(root, durability="process") as one,
        contentdb.open(root, durability="process") as two,
    ):
        History(one, 1).run(200)
        wanted = kept(one)
        runs = [
            threading.Thread(target=lambda each=each: each.collect(grace=NOTHING, no_roots=True))
            for each in (one, two)
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert there(one) == wanted
        assert list(one.verify()) == []


def test_a_store_that_is_read_rehearses_alone(root: Path, collecting_store: Store) -> None:
    collecting_store.add(b"content")
    with contentdb.open(root, mode="r") as reading:
        assert reading.collect(grace=NOTHING, dry_run=True).blobs == 1
        with pytest.raises(contentdb.StoreReadOnlyError):
            reading.collect()
        assert reading.why(Digest.of(b"tagged"))[-1] == Step("tag", "root")
        assert reading.queue_status().queued == 2


def test_why_names_the_way_up(root: Path, collecting_store: Store) -> None:
    """4.19: by references of both kinds, rather to a root with a name than to what is fresh."""
    check_way_up(collecting_store, lambda: age(root))


def test_grace_is_what_is_promised() -> None:
    """An answer from memory comes before the row has less than the whole grace left."""
    made = grace.review()
    assert made.below_ns - grace.SEEN_NS >= made.at_ns - 2 * grace.SEEN_NS
    assert made.at_ns - grace.GRACE_NS - 2 * grace.SEEN_NS <= made.below_ns - grace.GRACE_NS
