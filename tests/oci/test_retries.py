"""What fails in passing is tried again: each kind of request, a bounded number of times."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from email.utils import formatdate
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import oci
from contentdb.errors import InvalidArgumentError
from contentdb.oci.registry.tries import MOST_PAUSE_S, Tries, retry_after
from tests.cli.shell import call, only_line, run
from tests.hostile.guard import CREDENTIALS
from tests.hostile.server import Image, Reply, Request, Server, reply, sha
from tests.hostile.test_uploads import Honest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMAGE = Image()
STEPS = ("look", "begin", "chunk", "upload", "name", "read_back")
CHUNK_BYTES = 100_000

Failure = Reply | None
FAILURES: dict[str, Callable[[], Failure]] = {
    "429 in a second": lambda: reply(429, Retry_After="1"),
    "429 at a date": lambda: reply(429, Retry_After=formatdate(time.time() + 9, usegmt=True)),
    "500": lambda: reply(500, b'{"errors":[{"code":"UNKNOWN"}]}'),
    "503": lambda: reply(503),
    "reset": lambda: None,
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(tmp_path / "store") as opened:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            opened.add(data)
        yield opened


def push(store: contentdb.Store, name: str, waits: list[float], *, retries: int = 4) -> None:
    with oci.Registry(
        name, plain_http=True, credentials=CREDENTIALS, pause=waits.append, retries=retries
    ) as registry:
        oci.push(
            store,
            sha(IMAGE.manifest),
            f"{name}/a/b:v1",
            registry=registry,
            chunk_bytes=CHUNK_BYTES,
            jobs=1,
        )


HINTS = {"look", "read_back"}
"""A push goes on without an answer to these."""


def _ending(status: str, *, fails: bool) -> AbstractContextManager[object]:
    return pytest.raises(oci.UnreachableError, match=status) if fails else nullcontext()


class Once:
    """An honest registry, but for one failure at the first request of one step."""

    def __init__(self, step: str, failure: Callable[[], Failure]) -> None:
        self._failure = failure
        self._honest = Honest()
        self._broken = Honest(**{step: self._fail})
        self.failed = 0

    def _fail(self, _request: Request, _server: Server) -> Failure:
        self.failed += 1
        return self._failure()

    def answer(self, request: Request, server: Server) -> Failure:
        return (self._honest if self.failed else self._broken).answer(request, server)


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("step", STEPS)
def test_one_failure_of_any_step_ends_no_push(
    step: str, failure: Callable[[], Failure], store: contentdb.Store
) -> None:
    waits: list[float] = []
    once = Once(step, failure)
    with Server(lambda _r: None) as server:
        server.script = lambda request: once.answer(request, server)
        push(store, server.name, waits)
        sent = [request for request in server.requests if request.method in {"PUT", "PATCH"}]
    assert once.failed
    assert len(waits) <= 1
    assert sum(waits) <= 10
    assert b"".join(r.body for r in sent if r.method == "PATCH").endswith(IMAGE.layer)


@pytest.mark.parametrize("step", STEPS)
def test_without_retries_the_first_failure_is_the_last(step: str, store: contentdb.Store) -> None:
    with Server(lambda _r: None) as server:
        once = Once(step, FAILURES["503"])
        server.script = lambda request: once.answer(request, server)
        with _ending("503", fails=step not in HINTS):
            push(store, server.name, [], retries=0)
    assert once.failed == 1


@pytest.mark.parametrize("step", STEPS)
def test_a_registry_that_stays_busy_is_left_alone(step: str, store: contentdb.Store) -> None:
    waits: list[float] = []
    with Server(lambda _r: None) as server:
        busy = Honest(**{step: lambda _r, _s: reply(429, Retry_After="9" * 400)})
        server.script = lambda request: busy.answer(request, server)
        with _ending("429", fails=step not in {*HINTS, "chunk"}):  # chunks are not the only way
            push(store, server.name, waits, retries=2)
        assert len(server.requests) <= 40
    assert 2 <= len(waits) <= 12
    assert max(waits) <= MOST_PAUSE_S


@pytest.mark.parametrize("status", [401, 413])
def test_a_registry_that_refuses_a_body_before_its_end_is_heard(status: int) -> None:
    """It answers and closes the connection, while the body is still being sent."""
    with Server(lambda _r: None, takes_bodies=False) as server:
        server.script = lambda r: iter([reply(status)]) if r.method == "PUT" else reply(200)
        with (
            oci.Registry(server.name, plain_http=True, retries=0) as registry,
            pytest.raises(oci.RegistryError, match=str(status)),
        ):
            registry._session.request(
                "PUT", "a/b/blobs/uploads/1", "a/b", scope="", headers={}, body=bytes(1 << 25)
            )


def test_an_upload_that_ended_with_its_answer_lost_is_not_sent_again(
    store: contentdb.Store,
) -> None:
    arrived: list[Request] = []

    def upload(request: Request, _server: Server) -> Failure:
        arrived.append(request)
        return None if len(arrived) == 1 else reply(201)

    def look(request: Request, _server: Server) -> Failure:
        there = any(sha(IMAGE.config)[7:] in r.path for r in arrived)
        if not there or not request.is_blob(IMAGE.config):
            return reply(404)
        return reply(200, Content_Length=str(len(IMAGE.config)))

    honest = Honest(upload=upload, look=look)
    with Server(lambda _r: None) as server:
        server.script = lambda request: honest.answer(request, server)
        push(store, server.name, [])
    assert len([r for r in arrived if r.body == IMAGE.config]) == 1


def test_a_manifest_that_is_cut_is_asked_for_again(root: Path) -> None:
    cut: list[Request] = []

    def script(request: Request) -> Reply:
        answer = IMAGE.answer(request)
        if request.is_manifest and len(cut) < 2:
            cut.append(request)
            return iter([answer[:-5]])
        return answer

    with Server(script) as server:
        place = f"{server.name}/a/b:v1"
        failed = run(root, "pull", "--plain-http", "--retries", "0", place)
        assert (failed.returncode, len(cut)) == (1, 1)
        assert server.name in only_line(failed.stderr)
        assert only_line(call(root, "pull", "--plain-http", "-q", place).stdout) == sha(
            IMAGE.manifest
        )


def test_a_list_that_is_cut_is_asked_for_again() -> None:
    cut: list[Request] = []

    def script(request: Request) -> Reply:
        answer = reply(200, b'{"tags": ["v1", "v2"]}')
        if len(cut) < 2:
            cut.append(request)
            return iter([answer[:-5]])
        return answer

    with (
        Server(script) as server,
        oci.Registry(server.name, plain_http=True, pause=lambda _s: None) as registry,
    ):
        assert list(registry.tags("a/b")) == ["v1", "v2"]
    assert len(cut) == 2


def test_a_layer_that_is_cut_ends_a_pull_without_retries(root: Path) -> None:
    def script(request: Request) -> Reply:
        answer = IMAGE.answer(request)
        return iter([answer[:-5]]) if request.is_blob(IMAGE.layer) else answer

    with Server(script) as server:
        done = run(root, "pull", "--plain-http", "--retries", "0", f"{server.name}/a/b:v1")
        asked = [request for request in server.requests if request.is_blob(IMAGE.layer)]
    assert done.returncode == 1
    assert len(asked) == 1


def test_a_count_of_retries_is_not_negative() -> None:
    with pytest.raises(InvalidArgumentError, match="retries"):
        oci.Registry("registry.example", retries=-1)


def test_waits_grow_and_no_two_clients_wait_alike() -> None:
    series = []
    for _ in range(20):
        waits: list[float] = []
        tries = Tries(9, waits.append)
        while tries.again():
            pass
        series.append(tuple(waits))
        assert all(late >= soon for soon, late in pairwise(waits))
        assert len(waits) == 9
        assert waits[0] <= 0.5
        assert max(waits) <= MOST_PAUSE_S
    assert len(set(series)) == len(series)


def test_a_server_says_how_long_to_wait_within_bounds() -> None:
    assert retry_after("3") == 3
    assert retry_after("9" * 400) == MOST_PAUSE_S
    assert retry_after(formatdate(time.time() - 9, usegmt=True)) == 0
    in_future = retry_after(formatdate(time.time() + 9, usegmt=True))
    assert in_future is not None
    assert 6 < in_future <= 9
    for nothing in (None, "", "-3", "1e5", "soon", "9" * 5000, "\N{ARABIC-INDIC DIGIT THREE}",
                    "Mon, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 99999999 00:00:00"):  # fmt: skip
        assert retry_after(nothing) is None
