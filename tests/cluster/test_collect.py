"""What a collection takes and leaves in a store of many hosts, and beside others."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb.cluster.catalog import blobs, collecting
from contentdb.cluster.catalog.keep import FRESH_NS
from contentdb.content import Step
from contentdb.digest import Digest
from contentdb.errors import FailedPreconditionError, NoRootsError, NotFoundError, UndecidedError
from tests.inside import resources_of
from tests.local.collect.graphs import REF, History, check_histories, check_way_up, kept, there

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.cluster.sql import Database
    from tests.cluster.servers import Postgres

NOTHING = timedelta(0)
AN_HOUR = timedelta(hours=1)
_ROUNDS = 15


def database_of(store: contentdb.Store) -> Database:
    return resources_of(store).database


def age(store: contentdb.Store) -> None:
    """Let all grace be over, and the first collection be long ago."""
    database_of(store).change("UPDATE queue SET review_at = 7")
    database_of(store).change("UPDATE collection SET since_ns = 7")
    database_of(store).change("UPDATE sessions SET started_at = '1970-01-01Z'")


@pytest.fixture
def other(place: str) -> Iterator[contentdb.Store]:
    """The store as another process has it."""
    with contentdb.open(f"{place}?application_name=other") as store:
        yield store


@pytest.fixture
def collected(store: contentdb.Store) -> contentdb.Store:
    """A store in which a collection has begun the grace long ago, with a root."""
    store.tag("root", store.add(b"tagged").digest)
    store.collect()
    age(store)
    return store


# -- whether it begins -----------------------------------------------------------------------------


def test_it_refuses_where_nothing_says_what_is_wanted(store: contentdb.Store, place: str) -> None:
    """4.16: another namespace's roots will not do; nor does the lease of a dead process."""
    store.add(b"content")
    with contentdb.open(place, namespace="other") as second:
        second.tag("n", second.add(b"other").digest)
    held = store.lease()
    database_of(store).change("UPDATE sessions SET fenced = true")
    for dry_run in (False, True):
        with pytest.raises(NoRootsError):
            store.collect(grace=NOTHING, dry_run=dry_run)
    assert store.collect(grace=NOTHING, no_roots=True).blobs == 1
    del held


def test_the_first_collection_begins_the_grace(store: contentdb.Store) -> None:
    """4.17: what was answered before it is written down nowhere."""
    store.tag("n", store.add(b"tagged").digest)
    store.add(b"old")
    database_of(store).change("UPDATE queue SET review_at = 7")
    begins = store.collect().begins_ns
    assert begins is not None
    status = store.queue_status()
    assert (status.queued, status.due) == (2, 2)
    assert status.begins_ns == store.collect(dry_run=True).begins_ns == begins
    assert len(there(store)) == 2
    database_of(store).change("UPDATE collection SET since_ns = 7")
    database_of(store).change("UPDATE sessions SET started_at = '1970-01-01Z'")
    assert store.collect() == (1, 3, 1, 0, 0, None)


def test_a_process_of_an_older_version_begins_the_grace_anew(collected: contentdb.Store) -> None:
    """It writes no times: what it stores is old, and its answers count for a day."""
    store = collected
    store.add(b"content")
    database_of(store).change("UPDATE sessions SET revision = NULL")
    store.add(b"stored by it")
    database_of(store).change("DELETE FROM queue")
    assert store.collect().begins_ns is not None
    assert store.why(Digest.of(b"stored by it"))[-1].kind == "old"
    age(store)
    assert store.collect().begins_ns is not None  # it lives still
    database_of(store).change("UPDATE sessions SET revision = '0003'")
    assert store.collect(grace=NOTHING).blobs == 0
    assert store.collect(grace=NOTHING, full=True).blobs == 2


