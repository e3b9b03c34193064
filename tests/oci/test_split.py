"""A large blob from a slow connection comes in ranges; whatever is wrong with those, it comes."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.transfer import ranges, split
from tests.hostile.server import Image, Reply, Request, Server, drip, reply, sha

KIB = 1024
RANGE = 64 * KIB
IMAGE = Image()
IMAGE.layer = bytes(itertools.islice(itertools.cycle(range(251)), 40 * RANGE + 5))
IMAGE.manifest = json.dumps(IMAGE.document()).encode()
SIZE = len(IMAGE.layer)
DIGEST = sha(IMAGE.layer)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split what is small, at once: each connection counts as slow."""
    monkeypatch.setattr(split, "_SPLIT_BYTES", 4 * RANGE)
    monkeypatch.setattr(split, "_METERED", (1, 0.0))
    monkeypatch.setattr(split, "_FAST", float("inf"))
    monkeypatch.setattr(split, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(ranges, "RANGE_BYTES", RANGE)
    monkeypatch.setattr(ranges, "_PATIENCE_S", 30.0)
    monkeypatch.setattr(ranges, "_PROOF_S", 5.0)


def span(request: Request) -> tuple[int, int] | None:
    """The bytes that are asked for, or None for the whole."""
    wanted = request.headers.get("range")
    if wanted is None:
        return None
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1 if last else SIZE


def served(start: int, stop: int, body: bytes | None = None, **more: str) -> bytes:
    data = IMAGE.layer[start:stop] if body is None else body
    headers = {"Content_Range": f"bytes {start}-{stop - 1}/{SIZE}"} | more
    return reply(206, data, **headers)


def honest(request: Request) -> Reply:
    """The whole comes slowly, in small pieces; a range at once."""
    wanted = span(request)
    if wanted is not None:
        return served(*wanted)
    return slowly(reply(200, IMAGE.layer))


def slowly(data: bytes, pause_s: float = 0.002) -> Iterator[bytes]:
    for start in range(0, len(data), 16 * KIB):
        yield data[start : start + 16 * KIB]
        time.sleep(pause_s)


def pull(
    root: Path, script: Callable[[Request], Reply | None], jobs: int = 4
) -> tuple[list[Request], contentdb.ContentDBError | None]:
    """Pull from a registry that answers for the layer like this; the layer must be right."""

    def whole_script(request: Request) -> Reply | None:
        return script(request) if request.is_blob(IMAGE.layer) else IMAGE.answer(request)

    error: contentdb.ContentDBError | None = None
    with (
        contentdb.open(root / "store") as store,
        Server(whole_script) as server,
        oci.Registry(server.name, plain_http=True, grace_s=20.0, pause=lambda _s: None) as registry,
    ):
        try:
            oci.pull(store, f"{server.name}/a", registry=registry, jobs=jobs)
        except contentdb.ContentDBError as caught:
            error = caught
        else:
            assert store.read(DIGEST) == IMAGE.layer
        asked = [request for request in server.requests if request.is_blob(IMAGE.layer)]
    return asked, error


def test_ranges_bring_what_lies_behind_the_first_connection(tmp_path: Path) -> None:
    asked, error = pull(tmp_path, honest)
    assert error is None
    spans = sorted(filter(None, map(span, asked)))
    assert [span(request) for request in asked].count(None) == 1
    assert len(spans) > 30
    assert spans[-1][1] == SIZE
    assert all(one[1] == two[0] for one, two in itertools.pairwise(spans)), "each byte once"


def test_one_job_makes_one_request(tmp_path: Path) -> None:
    asked, error = pull(tmp_path, honest, jobs=1)
    assert (error, len(asked)) == (None, 1)


def test_a_fast_connection_is_not_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split, "_FAST", 0.0)
    asked, error = pull(tmp_path, honest)
    assert (error, len(asked)) == (None, 1)


def test_no_more_connections_are_used_than_jobs(tmp_path: Path) -> None:
    """A range is open as long as it is served; the first connection counts too."""
    lock = threading.Lock()
    open_now = most = 0

    def script(request: Request) -> Reply:
        nonlocal open_now, most
        answer = honest(request)

        def counted() -> Iterator[bytes]:
            nonlocal open_now, most
            with lock:
                open_now += 1
                most = max(most, open_now)
            yield from slowly(answer) if isinstance(answer, bytes) else answer
            with lock:
                open_now -= 1

        return counted()

    _, error = pull(tmp_path, script, jobs=3)
    assert error is None
    assert 2 <= most <= 4, "the first connection is cut, and its end not counted"


def test_an_interrupted_split_goes_on_where_it_stood(tmp_path: Path) -> None:
    kept = 5 * RANGE + 7
    with (
        contentdb.open(tmp_path / "store") as store,
        store.writer(DIGEST, total=SIZE, expected=DIGEST) as writer,
    ):
        writer.write(IMAGE.layer[:kept])

    def script(request: Request) -> Reply:
        wanted = span(request)
        assert wanted is not None
        answer = served(*wanted)
        return slowly(answer) if wanted[1] == SIZE else answer

    asked, error = pull(tmp_path, script)
    assert error is None
    spans = list(filter(None, map(span, asked)))
    assert len(spans) > 20
    assert min(spans)[0] == kept


def other_range(start: int, stop: int) -> bytes:
    return served(start - 1, stop - 1)


