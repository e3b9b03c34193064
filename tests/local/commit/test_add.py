"""Content without a ref: what meets it on its way to a name."""

from __future__ import annotations

import io
import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import files
from contentdb.local.index.index import Index

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.files import Directory


def test_an_add_whose_new_name_is_taken_away_by_a_delete_names_it_again(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file made without a name gets one once in its life; then it has to be copied."""
    record = Index.record
    met: list[str] = []

    def delete_first(self: Index, entries: Any) -> Any:  # noqa: ANN401 - passed through
        if len(met) < 3:
            met.append("delete")
            monkeypatch.setattr(Index, "record", record)
            second.add(b"content")  # has a name already, so its row is recorded at once
            second.delete(entries[0].digest)
            monkeypatch.setattr(Index, "record", delete_first)
        return record(self, entries)

    monkeypatch.setattr(Index, "record", delete_first)
    info = store.add(b"content")
    assert len(met) == 3
    assert store.read(info.digest) == b"content"
    assert store.path(info.digest).stat().st_mode & 0o777 == 0o444
    assert list(store.verify()) == []


def test_a_commit_does_not_rely_on_a_row_that_is_being_deleted(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row vouches for a file of the right size; once it is a tombstone nobody does."""
    path = store.path(store.add(b"content").digest)
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    record = Index.record

    def begin_to_delete_first(self: Index, entries: Any) -> Any:  # noqa: ANN401 - passed through
        monkeypatch.setattr(Index, "record", record)
        with second.parts() as parts:
            assert parts.index.entomb(entries[0].digest)
        return record(self, entries)

    monkeypatch.setattr(Index, "record", begin_to_delete_first)
    with store.writer("r") as writer:
        writer.write(b"content")
        info = writer.commit()
    assert store.read(info.digest) == b"content"


def test_an_orphan_that_became_a_blob_and_is_being_deleted_is_not_adopted(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = store.add(b"content")
    stale = contentdb.Finding("orphan", info.digest, str(store.path(info.digest)), "it was one")
    adopt = Index.adopt

    def begin_to_delete_first(self: Index, entry: Any) -> bool:  # noqa: ANN401 - passed through
        with second.parts() as parts:
            assert parts.index.entomb(info.digest)
        return adopt(self, entry)

    monkeypatch.setattr(Index, "adopt", begin_to_delete_first)
    (done,) = contentdb.repair(store, [stale])
    assert done.action == "left alone"
    with contentdb.open(store.root) as third:  # finishes the deletion
        assert not third.exists(info.digest)
        assert list(third.verify()) == []


def test_a_file_that_is_in_the_trash_already_can_be_deleted_again(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename onto a link of the same file does nothing: the name would stay, and be read."""
    record, unlink = Index.record, files.unlink
    kept: list[str] = []

    def keep(within: Directory, name: str) -> bool:
        if not within.path.endswith("trash"):
            return unlink(within, name)
        kept.append(name)
        return True

    def delete_first(self: Index, entries: Any) -> Any:  # noqa: ANN401 - passed through
        monkeypatch.setattr(Index, "record", record)
        second.add(b"content")
        monkeypatch.setattr(files, "unlink", keep)  # whoever deletes is slow to empty the trash
        second.delete(entries[0].digest)
        return record(self, entries)

    monkeypatch.setattr(Index, "record", delete_first)
    digest = store.add(b"content").digest
    assert kept
    store.delete(digest)
    assert list(store.verify()) == []
    with pytest.raises(contentdb.NotFoundError):
        store.read(digest)


def test_exporting_a_hard_link_twice_leaves_nothing_beside_it(
    store: contentdb.Store, tmp_path: Path
) -> None:
    digest = store.add(b"content").digest
    (tmp_path / "out").mkdir()
    for _ in range(2):
        store.export(digest, tmp_path / "out" / "exported", link="hardlink")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["exported"]


@pytest.mark.parametrize("link", ["move", "hardlink"])
def test_a_file_of_the_store_is_not_taken_over(store: contentdb.Store, link: Any) -> None:  # noqa: ANN401
    digest = store.add(b"content").digest
    for path in (store.path(digest), store.root / "index.sqlite"):
        with pytest.raises(contentdb.InvalidArgumentError, match="the store's own file"):
            store.add(path, link=link)
    assert store.read(digest) == b"content"


@pytest.mark.parametrize("link", ["move", "hardlink"])
def test_a_file_of_another_store_is_not_taken_over(
    store: contentdb.Store,
    tmp_path: Path,
    link: Any,  # noqa: ANN401
) -> None:
    """B: a move would lose it there, a link would change its time."""
    with contentdb.open(tmp_path / "another") as other:
        digest = other.add(b"content").digest
        with pytest.raises(contentdb.InvalidArgumentError, match=r"store at .*another"):
            store.add(other.path(digest), link=link)
        assert other.read(digest) == b"content"
        assert list(other.verify()) == []


def test_a_symbolic_link_is_not_moved(store: contentdb.Store, tmp_path: Path) -> None:
    """A: neither the link nor its target would be gone."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"content")
    link.symlink_to(target)
    with pytest.raises(contentdb.InvalidArgumentError, match=r"symbolic link; move .*target"):
        store.add(link, link="move")
    assert list(store.walk()) == []
    assert target.stat().st_mode & 0o200


@pytest.mark.parametrize("link", ["move", "hardlink"])
def test_a_file_that_grows_while_it_is_hashed_does_not_become_a_blob(
    store: contentdb.Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    link: Any,  # noqa: ANN401
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    sync = files.sync

    def grow(fd: int, path: str) -> None:
        if path == str(source):
            with source.open("ab") as file:
                file.write(b" and more")
        sync(fd, path)

    monkeypatch.setattr(files, "sync", grow)
    with pytest.raises(contentdb.FailedPreconditionError, match="changed while it was read"):
        store.add(source, link=link)
    assert not store.exists(contentdb.Digest.of(b"content"))
    assert list(store.verify()) == []
    assert source.stat().st_mode & 0o777 == 0o644


def test_a_source_that_is_closed_spoils_no_other(store: contentdb.Store) -> None:
    closed = io.BytesIO(b"closed")
    closed.close()
    answers = list(store.add_many([b"1", b"2", b"3", closed, b"4"], errors="yield"))
    assert [isinstance(answer, contentdb.Info) for answer in answers] == [True] * 3 + [False, True]


def test_a_store_without_syncs_leaves_what_was_synced(root: Path) -> None:
    with (
        contentdb.open(root) as store,
        contentdb.open(root, durability="process", namespace="other") as other,
    ):
        path = store.path(store.add(b"content").digest)
        before = path.stat().st_ino
        list(other.add_many([b"content"]))
        assert path.stat().st_ino == before


# -- a source that changes, or that cannot be linked ----------------------------------------------


def ingested(store: contentdb.Store, path: Path) -> Any:  # noqa: ANN401
    with path.open("rb") as file:
        return store.ingest("ref", file)


TAKEN: dict[str, Callable[[contentdb.Store, Path], Any]] = {
    "add": lambda store, path: store.add(path),
    "reflink": lambda store, path: store.add(path, link="reflink"),
    "add_many": lambda store, path: next(store.add_many([path])),
    "ingest": ingested,
}
LOOKS = {"add": 2, "reflink": 2, "add_many": 2, "ingest": 1}
"""At the source before it is read: is it a regular file, and as of when is it read?"""


def change(path: Path, *, times: bool) -> None:
    """Write to a file as a process that has it open; with ``times`` it sets the old ones again."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"N")
    if times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("way", TAKEN)
def test_a_file_that_changes_while_it_is_copied_is_named_and_not_stored(
    store: contentdb.Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    *,
    times: bool,
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"old head, old tail")
    looks: list[int] = []

    def change_then(fd: int, _path: str) -> os.stat_result:
        found = os.fstat(fd)
        if is_of(fd, source):
            looks.append(fd)
            if len(looks) == LOOKS[way]:
                change(source, times=times)
        return found

    monkeypatch.setattr(files, "clone", lambda *_: False)
    monkeypatch.setattr(files, "stat_open", change_then)
    with pytest.raises(contentdb.FailedPreconditionError, match="source changed while"):
        TAKEN[way](store, source)
    assert len(looks) > LOOKS[way]
    assert list(store.walk()) == []


def test_a_write_within_one_tick_of_the_clock_is_seen(
    store: contentdb.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file's times have ticks, a second write within one leaves no trace in them."""
    source = tmp_path / "source"
    source.write_bytes(b"old head, old tail")
    found = source.stat()
    read_into = files.read_into

    def change_after(fd: int, buffer: Any, path: str) -> int:  # noqa: ANN401 - passed on
        count = read_into(fd, buffer, path)
        if count:
            change(source, times=True)
        return count

    monkeypatch.setattr(files, "read_into", change_after)
    monkeypatch.setattr(
        files, "stat_open", lambda fd, _path: found if is_of(fd, source) else os.fstat(fd)
    )
    monkeypatch.setattr("time.time_ns", lambda: found.st_ctime_ns)
    with pytest.raises(contentdb.FailedPreconditionError, match="source changed while"):
        store.add(source)


def is_of(fd: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(fd), path.stat())


@pytest.mark.parametrize("way", TAKEN)
def test_a_file_that_stays_as_it_is_is_taken_in(
    store: contentdb.Store, tmp_path: Path, way: str
) -> None:
    (tmp_path / "source").write_bytes(b"content")
    assert store.read(TAKEN[way](store, tmp_path / "source").digest) == b"content"


def test_a_file_that_its_caller_writes_to_is_its_callers_matter(store: contentdb.Store) -> None:
    """What is in its buffer reaches the file as it is read."""
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        file.seek(0)
        assert store.ingest("ref", file).size == 7


@pytest.mark.parametrize("number", sorted(files.LINK_REFUSED))
@pytest.mark.parametrize("link", ["move", "hardlink"])
def test_a_file_that_can_have_no_name_more_is_copied(
    store: contentdb.Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    link: Any,  # noqa: ANN401
    number: int,
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    before = source.stat()
    link_unnamed = files.link_unnamed

    def refuse(fd: int, target: Directory, name: str) -> bool:
        if is_of(fd, source):
            raise contentdb.StorageError.of("link", name, OSError(number, os.strerror(number)))
        return link_unnamed(fd, target, name)

    monkeypatch.setattr(files, "link_unnamed", refuse)
    info = store.add(source, link=link)
    assert store.read(info.digest) == b"content"
    assert source.exists() == (link == "hardlink")
    if link == "hardlink":
        assert (source.stat().st_mode, source.stat().st_mtime_ns) == (
            before.st_mode, before.st_mtime_ns,
        )  # fmt: skip


@pytest.mark.parametrize("link", ["move", "hardlink"])
def test_a_file_that_is_open_for_writing_is_copied(
    store: contentdb.Store,
    tmp_path: Path,
    link: Any,  # noqa: ANN401
) -> None:
    """As a blob it would be written to."""
    source = tmp_path / "source"
    source.write_bytes(b"content")
    with source.open("r+b") as held:
        info = store.add(source, link=link)
        held.write(b"CONTENT")
    assert store.read(info.digest) == b"content"


def test_a_file_that_is_taken_over_is_the_blob(store: contentdb.Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    info = store.add(source, link="hardlink")
    assert source.samefile(store.path(info.digest))
    assert source.stat().st_mtime_ns == info.updated_ns


def test_a_file_that_is_stored_already_keeps_its_mode_and_time(
    store: contentdb.Store, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    before = source.stat()
    store.add(b"content")
    store.add(source, link="hardlink")
    assert (source.stat().st_mode, source.stat().st_mtime_ns) == (
        before.st_mode, before.st_mtime_ns,
    )  # fmt: skip


# -- labels for what is stored already ---------------------------------------------------------


@pytest.mark.parametrize("link", ["copy", "reflink", "hardlink", "move"])
def test_every_link_labels_stored_content(
    store: contentdb.Store,
    tmp_path: Path,
    link: Any,  # noqa: ANN401
) -> None:
    source = tmp_path / "source"
    digest = store.add(b"content", labels={"old": "1"}).digest
    for expected in (None, digest):
        source.write_bytes(b"content")
        labels = {"link": link, "expected": "yes" if expected else "no"}
        info = store.add(source, labels=labels, link=link, expected=expected)
        assert dict(info.labels) == {"old": "1", **labels}
        assert store.info(digest) == info
        assert store.path(digest).stat().st_mtime_ns == info.updated_ns
        assert source.exists() == (link != "move")


@pytest.mark.parametrize("way", ["bytes", "stream", "path", "many", "batch"])
def test_labels_of_a_blob_that_is_deleted_meanwhile_are_not_lost(
    store: contentdb.Store,
    second: contentdb.Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """The blob goes between the look-up and the labels: it is stored again, and labelled."""
    digest = store.add(b"content", labels={"old": "1"}).digest
    (tmp_path / "source").write_bytes(b"content")
    merge_labels = Index.merge_labels

    def delete_first(self: Index, *args: Any) -> bool:  # noqa: ANN401 - passed on
        monkeypatch.setattr(Index, "merge_labels", merge_labels)
        second.delete(digest)
        return merge_labels(self, *args)

    monkeypatch.setattr(Index, "merge_labels", delete_first)
    labels = {"new": "1"}
    if way == "many":
        (info,) = store.add_many([b"content"], labels=labels)
    elif way == "batch":
        with store.batch():
            store.add(b"content", labels=labels)
        info = store.info(digest)
    else:
        source = {
            "bytes": b"content",
            "stream": io.BytesIO(b"content"),
            "path": tmp_path / "source",
        }
        info = store.add(source[way], labels=labels)  # type: ignore[arg-type]
        assert info.new
    assert store.info(digest) == second.info(digest) == info
    assert dict(info.labels) == {"new": "1"}
    assert store.read(digest) == b"content"


@pytest.mark.parametrize("keep_labels", [False, True])
def test_labels_of_content_that_comes_in_meanwhile(
    store: contentdb.Store,
    second: contentdb.Store,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keep_labels: bool,
) -> None:
    """It is stored by another between the look-up and the row: the row is merged with."""
    record = Index.record

    def add_first(self: Index, entries: Any) -> Any:  # noqa: ANN401 - passed on
        monkeypatch.setattr(Index, "record", record)
        assert second.add(b"content", labels={"a": "1", "b": "1"}).new
        return record(self, entries)

    monkeypatch.setattr(Index, "record", add_first)
    info = store.add(b"content", labels={"b": "2", "c": "2"}, keep_labels=keep_labels)
    assert not info.new
    expected = {"a": "1", "b": "1"} if keep_labels else {"a": "1", "b": "2", "c": "2"}
    assert dict(info.labels) == expected
    assert store.info(info.digest) == second.info(info.digest) == info


def test_a_batch_labels_what_it_has_and_what_is_stored(store: contentdb.Store) -> None:
    stored = store.add(b"stored", labels={"a": "1", "b": "1"})
    with store.batch():
        assert not store.add(b"stored", labels={"b": "2"}).new
        assert dict(store.info(stored.digest).labels) == {"a": "1", "b": "2"}
        first = store.add(b"new", labels={"a": "1"})
        again = store.add(io.BytesIO(b"new"), labels={"a": "2", "b": "2"})
        kept = store.add(b"new", labels={"a": "3", "c": "3"}, keep_labels=True)
        assert [info.new for info in (first, again, kept)] == [True, False, False]
    assert dict(store.info(first.digest).labels) == {"a": "2", "b": "2"}


def test_a_batch_that_keeps_labels_keeps_those_of_another(
    store: contentdb.Store, second: contentdb.Store
) -> None:
    """What one call gives and keeps back, and what a later one sets, is told apart to the end."""
    with store.batch():
        store.add(b"kept", labels={"a": "1"}, keep_labels=True)
        store.add(b"both", labels={"a": "1", "b": "1"}, keep_labels=True)
        store.add(b"both", labels={"b": "2"})
        second.add(b"kept", labels={"of": "another"})
        both = second.add(b"both", labels={"of": "another"}).digest
    assert dict(store.info(contentdb.Digest.of(b"kept")).labels) == {"of": "another"}
    assert dict(store.info(both).labels) == {"of": "another", "b": "2"}


def test_too_many_labels_together_spoil_no_other_item(
    store: contentdb.Store, second: contentdb.Store
) -> None:
    """All labels of one blob are bounded; what the others of a group store and set is there."""
    many = {f"k{number:03d}": "v" * 4092 for number in range(256)}
    with pytest.raises(contentdb.InvalidLabelError, match="1048576 is the most"), store.batch():  # noqa: PT012
        for data in (b"one", b"two", b"three"):
            store.add(data, labels={"k": "v"})
        second.add(b"two", labels=many)
        second.add(b"three", labels={"old": "1"})
    found = {info.digest: dict(info.labels) for info in store.walk()}
    assert found == {
        contentdb.Digest.of(b"one"): {"k": "v"},
        contentdb.Digest.of(b"two"): many,
        contentdb.Digest.of(b"three"): {"k": "v", "old": "1"},
    }
    with pytest.raises(contentdb.InvalidLabelError):
        store.add(b"two", labels={"k": "v"})


def test_a_durable_store_puts_labels_on_disk_that_another_did_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there already is not asked of whom: it was set without a sync, and counts now."""
    synced: list[str] = []
    sync = Index.sync

    def note(self: Index) -> None:
        synced.append("all")
        sync(self)

    monkeypatch.setattr(Index, "sync", note)
    with contentdb.open(root) as store, contentdb.open(root, durability="process") as careless:
        digest = careless.add(b"content").digest
        store.add(b"content")
        careless.update(digest, {"a": "1"})
        del synced[:]
        for _ in range(2):
            store.add(b"content", labels={"a": "1"})
        assert synced == ["all"]
