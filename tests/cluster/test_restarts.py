"""Servers that are killed under an open store."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cluster.fixtures import place_for_objects, running, skip_without
from tests.cluster.servers import Postgres, SeaweedFS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG = b"0123456789" * 2_000_000


@pytest.fixture(scope="module")
def mortal(servers_folder: Path) -> Iterator[tuple[Postgres, SeaweedFS]]:
    """Servers that the tests here may kill."""
    skip_without(Postgres, SeaweedFS)
    servers = Postgres(servers_folder / "mortal"), SeaweedFS(servers_folder / "weed")
    with running(*servers):
        yield servers


@pytest.fixture
def store(mortal: tuple[Postgres, SeaweedFS], s3_keys: None) -> Iterator[contentdb.Store]:
    postgres, seaweed = mortal
    place = place_for_objects(seaweed)
    with contentdb.open(
        postgres.create_database(), objects=place.url, endpoint=place.endpoint
    ) as store:
        yield store


@pytest.mark.parametrize("which", [0, 1], ids=["PostgreSQL", "S3"])
def test_a_writer_goes_on_after_a_server_was_killed(
    mortal: tuple[Postgres, SeaweedFS], store: contentdb.Store, which: int
) -> None:
    """3.3, 6.2: what was acknowledged is there, and the writer commits."""
    info = store.add(LONG[:10_000])
    with store.writer("ref") as writer:
        writer.write(LONG[: 10 << 20])
        mortal[which].restart()
        writer.write(LONG[10 << 20 :])
        committed = writer.commit()
    assert store.read(committed.digest) == LONG
    assert store.read(info.digest) == LONG[:10_000]


@pytest.mark.parametrize("which", [0, 1], ids=["PostgreSQL", "S3"])
def test_an_act_waits_for_a_server_that_starts(
    mortal: tuple[Postgres, SeaweedFS], store: contentdb.Store, which: int
) -> None:
    server = mortal[which]
    server.kill()
    told = []
    thread = Thread(target=lambda: told.append(store.add(b"1" * 10_000)))
    thread.start()
    server.start()
    thread.join()
    assert store.read(told[0].digest) == b"1" * 10_000
