"""Real servers on real sockets, each in this process, each with a store of its own."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contentdb.remote.channel import Channel
from contentdb.server.daemon import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """Short enough for a socket, which pytest's own folders may not be."""
    with tempfile.TemporaryDirectory(prefix="cdb-") as folder:
        yield Path(folder) / "private" / "c.sock"


@pytest.fixture
def free_port() -> int:
    """A port of this machine that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def served(tmp_path: Path, socket_path: Path) -> Iterator[Path]:
    """The socket of a running server."""
    with Server(tmp_path / "store") as server:
        server.listen_unix(socket_path)
        server.start()
        yield socket_path


@pytest.fixture
def channel(served: Path) -> Iterator[Channel]:
    """A client that says exactly what a test tells it to."""
    channel = Channel(str(served), "default", None)
    yield channel
    channel.close()
