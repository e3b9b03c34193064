"""Real servers on real sockets, each in this process, each with a store of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contentdb.remote.channel import Channel
from contentdb.server.daemon import Server
from tests.ports import free_ports

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
    return free_ports(1)[0]


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
