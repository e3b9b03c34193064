"""``sharing="shared"``: content of another namespace is had by its digest; ``isolated``: not.

The rules are those of containerd's ``content_sharing_policy``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest, files
from contentdb.testing.streams import unread
from tests.fixtures import Child, blob_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb import Info, Store

CONTENT = b"what the other namespace holds"
DIGEST = Digest.of(CONTENT)
LABELS = {"a": "b"}


@pytest.fixture
def other(root: Path) -> Iterator[Store]:
    """The namespace that holds the content, with labels that are its own."""
    with contentdb.open(root, namespace="other") as store:
        store.add(CONTENT, labels={"of": "other"})
        yield store


@pytest.fixture
def shared(root: Path, other: Store) -> Iterator[Store]:
    with contentdb.open(root, sharing="shared") as store:
        yield store


@pytest.fixture
def isolated(root: Path, other: Store) -> Iterator[Store]:
    with contentdb.open(root) as store:
        yield store


def by_add(store: Store) -> Info:
    return store.add(unread(), expected=DIGEST, labels=LABELS)


def by_add_many(store: Store) -> Info:
    (info,) = store.add_many([unread()], expected=[DIGEST], labels=LABELS)
    return info


def by_batch(store: Store) -> Info:
    with store.batch():
        return store.add(unread(), expected=DIGEST, labels=LABELS)


def by_ingest(store: Store) -> Info:
    return store.ingest("r", unread(), expected=DIGEST, labels=LABELS)


def by_writer(store: Store) -> Info:
    with store.writer("r", expected=DIGEST, resume=True) as writer:
        assert writer.offset == len(CONTENT)
        return writer.commit(labels=LABELS)


WAYS: list[Callable[[Store], Info]] = [by_add, by_add_many, by_batch, by_ingest, by_writer]


@pytest.mark.parametrize("way", WAYS)
def test_shared_content_is_had_by_its_digest(
    shared: Store, other: Store, way: Callable[[Store], Info]
) -> None:
    """Nothing is read. Labels and times are each namespace's own."""
    info = way(shared)
    assert info.new
    assert (info.digest, info.size, info.labels) == (DIGEST, len(CONTENT), LABELS)
    assert info.created_at > other.info(DIGEST).created_at
    assert shared.info(DIGEST) == info
    assert shared.read(DIGEST) == CONTENT
    assert list(shared.statuses()) == []
    assert other.info(DIGEST).labels == {"of": "other"}
    assert len(blob_files(shared.root)) == 1
    if way is not by_writer:
        assert not way(shared).new


@pytest.mark.parametrize("way", WAYS[:-1])
def test_isolated_content_has_to_be_sent(isolated: Store, way: Callable[[Store], Info]) -> None:
    with pytest.raises(Exception, match="the source was read"):
        way(isolated)
    with pytest.raises(contentdb.NotFoundError):
        isolated.info(DIGEST)


def test_an_isolated_writer_stands_at_the_beginning(isolated: Store) -> None:
    with isolated.writer("r", resume=True, expected=DIGEST) as writer:
        assert writer.offset == 0
        writer.write(CONTENT)
        assert writer.commit().digest == DIGEST


def test_reading_asks_each_namespace_for_itself(shared: Store) -> None:
    """To share is to store by the digest, not to see what others have."""
    with pytest.raises(contentdb.NotFoundError):
        shared.read(DIGEST)
    assert not shared.exists(DIGEST)
    assert list(shared.walk()) == []


@pytest.mark.parametrize("way", WAYS)
def test_either_may_delete_what_both_hold(
    shared: Store, other: Store, way: Callable[[Store], Info]
) -> None:
    way(shared)
    other.delete(DIGEST)
    assert shared.read(DIGEST) == CONTENT
    shared.delete(DIGEST)
    assert blob_files(shared.root) == {}


def test_what_none_holds_is_read(shared: Store) -> None:
    digest = Digest.of(b"new")
    assert shared.add(io.BytesIO(b"new"), expected=digest).new
    with shared.writer("r", resume=True, expected=Digest.of(b"newer")) as writer:
        assert writer.offset == 0
        writer.write(b"newer")
        assert writer.commit().new


def test_bytes_at_hand_are_stored_as_ever(shared: Store) -> None:
    """By their own digest they need not be written again."""
    assert shared.add(CONTENT).new
    assert shared.read(DIGEST) == CONTENT


# -- damage and deletion on the way ------------------------------------------------------------


def rot(root: Path, other: Store) -> None:
    path = other.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(b"x" * len(CONTENT))
    path.chmod(0o444)


def lose(root: Path, other: Store) -> None:
    other.path(DIGEST).unlink()


def cut(root: Path, other: Store) -> None:
    path = other.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1])


def delete(root: Path, other: Store) -> None:
    other.delete(DIGEST)


@pytest.mark.parametrize("harm", [rot, lose, cut, delete])
def test_what_is_damaged_there_is_not_had(
    shared: Store, other: Store, root: Path, harm: Callable[[Path, Store], None]
) -> None:
    """The bytes are asked for, and heal it."""
    harm(root, other)
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        assert writer.offset == 0
    with pytest.raises(Exception, match="the source was read"):
        shared.add(unread(), expected=DIGEST)
    shared.ingest("r", io.BytesIO(CONTENT), expected=DIGEST)
    assert shared.read(DIGEST) == CONTENT


def test_an_update_in_a_third_namespace_makes_it_no_less_whole(
    shared: Store, other: Store, root: Path
) -> None:
    """The file's time is that of the last update in any of them; then its bytes are read."""
    with contentdb.open(root, namespace="third") as third:
        third.add(CONTENT)
        third.delete(DIGEST)
    other.path(DIGEST).touch()
    assert by_add(shared).new


