"""What no attack may achieve, checked after each: wrong blobs, floods, memory, leaked secrets."""

import io
import logging
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import contentdb
from contentdb import oci
from contentdb.errors import ContentDBError
from tests.hostile.server import Request, Script, Server

CANARY = "CANARY-7f3a9c"
TOKEN = "TOKEN-CANARY-51d2"  # noqa: S105 - it is bait
CREDENTIALS = oci.Credentials("user-" + CANARY, CANARY)
BAITS = (CANARY, TOKEN, CREDENTIALS.basic.removeprefix("Basic "))
"""What no log and no message may hold; the last is what goes over the wire."""
SENT_BYTES = 24 * 1024 * 1024
"""The most that a small image's registry may make us take, socket buffers included."""
MEMORY_BYTES = 64 * 1024 * 1024


class Seen(NamedTuple):
    error: ContentDBError | None
    blobs: list[str]
    requests: list[Request]


def attack(
    root: Path,
    script_of: Callable[[Server], Script],
    *,
    grace_s: float = 5.0,
    timeout_s: float = 60.0,
    before: Callable[[contentdb.Store], None] = lambda _store: None,
    least_rate: float = 1024.0,
) -> Seen:
    """Pull from a scripted registry, with credentials as bait, and check what must always hold."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    error: ContentDBError | None = None
    try:
        with (
            contentdb.open(root / "store") as store,
            Server(lambda _request: None) as server,
            oci.Registry(
                server.name,
                plain_http=True,
                credentials=CREDENTIALS,
                grace_s=grace_s,
                timeout_s=timeout_s,
                least_rate=least_rate,
                pause=lambda _seconds: None,
            ) as registry,
        ):
            server.script = script_of(server)
            before(store)
            tracemalloc.start()
            try:
                oci.pull(store, f"{server.name}/a/b", registry=registry, platform="linux/amd64")
            except ContentDBError as caught:
                error = caught
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            blobs = [str(info.digest) for info in store.walk()]
            for digest in blobs:
                assert contentdb.Digest.of(store.path(digest).read_bytes()) == digest
            requests, sent = list(server.requests), server.sent
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert sent <= SENT_BYTES
    assert peak <= MEMORY_BYTES
    if error is not None:
        _check_message(error, server.name)
    for bait in BAITS:
        assert bait not in log.getvalue()
    return Seen(error, blobs, requests)


def _check_message(error: BaseException, registry: str) -> None:
    """It names the registry, on one line, and neither it nor what caused it has a secret."""
    assert registry in str(error) or isinstance(error, oci.InvalidManifestError)
    assert "\n" not in str(error)
    cause: BaseException | None = error
    while cause is not None:
        for bait in BAITS:
            assert bait not in f"{cause!s}{cause!r}"
        cause = cause.__cause__ or cause.__context__
