"""`RemoteStore` keeps the contract, over a real socket."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

import pytest

import contentdb
from contentdb.store.connect import RemoteStore, connect
from contentdb.testing import ContentSuite, Damage, Harm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.digest import Digest


class TestRemoteStore(ContentSuite):
    has_paths: ClassVar[bool] = False

    @pytest.fixture
    def store(self, served: Path) -> Iterator[RemoteStore]:
        with connect(str(served)) as store:
            yield store

    @pytest.fixture
    def second(self, served: Path) -> Iterator[RemoteStore]:
        with connect(f"unix:{served}") as second:
            yield second

    @pytest.fixture
    def damage(self, tmp_path: Path) -> Damage:
        def spoil(digest: Digest, harm: Harm) -> None:
            with contentdb.open(tmp_path / "store") as store:
                path = store.path(digest)
            if harm == "removed":
                path.unlink()
                return
            path.chmod(0o600)
            data = path.read_bytes()
            path.write_bytes(
                data[:-1] if harm == "truncated" else data[:-1] + bytes([~data[-1] & 255])
            )
            path.chmod(0o444)

        return spoil


def test_tcp_takes_credentials() -> None:
    with pytest.raises(contentdb.InvalidArgumentError, match="mutual TLS"):
        connect("localhost:1234")


def test_nobody_there_is_an_error_of_the_library(socket_path: Path) -> None:
    with connect(str(socket_path)) as store, pytest.raises(contentdb.StoreError):
        store.status("r")


def test_the_library_alone_never_loads_grpc() -> None:
    code = "import contentdb, sys; sys.exit('grpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
