"""What is wrong at a client is told as by a store at hand."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.remote import channel
from contentdb.remote.channel import Credentials
from contentdb.store.connect import connect
from tests.remote.lying import lying
from tests.server.test_serve import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HELLO = Digest.of(b"hello")


def test_a_closed_store_says_so(served: Path) -> None:
    store = connect(str(served))
    store.close()
    store.close()
    uses: tuple[Callable[[], object], ...] = (
        lambda: store.info(HELLO),
        lambda: store.read(HELLO),
        lambda: store.open(HELLO),
        lambda: store.add(b"hello"),
        lambda: store.ingest("r", BytesIO(b"hello")),
        lambda: store.writer("r"),
        store.walk,
        store.statuses,
        lambda: store.status("r"),
        lambda: store.abort("r"),
        lambda: store.update(HELLO, {}),
        lambda: store.delete(HELLO),
        store.usage,
    )
    for use in uses:
        with pytest.raises(contentdb.StoreClosedError, match=str(served)):
            use()


def test_a_closed_reader_says_so_as_files_do(served: Path) -> None:
    with connect(str(served)) as store:
        store.add(b"hello")
        reader = store.open(HELLO)
        reader.close()
        reader.close()
        for use in (reader.read, reader.readall, lambda: reader.readinto(bytearray(1))):
            with pytest.raises(ValueError, match="closed"):
                use()
        with pytest.raises(ValueError, match="closed"):
            reader.seek(1)


@pytest.mark.parametrize("missing", ["key", "certificate", "authority"])
def test_a_missing_file_of_tls_is_named(tmp_path: Path, missing: str) -> None:
    (tmp_path / "pem").touch()
    pem = dict.fromkeys(("key", "certificate", "authority"), tmp_path / "pem")
    pem[missing] = tmp_path / "missing.pem"
    with pytest.raises(contentdb.StorageError, match=r"missing\.pem"):
        connect("localhost:1234", credentials=Credentials(**pem))


def test_a_listing_that_cannot_be_is_refused(served: Path) -> None:
    with connect(str(served)) as store:
        with pytest.raises(contentdb.InvalidArgumentError, match="limit"):
            store.walk(limit=-1)
        with pytest.raises(contentdb.InvalidArgumentError, match="after"):
            store.walk(sort="size", after=HELLO)
        with pytest.raises(contentdb.InvalidFieldError):
            store.walk(sort="colour")  # type: ignore[arg-type]  # that is the question


def test_a_filter_that_is_no_unicode_is_refused(served: Path) -> None:
    with connect(str(served)) as store:
        for listing in (store.walk, store.statuses):
            with pytest.raises(contentdb.InvalidFilterError):
                listing("labels.a==\ud800")


def test_no_such_link(served: Path, tmp_path: Path) -> None:
    with connect(str(served)) as store:
        with pytest.raises(contentdb.InvalidArgumentError):
            store.add(b"hello", link="chain")  # type: ignore[arg-type]  # that is the question
        with pytest.raises(contentdb.InvalidArgumentError):
            store.export(HELLO, tmp_path / "out", link="move")  # type: ignore[arg-type]


def test_a_call_that_is_not_answered_ends(
    socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_PATIENCE_S", 0.1)
    over = threading.Event()
    with lying(socket_path, Info=lambda _request, _context: over.wait()) as store:
        with pytest.raises(contentdb.StoreError, match="the server does not answer"):
            store.info(HELLO)
        over.set()


def test_a_stream_of_a_server_that_stands_still_ends(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "_KEEPALIVE_MS", 500)
    monkeypatch.setattr(channel, "_KEEPALIVE_TIMEOUT_MS", 3000)
    server = serve(tmp_path / "store", socket_path)
    with connect(str(socket_path)) as store:
        writer = store.writer("r")
        server.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, server.pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(contentdb.StoreError, match="the server does not answer"):
            store.walk()
        with pytest.raises(contentdb.StoreError, match="the server does not answer"):
            writer.write(b"hello")
    server.kill()
    server.communicate()


def test_a_shortened_digest_means_what_it_means_at_hand(served: Path) -> None:
    with connect(str(served)) as store:
        digest = store.add(b"content").digest
        for text in (digest, digest[:9], digest.encoded[:4]):
            assert store.resolve(text) == digest
        for text in ("", "s", "sha256:", "md5:abc", "zz"):
            with pytest.raises(contentdb.InvalidDigestError):
                store.resolve(text)
        with pytest.raises(contentdb.NotFoundError):
            store.resolve("sha512:0")


def test_a_copy_is_another_store_at_the_same_address(served: Path) -> None:
    """As in a process pool; to close either leaves the other as it is."""
    with contentdb.connect(str(served)) as store:
        digest = store.add(b"content").digest
        for copied in (copy.copy(store), pickle.loads(pickle.dumps(store))):  # noqa: S301
            with copied:
                assert copied.read(digest) == b"content"
                assert copied.namespace == store.namespace
        assert store.read(digest) == b"content"
