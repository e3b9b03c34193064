"""Many deletes at once: what meets them between their two halves, and what refuses them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest, NoSpaceError, NotFoundError
from contentdb.local.index.index import Index

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store

CONTENTS = [b"%d" % number for number in range(5)]
DIGESTS = [Digest.of(data) for data in CONTENTS]


@pytest.fixture(autouse=True)
def filled(store: Store) -> None:
    for data in CONTENTS:
        store.add(data, labels={"k": "v"})


def test_what_is_stored_again_between_the_halves_stays(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tombstone is no more: the second half finds a blob, and takes the others away."""
    bury_all = Index.bury_all

    def add_first(self: Index, *args: Any) -> Any:  # noqa: ANN401 - passed on
        second.add(CONTENTS[2], labels={"new": "1"})
        return bury_all(self, *args)

    monkeypatch.setattr(Index, "bury_all", add_first)
    assert store.delete_many(DIGESTS) == 5
    assert [dict(info.labels) for info in store.walk()] == [{"new": "1"}]
    assert store.read(DIGESTS[2]) == second.read(DIGESTS[2]) == CONTENTS[2]
    assert list(store.verify()) == []
    assert list((store.root / "trash").iterdir()) == []


def test_other_namespaces_keep_what_they_have(store: Store, root: Path) -> None:
    with contentdb.open(root, namespace="other") as other:
        other.add(CONTENTS[1])
        assert store.delete_many(DIGESTS) == 5
        assert list(store.walk()) == []
        assert other.read(DIGESTS[1]) == CONTENTS[1]
        with pytest.raises(NotFoundError):
            other.delete_many(DIGESTS)
        assert other.delete_many(DIGESTS, missing_ok=True) == 1
        assert list(other.verify()) == []


def test_a_disk_without_room_for_many_takes_them_one_by_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gives some room: a full disk is the place where blobs are deleted."""
    entomb_all, full = Index.entomb_all, OSError(errno.ENOSPC, "No space left on device")
    asked: list[int] = []

    def refuse_many(
        self: Index,
        digests: list[Digest],
        *args: Any,  # noqa: ANN401 - passed on
        **options: Any,  # noqa: ANN401 - passed on
    ) -> Any:  # noqa: ANN401 - as above
        asked.append(len(digests))
        if len(digests) > 1:
            raise NoSpaceError("write", "index.sqlite-wal", full)
        return entomb_all(self, digests, *args, **options)

    monkeypatch.setattr(Index, "entomb_all", refuse_many)
    absent = Digest.of(b"absent")
    with pytest.raises(NotFoundError) as caught:
        store.delete_many([*DIGESTS[:3], absent, *DIGESTS[3:]])
    assert caught.value.digest == absent
    assert asked == [6, 1, 1, 1, 1]
    assert {info.digest for info in store.walk()} == set(DIGESTS[3:])
    assert store.delete_many(DIGESTS, missing_ok=True) == 2
    assert list(store.verify()) == []


def test_deletions_that_were_cut_off_are_finished_together(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next opening, however many there are."""
    with monkeypatch.context() as patched:
        patched.setattr("contentdb.local.engine.manage.finish_delete", lambda *_: None)
        assert store.delete_many(DIGESTS) == 5
    assert list(store.walk()) == []
    assert not any(store.exists(digest) for digest in DIGESTS)
    monkeypatch.setattr("contentdb.local.upkeep.recovery.GROUP_COUNT", 2)
    with contentdb.open(root) as again:
        assert list(again.verify()) == []
        assert [path.name for path in (root / "blobs").rglob("*") if path.is_file()] == []
        assert list((root / "trash").iterdir()) == []
