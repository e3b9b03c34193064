"""The bytes of an ingest, where the object store fails in the midst of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.objects import Bucket

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT = bytes(8 << 20)


def write_all(writer: contentdb.Writer) -> None:
    for _ in range(6):
        writer.write(SEGMENT)


def test_a_writer_starts_over_after_a_segment_that_failed(
    store: contentdb.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3.7: no object of what it had sent is left for ever, not even one whose answer was lost."""
    put = Bucket.put

    def fail(self: Bucket, key: str, data: bytes) -> None:
        put(self, key, data)
        if not key.endswith("0"):
            raise contentdb.StorageError.of("write", key, OSError(5, "I/O error"))

    monkeypatch.setattr(Bucket, "put", fail)
    with store.writer("r") as writer:
        with pytest.raises(contentdb.StorageError):
            write_all(writer)
        monkeypatch.undo()
        assert writer.truncate() == 0
        writer.write(b"content" * 2000)
        info = writer.commit()
    assert store.read(info.digest) == b"content" * 2000
    parts = tmp_path / "objects" / "parts"
    assert [path for path in parts.rglob("*") if path.is_file()]
    store.prune(older_than=0)
    assert not [path for path in parts.rglob("*") if path.is_file()]
