"""The store as a whole: opening, closing, counting, finding by prefix, namespaces, batches."""

from __future__ import annotations

import gc
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import (
    AlreadyExistsError,
    AmbiguousDigestError,
    CorruptBlobError,
    Digest,
    InvalidArgumentError,
    InvalidDigestError,
    NotFoundError,
    StoreClosedError,
    StoreNotFoundError,
    Usage,
    files,
)
from contentdb.testing.threads import begun

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb import Store

CLOSED_CALLS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read(Digest.of(b"content")),
    "info": lambda store: store.info(Digest.of(b"content")),
    "exists": lambda store: store.exists(Digest.of(b"content")),
    "add": lambda store: store.add(b"content"),
    "add_many": lambda store: list(store.add_many([b"content"])),
    "writer": lambda store: store.writer("r"),
    "walk": lambda store: list(store.walk()),
    "statuses": lambda store: list(store.statuses()),
    "abort": lambda store: store.abort("r"),
    "delete": lambda store: store.delete(Digest.of(b"content")),
    "usage": lambda store: store.usage(),
}


def test_open_makes_a_store(root: Path) -> None:
    with contentdb.open(root) as store:
        assert store.root == root
        assert (store.namespace, store.durability) == ("default", "full")
        assert list(store.walk()) == []
    assert (root / "index.sqlite").is_file()


def test_open_takes_text_and_makes_parents_or_tells(tmp_path: Path) -> None:
    with contentdb.open(str(tmp_path / "store")) as store:
        store.add(b"content")
    with contentdb.open(os.fspath(tmp_path / "store"), create=False) as store:
        assert store.read(Digest.of(b"content")) == b"content"


def test_a_relative_root_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing the working directory does not move an open store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with contentdb.open("store") as store:
        monkeypatch.chdir(tmp_path / "elsewhere")
        digest = store.add(b"content").digest
        assert store.path(digest).read_bytes() == b"content"
        with store.writer("r") as writer:
            writer.write(b"more")
            writer.commit()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_create_false_makes_nothing(root: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError) as caught:
        contentdb.open(root, create=False)
    assert isinstance(caught.value, LookupError)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_becomes_a_store(root: Path) -> None:
    root.mkdir()
    with contentdb.open(root) as store:
        store.add(b"content")


def test_everything_is_there_after_reopening(root: Path) -> None:
    with contentdb.open(root) as store:
        info = store.add(b"content", labels={"k": "v"})
        with store.writer("r", total=10, expected=Digest.of(b"other")) as writer:
            writer.write(b"oth")
        status = store.status("r")
    with contentdb.open(root) as store:
        assert list(store.walk()) == [info]
        assert list(store.statuses()) == [status]
        assert store.read(info.digest) == b"content"


def test_leaving_the_block_closes(root: Path) -> None:
    with contentdb.open(root) as store:
        pass
    store.close()  # twice is harmless
    with pytest.raises(StoreClosedError) as caught:
        store.read(Digest.of(b"content"))
    assert caught.value.root == str(root)


@pytest.mark.parametrize("call", CLOSED_CALLS)
def test_a_closed_store_refuses(root: Path, call: str) -> None:
    with contentdb.open(root) as store:
        store.add(b"content")
    with pytest.raises(StoreClosedError):
        CLOSED_CALLS[call](store)


def test_close_keeps_what_writers_wrote(root: Path) -> None:
    """A writer left open when its store closes loses no byte and holds no ref."""
    store = contentdb.open(root)
    writer = store.writer("r")
    writer.write(b"con")
    store.close()
    assert writer.closed
    with contentdb.open(root) as again, again.writer("r", resume=True) as other:
        other.write(b"tent")
        assert other.commit().digest == Digest.of(b"content")


