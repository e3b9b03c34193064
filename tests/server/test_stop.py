"""How a server ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.remote import connect
from contentdb.server import daemon
from contentdb.server.daemon import Server

if TYPE_CHECKING:
    from pathlib import Path


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
                    store.writer("r", wait=20) as writer,
                ):
                    assert writer.offset == len(b"some")
            finally:
                client.kill()  # a stopped one would be waited for in vain
