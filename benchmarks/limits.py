"""Where the time between the floor and contentdb goes: the floor, and one thing more a row.

``python -m benchmarks limits`` stores objects of 1 KiB by hand-written calls, adding what a row of
contentdb needs beyond the floor step by step, and by contentdb itself. The last row before it is
what no Python could undercut that keeps the contract; the difference to it is the library's own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import statistics
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import contentdb
from benchmarks.floors import sync_all
from benchmarks.material import batched, objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["table"]

_GROUP: Final = 1000
_HEADER: Final = 64
_STEP: Final = 4 << 20
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL
_SHARDS: Final = [f"{number:02x}" for number in range(256)]
_TABLE: Final = (
    "CREATE TABLE blobs (namespace TEXT, digest TEXT, size INT, checksum INT, created_at INT,"
    " updated_at INT, state INT, PRIMARY KEY (namespace, digest)) WITHOUT ROWID"
)
_INSERT: Final = "INSERT INTO blobs VALUES ('default', ?, 1024, 1, 2, 2, 0) ON CONFLICT DO NOTHING"


class _Variant(NamedTuple):
    """What is done for an object, each beside the floor's hash, create, write and rename."""

    title: str
    sync: bool = False
    group: bool = False
    careful: bool = False
    """Bytes on disk before their names: in a group a second sync."""
    look: bool = False
    """Is it there already? Mode and time, by which it is known again."""
    row: bool = False
    """A transaction; of its own or for the group."""
    checked: bool = False
    """The transaction under a lock that queues writers, the name looked at inside."""
    packed: bool = False
    """Appended to one file that was zero-filled ahead, with a record's header, and synced."""
    ref: bool = False
    """A locked file and a row for the ref before the first byte, which end with the blob's row."""
    ours: bool = False


def _steps(*, sync: bool = False, group: bool = False) -> tuple[_Variant, ...]:
    floor = _Variant("the floor", sync=sync, group=group)
    careful = floor._replace(title="… bytes on disk before names", careful=True)
    look = careful._replace(title="… looked up, its mode and time set", look=True)
    row = look._replace(title="… a row", row=True)
    checked = row._replace(title="… the name looked at as the row is made", checked=True)
    ours = floor._replace(title="contentdb", ours=True)
    return (floor, *([careful] if group else []), look, row, checked, ours)


def _steps_of_writer() -> tuple[_Variant, ...]:
    floor, _, _, checked, ours = _steps(sync=True)
    ref = checked._replace(title="… a ref: its row, its locked file", ref=True)
    return (
        floor,
        checked._replace(title="… all that an `add` needs"),
        ref,
        ours._replace(ref=True),
    )


def _steps_of_packed(*, ref: bool = False) -> tuple[_Variant, ...]:
    floor = _Variant("the floor", sync=True)
    packed = floor._replace(title="a record appended to a zero-filled file, synced", packed=True)
    row = packed._replace(title="… looked up, a row, not synced", look=True, row=True, checked=True)
    with_ref = row._replace(title="… a ref: its row, its locked file", ref=True)
    ours = _Variant("contentdb", sync=True, packed=True, ref=ref, ours=True)
    return (floor, packed, row, *([with_ref] if ref else []), ours)


_TABLES: Final = {
    '`add`, `durability="process"`': _steps(),
    "`add`, durable": _steps(sync=True),
    "`writer(ref)`, durable": _steps_of_writer(),
    "`add_many`, durable": _steps(sync=True, group=True),
    "packed `add`, durable": _steps_of_packed(),
    "packed `writer(ref)`, durable": _steps_of_packed(ref=True),
}


