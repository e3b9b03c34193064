"""How a server ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.server import daemon
from contentdb.server.daemon import Server
from contentdb.store.connect import connect

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.store.connect import RemoteStore


def test_ingests_under_way_can_be_resumed(tmp_path: Path, socket_path: Path) -> None:
    with connect(str(socket_path)) as client:
        with Server(tmp_path / "store") as server:
            server.listen_unix(socket_path)
            server.start()
            writer = client.writer("r", total=5)
            writer.write(b"hel")
            server.stop(grace_s=0)
            writer.close()
        with contentdb.open(tmp_path / "store") as store:
            status = store.status("r")
            assert (status.offset, status.total, status.held) == (3, 5, False)


def test_the_path_is_free_afterwards(tmp_path: Path, socket_path: Path) -> None:
    for _ in range(2):
        with Server(tmp_path / "store") as server:
            server.listen_unix(socket_path)
            server.start()
        assert not socket_path.exists()


def test_a_root_that_is_no_store_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(contentdb.StoreError):
        Server(tmp_path / "file")


_STUCK = """
import sys, threading
from contentdb.server import daemon, service
def stuck(store, request):
    print("stuck", flush=True)
    threading.Event().wait()
service.RPCS = tuple(
    rpc._replace(handler=stuck) if rpc.name == "Info" else rpc for rpc in service.RPCS
)
daemon._CLOSING_S = daemon._LEAST_S = 0.1
from contentdb.__main__ import main
main()
"""


def test_a_call_that_cannot_be_ended_does_not_keep_the_process(
    tmp_path: Path, socket_path: Path
) -> None:
    """The stores are closed all the same: an ingest of another call can be resumed."""
    words = [sys.executable, "-c", _STUCK, "--root", str(tmp_path / "store"), "serve"]
    words += ["--socket", str(socket_path), "--grace", "0"]
    with (
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as server,
        connect(str(socket_path)) as client,
    ):
        assert server.stderr is not None
        assert server.stdout is not None
        assert server.stderr.readline() == f"serving on {socket_path}\n"
        writer = client.writer("r")
        writer.write(b"hel")
        threading.Thread(target=_ask, args=(client,), daemon=True).start()
        assert server.stdout.readline() == "stuck\n"
        server.terminate()
        _, told = server.communicate(timeout=60)
        assert server.returncode == 1
        assert "a call could not be ended in time" in told
        writer.close()
    assert not socket_path.exists()
    with contentdb.open(tmp_path / "store") as store:
        assert (store.status("r").offset, store.status("r").held) == (3, False)


def _ask(client: RemoteStore) -> None:
    with suppress(contentdb.ContentDBError):
        client.info(contentdb.Digest.of(b"hello"))


_SILENT = """
import sys, time
from contentdb import connect
store = connect(sys.argv[1])
writer = store.writer("r")
writer.write(b"some")
print("held", flush=True)
time.sleep(100)
"""


def test_a_client_that_falls_silent_gives_up_its_ref(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "_KEEPALIVE_MS", 500)
    monkeypatch.setattr(daemon, "_KEEPALIVE_TIMEOUT_MS", 1500)
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        with subprocess.Popen(
            [sys.executable, "-c", _SILENT, str(socket_path)], stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "held\n"
            client.send_signal(signal.SIGSTOP)
            try:
                with (
                    connect(str(socket_path)) as store,
                    store.writer("r", wait=20, resume=True) as writer,
                ):
                    assert writer.offset == len(b"some")
            finally:
                client.kill()  # a stopped one would be waited for in vain