WRONG: dict[str, Callable[[int, int], Reply | None]] = {
    "whole instead of the range": lambda _a, _b: reply(200, IMAGE.layer),
    "another range": other_range,
    "range without its header": lambda a, b: reply(206, IMAGE.layer[a:b]),
    "range in a whole answer": lambda a, b: reply(
        200, IMAGE.layer[a:b], Content_Range=f"bytes {a}-{b - 1}/{SIZE}"
    ),
    "range of another size": lambda a, b: reply(
        206, IMAGE.layer[a:b], Content_Range=f"bytes {a}-{b - 1}/{SIZE + 1}"
    ),
    "range to the end": lambda a, _b: served(a, SIZE),
    "more bytes than the range": lambda a, b: iter(
        [served(a, b, IMAGE.layer[a:b] + bytes(99), Content_Length="", Connection="close")]
    ),
    "fewer bytes than the range": lambda a, b: iter(
        [served(a, b, IMAGE.layer[a : b - 1], Content_Length=str(b - a))]
    ),
    "one byte at a time": lambda a, _b: served(a, a + 1),
    "refused": lambda _a, _b: reply(416),
    "too many connections": lambda _a, _b: reply(429),
    "closed without a word": lambda _a, _b: None,
    "silence": lambda _a, _b: itertools.chain([b"HTTP/1.1 206 X\r\n"], itertools.repeat(b"")),
    "wrong bytes": lambda a, b: served(a, b, bytes(b - a)),
}


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG.keys())
def test_whatever_is_wrong_with_ranges_the_blob_comes_over_one_connection(
    answer: Callable[[int, int], Reply | None], tmp_path: Path
) -> None:
    def script(request: Request) -> Reply | None:
        wanted = span(request)
        if wanted is None or wanted[1] == SIZE:
            return honest(request)
        return answer(*wanted)

    asked, error = pull(tmp_path, script)
    assert error is None
    assert len(asked) <= 100


@pytest.mark.parametrize("after", [1, 3, 10])
@pytest.mark.parametrize("name", ["another range", "refused", "fewer bytes than the range"])
def test_ranges_that_stop_working_leave_the_rest_to_one_connection(
    name: str, after: int, tmp_path: Path
) -> None:
    count = itertools.count()

    def script(request: Request) -> Reply | None:
        wanted = span(request)
        if wanted is None or wanted[1] == SIZE or next(count) < after:
            return honest(request)
        return WRONG[name](*wanted)

    _, error = pull(tmp_path, script)
    assert error is None


def test_short_ranges_are_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "_PROGRESS_BYTES", RANGE // 4)

    def script(request: Request) -> Reply:
        wanted = span(request)
        return (
            honest(request)
            if wanted is None
            else served(wanted[0], min(wanted[1], wanted[0] + RANGE // 2))
        )

    asked, error = pull(tmp_path, script)
    assert error is None
    assert [span(request) for request in asked].count(None) == 1
    assert len(asked) > 60


def test_a_folder_for_temporary_files_that_is_full_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def full(**_: object) -> None:
        tries.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    asked, error = pull(tmp_path, honest)
    assert (error, len(asked), len(tries)) == (None, 1, 1)


def test_a_registry_that_lies_in_every_way_is_blamed(tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        wanted = span(request) or (0, SIZE)
        body = bytes(wanted[1] - wanted[0])
        whole = span(request) is None
        return slowly(reply(200, body)) if whole else served(*wanted, body)

    asked, error = pull(tmp_path, script)
    assert isinstance(error, oci.HostileRegistryError)
    assert [span(request) for request in asked].count(None) == 2, "once more, in one"


def test_a_failure_elsewhere_ends_ranges_that_are_waited_for(tmp_path: Path) -> None:
    """And the temporary file is closed, or the warning about it would be an error here."""
    waited_for, came = threading.Event(), threading.Event()

    def listen(event: oci.Event) -> None:
        if event.name == DIGEST and event.offset >= RANGE:
            came.set()

    def script(request: Request) -> Reply | None:
        if request.is_blob(IMAGE.config):
            waited_for.wait(60)
            came.wait(60)
            return reply(403)
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)
        wanted = span(request)
        if wanted is None:
            return slowly(reply(200, IMAGE.layer))

        def stalls() -> Iterator[bytes]:
            yield served(*wanted)[:200]
            waited_for.set()
            while True:
                time.sleep(0.1)
                yield b""

        return stalls()

    with (
        contentdb.open(tmp_path / "store") as store,
        Server(script) as server,
        oci.Registry(server.name, plain_http=True) as registry,
    ):
        began = time.monotonic()
        with pytest.raises(oci.UnauthorizedError):
            oci.pull(store, f"{server.name}/a", registry=registry, jobs=4, listen=listen)
        took = time.monotonic() - began
        assert took < 20, "neither the grace nor the patience with a range"
        assert next(s.offset for s in store.statuses() if s.ref == DIGEST) > 0


def test_no_thread_outlives_a_pull_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges whose head comes a byte at a time are given up, though the client is closed then."""
    monkeypatch.setattr(ranges, "_PATIENCE_S", 0.5)
    asked = itertools.count()

    def script(request: Request) -> Reply | None:
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)
        wanted = span(request)
        if wanted is None or request.headers["range"].endswith("-"):
            return honest(request)
        if next(asked):
            return drip(server, b"HTTP/1.1 206 X\r\nA: ")
        return served(*wanted)

    with contentdb.open(tmp_path / "store") as store, Server(script) as server:
        with oci.Registry(server.name, plain_http=True, grace_s=2.0) as registry:
            oci.pull(store, f"{server.name}/a/b", registry=registry, platform="linux/amd64")
        deadline = time.monotonic() + 20
        while any("oci-range" in thread.name for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
