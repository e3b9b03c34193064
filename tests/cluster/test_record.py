"""The commit: what a lost answer, a fence and two at once make of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import contentdb
from contentdb.cluster import publish, sql
from contentdb.cluster.catalog import record
from contentdb.cluster.catalog.record import Candidate
from contentdb.cluster.extents import Place
from contentdb.digest import Digest
from contentdb.errors import CommitUnknownError, RefLockedError
from contentdb.labels import NO_LABELS
from tests.inside import resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONTENTS = [b"in its row", b"an object" * 1000, b"segments" * (3 << 20)]


@pytest.fixture
def lose(store: contentdb.Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lose the answer of the next commit of this store, after it happened or before it."""
    database = resources_of(store).database
    run = database._run
    left: list[tuple[bool, Callable[[], object]]] = []

    def lossy(work: Callable[[Any], object], *, alone: bool) -> object:
        sent: list[bytes] = []

        def watched(connection: sql.Connection[Any]) -> object:
            class Watched:
                def execute(self, statement: str, *values: Mapping[str, object]) -> object:
                    if "INSERT INTO objects" in statement or "DELETE FROM blobs" in statement:
                        sent.append(b"")
                        if left and not left[0][0]:
                            raise sql._LostError("before it happened")
                    return connection.execute(statement, *values)

            return work(Watched())

        try:
            result = run(watched, alone=alone)
        except sql._LostError:
            left.pop()[1]()
            raise
        if sent and left:
            left.pop()[1]()
            raise sql._LostError("after it happened")
        return result

    monkeypatch.setattr(database, "_run", lossy)

    def next_commit(*, happened: bool, then: Callable[[], object] = lambda: None) -> None:
        left.append((happened, then))

    yield next_commit
    assert not left


@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("data", CONTENTS, ids=["row", "object", "segments"])
def test_a_lost_answer_is_found_out(
    store: contentdb.Store, lose: Callable[..., None], data: bytes, *, happened: bool
) -> None:
    lose(happened=happened)
    info = store.add(data)
    assert store.read(info.digest) == data
    with store.writer("r") as writer:
        writer.write(data + b"more")
        lose(happened=happened)
        info = writer.commit()
    assert store.read(info.digest) == data + b"more"
    assert list(store.statuses()) == []


@pytest.mark.parametrize("happened", [True, False])
def test_what_was_deleted_meanwhile_does_not_come_back_under_its_key(
    store: contentdb.Store, place: str, lose: Callable[..., None], *, happened: bool
) -> None:
    """Its object may be gone by then: the content is written again, under another key."""
    data = CONTENTS[1]
    digest = Digest.of(data)
    with contentdb.open(f"{place}?application_name=other") as other:

        def delete() -> None:
            if happened:
                other.delete(digest)
                other.prune(older_than=0)

        lose(happened=happened, then=delete)
        assert store.add(data).digest == digest
        assert other.read(digest) == data


def test_another_writer_wins_over_a_lost_answer(
    store: contentdb.Store, place: str, lose: Callable[..., None]
) -> None:
    """A commit that did not happen is not sent again once the ref is another's."""
    with contentdb.open(f"{place}?application_name=other") as other, store.writer("r") as writer:
        writer.write(CONTENTS[1])

        def take() -> None:
            resources_of(other).database.change("UPDATE ingests SET session = NULL")
            with other.writer("r") as second:
                second.write(b"other")

        lose(happened=False, then=take)
        with pytest.raises(RefLockedError):
            writer.commit()
        assert list(other.walk()) == []
        assert [status.ref for status in other.statuses()] == ["r"]


def test_a_delete_whose_answer_is_lost_says_so(
    store: contentdb.Store, lose: Callable[..., None]
) -> None:
    digest = store.add(CONTENTS[1]).digest
    lose(happened=True)
    with pytest.raises(CommitUnknownError, match="do the same again"):
        store.delete(digest)
    assert not store.exists(digest)


def test_a_fence_waits_for_a_commit_under_way(store: contentdb.Store) -> None:
    """Else a prune could judge an object just before the row that names it can be seen."""
    resources = resources_of(store)
    digest = Digest.of(b"content")
    candidate = Candidate(digest, 7, 0, Place(inline=b"content"), NO_LABELS)
    values = record._values("default", resources.session.id, [candidate])
    values["spare"] = sql.Jsonb([])
    fence = "UPDATE sessions SET fenced = true"
    with resources.database.connect() as one, resources.database.connect() as other:
        one.execute("BEGIN")
        assert one.execute(record._STATEMENTS[False, False], values).fetchall()
        other.execute("SET lock_timeout = '300ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(fence)
        one.execute("COMMIT")
        other.execute(fence)


def test_deletes_and_commits_of_one_content_leave_no_row_without_its_object(
    store: contentdb.Store, place: str
) -> None:
    data = CONTENTS[1]
    digest = Digest.of(data)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with contentdb.open(f"{place}?application_name=w{number}") as one:
                for _ in range(15):
                    one.add(data)
                    one.delete_many([digest], missing_ok=True)
                    one.prune(older_than=0)
        except BaseException as error:  # noqa: BLE001 - raised below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store.add(data)
    assert store.read(digest) == data


@pytest.mark.parametrize("data", CONTENTS[:2], ids=["row", "object"])
def test_what_was_there_and_is_deleted_at_once_has_its_time(
    store: contentdb.Store, data: bytes
) -> None:
    """Another process stores the content just before this one records it, and deletes it then."""
    resources = resources_of(store)
    place = Place(inline=data)
    candidate = Candidate(Digest.of(data), len(data), 0, place, NO_LABELS)
    first = publish.publish(resources, "default", candidate)
    again = publish.publish(resources, "default", candidate)
    assert again.created_ns is None
    store.delete(candidate.digest)
    info = publish.conclude(resources, "default", again)
    assert info.created_ns == first.created_ns
    assert not store.exists(candidate.digest)
