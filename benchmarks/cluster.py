"""A store in PostgreSQL and an S3 server beside what its two servers can do: a PUT and an INSERT.

``python -m benchmarks.cluster`` starts PostgreSQL (with fsync), SeaweedFS and, where it is here,
docker-registry with its S3 driver, all on loopback. Every cell is done by so many client processes
at once; contestants take turns within a round. A ratio is the median of those within a round, so
that what else the machine does changes both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.cluster_clients import CLIENTS, Address, client
from benchmarks.docker_registry import running_registry
from benchmarks.machine import describe
from tests.cluster.fixtures import running
from tests.cluster.servers import BUCKET, CREDENTIALS, Postgres, SeaweedFS, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

KIB: Final = 1 << 10
MIB: Final = 1 << 20
FLOOR: Final = "PUT + INSERT"


class Cell(NamedTuple):
    """Something that contestants do, each process again and again."""

    name: str
    size: int
    clients: int
    contestants: tuple[str, ...]
    goals: tuple[tuple[str, str, float], ...]
    """Contestant, whom it is compared with, and how many times as fast it should be."""
    seconds: float = 1.5


def cells() -> Iterator[Cell]:
    """All cells, small ones first."""
    small = (FLOOR, "PUT", "INSERT", "add, object", "add, inline", "docker-registry")
    for clients in CLIENTS:
        goals = [("add, object", FLOOR, 0.6 if clients == 1 else 0.75)]
        if clients == max(CLIENTS):
            goals.append(("add, inline", FLOOR, 2.5))
        goals.append(("add, object", "docker-registry", 8.0))
        yield Cell("add 1 KiB", KIB, clients, small, tuple(goals))
    bulk = ("add_many, inline", FLOOR, 10.0)
    yield Cell("add_many 1 KiB", KIB, 1, (FLOOR, "add_many, inline"), (bulk,))
    large = (FLOOR, "add, object", "docker-registry")
    goals = [("add, object", FLOOR, 0.9), ("add, object", "docker-registry", 2.0)]
    for clients in (1, max(CLIENTS)):
        yield Cell("add 4 MiB", 4 * MIB, clients, large, tuple(goals), 4.0)
    streams = ("put(iterator)", "writer")
    yield Cell("stream", 256 * MIB, 1, streams, (("writer", "put(iterator)", 0.8),), 1.0)
    reads = ("GET", "SELECT + GET", "read, object", "read, cached", "read, inline")
    goals = [("read, object", "SELECT + GET", 0.6), ("read, inline", "GET", 5.0)]
    cached = ("read, cached", "read, object", 1.5)
    for clients in (1, max(CLIENTS)):
        yield Cell("read 1 KiB", KIB, clients, reads, (*goals, cached))
        yield Cell("read 4 MiB", 4 * MIB, clients, reads[:-1], (cached,))
    yield Cell("walk", 0, 1, ("COPY", "walk"), (("walk", "COPY", 0.9),))


class Crew:
    """The client processes, which are ready before a clock starts."""

    def __init__(self, address: Address, count: int) -> None:
        context = get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(count):
            here, there = context.Pipe()
            process = context.Process(target=client, args=(address, there), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def rate(self, cell: Cell, contestant: str) -> float:
        """How many the first of the processes do in a second, together."""
        pipes = self._pipes[: cell.clients]
        for pipe in pipes:
            pipe.send((contestant, cell.size, 0.0))  # opens what it needs, and does it once
        for pipe in pipes:
            _received(pipe)
        os.sync()
        for pipe in pipes:
            pipe.send((contestant, cell.size, cell.seconds))
        return sum(_received(pipe) for pipe in pipes)

    def end(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.join()


def _received(pipe: Connection) -> float:
    answer = pipe.recv()
    if isinstance(answer, str):
        raise RuntimeError(answer)  # noqa: TRY004 - the traceback of a client
    return float(answer)


def _of_registry(s3: SeaweedFS) -> dict[str, object]:
    """Let docker-registry store on the S3 server that the other contestants use."""
    driver = {
        "accesskey": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "secretkey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        "region": CREDENTIALS["AWS_REGION"],
        "regionendpoint": s3.endpoint,
        "bucket": BUCKET,
        "rootdirectory": "/registry",
        "secure": False,
        "v4auth": True,
    }
    return {"s3": driver, "redirect": {"disable": True}}


def main() -> int:
    """Measure, print the table, and write JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="cells whose names begin so")
    parser.add_argument("--quick", action="store_true", help="shorter, one round")
    parser.add_argument("--out", type=Path, help="figures as JSON")
    options = parser.parse_args()
    if reason := missing(Postgres, SeaweedFS):
        print(reason)
        return 1
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory(prefix="cdb-bench-") as name, ExitStack() as servers:
        folder = Path(name)
        folder.chmod(0o711)
        postgres, s3 = Postgres(folder / "pg", durable=True), SeaweedFS(folder / "s3")
        servers.enter_context(running(postgres, s3))
        registry = ""
        if shutil.which("docker-registry") is not None:
            registry = servers.enter_context(running_registry(folder, _of_registry(s3)))
        address = Address(
            s3.endpoint, registry, postgres.create_database(), postgres.create_database(),
            postgres.create_database(), f"s3://{BUCKET}/objects", f"s3://{BUCKET}/inline",
            str(folder / "cache"),
        )  # fmt: skip
        crew = Crew(address, max(CLIENTS))
        try:
            chosen = [one for one in cells() if one.name.startswith(options.only or "")]
            figures = [_measured(crew, cell, address, options) for cell in chosen]
        finally:
            crew.end()
        if options.out is not None:
            found = {"machine": describe(folder), "rounds": options.rounds, "cells": figures}
            options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 0


def _measured(
    crew: Crew, cell: Cell, address: Address, options: argparse.Namespace
) -> dict[str, object]:
    """Take the rounds of one cell and print its lines."""
    rounds = 1 if options.quick else options.rounds
    if options.quick:
        cell = cell._replace(seconds=min(cell.seconds, 0.5), size=min(cell.size, 32 * MIB))
    who = [one for one in cell.contestants if address.registry or one != "docker-registry"]
    rates: dict[str, list[float]] = {one: [] for one in who}
    for turn in range(rounds):
        for number in range(len(who)):
            one = who[(number + turn) % len(who)]
            rates[one].append(crew.rate(cell, one))
    print(f"\n{cell.name}, {cell.clients} client processes", flush=True)
    print("| contestant | a second, median | lowest | highest | of the first |")
    print("|---|---:|---:|---:|---:|")
    for one in who:
        some = rates[one]
        print(
            f"| {one} | {statistics.median(some):,.1f} | {min(some):,.1f} | {max(some):,.1f} "
            f"| {_ratio(some, rates[who[0]]):.2f} |"
        )
    goals = []
    for one, other, at_least in cell.goals:
        if other in rates:
            ratio = _ratio(rates[one], rates[other])
            goals.append({"of": one, "over": other, "ratio": ratio, "goal": at_least})
            verdict = "reached" if ratio >= at_least else "not reached"
            print(f"{one} / {other}: {ratio:.2f}, wanted {at_least}: {verdict}", flush=True)
    return {"cell": cell.name, "clients": cell.clients, "rates": rates, "goals": goals}


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios."""
    pairs = zip(ours, theirs, strict=True)
    return round(statistics.median(one / other for one, other in pairs), 2)


if __name__ == "__main__":
    sys.exit(main())
