"""What a store is doing while it is killed, cut off or refused: one scenario per operation.

`prepare` builds the store that the operation meets, undisturbed; `run` is disturbed. Both
say in the ledger what they were promised.
"""

from __future__ import annotations

import contextlib
import io
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import contentdb
from tests.crash.caching import cache_steps
from tests.crash.collecting import collection_steps
from tests.crash.ledger import Ledger, content, digest_of
from tests.crash.packedscenarios import packed_scenarios
from tests.upgrade.older import take_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["SCENARIOS", "Scenario", "warm"]

_WARMING: Final = range(900, 904)
_MANY: Final = range(7)
_LEFT_OPEN: list[contentdb.Store] = []


class Scenario(NamedTuple):
    """A named pair of steps; both get the root and the ledger."""

    name: str
    prepare: Callable[[Path, Ledger], None]
    run: Callable[[Path, Ledger], None]


def _open(root: Path) -> contentdb.Store:
    durability = os.environ.get("CRASH_DURABILITY", "full")
    below = int(os.environ.get("CRASH_PACK_BELOW", "0"))
    return contentdb.open(root, durability=durability, pack_below=below)  # type: ignore[arg-type]


# -- the stores that operations meet -------------------------------------------------------------


def _nothing(root: Path, ledger: Ledger) -> None:
    """No store at all."""