def test_a_store_that_was_migrated_loses_nothing(store: contentdb.Store) -> None:
    """4.18: what was there before the queue, and what that refers to, waits for a full run."""
    child = store.add(b"child").digest
    parent = store.add(b"parent", labels={REF: child}).digest
    old = store.add(b"old").digest
    store.tag("n", store.add(b"tagged").digest)
    database_of(store).change("DELETE FROM queue")
    database_of(store).change("UPDATE collection SET old_before_ns = 9223372036854775807")
    for grace in (None, NOTHING):
        assert store.collect(grace=grace).blobs == 0
    store.add(b"child")  # now it is in the queue
    assert store.collect(grace=NOTHING).blobs == 0
    assert store.why(parent)[-1].kind == store.why(old)[-1].kind == "old"
    assert store.collect(grace=NOTHING, full=True).blobs == 3
    assert {child, parent, old} & there(store) == set()


# -- what it takes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_a_run_after_a_history_leaves_what_is_kept(
    store: contentdb.Store, place: str, seed: int
) -> None:
    """4.15: the queue alone finds all that is garbage, in two namespaces that share objects."""
    with contentdb.open(place, namespace="b") as other:
        check_histories([store, other], seed, 2)


@pytest.mark.parametrize("seed", range(6, 9))
def test_a_full_run_needs_no_queue(store: contentdb.Store, seed: int) -> None:
    History(store, seed).run(100)
    wanted = kept(store)
    database_of(store).change("DELETE FROM queue")
    before = there(store)
    assert store.collect(grace=NOTHING, no_roots=True).blobs == 0
    assert there(store) == before
    dry = store.collect(grace=NOTHING, full=True, dry_run=True, no_roots=True)
    done = store.collect(grace=NOTHING, full=True, no_roots=True)
    assert (done.blobs, done.bytes) == (dry.blobs, dry.bytes)
    assert there(store) == wanted


def test_what_is_fresh_stays_and_what_it_refers_to(collected: contentdb.Store) -> None:
    """4.17: for a day after the last answer; with a longer grace for longer."""
    store = collected
    child = store.add(b"child").digest
    store.add(b"other")
    age(store)
    parent = store.add(b"parent", labels={REF: child}).digest
    assert store.collect().blobs == 1
    assert there(store) == {child, parent, Digest.of(b"tagged")}
    age(store)
    assert store.collect(grace=timedelta(days=365 * 100)).blobs == 0
    assert store.collect().blobs == 2


def _answers(store: contentdb.Store, digest: Digest) -> list[Any]:
    def refuse() -> None:
        with pytest.raises(contentdb.AlreadyExistsError):
            store.writer("r", expected=digest)

    return [
        lambda: store.exists(digest),
        lambda: store.add(b"content"),
        lambda: store.add(b"not read", expected=digest),
        lambda: list(store.add_many([b"content"])),
        lambda: store.ingest("r", io.BytesIO(b"content")),
        refuse,
    ]


def test_each_answer_begins_a_grace(collected: contentdb.Store) -> None:
    """4.17: `info` and a read tell nothing of the future."""
    store = collected
    digest = store.add(b"content").digest
    for answer in _answers(store, digest):
        age(store)
        answer()
        status = store.queue_status()
        assert status.due == 1, answer  # the tagged one
    age(store)
    store.info(digest)
    store.read(digest)
    assert store.queue_status().due == 2
    assert store.collect().blobs == 1


def test_an_answer_writes_nothing_before_the_first_collection(store: contentdb.Store) -> None:
    digest = store.add(b"content").digest
    database_of(store).change("UPDATE queue SET review_at = 7")
    assert store.exists(digest)
    assert database_of(store).rows("SELECT review_at FROM queue") == [(7,)]


