"""What a process remembers of blobs is what their rows say, whoever changed them last."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import CorruptBlobError, Digest, Info, NotFoundError
from contentdb.local.index.index import Index
from contentdb.local.info_cache import Known
from tests.fixtures import Child
from tests.inside import blob_path

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store

UPDATE = """
with contentdb.open(root) as store:
    store.update(args[0], {"by": "another process"})
print("updated", flush=True)
"""


def test_a_blobs_file_has_the_time_of_its_row(store: Store) -> None:
    digests = [store.add(b"added").digest]
    with store.writer("r") as writer:
        writer.write(b"committed")
        digests.append(writer.commit().digest)
    digests += [info.digest for info in store.add_many([b"one", b"two"])]
    store.update(digests[0], {"k": "v"})
    for digest in digests:
        assert store.path(digest).stat().st_mtime_ns == store.info(digest).updated_ns


def test_a_known_digest_is_answered_without_the_index(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = store.add(b"content", labels={"k": "v"})
    monkeypatch.setattr(Index, "blob", None)
    assert store.add(b"content", expected=info.digest) == store.info(info.digest) == info
    assert store.exists(info.digest)


def test_another_process_changes_what_is_known(store: Store, root: Path) -> None:
    digest = store.add(b"content").digest
    with Child(UPDATE, root, digest) as child:
        assert child.heard() == "updated"
    assert dict(store.info(digest).labels) == {"by": "another process"}
    assert dict(store.add(b"content", expected=digest).labels) == {"by": "another process"}


def test_a_change_that_was_cut_off_is_not_believed(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has its new time and the row its old one: the row counts."""
    info = store.add(b"content", labels={"k": "old"})
    assert second.info(info.digest) == info

    def refuse(*_: object) -> bool:
        raise contentdb.IndexBusyError("index.sqlite", "busy")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "update_labels", refuse)
        with pytest.raises(contentdb.IndexBusyError):
            store.update(info.digest, {"k": "new"})
    for one in (store, second):
        assert one.info(info.digest) == info
    store.update(info.digest, {"k": "new"})
    assert dict(second.info(info.digest).labels) == {"k": "new"}


def test_namespaces_do_not_take_each_others_infos(root: Path) -> None:
    with contentdb.open(root) as default, contentdb.open(root, namespace="other") as other:
        digest = default.add(b"content", labels={"of": "default"}).digest
        other.add(b"content", labels={"of": "other"})
        for _ in range(2):
            assert dict(default.info(digest).labels) == {"of": "default"}
            assert dict(other.info(digest).labels) == {"of": "other"}
            other.update(digest, {"of": "other"})


def test_a_deletion_that_was_begun_is_known(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.add(b"content").digest
    assert second.exists(digest)
    monkeypatch.setattr("contentdb.local.engine.manage.finish_delete", lambda *_: None)
    store.delete(digest)
    assert blob_path(store.root, digest).exists()
    for one in (store, second):
        assert not one.exists(digest)
        with pytest.raises(NotFoundError):
            one.info(digest)


def test_damage_that_was_met_is_known_to_all(store: Store, second: Store) -> None:
    digest = store.add(b"content").digest
    path = store.path(digest)
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))  # as decay does
    with pytest.raises(CorruptBlobError):
        second.read(digest)
    assert not store.exists(digest)
    assert store.add(b"content").digest == digest
    assert store.read(digest) == b"content"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("contentdb.local.info_cache._MOST", 3)
    (tmp_path / "file").write_bytes(b"")
    os.utime(tmp_path / "file", ns=(7, 7))
    found = (tmp_path / "file").stat()
    known = Known()
    digests = [Digest.of(b"%d" % number) for number in range(5)]
    for digest in digests:
        known.put(Info(digest, 0, 7, 7))
    assert [known.get(digest, found) is not None for digest in digests] == [
        False, False, True, True, True,
    ]  # fmt: skip


def test_what_says_very_much_is_not_remembered(tmp_path: Path) -> None:
    """Sixteen thousand blobs with a megabyte of labels each would fill any memory."""
    (tmp_path / "file").write_bytes(b"")
    os.utime(tmp_path / "file", ns=(7, 7))
    found = (tmp_path / "file").stat()
    known = Known()
    few = Info(Digest.of(b""), 0, 7, 7, {"k": "v" * 1000, "l": "v"})
    known.put(few)
    assert known.get(few.digest, found) == few
    for labels in ({"k": "v" * 4000}, {str(number): "v" for number in range(8)}):
        known.put(Info(few.digest, 0, 7, 7, labels))
        assert known.get(few.digest, found) is None


def test_two_updates_at_once_leave_nothing_stale(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's time is set under the write lock: it is that of the row that came last."""
    digest = store.add(b"content").digest
    update_labels = Index.update_labels

    def after_another(*args: Any, **options: Any) -> bool:  # noqa: ANN401 - passed on
        monkeypatch.setattr(Index, "update_labels", update_labels)
        second.update(digest, {"by": "second"})
        assert dict(second.info(digest).labels) == {"by": "second"}
        return update_labels(*args, **options)

    monkeypatch.setattr(Index, "update_labels", after_another)
    store.update(digest, {"by": "first"})
    assert dict(store.info(digest).labels) == {"by": "first"}
    assert dict(second.info(digest).labels) == {"by": "first"}


def test_a_file_whose_time_cannot_be_set_changes_nothing(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the others would go on trusting what they remember."""
    info = store.add(b"content", labels={"k": "old"})
    assert second.info(info.digest) == info

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", refuse)
        with pytest.raises(contentdb.StorageError, match="set the time"):
            store.update(info.digest, {"k": "new"})
    assert store.info(info.digest) == second.info(info.digest) == info


@pytest.mark.parametrize("link", ["hardlink", "move", "copy"])
def test_a_copy_with_its_times_brings_nothing_of_a_deleted_blob_back(
    store: Store,
    second: Store,
    tmp_path: Path,
    link: Any,  # noqa: ANN401
) -> None:
    """The other process still remembers an Info, by the time that the copy has as well."""
    info = store.add(b"content", labels={"of": "the deleted"})
    assert second.info(info.digest) == info
    shutil.copy2(store.path(info.digest), tmp_path / "copy")
    (tmp_path / "copy").chmod(0o644)
    store.delete(info.digest)
    again = store.add(tmp_path / "copy", labels={"of": "the new"}, link=link)
    assert second.info(info.digest) == again
    assert dict(again.labels) == {"of": "the new"}


def test_labels_that_come_with_a_healing_are_seen_by_who_remembers(
    store: Store, second: Store
) -> None:
    """The new file has the commit's time, gets its row's, and then that of its labels."""
    info = store.add(b"content")
    assert second.info(info.digest) == info
    path = store.path(info.digest)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    store.add(b"content", labels={"k": "v"})
    assert dict(second.info(info.digest).labels) == {"k": "v"}
    assert path.stat().st_mtime_ns == second.info(info.digest).updated_ns
