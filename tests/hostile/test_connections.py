"""A connection is used for one request after another, whoever still holds an earlier answer."""

from __future__ import annotations

import io
from contextlib import closing

import pytest

from contentdb.errors import CorruptBlobError
from contentdb.oci.target import Target, target_of
from contentdb.oci.transport import Transport
from tests.hostile.server import Server, reply


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_connection_is_free_once_its_answer_is_closed(method: str, body: bytes) -> None:
    said = reply(200, body) if method == "GET" else reply(200, Content_Length="4")
    with Server(lambda _: said) as server:
        host, port = server.name.split(":")
        target = Target("http", host, int(port), "/")
        with closing(Transport(target.origin)) as transport:
            answers = []
            for _ in range(3):
                answer = transport.exchange(method, target, {})
                if body:
                    answer.read(10)
                answer.close()
                answers.append(answer)  # else its end would free the connection
        assert [request.method for request in server.requests] == [method] * 3


class Spoilt(io.BytesIO):
    """A body that turns out to be damaged while it is sent."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise CorruptBlobError("sha256:…", "blob", "other bytes")


def test_a_body_that_fails_leaves_no_connection_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda _: None) as server:
        target = target_of(f"http://{server.name}/")
        with closing(Transport(target.origin)) as transport:
            conn = transport._fresh(target)
            monkeypatch.setattr(transport, "_fresh", lambda _: conn)
            with pytest.raises(CorruptBlobError):
                transport.exchange("PUT", target, {}, Spoilt())
            assert conn.sock is None
            assert not transport._watchdog._watched
