"""A connection is used for one request after another, whoever still holds an earlier answer."""

from __future__ import annotations

from contextlib import closing

import pytest

from contentdb.oci.target import Target
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
