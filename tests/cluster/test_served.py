"""A store in a database behind the gRPC server: content, ingests and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import contentdb
from contentdb.server.daemon import Server

if TYPE_CHECKING:
    from pathlib import Path


def test_clients_use_it_as_any_store(place: str, store: contentdb.Store, tmp_path: Path) -> None:
    with Server(place) as server:
        server.listen_unix(tmp_path / "socket")
        server.start()
        client = contentdb.connect(str(tmp_path / "socket"))
        with client, client.writer("r") as writer:
            writer.write(b"content" * 2000)
            assert store.status("r").held
            info = writer.commit(labels={"k": "v"})
            assert store.info(info.digest) == info
            assert client.read(info.digest) == b"content" * 2000
            assert list(client.walk("labels.k==v")) == [info]
            client.tag("name", info.digest)
            assert store.tagged("name").digest == info.digest
            client.delete(info.digest)
            assert not store.exists(info.digest)
