"""A server that is broken or lies cannot pass anything off for what was asked for."""

from __future__ import annotations

import gc
import re
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

import contentdb
from contentdb.digest import Digest
from contentdb.store.connect import connect
from contentdb.wire import content_pb2 as wire
from contentdb.wire.statuses import pack
from tests.remote.lying import lying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb.remote.channel import Channel
    from contentdb.remote.held import RemoteIngest
    from contentdb.store.writer import IngestWriter

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
    with lying(socket_path, Info=info(), Read=data(b"", b"hel", b"", b"lo")) as store:
        assert store.read(HELLO) == b"hello"
        with store.open(HELLO) as reader:
            assert reader.seek(9) == 9
            assert reader.read() == b""


def absent(_request: object, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.NOT_FOUND, "no")


def taking(*offsets: int, digest: str = HELLO) -> Callable[..., Iterator[Any]]:
    """Answer the requests of a stream of Write, each by the next offset."""

    def answer(requests: Iterator[Any], _context: object) -> Iterator[Any]:
        for request, offset in zip(requests, offsets, strict=False):
            yield wire.WriteContentResponse(action=request.action, offset=offset, digest=digest)

    return answer


@pytest.mark.parametrize("offsets", [(0, 4, 4), (0, 6, 6), (-1, 4, 4), (0, -1, 5), (9, 5, 5)])
def test_a_server_that_takes_fewer_bytes_is_no_success(
    socket_path: Path, offsets: tuple[int, ...]
) -> None:
    write = taking(*offsets)
    with (
        lying(socket_path, Status=absent, Abort=absent, Write=write, Info=info()) as store,
        pytest.raises(contentdb.ContentDBError),
    ):
        store.add(b"hello")


def test_a_commit_of_other_content_is_no_success(socket_path: Path) -> None:
    write = taking(0, 5, 5, digest=OTHER)
    with (
        lying(socket_path, Status=absent, Abort=absent, Write=write, Info=info()) as store,
        pytest.raises(contentdb.ContentDBError),
    ):
        store.add(b"hello", expected=HELLO)


def test_other_content_that_is_stored_is_no_success(socket_path: Path) -> None:
    def stored(_requests: object, context: grpc.ServicerContext) -> None:
        trailer = pack("AlreadyExistsError", "it is stored", {"digest": OTHER})
        context.set_trailing_metadata((("contentdb-error-bin", trailer),))
        context.abort(grpc.StatusCode.ALREADY_EXISTS, "it is stored")

    other = info(digest=OTHER)
    with (
        lying(socket_path, Status=absent, Abort=absent, Write=stored, Info=other) as store,
        pytest.raises(contentdb.StoreError, match="was expected"),
    ):
        store.add(b"hello", expected=HELLO)


def test_a_listing_goes_on_behind_an_empty_message(socket_path: Path) -> None:
    def listed(_request: object, _context: object) -> Iterator[wire.ListContentResponse]:
        for digest in (HELLO, None, OTHER):
            one = [] if digest is None else [wire.Info(digest=digest)]
            yield wire.ListContentResponse()
            yield wire.ListContentResponse(info=one)

    with lying(socket_path, List=listed) as store:
        assert [one.digest for one in store.walk()] == [HELLO, OTHER]


def request_threads() -> int:
    """How many threads of gRPC's take requests from a writer's queue."""
    gc.collect()
    stacks = map(traceback.extract_stack, sys._current_frames().values())
    return sum(any("consume_request" in frame.name for frame in stack) for stack in stacks)


def await_no_request_threads() -> None:
    while request_threads():
        time.sleep(0.01)


def test_a_writer_that_was_never_made_leaves_no_thread(socket_path: Path) -> None:
    with lying(socket_path, Status=absent, Write=taking(0, digest="")) as store:
        for _ in range(3):
            with pytest.raises(contentdb.StoreError):
                store.writer("r")
        await_no_request_threads()


def test_a_forgotten_writer_leaves_no_thread_and_no_ref(served: Path) -> None:
    with connect(str(served)) as store:
        store.writer("r").write(b"hel")
        await_no_request_threads()
        with store.writer("r", wait=True, resume=True) as writer:
            assert writer.offset == 3


def test_few_pieces_are_under_way_at_once(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large buffer is not copied whole."""
    with connect(str(served)) as store, store.writer("r") as opened:
        writer = cast("RemoteIngest", cast("IngestWriter", opened)._held)
        queue, answer = writer._requests, writer._answer
        under_way = [0]

        class Counting:
            def put(self, request: Any) -> None:  # noqa: ANN401 - or None
                under_way.append(under_way[-1] + 1)
                queue.put(request)

        def answered() -> wire.WriteContentResponse:
            under_way.append(under_way[-1] - 1)
            return answer()

        monkeypatch.setattr(writer, "_requests", Counting())
        monkeypatch.setattr(writer, "_answer", answered)
        assert writer.write(bytes(64 * 1024 * 1024)) == writer.offset == 64 * 1024 * 1024
        assert 1 < max(under_way) <= 8


@pytest.mark.parametrize(
    "trailer",
    [
        b"5",
        b"null",
        b"\xff",
        b"[" * 7000,
        b"[1, 2, 3]",
        b'{"a": 1, "b": 2, "c": 3}',
        b'[["x"], "t", {}]',
        b'["StoreError", 5, {"args": 1}]',
        b'["ContentDBError", "x", {"__class__": 1, "args": 5}]',
        *(f'["{name}", "x", {{}}]'.encode() for name in contentdb.errors.__all__),
        b'["NotFoundError", "x", {"digest": 5, "ref": []}]',
    ],
)
def test_an_error_that_cannot_be_is_an_error_of_ours(socket_path: Path, trailer: bytes) -> None:
    def refuse(_request: object, context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("contentdb-error-bin", trailer),))
        context.abort(grpc.StatusCode.NOT_FOUND, "x")

    with (
        lying(socket_path, Info=refuse) as store,
        pytest.raises(contentdb.ContentDBError) as caught,
    ):
        store.info(HELLO)
    for kind in type(caught.value).__mro__:
        _, _, attributes = (kind.__doc__ or "").partition("Attribute")
        for name in re.findall("``([a-z_]+)``", attributes):
            assert hasattr(caught.value, name), name
    if isinstance(caught.value, contentdb.NotFoundError):
        assert caught.value.digest == HELLO


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ref r locked: unavailable", contentdb.RefLockedError),
        ("ref r locked for 1.5s (since 2026-01-01): unavailable", contentdb.RefLockedError),
        ("failed to connect; last error: unix:/run/locked/s: gone", contentdb.StoreError),
        ("ref r locked: unavailable: no", contentdb.StoreError),
    ],
)
def test_only_a_held_ref_is_a_held_ref(
    socket_path: Path, text: str, kind: type[contentdb.ContentDBError]
) -> None:
    def refuse(_request: object, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, text)

    with lying(socket_path, Status=refuse) as store, pytest.raises(kind):
        store.status("r")


@pytest.mark.parametrize("char", ["x", "\N{SNOWMAN}", '"'])
def test_a_long_text_does_not_cost_the_status(channel: Channel, served: Path, char: str) -> None:
    long = char * (4096 // len(char.encode()))
    with pytest.raises(grpc.RpcError) as caught:
        channel.status(wire.StatusRequest(ref=long))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.NOT_FOUND
    with connect(str(served)) as store:
        with pytest.raises(contentdb.NotFoundError) as missing:
            store.status(long)
        assert missing.value.ref == long
        with pytest.raises(contentdb.InvalidFilterError):
            next(store.walk(f"{char * 20_000}=="))
