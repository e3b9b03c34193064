"""Ten processes fill one cache, some are killed: its bound holds at every moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import contentdb
from tests.inside import parts_of, wrong_totals

if TYPE_CHECKING:
    from pathlib import Path

MOST: Final = 400_000
_COUNT: Final = 10
_WORK: Final = """
import io, os, random, sys
import contentdb

root, seed = sys.argv[1], int(sys.argv[2])
chance = random.Random(seed)
store = contentdb.open(root, durability="process")
held = store.writer(f"held by {seed}", total=10_000)
held.write(bytes(5_000))
for turn in range(30):
    data = os.urandom(chance.randrange(40_000))
    way = chance.randrange(5)
    try:
        if way == 0:
            store.add(data)
        elif way == 1:
            store.add(io.BytesIO(data))
        elif way == 2:
            store.ingest(f"{seed}", io.BytesIO(data))
        elif way == 3:
            for _ in store.add_many([data[:9_000], data[9_000:]]):
                pass
        else:
            with store.batch():
                store.add(data)
    except contentdb.QuotaExceededError:
        print("refused")
if seed % 2:
    os.kill(os.getpid(), 9)
held.write(bytes(5_000))
held.commit()
"""


def test_ten_processes_never_exceed_it(root: Path) -> None:
    """4.22, 4.23: bytes and what is reserved together, in every state that a reader sees."""
    with contentdb.open(root, durability="process") as store:
        store.set_policy(max_bytes=MOST, grace=timedelta(0))
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", _WORK, str(root), str(seed)], stdout=subprocess.PIPE
            )
            for seed in range(_COUNT)
        ]
        seen = _watch(root, workers)
        told = [worker.communicate()[0] for worker in workers]
        codes = [worker.returncode for worker in workers]
        assert codes == [-signal.SIGKILL if seed % 2 else 0 for seed in range(_COUNT)]
        assert seen > 0
        assert all(one.count(b"refused") < 30 for one in told)
        assert wrong_totals(parts_of(store)) == []
        killed = sum(10_000 for seed in range(_COUNT) if seed % 2)
        reserved = store.queue_status().reserved or 0
        assert killed // 2 <= reserved <= killed  # others have given back some of it already
        size = MOST - killed // 2
        store.add(os.urandom(size))
        assert store.queue_status().reserved == killed // 2
        assert wrong_totals(parts_of(store)) == []


def _watch(root: Path, workers: list[subprocess.Popen[bytes]]) -> int:
    """Look at each state that is new, until all have ended; return how many were seen."""
    seen = set()
    statement = "SELECT bytes, reserved FROM totals"
    with contextlib.closing(sqlite3.connect(root / "index.sqlite", timeout=60)) as db:
        while any(worker.poll() is None for worker in workers):
            (found,) = db.execute(statement).fetchall()
            assert sum(found) <= MOST
            seen.add(found)
    return len(seen)
