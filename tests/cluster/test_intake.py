"""The bytes of an ingest, where the object store fails in the midst of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.objects import Bucket
from contentdb.errors import FailedPreconditionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEGMENT = bytes(8 << 20)
LONG = SEGMENT + b"second" + SEGMENT[6:] + SEGMENT


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


def begin(store: contentdb.Store) -> None:
    """Leave an ingest of three segments."""
    with store.writer("r") as writer:
        writer.write(LONG)


ACTS: dict[str, Callable[[contentdb.Writer], object]] = {
    "digest": lambda writer: writer.digest,
    "write": lambda writer: writer.write(b"more"),
    "commit": lambda writer: writer.commit(),
}
GONE = r"'r': its object .* is gone or cut off"


@pytest.mark.parametrize("act", [*ACTS, "compare"])
def test_an_ingest_whose_object_is_gone_says_so(
    store: contentdb.Store, tmp_path: Path, act: str
) -> None:
    """B, 3.5: and it can be started over."""
    begin(store)
    next((tmp_path / "objects" / "parts").rglob("00000001")).unlink()
    if act == "compare":
        with pytest.raises(FailedPreconditionError, match=GONE):
            store.ingest("r", io.BytesIO(LONG))
    else:
        with (
            store.writer("r", resume=True) as writer,
            pytest.raises(FailedPreconditionError, match=GONE),
        ):
            ACTS[act](writer)
    with store.writer("r") as writer:
        writer.write(LONG)
        assert store.read(writer.commit().digest) == LONG


def test_an_object_that_goes_after_it_was_compared_says_so(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store)
    get = Bucket.get

    def lose(self: Bucket, key: str, offset: int, size: int) -> bytes | None:
        lost = key.startswith("parts/") and size < len(SEGMENT)  # the part that stays
        return None if lost else get(self, key, offset, size)

    monkeypatch.setattr(Bucket, "get", lose)
    other = SEGMENT + b"second" + b"another"
    with pytest.raises(FailedPreconditionError, match=GONE):
        store.ingest("r", io.BytesIO(other))
    monkeypatch.undo()
    assert store.ingest("r", io.BytesIO(other)).digest == contentdb.Digest.of(other)
