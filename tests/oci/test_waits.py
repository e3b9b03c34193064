"""An answer may take long to begin, and must then go on; the error says which wait was over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import oci
from contentdb.errors import InvalidArgumentError
from tests.cli.shell import only_line, run
from tests.hostile.guard import CREDENTIALS
from tests.hostile.server import Image, Reply, Request, Server, drip, reply, sha
from tests.hostile.test_uploads import Honest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IMAGE = Image()
GRACE_S = 2.0
LONG_S = 1.5 * GRACE_S


def late(server: Server, answer: Reply | None) -> Iterator[bytes]:
    """An answer that begins long after the grace is over."""
    server.stopping.wait(LONG_S)
    assert isinstance(answer, bytes)
    yield answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def client(
    server: Server, *, grace_s: float = GRACE_S, timeout_s: float = 60, retries: int = 4
) -> oci.Registry:
    return oci.Registry(
        server.name,
        plain_http=True,
        credentials=CREDENTIALS,
        grace_s=grace_s,
        timeout_s=timeout_s,
        retries=retries,
    )


def test_the_bytes_of_a_layer_may_begin_late(store: contentdb.Store) -> None:
    with Server(lambda _r: None) as server, client(server) as registry:

        def script(request: Request) -> Reply:
            answer = IMAGE.answer(request)
            return late(server, answer) if request.is_blob(IMAGE.layer) else answer

        server.script = script
        oci.pull(store, f"{server.name}/a/b", registry=registry, platform="linux/amd64")
    assert store.read(sha(IMAGE.layer)) == IMAGE.layer


def test_the_answers_to_what_a_push_sends_may_begin_late(store: contentdb.Store) -> None:
    """A scanner looks at a layer, or at the whole image, before it answers a PUT."""
    small = {**IMAGE.document(), "layers": []}
    manifest = json.dumps(small).encode()
    store.add(IMAGE.config)
    top = store.add(manifest).digest
    with Server(lambda _r: None) as server, client(server) as registry:
        honest = Honest(
            read_back=lambda _r, _s: reply(200, manifest, Content_Type=str(small["mediaType"]))
        )

        def script(request: Request) -> Reply | None:
            answer = honest.answer(request, server)
            return late(server, answer) if request.method == "PUT" else answer

        server.script = script
        pushed = oci.push(store, top, f"{server.name}/a/b:v1", registry=registry)
    assert pushed.digest == top


@pytest.mark.parametrize(
    ("silent", "grace_s", "sentence"),
    [
        (lambda s: drip(s, b"", b""), 30, "did not begin to answer within 0.4 seconds"),
        (lambda s: drip(s, b"HTTP/1.1 200 X\r\n", b""), GRACE_S, "sent too slowly"),
        (
            lambda s: drip(s, reply(200, b"", Content_Length="9"), b""),
            GRACE_S,
            "amid its answer|sent too slowly",
        ),
    ],
    ids=["first byte", "head", "body"],
)
def test_the_error_names_the_wait_that_was_over(
    silent: Callable[[Server], Reply], grace_s: float, sentence: str
) -> None:
    with (
        Server(lambda _r: None) as server,
        client(
            server, grace_s=grace_s, timeout_s=60 if grace_s == GRACE_S else 0.4, retries=0
        ) as registry,
    ):
        server.script = lambda _request: silent(server)
        with pytest.raises(oci.UnreachableError, match=sentence) as caught:
            registry.manifest("a/b", "v1")
    assert ("--timeout" in str(caught.value)) == ("begin" in sentence)


def test_the_option_sets_the_wait(root: Path) -> None:
    with Server(lambda _r: None) as server:
        server.script = lambda _request: drip(server, b"", b"")
        done = run(root, "pull", "--plain-http", "--timeout", "0.3", f"{server.name}/a/b")
        assert len(server.requests) == 1, "such a wait is not waited for again"
    assert done.returncode == 1
    assert "within 0.3 seconds" in only_line(done.stderr)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_a_wait_is_a_number_of_seconds(wrong: float) -> None:
    with pytest.raises(InvalidArgumentError, match="seconds"):
        oci.Registry("registry.example", timeout_s=wrong)