class _ByHand:
    """A store of files and one table, with no more code than calls."""

    def __init__(self, directory: Path, how: _Variant) -> None:
        self._how = how
        (directory / "part").mkdir()
        (directory / "blobs").mkdir()
        self._part = os.open(directory / "part", os.O_RDONLY)
        self._blobs = os.open(directory / "blobs", os.O_RDONLY)
        self._shards = {}
        for name in _SHARDS:
            os.mkdir(name, dir_fd=self._blobs)
            self._shards[name] = os.open(name, os.O_RDONLY, dir_fd=self._blobs)
        self._root = directory
        self._index = sqlite3.connect(directory / "index", isolation_level=None)
        self._index.execute("PRAGMA journal_mode = WAL")
        synced = how.sync and not how.packed  # a packed row is made again from its record
        self._index.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
        self._index.execute(_TABLE)
        self._index.execute("CREATE TABLE ingests (ref TEXT PRIMARY KEY, token TEXT, at INT)")
        self._pack = os.open(directory / "pack", os.O_RDWR | os.O_CREAT)
        self._end = self._zeros = 0

    def close(self) -> None:
        self._index.close()
        for descriptor in (self._part, self._blobs, self._pack, *self._shards.values()):
            os.close(descriptor)

    def add(self, data: bytes, name: str) -> None:
        if self._how.ref:
            self._hold(name)
        if self._how.packed:
            self._append(data, name)
            return
        key = self._write(data, name)
        os.rename(name, key, src_dir_fd=self._part, dst_dir_fd=self._shards[key[:2]])
        if self._how.sync:
            os.fsync(self._shards[key[:2]])
        if self._how.row:
            self._record([key], name)

    def _hold(self, name: str) -> None:
        """Take a ref as a store must: by a file that is locked, then by its row."""
        self._lock = os.open(f"{name}.lock", _CREATE, 0o600, dir_fd=self._part)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fcntl.flock(self._part, fcntl.LOCK_EX)
        self._index.execute("BEGIN IMMEDIATE")
        self._index.execute("INSERT INTO ingests VALUES (?, ?, 1)", (name, "token"))
        self._index.execute("COMMIT")
        fcntl.flock(self._part, fcntl.LOCK_UN)

    def _append(self, data: bytes, name: str) -> None:
        digest = hashlib.sha256(data)
        if self._how.look:
            self._size(digest.hexdigest())
        if self._end + len(data) + _HEADER > self._zeros:
            os.pwrite(self._pack, bytes(_STEP), self._zeros)
            os.fsync(self._pack)
            self._zeros += _STEP
        header = struct.pack(f"<32sQ{_HEADER - 40}x", digest.digest(), len(data))
        os.pwritev(self._pack, [header, data], self._end)
        os.fdatasync(self._pack)
        self._end += _HEADER + len(data)
        if self._how.row:
            self._record([digest.hexdigest()], name)

    def add_group(self, items: Iterable[tuple[bytes, str]]) -> None:
        named = sorted((self._write(data, name), name) for data, name in items)
        if self._how.careful:
            sync_all(self._root)
        for key, name in named:
            os.rename(name, key, src_dir_fd=self._part, dst_dir_fd=self._shards[key[:2]])
        sync_all(self._root)
        if self._how.row:
            self._record([key for key, _ in named])

    def _write(self, data: bytes, name: str) -> str:
        key = hashlib.sha256(data).hexdigest()
        if self._how.look:
            self._size(key)
        descriptor = os.open(name, _CREATE, 0o444, dir_fd=self._part)
        os.write(descriptor, data)
        if self._how.look:
            now = time.time_ns()
            os.fchmod(descriptor, 0o444)
            os.utime(descriptor, ns=(now, now))
        if self._how.sync and not self._how.group:
            os.fsync(descriptor)
        os.close(descriptor)
        return key

    def _size(self, key: str) -> int | None:
        try:
            return os.stat(f"{key[:2]}/{key}", dir_fd=self._blobs, follow_symlinks=False).st_size
        except FileNotFoundError:
            return None

    def _record(self, keys: list[str], ref: str | None = None) -> None:
        if self._how.checked:
            fcntl.flock(self._part, fcntl.LOCK_EX)
        self._index.execute("BEGIN IMMEDIATE")
        named = self._how.checked and not self._how.packed
        if named and any(self._size(key) is None for key in keys):
            raise FileNotFoundError
        self._index.executemany(_INSERT, [(key,) for key in keys])
        if self._how.ref:
            self._index.execute("DELETE FROM ingests WHERE ref = ?", (ref,))
        self._index.execute("COMMIT")
        if self._how.checked:
            fcntl.flock(self._part, fcntl.LOCK_UN)
        if self._how.ref:
            os.unlink(f"{ref}.lock", dir_fd=self._part)
            os.close(self._lock)


class _Ours:
    """contentdb, asked in the same way."""

    def __init__(self, directory: Path, how: _Variant) -> None:
        self._how = how
        self._store = contentdb.open(
            directory / "s",
            durability="full" if how.sync else "process",
            pack_below=32 << 10 if how.packed else None,
        )
        self._store.add(b"the first, which makes the shards")

    def close(self) -> None:
        self._store.close()

    def add(self, data: bytes, name: str) -> None:
        if not self._how.ref:
            self._store.add(data)
            return
        with self._store.writer(name) as writer:
            writer.write(data)
            writer.commit()

    def add_group(self, items: Iterable[tuple[bytes, str]]) -> None:
        for _ in self._store.add_many(data for data, _ in items):
            pass


def _seconds(how: _Variant, directory: Path, count: int) -> tuple[float, float]:
    """Wall and CPU seconds for one object."""
    material = [(data, f"t{number}") for number, data in enumerate(objects(count, 1024))]
    store = (_Ours if how.ours else _ByHand)(directory, how)
    sync_all(directory)
    try:
        return _timed(store, how, material)
    finally:
        store.close()


def _timed(
    store: _ByHand | _Ours, how: _Variant, material: list[tuple[bytes, str]]
) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    if how.group:
        for group in [material] if how.ours else batched(material, _GROUP):
            store.add_group(group)
    else:
        for data, name in material:
            store.add(data, name)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return wall / len(material), cpu / len(material)


def _measured(
    variants: Sequence[_Variant], scratch: Path, rounds: int, count: int
) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {how.title: [] for how in variants}
    for _ in range(rounds):
        for how in variants:
            directory = Path(tempfile.mkdtemp(dir=scratch))
            found[how.title].append(_seconds(how, directory, count))
    return found


def table(scratch: Path, rounds: int, count: int) -> str:
    """All tables as Markdown: medians of interleaved rounds, microseconds for an object."""
    lines = []
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        # Deleted in the end: ext4 makes files many times slower for a while after deletes.
        tables = [
            (title, variants, _measured(variants, Path(place), rounds, count))
            for title, variants in _TABLES.items()
        ]
    for title, variants, found in tables:
        lines += [f"| {title} | µs | of which CPU | of the floor |", "|---|--:|--:|--:|"]
        floor = statistics.median(wall for wall, _ in found[variants[0].title])
        for how in variants:
            wall, cpu = (statistics.median(side) for side in zip(*found[how.title], strict=True))
            lines.append(
                f"| {how.title} | {wall * 1e6:.0f} | {cpu * 1e6:.0f} | {floor / wall:.2f} |"
            )
        lines.append("")
    return "\n".join(lines)