@pytest.mark.parametrize(
    "arguments", [{"durability": "none"}, {"namespace": "a/b"}, {"namespace": None}]
)
def test_open_refuses_arguments(root: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        contentdb.open(root, **arguments)
    assert not root.exists()


@pytest.mark.parametrize("place", ["", None, b"bytes", "a\0b", 5], ids=repr)
@pytest.mark.parametrize("call", [contentdb.open, contentdb.migrate, contentdb.reindex])
def test_a_root_that_cannot_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, call: Callable[..., object]
) -> None:
    """B: an unset variable must not make a store of the current directory."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match="a root is a path"):
        call(place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("age", ["1d", None, -1, float("nan")], ids=repr)
def test_an_age_that_cannot_be(store: Store, age: Any) -> None:  # noqa: ANN401
    with pytest.raises(InvalidArgumentError, match="an age is"):
        store.prune(older_than=age)


def test_a_finding_of_a_blob_that_is_deleted_by_now_is_left_alone(store: Store) -> None:
    """6.7: `repair` reports nothing that is not so."""
    info = store.add(b"content")
    path = store.path(info.digest)
    store.delete(info.digest)
    stale = contentdb.Finding("missing", info.digest, str(path), "its file is gone")
    (done,) = contentdb.repair(store, [stale])
    assert done.action == "left alone"
    assert not store.exists(info.digest)


def test_usage(store: Store) -> None:
    assert store.usage() == Usage(0, 0, 0, 0)
    for size in (10, 20, 20):
        store.add(b"x" * size)
    with store.writer("r") as writer:
        writer.write(b"12345")
    assert store.usage() == Usage(2, 30, 1, 5)
    store.delete(Digest.of(b"x" * 10))
    store.abort("r")
    assert store.usage() == Usage(1, 20, 0, 0)


def test_no_descriptors_are_left_open(root: Path) -> None:
    """A hundred rounds of everything open no more than they close."""

    def rounds(count: int) -> int:
        for number in range(count):
            with contentdb.open(root) as store:
                info = store.add(b"%d" % number)
                with store.open(info.digest) as reader:
                    reader.read()
                with store.writer("r") as writer:
                    writer.write(b"x")
                list(store.walk())
                store.delete(info.digest)
        return len(list(Path("/proc/self/fd").iterdir()))

    assert rounds(3) == rounds(30)


def test_resolve(store: Store) -> None:
    """A digest may be shortened to any prefix that one blob alone has."""
    digests = [store.add(b"%d" % number).digest for number in range(40)]
    one = digests[0]
    for text in (one, one[:-1], one.encoded, one.encoded[:20]):
        assert store.resolve(text) == one
    twins = [digest for digest in digests if digest.encoded[0] == one.encoded[0]]
    assert len(twins) > 1
    with pytest.raises(AmbiguousDigestError):
        store.resolve(one.encoded[0])
    with pytest.raises(NotFoundError):
        store.resolve(Digest.of(b"absent"))
    with pytest.raises(NotFoundError):
        store.resolve(Digest.of(b"absent").encoded[:20])


@pytest.mark.parametrize(
    "text", ["xyz", "%", "_", "", "md5:", "sha256:", "sha256:XY", "' OR 1=1", "\0", "a" * 65]
)
def test_resolve_refuses_nonsense(store: Store, text: str) -> None:
    store.add(b"content")
    with pytest.raises((InvalidDigestError, NotFoundError)):
        store.resolve(text)


def test_namespaces_share_bytes_not_rows(root: Path) -> None:
    with contentdb.open(root) as default, contentdb.open(root, namespace="other") as other:
        digest = default.add(b"content", labels={"of": "default"}).digest
        assert not other.exists(digest)
        with pytest.raises(NotFoundError):
            other.read(digest)
        other.add(b"content", labels={"of": "other"})
        assert dict(default.info(digest).labels) == {"of": "default"}
        assert dict(other.info(digest).labels) == {"of": "other"}
        assert default.path(digest) == other.path(digest)
        default.delete(digest)
        assert other.read(digest) == b"content"
        assert list(default.walk()) == []
        other.delete(digest)
        assert list(root.glob("blobs/*/??/*")) == []


def test_namespaces_have_their_own_refs(root: Path) -> None:
    with (
        contentdb.open(root) as default,
        contentdb.open(root, namespace="other") as other,
        default.writer("r") as one,
        other.writer("r") as two,
    ):
        one.write(b"one")
        two.write(b"two")
        assert [status.ref for status in other.statuses()] == ["r"]
        assert one.commit().digest == Digest.of(b"one")
        assert two.commit().digest == Digest.of(b"two")


def test_a_batch_is_durable_at_its_end(store: Store, second: Store) -> None:
    """What is added and committed in a batch is everybody's when the block is left."""
    with store.batch():
        infos = [store.add(b"%d" % number) for number in range(50)]
        with store.writer("r") as writer:
            writer.write(b"by a writer")
            infos.append(writer.commit(labels={"k": "v"}))
    assert {info.digest for info in second.walk()} == {info.digest for info in infos}
    assert second.read(Digest.of(b"by a writer")) == b"by a writer"
    assert dict(second.info(Digest.of(b"by a writer")).labels) == {"k": "v"}
    assert list(second.statuses()) == []
    assert list(second.verify()) == []


