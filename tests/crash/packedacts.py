"""Acts over stores that pack small blobs: those of loose stores again, and moves."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

import contentdb
from contentdb.local.packs.record import content_at
from tests.crash.ledger import content, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.crash.acts import Act, Scene

__all__ = ["PACK_BELOW", "packed_acts"]

PACK_BELOW: Final = 128 << 10
"""All content of `tests.crash.ledger` is smaller, and the large one of acts is not."""

_AGAIN: Final = (
    "open", "open-litter", "open-other", "open-to-read", "close", "close-writer-open", "fork",
    "resume", "commit", "commit-wrong", "commit-again", "ingest", "ingest-resumed", "ingest-found",
    "add", "add-again", "add-stream", "add-large", "add-move", "add-labels", "add-many",
    "add-many-dropped", "batch", "delete", "delete-again", "delete-many", "update", "walk-filter",
    "read", "read-on", "path", "export-copy", "export-hardlink", "prune", "verify", "verify-quick",
    "reindex-lost",
)  # fmt: skip

_DAMAGED: Final = (0, 1, 3, 4)
_DAMAGED_AGAIN: Final = ("repair", "read-damaged", "heal", "reindex")


def packed_acts(acts: Mapping[str, Act]) -> list[Act]:
    """Return the acts over packed stores."""
    kind = type(acts["add"])
    made = [acts[name]._replace(name=f"packed-{name}", packed=True) for name in _AGAIN]
    made += [
        acts[name]._replace(name=f"packed-{name}", packed=True, prepare=_damaged)
        for name in _DAMAGED_AGAIN
    ]
    stored = (900, 901, 902)
    made += [
        kind("packed-open-new", _open, opens=False, makes=False),
        kind("packed-open-lost-rows", _open, prepare=_lose_rows, opens=False, touched=(0, 1)),
        kind("packed-delete-with-file", acts["delete"].run, prepare=_make_file, touched=(901,)),
        kind("packed-path-again", acts["path"].run, prepare=_spoil_file, touched=(901,),
             spoilt=(901,)),
        kind("pack", _moving(contentdb.Store.pack), prepare=_unpack, touched=stored),
        kind("unpack", _moving(contentdb.Store.unpack), prepare=_make_file, touched=stored),
        kind("repack", _moving(contentdb.Store.repack), prepare=_delete_some, touched=stored),
        kind("repack-own", _moving(contentdb.Store.repack), ready=_own_dead, touched=(*stored, 6)),
    ]  # fmt: skip
    return [act._replace(packed=True) for act in made]


def _open(scene: Scene) -> None:
    scene.store = contentdb.open(scene.root, pack_below=PACK_BELOW)
    scene.did()


def _moving(move: Callable[[contentdb.Store], object]) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        move(scene.store)
        scene.did()

    return run


def _make_file(scene: Scene) -> None:
    """A packed blob that has a file too."""
    with contentdb.open(scene.root) as store:
        store.path(digest_of(901))


def _spoil_file(scene: Scene) -> None:
    """The file of a packed blob is damaged: `path` has to replace it."""
    with contentdb.open(scene.root) as store:
        _write_over(store.path(digest_of(901)), b"spoilt")


def _write_over(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def _unpack(scene: Scene) -> None:
    with contentdb.open(scene.root) as store:
        store.unpack()


def _delete_some(scene: Scene) -> None:
    """A pack of a process that has ended, of whose records most are dead."""
    with contentdb.open(scene.root) as store:
        for number in (0, 1, 4):
            store.add(content(number))
        for number in (0, 1, 4):
            store.delete(digest_of(number))


def _own_dead(scene: Scene) -> None:
    """A record is dead in the pack that this process appends to."""
    for number in (6, 7):
        scene.store.add(content(number))
    scene.store.delete(digest_of(7))


def _lose_rows(scene: Scene) -> None:
    """Records without rows, as after a power cut that took the end of the index's log."""
    index = scene.root / "index.sqlite"
    with contextlib.closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = index.read_bytes()
    with contentdb.open(scene.root) as store:
        for number in (0, 1):
            store.add(content(number), labels={"a": "b"})
    for path in scene.root.glob("index.sqlite-[ws]*"):
        if path.name.endswith(("-wal", "-shm")):
            path.unlink()
    index.write_bytes(before)


def _damaged(scene: Scene) -> None:
    """A damaged record, one whose blob has a whole file, a damaged file, an orphan."""
    with contentdb.open(scene.root) as store:
        for number in (0, 1, 4):
            store.add(content(number))
        store.path(digest_of(1))
        _write_over(store.path(digest_of(4)), b"spoilt")
        for number in (0, 1):
            _spoil_record(scene.root, digest_of(number))
    orphan = digest_of(3)[7:]
    path = scene.root / "blobs" / "sha256" / orphan[:2] / orphan
    path.write_bytes(content(3))
    path.chmod(0o444)


def _spoil_record(root: Path, digest: str) -> None:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as connection:
        query = "SELECT pack, offset FROM blobs WHERE digest = ?"
        ((pack, offset),) = connection.execute(query, (digest,)).fetchall()
    with (root / "packs" / f"{pack}.pack").open("r+b") as file:
        file.seek(offset + content_at(digest))
        file.write(b"X")
