"""A host that drops off the network: its refs become free, and its late acts count for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cluster.fixtures import place_for_objects, running, skip_without
from tests.cluster.network import can_make_hosts, hosts
from tests.cluster.servers import Postgres, SeaweedFS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.network import Network

_HOLDER = """
import sys, contentdb
with contentdb.open(sys.argv[1]) as store:
    writer = store.writer("ref")
    writer.write(b"a" * 100_000)
    print("held", flush=True)
    sys.stdin.readline()
    try:
        writer.write(b"b" * 20_000_000)
        writer.commit()
    except contentdb.ContentDBError as error:
        print(type(error).__name__, flush=True)
    else:
        print("committed", flush=True)
    sys.stdin.readline()
    print(store.add(b"after " * 1_000).size, flush=True)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    if reason := can_make_hosts():
        pytest.skip(reason)
    with hosts(2) as network:
        yield network


@pytest.mark.root
@pytest.mark.slow
def test_a_host_that_is_cut_off_loses_its_ref_and_commits_nothing(
    network: Network, servers_folder: Path, s3_keys: None
) -> None:
    """3.3: another host takes the ref; the writer that was cut off is told, and changes nothing."""
    skip_without(Postgres, SeaweedFS)
    postgres = Postgres(servers_folder / "reached", addresses=[network.address])
    seaweed = SeaweedFS(servers_folder / "reached s3", address=network.address)
    with running(postgres, seaweed):
        here = postgres.create_database()
        there = here.replace("127.0.0.1", network.address)
        place = place_for_objects(seaweed)
        with contentdb.open(here, objects=place.url, endpoint=place.endpoint) as store:
            command = network.hosts[0].command(sys.executable, "-c", _HOLDER, there)
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
            ) as holder:
                assert holder.stdin is not None
                assert holder.stdout is not None
                assert holder.stdout.readline() == "held\n"
                with pytest.raises(contentdb.RefLockedError):
                    store.writer("ref")
                network.hosts[0].cut()
                with store.writer("ref", wait=True) as writer:
                    writer.write(b"mine")
                    network.hosts[0].mend()
                    holder.stdin.write("go on\n")
                    holder.stdin.flush()
                    told = holder.stdout.readline()
                    assert told.strip() != "committed"
                    info = writer.commit()
                assert [found.digest for found in store.walk()] == [info.digest]
                holder.stdin.write("and on\n")
                holder.stdin.flush()
                assert holder.stdout.readline() == "6000\n"
                store.prune(older_than=0)
                assert {store.read(found.digest)[:4] for found in store.walk()} == {
                    b"mine", b"afte",
                }  # fmt: skip
