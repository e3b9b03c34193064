"""A collection leaves what a plain forward mark reaches: over random graphs and histories."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.local.collect.graphs import History, check_histories, kept, there

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = timedelta(0)


def forget_queue(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        db.execute("UPDATE blobs SET review_at = NULL")
        db.commit()


@pytest.mark.parametrize("below", [0, 1000], ids=["loose", "packed"])
@pytest.mark.parametrize("seed", range(40))
def test_a_run_after_a_history_leaves_what_is_kept(root: Path, seed: int, below: int) -> None:
    """4.15: the queue alone finds all that is garbage, in two namespaces that share files."""
    with (
        contentdb.open(root, pack_below=below, durability="process") as store,
        contentdb.open(root, namespace="b", durability="process") as other,
    ):
        check_histories([store, other], seed, 3)
        assert list(store.verify()) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_full_run_needs_no_queue(root: Path, seed: int) -> None:
    """An old store, in which nothing was ever queued."""
    with contentdb.open(root, durability="process") as store:
        History(store, seed).run(120)
        wanted = kept(store)
        forget_queue(root)
        before = there(store)
        assert store.collect(grace=NOTHING, no_roots=True).blobs == 0
        assert there(store) == before
        dry = store.collect(grace=NOTHING, full=True, dry_run=True, no_roots=True)
        done = store.collect(grace=NOTHING, full=True, no_roots=True)
        assert (done.blobs, done.bytes) == (dry.blobs, dry.bytes)
        assert there(store) == wanted
