"""A server that is broken or lies cannot pass anything off for what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import contentdb
from contentdb.digest import Digest
from contentdb.server import content_pb2 as wire
from tests.server.lying import lying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HELLO = Digest.of(b"hello")
OTHER = Digest.of(b"other")


def info(**fields: Any) -> Callable[..., wire.InfoResponse]:  # noqa: ANN401 - the message's own
    return lambda _request, _context: wire.InfoResponse(
        info=wire.Info(**{"digest": HELLO, "size": 5, **fields})
    )


def data(*pieces: bytes) -> Callable[..., Iterator[wire.ReadContentResponse]]:
    return lambda _request, _context: iter([wire.ReadContentResponse(data=one) for one in pieces])


def test_another_blob_is_not_taken_for_the_one_asked_for(socket_path: Path, tmp_path: Path) -> None:
    with lying(socket_path, Info=info(digest=OTHER), Read=data(b"other")) as store:
        for use in (store.info, store.read, store.open):
            with pytest.raises(contentdb.StoreError, match="was asked for"):
                use(HELLO)
        with pytest.raises(contentdb.StoreError, match="was asked for"):
            store.export(HELLO, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "fields",
    [
        {"digest": ""},
        {"digest": "sha256:x"},
        {"size": -5},
        {"created_at": Timestamp(seconds=2**62)},
        {"updated_at": Timestamp(seconds=-(2**62))},
        {"updated_at": Timestamp(nanos=-1)},
    ],
)
def test_an_info_that_cannot_be_is_refused(socket_path: Path, fields: dict[str, Any]) -> None:
    def listed(_request: object, _context: object) -> Iterator[wire.ListContentResponse]:
        yield wire.ListContentResponse(info=[wire.Info(**{"digest": HELLO, **fields})])

    with lying(socket_path, Info=info(**fields), List=listed) as store:
        with pytest.raises(contentdb.StoreError, match="the server answers with"):
            store.info(HELLO)
        with pytest.raises(contentdb.StoreError, match="the server answers with"):
            list(store.walk())


@pytest.mark.parametrize(
    "fields",
    [{"ref": "other"}, {"offset": -1}, {"total": -1}, {"started_at": Timestamp(seconds=2**62)}],
)
def test_a_status_that_cannot_be_is_refused(socket_path: Path, fields: dict[str, Any]) -> None:
    def status(_request: object, _context: object) -> wire.StatusResponse:
        return wire.StatusResponse(status=wire.Status(**{"ref": "r", **fields}))

    with (
        lying(socket_path, Status=status) as store,
        pytest.raises(contentdb.StoreError, match="the server answers with"),
    ):
        store.status("r")


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        (0, [b"hello"]),
        (0, []),
        (4, [b"hell"]),
        (4, [b"hello"]),
        (5, [b"hell"]),
        (5, [b"hello and more"]),
        (5, [b"jello"]),
        (2**40, [b"hello"]),
        (2**62, [b"hello"]),
    ],
)
def test_other_bytes_are_a_damaged_blob(
    socket_path: Path, tmp_path: Path, size: int, pieces: list[bytes]
) -> None:
    with lying(socket_path, Info=info(size=size), Read=data(*pieces)) as store:
        with pytest.raises(contentdb.CorruptBlobError):
            store.read(HELLO)
        with pytest.raises(contentdb.CorruptBlobError):
            store.export(HELLO, tmp_path / "out")
        with store.open(HELLO) as reader, pytest.raises(contentdb.CorruptBlobError):
            list(iter(lambda: reader.readinto(bytearray(100)), 0))
    assert not list(tmp_path.iterdir())


def test_no_more_is_read_than_the_blob_has(socket_path: Path) -> None:
    pieces = data(b"hello and more")
    with (
        lying(socket_path, Info=info(), Read=pieces) as store,
        store.open(HELLO, verify=False) as reader,
        pytest.raises(contentdb.CorruptBlobError),
    ):
        reader.read()


def test_the_same_bytes_in_pieces_are_the_blob(socket_path: Path) -> None:
    with lying(socket_path, Info=info(), Read=data(b"hel", b"lo")) as store:
        assert store.read(HELLO) == b"hello"
        with store.open(HELLO) as reader:
            assert reader.seek(9) == 9
            assert reader.read() == b""