def test_a_commit_of_what_was_deleted_meanwhile_says_what_to_do(
    shared: Store, other: Store
) -> None:
    """Nothing is listed that is not there, and the content can still be sent."""
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        other.delete(DIGEST)
        with pytest.raises(contentdb.FailedPreconditionError, match=r"deleted.*'r'.*send it"):
            writer.commit()
        assert writer.closed
    assert list(shared.walk()) == []
    assert shared.status("r").offset == 0
    assert shared.ingest("r", io.BytesIO(CONTENT), expected=DIGEST).new


@pytest.mark.parametrize("exist_ok", [True, False])
def test_one_that_is_stored_here_meanwhile_ends_the_ingest(
    shared: Store, root: Path, *, exist_ok: bool
) -> None:
    with (
        shared.writer("r", resume=True, expected=DIGEST) as writer,
        contentdb.open(root) as second,
    ):
        second.add(CONTENT)
        if exist_ok:
            assert not writer.commit(labels=LABELS).new
        else:
            with pytest.raises(contentdb.AlreadyExistsError):
                writer.commit(labels=LABELS, exist_ok=False)
        assert second.info(DIGEST).labels == (LABELS if exist_ok else {})
    assert list(shared.statuses()) == []


# -- the writer --------------------------------------------------------------------------------


def test_the_writer_stands_at_the_end(shared: Store) -> None:
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        status = writer.status()
        assert (status.offset, status.total, status.expected) == (
            len(CONTENT),
            len(CONTENT),
            DIGEST,
        )
        assert writer.digest == DIGEST
        with pytest.raises(contentdb.RefLockedError):
            shared.writer("r")
    assert shared.status("r").expected == DIGEST
    shared.abort("r")


def test_a_declared_total_that_does_not_fit_is_for_the_commit_to_refuse(shared: Store) -> None:
    """As in containerd: such a writer begins at 0."""
    with shared.writer("r", resume=True, expected=DIGEST, total=3) as writer:
        assert writer.offset == 0
    with shared.writer("s", resume=True, expected=DIGEST, total=len(CONTENT)) as writer:
        assert writer.offset == len(CONTENT)


@pytest.mark.parametrize(
    ("declared", "error"),
    [
        ({"size": 3}, contentdb.SizeMismatchError),
        ({"expected": Digest.of(b"else")}, contentdb.FailedPreconditionError),
    ],
)
def test_a_commit_that_contradicts_is_refused_and_the_ingest_stays(
    shared: Store, declared: dict[str, Any], error: type[Exception]
) -> None:
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        with pytest.raises(error):
            writer.commit(**declared)
        assert writer.closed
        with pytest.raises(contentdb.WriterClosedError):
            writer.commit()
    assert [status.ref for status in shared.statuses()] == ["r"]
    assert list(shared.walk()) == []


def test_more_bytes_come_behind_a_copy(shared: Store, other: Store) -> None:
    """What was there is taken over first, as in containerd, and is not changed."""
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        assert writer.write(b"") == 0
        assert writer.write(b" and more") == 9
        assert writer.offset == len(CONTENT) + 9
        with pytest.raises(contentdb.DigestMismatchError):
            writer.commit()
    assert shared.status("r").offset == len(CONTENT) + 9
    assert other.read(DIGEST) == CONTENT


def test_who_does_not_resume_need_not_look_at_the_offset(shared: Store) -> None:
    """He writes all of it, and all of it is what is committed."""
    with shared.writer("r", expected=DIGEST) as writer:
        assert writer.offset == 0
        writer.write(CONTENT)
        assert writer.commit().digest == DIGEST


def test_to_begin_again_is_to_send_it(shared: Store) -> None:
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        writer.truncate()
        assert writer.offset == 0
        writer.write(CONTENT)
        assert writer.commit().digest == DIGEST


def test_bytes_of_an_earlier_try_are_of_no_use(shared: Store) -> None:
    with shared.writer("r") as writer:
        writer.write(b"half")
    with shared.writer("r", resume=True, expected=DIGEST) as writer:
        assert writer.offset == len(CONTENT)
        writer.commit()
    assert shared.read(DIGEST) == CONTENT
    assert list(shared.statuses()) == []


# -- durability, crashes, options ----------------------------------------------------------------


def test_what_came_without_a_sync_is_put_on_disk_first(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(root, namespace="other", durability="process") as store:
        store.add(CONTENT)
    synced = []
    original = files.sync

    def noting(fd: int, path: str) -> None:
        synced.append(path)
        original(fd, path)

    with contentdb.open(root, sharing="shared") as store:
        monkeypatch.setattr(files, "sync", noting)
        by_add(store)
    assert DIGEST in synced


def test_of_two_that_claim_at_once_one_is_told_that_it_is_new(root: Path, other: Store) -> None:
    script = f"""
store = contentdb.open(root, sharing="shared")
print("open", flush=True)
sys.stdin.readline()
print(store.add(b"{CONTENT.decode()}", expected="{DIGEST}").new, flush=True)
"""
    with Child(script, root) as first, Child(script, root) as second:
        for child in (first, second):
            assert child.heard() == "open"
        for child in (first, second):
            child.say()
        assert sorted([first.heard(), second.heard()]) == ["False", "True"]


def test_the_policy_is_that_of_the_open_store(root: Path) -> None:
    with contentdb.open(root) as store:
        assert store.sharing == "isolated"
    with contentdb.open(root, sharing="shared") as store:
        assert store.sharing == "shared"
    with pytest.raises(contentdb.InvalidArgumentError, match="is 'isolated' or 'shared'"):
        contentdb.open(root, sharing="all")  # type: ignore[arg-type]
