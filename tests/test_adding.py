"""Content without a ref: what meets it on its way to a name."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import files
from contentdb.index.sqlite import SqliteIndex

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.files import Directory


def test_an_add_whose_new_name_is_taken_away_by_a_delete_names_it_again(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file made without a name gets one once in its life; then it has to be copied."""
    record = SqliteIndex.record
    met: list[str] = []

    def delete_first(self: SqliteIndex, entries: Any) -> Any:  # noqa: ANN401 - passed through
        if len(met) < 3:
            met.append("delete")
            monkeypatch.setattr(SqliteIndex, "record", record)
            second.add(b"content")  # has a name already, so its row is recorded at once
            second.delete(entries[0].digest)
            monkeypatch.setattr(SqliteIndex, "record", delete_first)
        return record(self, entries)

    monkeypatch.setattr(SqliteIndex, "record", delete_first)
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
    record = SqliteIndex.record

    def begin_to_delete_first(self: SqliteIndex, entries: Any) -> Any:  # noqa: ANN401 - passed through
        monkeypatch.setattr(SqliteIndex, "record", record)
        with second.parts() as parts:
            assert parts.index.entomb(entries[0].digest)
        return record(self, entries)

    monkeypatch.setattr(SqliteIndex, "record", begin_to_delete_first)
    with store.writer("r") as writer:
        writer.write(b"content")
        info = writer.commit()
    assert store.read(info.digest) == b"content"


def test_an_orphan_that_became_a_blob_and_is_being_deleted_is_not_adopted(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = store.add(b"content")
    stale = contentdb.Finding("orphan", info.digest, str(store.path(info.digest)), "it was one")
    record = SqliteIndex.record

    def begin_to_delete_first(self: SqliteIndex, entries: Any) -> Any:  # noqa: ANN401 - passed through
        with second.parts() as parts:
            assert parts.index.entomb(info.digest)
        return record(self, entries)

    monkeypatch.setattr(SqliteIndex, "record", begin_to_delete_first)
    (done,) = contentdb.repair(store, [stale])
    assert done.action == "left alone"
    with contentdb.open(store.root) as third:  # finishes the deletion
        assert not third.exists(info.digest)
        assert list(third.verify()) == []


def test_a_file_that_is_in_the_trash_already_can_be_deleted_again(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename onto a link of the same file does nothing: the name would stay, and be read."""
    record, unlink = SqliteIndex.record, files.unlink
    kept: list[str] = []

    def keep(within: Directory, name: str) -> bool:
        if not within.path.endswith("trash"):
            return unlink(within, name)
        kept.append(name)
        return True

    def delete_first(self: SqliteIndex, entries: Any) -> Any:  # noqa: ANN401 - passed through
        monkeypatch.setattr(SqliteIndex, "record", record)
        second.add(b"content")
        monkeypatch.setattr(files, "unlink", keep)  # whoever deletes is slow to empty the trash
        second.delete(entries[0].digest)
        return record(self, entries)

    monkeypatch.setattr(SqliteIndex, "record", delete_first)
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
    with pytest.raises(contentdb.FailedPreconditionError, match="was written to while"):
        store.add(source, link=link)
    assert not store.exists(contentdb.Digest.of(b"content"))
    assert list(store.verify()) == []
    assert source.stat().st_mode & 0o777 == 0o644


def test_a_source_that_is_closed_spoils_no_other(store: contentdb.Store) -> None:
    closed = io.BytesIO(b"closed")
    closed.close()
    answers = list(store.add_many([b"1", b"2", b"3", closed, b"4"]))
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