def _store(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        _add(store, ledger, 900)


def warm(root: Path, ledger: Ledger) -> None:
    """A store whose WAL has grown, was moved into the database, and is being reused.

    A cold WAL hides missing syncs: growing it commits the filesystem's journal.
    The process ends without closing the store, as the last close would remove the WAL.
    """
    from contentdb.local.index import checkpoints

    before = checkpoints.CHECKPOINT_ROWS
    checkpoints.CHECKPOINT_ROWS = 1 << 30  # type: ignore[misc]
    store = _open(root)
    _LEFT_OPEN.append(store)
    for number in _WARMING:
        _add(store, ledger, number)
    for count in range(24):
        store.update(digest_of(900), {"warming": f"{count:04d}" * 900})
    checkpoints.CHECKPOINT_ROWS = 1  # type: ignore[misc]
    store.update(digest_of(900), {})
    checkpoints.CHECKPOINT_ROWS = before  # type: ignore[misc]
    os.sync()


def _warm_with_many(root: Path, ledger: Ledger) -> None:
    """As above, with blobs that are to go: in all shards, and two in one of them."""
    warm(root, ledger)
    store = _open(root)
    _LEFT_OPEN.append(store)
    for number in _MANY:
        _add(store, ledger, number)
    os.sync()


def _store_with_ingest(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        _add(store, ledger, 900)
        _pause(store, ledger)


def _warm_with_ingest(root: Path, ledger: Ledger) -> None:
    """The WAL goes on behind its first commit, which alone syncs without being asked to."""
    warm(root, ledger)
    store = _open(root)
    _LEFT_OPEN.append(store)
    _pause(store, ledger)
    os.sync()


def _warm_of_old(root: Path, ledger: Ledger) -> None:
    """A store as the first revision had it, so that a migration runs all that came since."""
    _warm_with_ingest(root, ledger)
    take_back(root)
    ledger.migrating()
    os.sync()


def _pause(store: contentdb.Store, ledger: Ledger) -> None:
    ledger.begun("half", 3)
    with store.writer("half", total=len(content(3))) as writer:
        writer.write(content(3)[:30_000])
    ledger.paused("half", 30_000)


def _store_with_named_ingest(root: Path, ledger: Ledger) -> None:
    """What a commit leaves that is killed between the name and the row."""
    with _open(root) as store:
        ledger.begun("half", 3)
        with store.writer("half", total=len(content(3))) as writer:
            writer.write(content(3))
        ledger.paused("half", len(content(3)))
    (ingest,) = (root / "ingest").iterdir()
    ingest.chmod(0o444)
    name = digest_of(3)[7:]
    os.link(ingest, root / "blobs" / "sha256" / name[:2] / name)


def _store_with_litter(root: Path, ledger: Ledger) -> None:
    """An abandoned ingest, an orphan, a file in the trash."""
    _store_with_ingest(root, ledger)
    ledger.dropped("half")
    orphan = digest_of(4)[7:]
    _plant(root / "blobs" / "sha256" / orphan[:2] / orphan, content(4))
    _plant(root / "trash" / digest_of(11)[7:], content(11))
    _plant(root / "ingest" / ("0" * 32), b"left over")


def _store_with_damage(root: Path, ledger: Ledger) -> None:
    """An orphan, a damaged blob, a missing file, a blob that can be written to."""
    with _open(root) as store:
        for number in (0, 1, 3, 900):
            _add(store, ledger, number)
        damaged, missing, writable = (store.path(digest_of(number)) for number in (0, 1, 3))
    orphan = digest_of(4)[7:]
    _plant(root / "blobs" / "sha256" / orphan[:2] / orphan, content(4))
    ledger.damaged(0)
    damaged.chmod(0o600)
    damaged.write_bytes(b"x" + content(0)[1:])
    damaged.chmod(0o444)
    ledger.damaged(1)
    missing.unlink()
    writable.chmod(0o644)


def _store_without_index(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        for number in (0, 1, 900):
            _add(store, ledger, number)
    ledger.index_lost()
    for path in root.glob("index.sqlite*"):
        path.unlink()


def _plant(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o444)


def _add(store: contentdb.Store, ledger: Ledger, number: int) -> None:
    info = store.add(content(number))
    if info.digest != digest_of(number):
        raise AssertionError(info)
    ledger.have(number)


# -- the operations ------------------------------------------------------------------------------


def _create(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        _add(store, ledger, 1)


def _create_for_group(root: Path, ledger: Ledger) -> None:
    """Its files are opened to the group one by one, and a member's add is the first use."""
    durability = os.environ.get("CRASH_DURABILITY", "full")
    with contentdb.open(root, shared="group", durability=durability) as store:  # type: ignore[arg-type]
        _add(store, ledger, 1)


def _begin(root: Path, ledger: Ledger) -> None:
    ledger.begun("new/ref", 3)
    with _open(root) as store:
        with store.writer("new/ref", total=len(content(3)), expected=digest_of(3)) as writer:
            writer.write(content(3)[:20_000])
            writer.write(content(3)[20_000:50_000])
        ledger.paused("new/ref", 50_000)


def _commit(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        for number in (0, 2):
            ledger.begun(f"ref-{number}", number)
            with store.writer(f"ref-{number}") as writer:
                for start in range(0, len(content(number)), 4_096):
                    writer.write(content(number)[start : start + 4_096])
                writer.commit(expected=digest_of(number), labels={"kind": "test"})
            ledger.have(number)
            ledger.labelled(number, kind="test")


def _resume(root: Path, ledger: Ledger) -> None:
    with _open(root) as store, store.writer("half", resume=True) as writer:
        writer.write(content(3)[30_000:])
        writer.commit(size=len(content(3)), expected=digest_of(3))
        ledger.have(3)


def _resume_named(root: Path, ledger: Ledger) -> None:
    """The file is a blob for ever by now, so that a copy takes its place."""
    with _open(root) as store, store.writer("half", resume=True) as writer:
        writer.commit(size=len(content(3)), expected=digest_of(3))
        ledger.have(3)


def _truncate(root: Path, ledger: Ledger) -> None:
    ledger.dropped("half")
    with _open(root) as store:
        store.abort("half")
        with store.writer("half") as writer:
            writer.write(b"something else")
            writer.truncate()
            writer.write(content(3))
            writer.commit(expected=digest_of(3))
    ledger.have(3)


# What a row vouches for after a power cut are bytes that were synced, and no others in their
# place. Most of these leave their writer as a kill does: forgotten, with nothing synced.


def _rewrite(root: Path, ledger: Ledger) -> None:
    """Other content in the place of what was paused: once truncated, that must not come back."""
    ledger.paused("half", 0)
    with _open(root) as store:
        writer = store.writer("half", resume=True)
        writer.truncate()
        _write_other(writer, ledger)
        del writer


def _start_over(root: Path, ledger: Ledger) -> None:
    """The same by a new try, which also declares other things."""
    ledger.paused("half", 0)
    with _open(root) as store:
        # The first write of a log syncs it, and the filesystem's journal with it.
        store.update(digest_of(900), {"a": "1"})
        writer = store.writer("half", total=len(content(9)), expected=digest_of(9))
        _write_other(writer, ledger)
        del writer


def _ingest_other(root: Path, ledger: Ledger) -> None:
    """And by another source: up to the first byte that differs, the content may be either's."""
    ledger.instead("half", 9)
    with _open(root) as store:
        store.ingest("half", _Slow(content(9)), total=len(content(9)))
        ledger.have(9)


class _Slow(io.BytesIO):
    """Gives ten thousand bytes at a time."""

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - typeshed's Buffer, as it is
        return super().readinto(memoryview(buffer)[:10_000])


def _reuse(root: Path, ledger: Ledger) -> None:
    """A ref whose abort was killed once the bytes were gone, and before its row was."""
    ledger.paused("half", 0)
    try:
        next((root / "ingest").iterdir()).unlink()
    except OSError:  # injected into our own call
        return
    with _open(root) as store:
        writer = store.writer("half", resume=True)
        _write_other(writer, ledger)
        del writer


def _write_other(writer: contentdb.Writer, ledger: Ledger) -> None:
    ledger.begun("half", 9)
    writer.write(content(9)[:10_000])
    writer.write(content(9)[10_000:20_000])


def _fail(root: Path, ledger: Ledger) -> None:
    """A commit that is refused, so that the ingest lives on; then one that syncs its row."""
    with _open(root) as store:
        with store.writer("half", resume=True) as writer:
            writer.write(content(3)[30_000:40_000])
            writer.write(content(3)[40_000:50_000])
            with contextlib.suppress(contentdb.SizeMismatchError):
                writer.commit(size=1)
        ledger.paused("half", 50_000)
        _add(store, ledger, 0)


def _neglect(root: Path, ledger: Ledger) -> None:
    """Pieces of one ingest by a store that syncs, and by one that does not."""
    for start, durability in ((30_000, "full"), (40_000, "process")):
        with (
            contentdb.open(root, durability=durability) as store,  # type: ignore[arg-type]
            store.writer("half", resume=True) as writer,
        ):
            writer.write(content(3)[start : start + 5_000])
            writer.write(content(3)[start + 5_000 : start + 10_000])
        ledger.paused("half", start + 10_000)
    with _open(root) as store:
        store.update(digest_of(900), {"a": "1"})


def _ingest(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        for number in (3, 1):
            ledger.begun(f"ref-{number}", number)
            store.ingest(
                f"ref-{number}",
                io.BytesIO(content(number)),
                total=len(content(number)),
                expected=digest_of(number),
                labels={"a": "b"},
            )
            ledger.have(number)


def _add_each(root: Path, ledger: Ledger) -> None:
    source = root.parent / "source"
    with _open(root) as store:
        _add(store, ledger, 0)
        store.add(io.BytesIO(content(1)), labels={"a": "b"})
        ledger.have(1)
        ledger.labelled(1, a="b")
        source.write_bytes(content(3))
        store.add(source)
        ledger.have(3)
        store.add(source, link="hardlink")
    source.unlink()


def _add_group(root: Path, ledger: Ledger, *, numbers: Iterable[int] = range(12)) -> None:
    chosen = list(numbers)
    with _open(root) as store:
        for number, _info in zip(chosen, store.add_many(map(content, chosen)), strict=True):
            ledger.have(number)


def _batch(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        with store.batch() as batch:
            for number in range(4):
                batch.add(content(number))
        for number in range(4):
            ledger.have(number)


def _again(root: Path, ledger: Ledger) -> None:
    """Content that is stored already, by every way in."""
    with _open(root) as store:
        _add(store, ledger, 900)
        ledger.begun("again", 900)
        store.ingest("again", io.BytesIO(content(900)), expected=digest_of(900))
        for exist_ok in (True, False):
            writer = store.writer("again")
            writer.write(content(900))
            with contextlib.suppress(contentdb.AlreadyExistsError):
                writer.commit(exist_ok=exist_ok)
            ledger.have(900)


def _heal(root: Path, ledger: Ledger) -> None:
    """Store the content of damaged, missing and orphaned blobs again.

    Where the damage has kept the size, it has to be noticed first: to store is not to verify.
    """
    with _open(root) as store:
        with contextlib.suppress(contentdb.CorruptBlobError):
            store.read(digest_of(0))
        if store.exists(digest_of(0)):
            return  # the disk had no room for noting it
        for number in (0, 1, 4):
            _add(store, ledger, number)


def _delete(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        for number in (901, 902):
            ledger.going(number)
            store.delete(digest_of(number))
            ledger.gone(number)
        ledger.going(902)  # it may be back before it is acknowledged
        _add(store, ledger, 902)
        ledger.going(902)
        store.delete(digest_of(902))
        ledger.gone(902)


def _delete_many(root: Path, ledger: Ledger) -> None:
    """Two of them are stored again, and go once more with one that is absent."""
    with _open(root) as store:
        for number in _MANY:
            ledger.going(number)
        store.delete_many(map(digest_of, _MANY))
        for number in _MANY:
            ledger.gone(number)
        for number in (0, 1):
            ledger.going(number)  # it may be back before it is acknowledged
            _add(store, ledger, number)
        for number in (0, 1):
            ledger.going(number)
        store.delete_many((digest_of(number) for number in (0, 1, 2)), missing_ok=True)
        for number in (0, 1):
            ledger.gone(number)


def _label(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        store.update(digest_of(900), {"a": "1", "b": "2"})
        ledger.labelled(900, a="1", b="2")
        ledger.labelling(900)
        store.update(digest_of(900), {"a": "3"}, fields=["labels.a", "labels.b"])
        ledger.labelled(900, a="3")


def _relabel(root: Path, ledger: Ledger) -> None:
    """Labels for what is stored: where nothing is written, and where it is found by its row."""
    with _open(root) as store:
        store.add(content(900), labels={"a": "1"})
        ledger.labelled(900, a="1")
        ledger.begun("relabel", 902)
        writer = store.writer("relabel")
        ledger.labelling(900)
        list(store.add_many([content(900), content(901)], labels=[{"b": "2"}, {"a": "2"}]))
        ledger.labelled(900, a="1", b="2")
        ledger.labelled(901, a="2")
        writer.write(content(902))
        with contextlib.suppress(contentdb.AlreadyExistsError):
            writer.commit(labels={"c": "3"})
        ledger.labelled(902, c="3")


def _prune(root: Path, ledger: Ledger) -> None:
    ledger.dropped("half")
    with _open(root) as store:
        for _ in store.prune(older_than=0):
            pass


def _repair(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        for _ in store.verify(quick=True):
            pass
        for _ in contentdb.repair(store, store.verify()):
            pass


def _reindex(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        store.reindex()


def _reindex_lost(root: Path, ledger: Ledger) -> None:
    contentdb.reindex(root)


def _migrate(root: Path, ledger: Ledger) -> None:
    from tests.crash import nextrevision  # alembic: only where it is used, each cut starts anew

    with nextrevision.known():
        contentdb.migrate(root)
        ledger.migrated()
        with _open(root) as store:
            _add(store, ledger, 0)


def _checkpoint(root: Path, ledger: Ledger) -> None:
    """Commits with a checkpoint after each but one."""
    from contentdb.local.index import checkpoints

    checkpoints.CHECKPOINT_ROWS = 2  # type: ignore[misc]
    with _open(root) as store:
        for number in (0, 1, 2, 5):
            _add(store, ledger, number)
        ledger.going(900)
        store.delete(digest_of(900))
        ledger.gone(900)


def _read(root: Path, ledger: Ledger) -> None:
    with _open(root) as store:
        store.read(digest_of(900))
        with store.open(digest_of(900)) as reader:
            reader.read()
        store.info(digest_of(900))
        list(store.walk("labels.a==b,size>1"))
        list(store.statuses())
        store.usage()


_LOOSE: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("create", _nothing, _create),
        Scenario("create-for-group", _nothing, _create_for_group),
        Scenario("begin", _store, _begin),
        Scenario("commit", warm, _commit),
        Scenario("resume", _store_with_ingest, _resume),
        Scenario("truncate", _store_with_ingest, _truncate),
        Scenario("rewrite", _warm_with_ingest, _rewrite),
        Scenario("start-over", _warm_with_ingest, _start_over),
        Scenario("other", _warm_with_ingest, _ingest_other),
        Scenario("reuse", _warm_with_ingest, _reuse),
        Scenario("named", _store_with_named_ingest, _resume_named),
        Scenario("fail", _store_with_ingest, _fail),
        Scenario("neglect", _store_with_ingest, _neglect),
        Scenario("ingest", warm, _ingest),
        Scenario("add", warm, _add_each),
        Scenario("group", warm, _add_group),
        Scenario("group-small", warm, partial(_add_group, numbers=(0, 1, 2))),
        Scenario("batch", warm, _batch),
        Scenario("again", _store, _again),
        Scenario("heal", _store_with_damage, _heal),
        Scenario("delete", warm, _delete),
        Scenario("delete-many", _warm_with_many, _delete_many),
        Scenario("label", _store, _label),
        Scenario("relabel", warm, _relabel),
        Scenario("prune", _store_with_litter, _prune),
        Scenario("repair", _store_with_damage, _repair),
        Scenario("reindex", _store_with_damage, _reindex),
        Scenario("reindex-lost", _store_without_index, _reindex_lost),
        Scenario("migrate", _warm_of_old, _migrate),
        Scenario("checkpoint", warm, _checkpoint),
        Scenario("gc", *collection_steps(_open, warm, _LEFT_OPEN)),
        Scenario("cache", *cache_steps(_open, warm, _LEFT_OPEN)),
        Scenario("read", _store, _read),
    )
}

SCENARIOS: Final = _LOOSE | packed_scenarios(_LOOSE, _add)
