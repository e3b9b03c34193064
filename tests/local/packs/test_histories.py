"""Random histories of two stores on one root, then a power cut, then a lost index.

The cut takes from the index's log all that was not synced, and nothing from packs: so every answer
must rest on what a record says, or on a row that was put on disk.
"""

from __future__ import annotations

import random
import shutil
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BELOW: Final = 1 << 10
CONTENTS: Final = [b"content %d" % number for number in range(5)]
DIGESTS: Final = [contentdb.Digest.of(data) for data in CONTENTS]
ACTS: Final = [
    "add", "add", "many", "write", "delete", "delete", "update", "path", "pack", "unpack",
    "repack", "prune", "reopen",
]  # fmt: skip


class Disk:
    """The index's log as its last sync left it."""

    def __init__(self, root: Path) -> None:
        self._log = root / "index.sqlite-wal"
        self.kept = b""
        self._sync = files.sync_data

    def sync(self, fd: int, path: str) -> None:
        """Sync, and keep what is on disk then."""
        self._sync(fd, path)
        if path.endswith("-wal"):
            self.kept = self._log.read_bytes()

    def cut(self, root: Path, to: Path) -> bool:
        """Copy what a power cut leaves; return False if a checkpoint has begun the log anew."""
        shutil.copytree(root, to, ignore=shutil.ignore_patterns("*-shm"))
        log = to / "index.sqlite-wal"
        if not log.exists() or not log.read_bytes().startswith(self.kept[:32]):
            return False
        log.write_bytes(self.kept)
        return True


class History:
    """Acts on two stores, and what they have promised."""

    def __init__(self, root: Path, seed: int, stack: ExitStack) -> None:
        self._root = root
        self._random = random.Random(seed)
        self._stack = stack
        self._stores = [self._open(), self._open()]
        self.labels: dict[str, dict[str, str]] = {}
        """By digest of what is stored."""
        self.told: list[str] = []

    def _open(self) -> contentdb.Store:
        return self._stack.enter_context(contentdb.open(self._root, pack_below=BELOW))

    def act(self) -> None:
        """Do one thing on one store."""
        place = self._random.randrange(2)
        number = self._random.randrange(len(CONTENTS))
        act = self._random.choice(ACTS)
        self.told.append(f"{act} {number} by {place}")
        if act == "reopen":
            self._stores[place].close()
            self._stores[place] = self._open()
            return
        run: Callable[[contentdb.Store, int], None] = getattr(self, f"_{act}")
        run(self._stores[place], number)

    def _new_labels(self) -> dict[str, str]:
        return {"k": str(len(self.told))} if self._random.random() < 0.5 else {}

    def _stored(self, number: int, labels: dict[str, str]) -> None:
        self.labels.setdefault(DIGESTS[number], {}).update(labels)

    def _add(self, store: contentdb.Store, number: int) -> None:
        labels = self._new_labels()
        store.add(CONTENTS[number], labels=labels)
        self._stored(number, labels)

    def _many(self, store: contentdb.Store, number: int) -> None:
        list(store.add_many(CONTENTS[number:]))
        for stored in range(number, len(CONTENTS)):
            self._stored(stored, {})

    def _write(self, store: contentdb.Store, number: int) -> None:
        labels = self._new_labels()
        with store.writer(f"ref {number}") as writer:
            writer.write(CONTENTS[number])
            writer.commit(labels=labels)
        self._stored(number, labels)

    def _delete(self, store: contentdb.Store, number: int) -> None:
        with suppress(contentdb.NotFoundError):
            store.delete(DIGESTS[number])
        self.labels.pop(DIGESTS[number], None)

    def _update(self, store: contentdb.Store, number: int) -> None:
        if DIGESTS[number] in self.labels:
            labels = self._new_labels()
            store.update(DIGESTS[number], labels)
            self.labels[DIGESTS[number]] = labels

    def _path(self, store: contentdb.Store, number: int) -> None:
        if DIGESTS[number] in self.labels:
            assert store.path(DIGESTS[number]).read_bytes() == CONTENTS[number]

    def _pack(self, store: contentdb.Store, _number: int) -> None:
        store.pack()

    def _unpack(self, store: contentdb.Store, _number: int) -> None:
        store.unpack()

    def _repack(self, store: contentdb.Store, _number: int) -> None:
        store.repack()

    def _prune(self, store: contentdb.Store, _number: int) -> None:
        store.prune(older_than=0)


def look(root: Path) -> dict[str, dict[str, str]]:
    """What a store holds after a crash, each blob read, and nothing for verify to find."""
    with contentdb.open(root) as store:
        found: dict[str, dict[str, str]] = {info.digest: dict(info.labels) for info in store.walk()}
        for digest in found:
            assert store.read(digest) == CONTENTS[DIGESTS.index(contentdb.Digest(digest))]
        assert list(store.verify()) == []
        assert list(store.statuses()) == []
        return found


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_a_history_outlives_the_power_and_its_index(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = 0
    for seed in range(first, first + 20):
        root, cut = tmp_path / f"{seed}", tmp_path / f"{seed} cut"
        disk = Disk(root)
        with ExitStack() as stack, monkeypatch.context() as watched:
            watched.setattr(files, "sync_data", disk.sync)
            history = History(root, seed, stack)
            for _ in range(random.Random(seed).randint(5, 30)):
                history.act()
            whole = disk.cut(root, cut)
        if whole:
            looked += 1
            assert look(cut) == history.labels, (seed, history.told)
        for path in cut.glob("index.sqlite*"):
            path.unlink()
        contentdb.reindex(cut)
        assert look(cut).keys() == history.labels.keys(), (seed, history.told)
        shutil.rmtree(root)
        shutil.rmtree(cut)
    assert looked > 5
