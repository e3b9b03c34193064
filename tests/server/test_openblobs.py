"""Ranges that are read one after the other share an open file, and nobody notices."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import contentdb
from contentdb.server.openblobs import OpenBlobs
from contentdb.wire import content_pb2 as wire
from contentdb.wire.framing import frame_data

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.content import Reader
    from contentdb.remote.channel import Channel


def part(channel: Channel, digest: str) -> bytes:
    request = wire.ReadContentRequest(digest=digest, offset=1, size=3)
    return b"".join(message.data for message in channel.read(request))


def part_until_it_fails(channel: Channel, digest: str) -> None:
    while part(channel, digest):
        pass


def test_a_deleted_blob_is_not_read_any_more(channel: Channel, tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store:
        digest = store.add(b"hello").digest
    assert part(channel, digest) == b"ell"
    channel.delete(wire.DeleteContentRequest(digest=digest))
    with pytest.raises(grpc.RpcError, match="not found"):
        part(channel, digest)


def test_a_delete_by_another_process_is_noticed(channel: Channel, tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store:
        digest = store.add(b"hello").digest
        assert part(channel, digest) == b"ell"
        store.delete(digest)
    with pytest.raises(grpc.RpcError) as caught:
        part_until_it_fails(channel, digest)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


def test_what_nobody_uses_is_closed(tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "store") as store:
        digest = store.add(b"hello").digest
        blobs = OpenBlobs()
        reader = blobs.reader(store, digest)
        number = reader.fileno()
        blobs.clear()
        os.fstat(number)  # this test uses it
        del reader
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_what_was_opened_before_a_delete_is_not_kept_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contentdb.open(tmp_path / "store") as store:
        digest = store.add(b"hello").digest
        blobs = OpenBlobs()
        opened = store.open

        def open_and_be_late(digest: str, *, verify: bool = True) -> Reader:
            reader = opened(digest, verify=verify)
            store.delete(digest)
            blobs.forget(store, digest)
            return reader

        monkeypatch.setattr(store, "open", open_and_be_late)
        blobs.reader(store, digest)
        monkeypatch.undo()
        with pytest.raises(contentdb.NotFoundError):
            blobs.reader(store, digest)


@pytest.mark.parametrize("offset", [0, 1, 127, 128, 1 << 20, 1 << 40])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 1 << 20])
def test_frames_are_what_protobuf_writes(offset: int, size: int) -> None:
    message = wire.ReadContentResponse(offset=offset, data=bytes(size))
    assert wire.ReadContentResponse.FromString(frame_data(offset, bytes(size))) == message