def test_an_answer_that_is_fresh_enough_writes_nothing(collected: contentdb.Store) -> None:
    database = database_of(collected)
    digest = collected.add(b"content").digest
    before = database.rows("SELECT max(review_at) FROM queue")
    assert collected.exists(digest)
    assert not collected.add(b"content").new
    assert database.rows("SELECT max(review_at) FROM queue") == before
    change = "UPDATE queue SET review_at = review_at - %(span)s"
    database.change(change, {"span": FRESH_NS // 8})
    assert collected.exists(digest)
    assert database.rows("SELECT max(review_at) FROM queue") > before


def test_a_shared_content_goes_with_its_last_namespace(
    collected: contentdb.Store, place: str
) -> None:
    """Its objects are in the trash then, and a prune deletes them."""
    store = collected
    data = b"c" * 9000
    digest = store.add(data).digest
    with contentdb.open(place, namespace="other") as other:
        other.tag("n", other.add(data).digest)
        store.prune(older_than=0)  # its own copy of the bytes
        assert store.collect(grace=NOTHING).blobs == 1
        assert store.prune(older_than=0) == []
        assert other.read(digest) == data
        other.untag("n")
        assert other.collect(grace=NOTHING, no_roots=True).blobs == 1
        assert [one.kind for one in store.prune(older_than=0)] == ["trash"]


def test_an_expiry_keeps_until_its_date(collected: contentdb.Store) -> None:
    """It stays in the queue for that date; a text that is no date keeps for ever."""
    store = collected
    moment = datetime.now(UTC) + AN_HOUR
    dated = store.add(b"1", labels={"containerd.io/gc.expire": moment.isoformat()}).digest
    store.add(b"2", labels={"containerd.io/gc.expire": "tomorrow"})
    store.add(b"3", labels={"containerd.io/gc.expire": "2001-01-01T00:00:00Z"})
    age(store)
    assert store.collect().blobs == 1
    rows = database_of(store).rows(
        "SELECT review_at FROM queue WHERE digest = %(digest)s", {"digest": str(dated)}
    )
    assert abs(rows[0][0] - moment.timestamp() * 1e9) < 10**6


def test_what_an_ingest_expects_stays(collected: contentdb.Store) -> None:
    store = collected
    digest = Digest.of(b"content")
    store.writer("r", expected=digest).close()
    store.add(b"content")
    age(store)
    assert store.collect().blobs == 0
    assert store.why(digest)[-1] == Step("ingest", "r")
    store.abort("r")
    age(store)
    assert store.collect().blobs == 1


def test_why_names_the_way_up(collected: contentdb.Store) -> None:
    """4.19: by references of both kinds, rather to a root with a name than to what is fresh."""
    check_way_up(collected, lambda: age(collected))


def test_a_blob_with_many_dead_parents_goes_after_them(
    collected: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = collected
    monkeypatch.setattr("contentdb.cluster.catalog.why._MOST_SEEN", 8)
    child = store.add(b"child").digest
    for number in range(30):
        store.add(b"%d" % number, labels={REF: child})
    age(store)
    with pytest.raises(UndecidedError):
        store.why(child)
    assert store.collect(grace=NOTHING)[:4] == (31, 55, 1, 0)


def test_its_limit_its_filters_and_its_progress(collected: contentdb.Store) -> None:
    store = collected
    for number in range(5):
        store.add(b"%d" % number, labels={"n": str(number)})
    assert store.collect(grace=NOTHING, filters=["labels.n==3"], dry_run=True).blobs == 1
    assert store.collect(grace=NOTHING, filters=["labels.n==3"]).blobs == 1
    assert store.collect(grace=NOTHING, limit=2).blobs == 2
    taken: list[str] = []
    done = store.collect(grace=NOTHING, progress=lambda one: taken.append(one.digest))
    assert (done.blobs, done.bytes, len(taken)) == (2, 2, 2)
    with pytest.raises(FailedPreconditionError, match="by last use"):
        store.collect(max_bytes=7)


def test_abandoned_ingests_go_if_asked(collected: contentdb.Store) -> None:
    store = collected
    for ref in ("abandoned", "leased"):
        store.writer(ref).close()
    with store.lease() as lease, store.writer("held"):
        lease.add_item("ingest", "leased")
        assert store.collect(grace=NOTHING, ingests=AN_HOUR).ingests == 0
        assert store.collect(grace=NOTHING, ingests=NOTHING, dry_run=True).ingests == 1
        assert store.collect(grace=NOTHING, ingests=NOTHING).ingests == 1
        assert [status.ref for status in store.statuses()] == ["held", "leased"]


# -- beside others ---------------------------------------------------------------------------------


def _before_it_takes(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:  # noqa: ANN401 - of any
    """Do something between the review and the lock, once."""
    take = collecting.take

    def act_first(*given: Any) -> Any:  # noqa: ANN401 - as it is
        monkeypatch.setattr(collecting, "take", take)
        act()
        return take(*given)

    monkeypatch.setattr(collecting, "take", act_first)


def test_what_is_kept_meanwhile_stays(
    collected: contentdb.Store, other: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the review and the lock; asked again there. Each of them keeps all below it, too."""
    store = collected
    child = store.add(b"child").digest
    parent = store.add(b"content", labels={REF: child}).digest
    lease = other.lease(lasting=True)
    acts: list[Any] = [
        *_answers(other, parent),
        lambda: lease.keep(parent),
        lambda: other.tag("n", parent),
        lambda: other.update(parent, {REF: child, "containerd.io/gc.root": "x"}),
    ]
    for act in acts:
        age(store)
        with monkeypatch.context() as patch:
            _before_it_takes(patch, act)
            assert store.collect().blobs == 0, act
        assert {parent, child} <= there(store)
        other.update(parent, {REF: child})
        if "n" in {tag.name for tag in other.tags()}:
            other.untag("n")
        if list(lease.items()):
            lease.drop_item("content", parent)
    age(store)
    assert store.collect().blobs == 2


def test_a_new_parent_that_goes_too_waits_for_the_next_time(
    collected: contentdb.Store, other: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is not locked yet: somebody may give it a name at this moment."""
    store = collected
    child, parent = store.add(b"child").digest, store.add(b"parent").digest
    age(store)
    database_of(store).change(
        "DELETE FROM queue WHERE digest = %(digest)s", {"digest": str(parent)}
    )
    _before_it_takes(monkeypatch, lambda: other.update(parent, {REF: child}))
    assert store.collect().blobs == 0
    assert {child, parent} <= there(store)
    assert store.collect().blobs == 2  # with the child, which is in the queue still


def test_who_keeps_a_blob_waits_for_a_collector_that_has_its_row(
    collected: contentdb.Store, other: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds it gone: nobody is told that it is stored, or given a name for it."""
    store = collected
    digests = [store.add(b"%d" % number).digest for number in range(4)]
    age(store)
    lease = other.lease(lasting=True)
    take_out, answers, errors = blobs.take_out, [], []

    def tag() -> None:
        with pytest.raises(NotFoundError):
            other.tag("n", digests[0])
        errors.append("tag")

    asks = [
        threading.Thread(target=tag),
        threading.Thread(target=lambda: answers.append(other.exists(digests[1]))),
        threading.Thread(target=lambda: answers.append(lease.keep(digests[2]))),
        threading.Thread(target=lambda: answers.append(other.add(b"3").new is False)),
    ]

    def ask_meanwhile(*given: Any) -> None:  # noqa: ANN401 - as it is
        for ask in asks:
            ask.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
        waiting += "AND wait_event_type = 'Lock'"
        deadline = time.monotonic() + 20
        while len(database_of(store).rows(waiting)) < len(asks):
            assert time.monotonic() < deadline, "somebody does not wait"
            time.sleep(0.01)
        take_out(*given)

    monkeypatch.setattr(collecting, "take_out", ask_meanwhile)
    assert store.collect().blobs == 4
    for ask in asks:
        ask.join()
    assert (answers, errors) == ([False] * 3, ["tag"])
    assert there(store) == {Digest.of(b"tagged"), digests[3]}


def test_hosts_collect_side_by_side(
    store: contentdb.Store, other: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host leaves the page that another one looks at."""
    monkeypatch.setattr(collecting, "_PAGE", 10)
    store.tag("n", store.add(b"tagged").digest)
    for _ in store.add_many([b"%d" % number for number in range(60)]):
        pass
    runs = [
        threading.Thread(target=lambda each=each: each.collect(grace=NOTHING))
        for each in (store, other)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert store.collect(grace=NOTHING).blobs == 0
    assert there(store) == {Digest.of(b"tagged")}


def test_a_run_without_grace_ends_beside_a_writer(store: contentdb.Store) -> None:
    """What is stored since the run began is for the next one."""
    digests = [store.add(b"first").digest]

    def add_more(_gone: object) -> None:
        assert len(digests) < 5, "it takes what is stored meanwhile, without an end"
        digests.append(store.add(b"%d" % len(digests)).digest)

    assert store.collect(grace=NOTHING, no_roots=True, progress=add_more).blobs == 1
    assert there(store) == {digests[1]}


def test_images_are_pulled_while_others_collect(place: str) -> None:
    """What a lease has, and what a name of a parent stands for, is whole at every moment."""
    failures: list[str] = []
    pulling = threading.Event()

    def pull(number: int) -> None:
        with contentdb.open(f"{place}?application_name=p{number}") as store:
            for round_ in range(_ROUNDS):
                layers = [b"layer %d" % ((number + round_ + step) % 5) for step in range(3)]
                with store.lease() as lease:
                    digests = [lease.add(layer).digest for layer in layers]
                    labels = {f"{REF}.{place}": str(one) for place, one in enumerate(digests)}
                    manifest = lease.add(b"manifest %d" % (round_ % 3), labels=labels).digest
                    lease.tag(f"tag {number}", manifest)
                try:
                    below = store.info(manifest).labels
                    for digest in (manifest, *below.values()):
                        store.read(digest)
                except contentdb.ContentDBError as error:
                    failures.append(f"{number}: {error!r}")

    def collect(number: int) -> None:
        with contentdb.open(f"{place}?application_name=c{number}") as store:
            while pulling.is_set():
                store.collect(grace=NOTHING, no_roots=True)

    pulling.set()
    with ThreadPoolExecutor() as threads:
        collectors = [threads.submit(collect, number) for number in range(2)]
        list(threads.map(pull, range(3)))
        pulling.clear()
        for one in collectors:
            one.result()
    assert failures == []
    with contentdb.open(place) as store:
        store.collect(grace=NOTHING)
        assert there(store) == kept(store)
        for tag in list(store.tags()):
            store.untag(tag.name)
        store.collect(grace=NOTHING, no_roots=True)
        assert there(store) == set()


# -- what it costs ---------------------------------------------------------------------------------


def test_parents_are_found_by_an_index(store: contentdb.Store) -> None:
    """A plan that reads all rows would end no collection."""
    from contentdb.cluster.catalog import why

    database = database_of(store)
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO objects SELECT 'sha256:' || n, 1, 0, NULL, NULL, '' "
            "FROM generate_series(1, 20000) n"
        )
        connection.execute(
            "INSERT INTO blobs SELECT 'default', 'sha256:' || n, 1, 1, 1, "
            "jsonb_build_object('containerd.io/gc.ref.content.0', 'sha256:' || (n / 10)) "
            "FROM generate_series(1, 20000) n"
        )
        connection.execute("ANALYZE")
        values = {"namespace": "default", "digests": ["sha256:7", "sha256:8"], "most": 513}
        plan = connection.execute(f"EXPLAIN {why._PARENTS}", values).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "blobs_links" in text
    assert "Seq Scan on blobs" not in text


def test_an_old_store_is_migrated_while_others_write(postgres: Postgres, tmp_path: Path) -> None:
    """Its blobs' references are found, and none of them goes before a full run."""
    from contentdb.cluster import migrate

    url = postgres.create_database()
    with contentdb.open(url, objects=f"file://{tmp_path}") as store:
        child = store.add(b"child").digest
        parent = store.add(b"parent", labels={REF: child}).digest
        database = database_of(store)
        for statement in (
            "DROP TABLE lease_items, leases, queue, collection",
            "DROP INDEX blobs_links, ingests_expected",
            "DROP FUNCTION contentdb_links",
            "ALTER TABLE sessions DROP COLUMN revision",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            database.change(statement)
    with pytest.raises(contentdb.MigrationNeededError):
        contentdb.open(url)
    assert migrate.migrate(url) == "0003"
    with contentdb.open(url) as store:
        store.tag("n", store.add(b"tagged").digest)
        assert store.collect(grace=NOTHING).blobs == 0
        store.tag("p", parent)
        assert [step.name for step in store.why(child)] == [child, parent, "p"]
        store.untag("p")
        assert store.collect(grace=NOTHING, full=True).blobs == 2
