"""Whether large blobs should be written by O_DIRECT: ``python -m benchmarks.large``.

Question: how much faster is a durable `add` of a stream if it goes past the page cache from its
8th MiB on, and what does the next reader pay for that? The library writes through the cache;
O_DIRECT is put in its place here, in three forms, in the same process: in the caller's thread, or
by one or two threads beside the hashing. Rounds are interleaved. Before each run all is synced,
and the machine left alone for ``--pause`` seconds: some hypervisors take free memory back within
two seconds, after which a page of the cache costs a multiple.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import mmap
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Final, NamedTuple

import contentdb
import contentdb.local.commit.add as commit_add
from benchmarks.machine import describe
from benchmarks.material import CHUNK, Stream
from contentdb.local.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from contentdb.digest import Digest

_DIRECT_FROM: Final = 8 << 20
"""Bytes of a stream that go through the page cache in every form."""
_BUFFERS: Final = 3
"""Aligned buffers of one writing thread, one chunk each."""
_NOW: Final = "through the page cache, as it is"


class _Blocks:
    """Writes whole chunks of a file by O_DIRECT, in order, and its last bytes without."""

    def __init__(self, fd: int, at: int, threads: int) -> None:
        self._fd = fd
        self._at = at
        self._filled = 0
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._full: SimpleQueue[tuple[memoryview, int] | None] = SimpleQueue()
        for _ in range(max(1, _BUFFERS * threads)):
            self._free.put(memoryview(mmap.mmap(-1, CHUNK)))  # which is aligned to a page
        self._buffer = self._free.get()
        self._flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        fcntl.fcntl(fd, fcntl.F_SETFL, self._flags | os.O_DIRECT)
        self._threads = [threading.Thread(target=self._work) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while (full := self._full.get()) is not None:
            _write(self._fd, *full)
            self._free.put(full[0])

    def put(self, view: memoryview) -> None:
        """Copy the bytes; hand over each chunk that is full."""
        while view:
            piece = view[: CHUNK - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == CHUNK:
                self._hand_over()

    def _hand_over(self) -> None:
        if self._threads:
            self._full.put((self._buffer, self._at))
            self._buffer = self._free.get()
        else:
            _write(self._fd, self._buffer, self._at)
        self._at += CHUNK
        self._filled = 0

    def end(self) -> None:
        """Wait for the chunks, then write the bytes that do not fill one."""
        for _ in self._threads:
            self._full.put(None)
        for thread in self._threads:
            thread.join()
        fcntl.fcntl(self._fd, fcntl.F_SETFL, self._flags)
        _write(self._fd, self._buffer[: self._filled], self._at)


def _write(fd: int, view: memoryview, at: int) -> None:
    if os.pwrite(fd, view, at) != len(view):
        raise OSError("a short write: is the disk full?")


class _DirectSink(Sink):
    """A sink that writes by O_DIRECT; no more than a measurement: errors and resumes are left out.

    The commit of `add` syncs the file as ever.
    """

    __slots__ = ("_blocks",)
    threads = 0

    def feed(self, data: Buffer) -> int:
        """Do as a sink does, but let the bytes reach the file later."""
        if self.size < _DIRECT_FROM:
            return super().feed(data)
        view = memoryview(data).cast("B")
        if not hasattr(self, "_blocks"):
            self._blocks = _Blocks(self.fd, self.size, self.threads)
        self._begin_hashing(view)
        self._checksum.update(view)
        self._blocks.put(view)
        self.size += len(view)
        return len(view)

    @property
    def digest(self) -> Digest:
        """The digest; by then the bytes are in the file."""
        if hasattr(self, "_blocks"):
            self._blocks.end()
        return super().digest


class _OneThread(_DirectSink):
    __slots__ = ()
    threads = 1


class _TwoThreads(_DirectSink):
    __slots__ = ()
    threads = 2


_FORMS: Final[dict[str, type[Sink]]] = {
    _NOW: Sink,
    "O_DIRECT, caller's thread": _DirectSink,
    "O_DIRECT, one thread": _OneThread,
    "O_DIRECT, two threads": _TwoThreads,
}


class _Times(NamedTuple):
    """Seconds for one blob."""

    add: float
    read: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 1024], metavar="MIB")
    parser.add_argument("--pause", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"))  # noqa: S108 - a fresh directory in it
    options = parser.parse_args(arguments)
    scratch = Path(mkdtemp(prefix="contentdb-bench-", dir=options.scratch))
    try:
        if not _takes_direct(scratch):
            print(f"the filesystem of {options.scratch} refuses O_DIRECT; give another --scratch")
            return 1
        print(f"{describe(scratch)}\n\nload {os.getloadavg()[0]:.1f} before the first round\n")
        for size in options.sizes:
            compare(scratch, size << 20, options.rounds, options.pause)
    finally:
        _write_by(Sink)
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _takes_direct(scratch: Path) -> bool:
    fd = os.open(scratch / "direct", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_DIRECT)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def compare(scratch: Path, size: int, rounds: int, pause_s: float) -> None:
    """Measure blobs of ``size`` bytes and print their table; each is read back and verified."""
    found: dict[str, list[_Times]] = {name: [] for name in _FORMS}
    names = list(_FORMS)
    for turn in range(rounds):
        for number in range(len(names)):
            name = names[(number + turn) % len(names)]
            _write_by(_FORMS[name])
            found[name].append(_time_one(scratch / f"{turn}-{number}", size, pause_s))
    load = os.getloadavg()[0]
    hashing = _rate(size, [_time_hashing(size) for _ in range(3)])
    print(f"{size >> 20} MiB, {rounds} rounds, load {load:.1f}; hashing alone {hashing} MB/s\n")
    print("| written | add, MB/s | of as it is | over the rounds | then read, MB/s |")
    print("|---|--:|--:|---|--:|")
    for name, times in found.items():
        ratios = [now.add / one.add for now, one in zip(found[_NOW], times, strict=True)]
        added = _rate(size, [one.add for one in times])
        print(
            f"| {name} | {added} | {median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f} "
            f"| {_rate(size, [one.read for one in times])} |"
        )
    print()


def _write_by(sink: type[Sink]) -> None:
    """Let `add` write by another sink, in the place where it names the library's."""
    setattr(commit_add, "Sink", sink)  # noqa: B010 - mypy takes no assignment to what is imported


def _time_one(root: Path, size: int, pause_s: float) -> _Times:
    with contentdb.open(root) as store:
        store.add(b"connections, first-time pages")
        os.sync()
        time.sleep(pause_s)
        added: list[str] = []
        add_s = _timed(lambda: added.append(store.add(Stream(size)).digest))
        times = _Times(add_s, _timed(lambda: _read(store, added[0], size)))
    shutil.rmtree(root)  # else the rounds would need more room than the machine may have
    return times


def _read(store: contentdb.Store, digest: str, size: int) -> None:
    """Read and verify all: it must be what was hashed on its way in."""
    with store.open(digest) as reader:
        running, count = hashlib.sha256(), 0
        while piece := reader.read(CHUNK):
            running.update(piece)
            count += len(piece)
    if count != size or f"sha256:{running.hexdigest()}" != digest:
        raise RuntimeError("the blob is not what was added")


def _time_hashing(size: int) -> float:
    running, piece = hashlib.sha256(), bytes(CHUNK)
    started = time.perf_counter()
    for _ in range(size // CHUNK):
        running.update(piece)
    return time.perf_counter() - started


def _timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _rate(size: int, seconds: list[float]) -> str:
    return f"{size / 1e6 / median(seconds):,.0f}"


if __name__ == "__main__":
    sys.exit(main())
