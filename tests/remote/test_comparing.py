"""A source and what an earlier try left of it on a server."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.local.ingest.held import LocalIngest
from contentdb.remote.comparing import Comparison
from contentdb.store.connect import connect
from contentdb.testing.streams import piped
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 20_000
KEPT = 3_000_001


def test_a_source_that_can_be_read_twice_is_not_sent_to_be_compared(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of its beginning tells; only the rest goes over the wire."""
    received: list[int] = []
    write = LocalIngest.write

    def note(self: LocalIngest, data: Any) -> int:  # noqa: ANN401 - as its own
        received.append(len(data))
        return write(self, data)

    def refuse(_self: LocalIngest) -> None:
        pytest.fail("the source was sent to be compared")

    with connect(str(served)) as store:
        with store.writer("r") as writer:
            writer.write(CONTENT[:KEPT])
        monkeypatch.setattr(LocalIngest, "write", note)
        monkeypatch.setattr(LocalIngest, "comparison", refuse)
        info = store.ingest("r", io.BytesIO(CONTENT))
        assert sum(received) == len(CONTENT) - KEPT
        assert store.read(info.digest) == CONTENT


def test_a_pipe_is_compared_by_the_server_and_kept_up_to_where_it_differs(served: Path) -> None:
    other = bytearray(CONTENT)
    other[KEPT - 5] ^= 1
    with connect(str(served)) as store:
        with store.writer("r") as writer:
            writer.write(CONTENT[:KEPT])
        started = store.status("r").started_at
        done: list[int] = []

        def progress(at: int, _total: int | None) -> None:
            done.append(at)
            assert store.status("r").started_at == started

        info = store.ingest("r", piped(bytes(other)), progress=progress)
        assert store.read(info.digest) == other
        assert done[-1] == len(other)


@pytest.mark.parametrize("offset", [-1, 5, 1 << 40])
def test_a_server_that_cannot_have_compared_so_is_not_believed(offset: int) -> None:
    answers = iter([0, offset])

    def ask(_request: wire.WriteContentRequest) -> wire.WriteContentResponse:
        return wire.WriteContentResponse(offset=next(answers), digest=Digest.of(b""))

    comparison = Comparison(ask, "r", 100, lambda _size: None)
    with pytest.raises(contentdb.StoreError, match="that are the same"):
        comparison.compare(b"data")


def test_metadata_comes_back_with_every_status(served: Path) -> None:
    note = {"etag": '"1"', "Ünïcødé": "\N{SNOWMAN}"}
    with connect(str(served)) as store:
        with store.writer("r", metadata=note) as writer:
            assert writer.status().metadata == note
        assert store.status("r").metadata == note
        assert [status.metadata for status in store.statuses()] == [note]
        with store.writer("r", resume=True) as writer:
            assert writer.status().metadata == note
        with store.writer("r") as writer:
            assert writer.status().metadata == {}
