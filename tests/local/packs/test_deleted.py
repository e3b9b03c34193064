"""What was deleted does not come back in an index that is made anew, whatever was cut off before.

Each act runs in a child, which dies before the n-th change of a file; and once more, where another
process deletes the blob just before it dies. Then the index is lost.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import traceback
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb import files
from contentdb.local.packs.directory import PackDirectory
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.local.index import Blob

BELOW: Final = 1 << 10
KEPT: Final = [b"kept %d" % number for number in range(1)]
GONE: Final = b"it goes"
DIGEST: Final = contentdb.Digest.of(GONE)
DELETE: Final = """
import contextlib, sys
import contentdb
with contentdb.open(sys.argv[1]) as store, contextlib.suppress(contentdb.NotFoundError):
    store.delete(sys.argv[2])
"""
_DIED: Final = 99
CHANGES: Final = ("write_at", "sync_data", "sync_directory", "rename", "unlink", "link_unnamed")


def _stored(root: Path) -> None:
    with contentdb.open(root, pack_below=BELOW) as store:
        for data in (*KEPT, GONE):
            store.add(data)


def _with_dead(root: Path) -> None:
    _stored(root)
    with contentdb.open(root) as store:
        for number in range(5):
            store.delete(store.add(b"dead %d" % number).digest)


def _loose(root: Path) -> None:
    _stored(root)
    with contentdb.open(root) as store:
        store.unpack()


def _moved_twice(root: Path) -> None:
    _loose(root)
    with contentdb.open(root) as store:
        store.pack()


def _delete_and_add(store: contentdb.Store) -> None:
    store.delete(DIGEST)
    store.add(GONE)


def _add_beside(store: contentdb.Store) -> None:
    """Two records of one blob: this process did not see that it is stored."""
    index = parts_of(store).index
    find, unseen = index.blob, [DIGEST]

    def find_later(digest: contentdb.Digest) -> Blob | None:
        if digest in unseen:
            unseen.remove(digest)
            return None
        return find(digest)

    index.blob = find_later  # type: ignore[method-assign]
    list(store.add_many([b"new", GONE, b"newer"]))


ACTS: Final[dict[str, tuple[Callable[[Path], None], Callable[[contentdb.Store], object]]]] = {
    "repack": (_with_dead, contentdb.Store.repack),
    "pack": (_loose, contentdb.Store.pack),
    "unpack": (_stored, contentdb.Store.unpack),
    "delete and add": (_stored, _delete_and_add),
    "add beside": (_stored, _add_beside),
}


def cut_off(root: Path, act: Callable[[contentdb.Store], object], at: int, *, racing: bool) -> bool:
    """Do an act in a child that dies before its change number ``at``; return False if it ended."""
    child = os.fork()
    if child == 0:
        _die_within(root, act, at, racing=racing)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, _DIED}
    return status == _DIED


def _die_within(
    root: Path, act: Callable[[contentdb.Store], object], at: int, *, racing: bool
) -> None:
    store = contentdb.open(root)
    numbers = count()

    def watched(name: str) -> Callable[..., object]:
        change = getattr(files, name)

        def run(*arguments: object, **options: object) -> object:
            if racing and name != "sync_data":  # the write lock may be held
                return change(*arguments, **options)
            if next(numbers) == at:
                if racing:
                    subprocess.run([sys.executable, "-c", DELETE, root, DIGEST], check=True)
                os._exit(_DIED)
            return change(*arguments, **options)

        return run

    for name in CHANGES:
        setattr(files, name, watched(name))
    try:
        act(store)
    except BaseException:  # noqa: BLE001 - a child must not go on as a test
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def lose_index(root: Path) -> None:
    for path in root.glob("index.sqlite*"):
        path.unlink()
    contentdb.reindex(root)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTS)
def test_what_is_deleted_after_an_act_was_cut_off_stays_deleted(tmp_path: Path, name: str) -> None:
    """6.3: the index is lost after that."""
    prepare, act = ACTS[name]
    for at in count():
        root = tmp_path / f"{at}"
        prepare(root)
        ended = not cut_off(root, act, at, racing=False)
        if at % 2:
            lose_index(root)
        with contentdb.open(root) as store, suppress(contentdb.NotFoundError):
            store.delete(DIGEST)
        lose_index(root)
        with contentdb.open(root) as store:
            assert not store.exists(DIGEST), at
            assert [store.read(contentdb.Digest.of(data)) for data in KEPT] == KEPT
        if ended:
            break
    assert at > 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["repack", "pack", "unpack"])
def test_what_is_deleted_during_an_act_that_is_cut_off_stays_deleted(
    tmp_path: Path, name: str
) -> None:
    """6.3: no process opens the store before its index is lost."""
    prepare, act = ACTS[name]
    for at in count():
        root = tmp_path / f"{at}"
        prepare(root)
        ended = not cut_off(root, act, at, racing=True)
        lose_index(root)
        with contentdb.open(root) as store:
            assert store.exists(DIGEST) == ended, at
            assert [store.read(contentdb.Digest.of(data)) for data in KEPT] == KEPT
        if ended:
            break
    assert at > 1


def test_a_record_that_was_moved_stays_marked_when_its_copy_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6.3: one repack cannot remove the old pack, and the next one removes the pack of the copy."""
    root = tmp_path / "store"
    _with_dead(root)
    (old,) = (root / "packs").glob("*.pack")

    def refuse(_packs: PackDirectory, pack: int) -> None:
        raise contentdb.StorageError("remove", str(pack), OSError(5, "Input/output error"))

    with contentdb.open(root) as store:
        with monkeypatch.context() as broken:
            broken.setattr(PackDirectory, "remove", refuse)
            with pytest.raises(contentdb.StorageError):
                store.repack()
        store.delete(DIGEST)
        with old.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert store.repack() > 0
    lose_index(root)
    with contentdb.open(root) as store:
        assert not store.exists(DIGEST)
        assert store.read(contentdb.Digest.of(KEPT[0])) == KEPT[0]


def test_a_mark_of_an_older_version_says_nothing_of_copies(tmp_path: Path) -> None:
    """It marked the record of a blob that was unpacked as it marked one of a deleted blob."""
    root = tmp_path / "store"
    _moved_twice(root)
    (pack,) = (root / "packs").glob("*.pack")
    assert pack.read_bytes().count(b"CDBRD") == len(KEPT) + 1
    assert pack.read_bytes().count(b"CDBRL") == len(KEPT) + 1
    lose_index(root)
    with contentdb.open(root) as store:
        assert store.read(DIGEST) == GONE