def test_a_batch_that_fails_leaves_a_whole_store(store: Store, second: Store) -> None:
    with pytest.raises(KeyError), store.batch():  # noqa: PT012
        store.add(b"before the error")
        raise KeyError
    assert list(second.verify()) == []
    store.add(b"after")
    assert second.read(Digest.of(b"after")) == b"after"


def test_a_batch_meets_content_twice(store: Store) -> None:
    with store.batch():
        assert store.add(b"content").digest == store.add(b"content").digest
        with store.writer("r") as writer:
            writer.write(b"content")
            assert not writer.commit().new
        with store.writer("r") as writer, pytest.raises(AlreadyExistsError):  # noqa: PT012
            writer.write(b"content")
            writer.commit(exist_ok=False)
    assert len(list(store.walk())) == 1
    assert list(store.statuses()) == []


def test_a_batch_keeps_nobody_waiting(store: Store, second: Store) -> None:
    with store.batch():
        store.add(b"in the batch")
        assert begun(lambda: second.add(b"beside it")).result(10).size == 9


def test_a_batch_ingests_content_twice(store: Store) -> None:
    with store.batch():
        first = store.ingest("a", io.BytesIO(b"same"))
        assert store.ingest("b", io.BytesIO(b"same")) == first
    assert store.info(first.digest) == first
    assert list(store.statuses()) == []


def test_a_store_can_be_closed_in_the_midst_of_a_repair(root: Path) -> None:
    with contentdb.open(root) as store:
        for number in range(2):
            store.path(store.add(b"%d" % number).digest).chmod(0o644)
        with pytest.raises(contentdb.StoreClosedError):
            contentdb.repair(store, list(store.verify()), progress=lambda _done: store.close())
    with contentdb.open(root) as store:
        assert len(list(store.verify())) == 1


def test_repair_and_prune_have_acted_when_they_return(store: Store) -> None:
    """An act that waits for its answer to be looked at is one that a careless caller leaves out."""
    store.path(store.add(b"content").digest).chmod(0o644)
    store.writer("abandoned").close()
    told: list[object] = []
    planned = contentdb.repair(store, store.verify(), dry_run=True)
    repaired = contentdb.repair(store, store.verify(), progress=told.append)
    assert [done.action for done in planned] == ["made read-only"]
    assert told == repaired == planned
    assert list(store.verify()) == []
    planned_prune = store.prune(older_than=0, dry_run=True)
    pruned = store.prune(older_than=0, progress=told.append)
    assert told[1:] == pruned == planned_prune
    assert [one.name for one in pruned] == ["abandoned"]
    assert list(store.statuses()) == []


