"""The two servers of a comparison, each with a store of its own, for the tests of a module."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contentdb.server.daemon import Server
from tests.real.daemon import containerd

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short enough for sockets, which pytest's own folders may not be."""
    with tempfile.TemporaryDirectory(prefix="cdb-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Iterator[Path]:
    with containerd(folder / "theirs") as address:
        yield address


@pytest.fixture(scope="module")
def ours(folder: Path) -> Iterator[Path]:
    address = folder / "ours" / "c.sock"
    with Server(folder / "store") as server:
        server.listen_unix(address)
        server.start()
        yield address
