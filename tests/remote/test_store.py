"""`RemoteStore` keeps the contract, over a real socket."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

import contentdb
from contentdb.store.connect import RemoteStore, connect
from contentdb.testing import ContentSuite, Damage, Harm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.content import Leaser
    from contentdb.digest import Digest


class Lasting:
    """A store whose leases last, unless a time is given."""

    def __init__(self, store: RemoteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method
        return getattr(self._store, name)

    def lease(self, **terms: Any) -> object:  # noqa: ANN401 - as those of a store
        return self._store.lease(**{"lasting": "expires" not in terms} | terms)


class TestRemoteStore(ContentSuite):
    has_paths: ClassVar[bool] = False
    has_tags: ClassVar[bool] = True
    has_leases: ClassVar[bool] = True

    @pytest.fixture
    def store(self, served: Path) -> Iterator[RemoteStore]:
        with connect(str(served)) as store:
            yield store

    @pytest.fixture
    def second(self, served: Path) -> Iterator[RemoteStore]:
        with connect(f"unix:{served}") as second:
            yield second

    @pytest.fixture
    def leaser(self, store: RemoteStore) -> Leaser:
        """Nobody can hold a lease over a connection: it lasts where no time is given."""
        return cast("Leaser", Lasting(store))

    @pytest.fixture
    def other(self, second: RemoteStore) -> Leaser:
        return cast("Leaser", Lasting(second))

    def test_leases_are_listed(self, leaser: Leaser, other: Leaser) -> None:
        """As the rule says, but for a held lease, which there cannot be."""
        timed = leaser.lease(expires=timedelta(hours=1), flat=True, id="timed")
        lasting = leaser.lease(lasting=True, id="a lasting one", labels={"k": "v", "e": ""})
        first, second = other.leases()
        assert (first, second) == (lasting.describe(), timed.describe())
        assert (first.id, first.expires_at, first.flat) == ("a lasting one", None, False)
        assert dict(first.labels) == {"k": "v"}
        assert (second.id, second.flat, second.holder, dict(second.labels)) == (
            "timed",
            True,
            None,
            {},
        )
        assert second.expires_at is not None
        assert second.expires_at - second.created_at >= timedelta(minutes=59)
        assert [info.id for info in other.leases("labels.k==v", "id==none")] == ["a lasting one"]
        for lease in (timed, lasting):
            lease.close()
        assert list(other.leases()) == []

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