def test_the_names_of_new_parents_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(files, "sync_directory", lambda directory: synced.append(directory.path))
    contentdb.open(tmp_path / "a" / "b" / "store").close()
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(synced)


def test_damage_that_was_met_is_served_to_nobody(store: Store, second: Store) -> None:
    """In a store with one namespace a name in ``blobs/`` is all that is asked."""
    digest = store.add(b"content").digest
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    with pytest.raises(CorruptBlobError):
        store.read(digest)
    for call in (second.path, second.open, second.read, second.info):
        with pytest.raises(CorruptBlobError):
            call(digest)
    (kept,) = (store.root / "quarantine").iterdir()
    assert kept.read_bytes() == b"CONTENT"
    store.add(b"content")
    assert second.read(digest) == b"content"


def test_a_file_that_came_back_is_served_again(store: Store, tmp_path: Path) -> None:
    """As one from a backup does: its row says that it was damaged."""
    digests = [store.add(content).digest for content in (b"one", b"two")]
    for digest in digests:
        path = store.path(digest)
        path.rename(tmp_path / path.name)
        with pytest.raises(CorruptBlobError):
            store.read(digest)
        (tmp_path / path.name).rename(path)
    assert [finding.kind for finding in store.verify()] == ["orphan"] * 2
    (first, *_) = contentdb.repair(store, store.verify(quick=True))
    assert first.action == "adopted"
    assert store.info(first.finding.digest or "").size == 3
    store.reindex()
    assert list(store.verify()) == []
    assert len(list(store.walk())) == 2


def test_a_shared_byte_is_not_taken_back_by_who_makes_the_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at its size and the filling another process announces a namespace."""
    contentdb.open(root).close()
    shared = root / "index.sqlite-shared"
    shared.unlink()
    truncate = files.truncate

    def other_first(fd: int, size: int, path: str) -> None:
        shared.write_bytes(b"\1\1")
        truncate(fd, size, path)

    monkeypatch.setattr(files, "truncate", other_first)
    contentdb.open(root).close()
    assert shared.read_bytes() == b"\1\1\0\0"


def test_a_store_stays_open_while_a_caller_has_its_writer_or_its_answers(root: Path) -> None:
    """Nothing else may refer to the store: it closes itself once it is forgotten."""
    writer = contentdb.open(root).writer("ref")
    answers = contentdb.open(root).add_many([b"1", b"2"])
    gc.collect()
    writer.write(b"content")
    assert writer.commit().size == len(b"content")
    assert [info.size for info in answers] == [1, 1]


@pytest.mark.parametrize("kept", [None, b"", b"\1\0", b"\0\0\0"])
def test_flags_that_a_copy_lacks_are_those_of_the_index(root: Path, kept: bytes | None) -> None:
    """The blob of another namespace is not served because of a file that is lost."""
    with contentdb.open(root, namespace="other") as store:
        digest = store.add(b"of the other").digest
    shared = root / "index.sqlite-shared"
    shared.unlink()
    if kept is not None:
        shared.write_bytes(kept)
    with contentdb.open(root) as store, pytest.raises(contentdb.NotFoundError):
        store.read(digest)
    unsynced = b"\1" if not kept else kept[1:2]
    assert shared.read_bytes() == b"\1" + unsynced + b"\0\0"


def test_flags_of_a_new_store_say_no(root: Path) -> None:
    contentdb.open(root).close()
    assert (root / "index.sqlite-shared").read_bytes() == bytes(4)


def test_flags_that_were_cut_off_are_completed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill before the file is whole leaves one that the next opening asks the index for."""
    contentdb.open(root, namespace="other").close()
    with contentdb.open(root, namespace="other") as store:
        store.add(b"of the other")
    shared = root / "index.sqlite-shared"
    shared.unlink()

    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_at", die)
        with pytest.raises(KeyboardInterrupt):
            contentdb.open(root)
    assert len(shared.read_bytes()) < 4
    contentdb.open(root).close()
    assert shared.read_bytes()[:1] == b"\1"
