"""A block's group, after a commit that did not come to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

import contentdb
from contentdb.local.commit.batch import Batch

if TYPE_CHECKING:
    from pathlib import Path


def interrupt(_batch: Batch) -> NoReturn:
    raise KeyboardInterrupt


def test_a_commit_that_is_withdrawn_counts_no_bytes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the block's group is written as one of 64 MiB long before it has so many."""
    with contentdb.open(root) as store, store.batch(), store.writer("ref") as writer:
        writer.write(b"content")
        with monkeypatch.context() as patched:
            patched.setattr(Batch, "_flush_when_full", interrupt)
            with pytest.raises(KeyboardInterrupt):
                writer.commit()
        batch = store._engine.current.batch  # type: ignore[attr-defined]
        assert batch._group.items == []
        assert batch._group.size == 0
