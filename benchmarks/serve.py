"""`contentdb serve` beside containerd's own daemon, both asked by `ctr`, in one run.

``python -m benchmarks.serve`` takes interleaved rounds and prints, for each workload, the median
seconds of both, how many times as fast contentdb is, and what of it is the client: the seconds
that as many ctr take that do nothing. It needs containerd and root.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.digest import Digest
from contentdb.store.connect import connect
from tests.real.daemon import containerd, ctr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIB: Final = 1024
MIB: Final = 1024 * KIB
CLIENTS: Final = 8
LISTINGS: Final = 10
NAMESPACE: Final = "default"  # of ctr too


class Target(NamedTuple):
    """How often contentdb must be as fast as containerd: 1.0 is as fast."""

    workload: str
    at_least: float


TARGETS: Final = (
    Target("ingest_1k", 1.0),
    Target("ingest_256m", 0.7),
    Target("get_256m", 0.7),
    Target("ls", 1.0),
    Target("ingest_8x32m", 1.5),
    Target("ingest_8x1k", 1.5),
    Target("add_8x1k", 1.5),
)


class Sizes(NamedTuple):
    """How much a round does."""

    small: int
    """Ingests of 1 KiB, one after the other, and again by all clients at once."""
    large_bytes: int
    parallel_bytes: int
    """Of the one ingest that each client does."""
    listed: int


def content(address: Path, *arguments: str, stdin: Path | None = None) -> None:
    """Run ``ctr content`` to its end, its output thrown away."""
    with ExitStack() as files:
        source = None if stdin is None else files.enter_context(stdin.open("rb"))
        subprocess.run(
            ["ctr", "-a", address, "-n", NAMESPACE, "content", *arguments],
            stdin=source,
            stdout=subprocess.DEVNULL,
            check=True,
        )


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes, on a disk that has nothing else to write."""
    os.sync()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def fresh(folder: Path, size: int) -> Path:
    """Make a file of random bytes under a name of its own."""
    file = folder / os.urandom(8).hex()
    file.write_bytes(os.urandom(size))
    return file


def ingest(address: Path, file: Path) -> None:
    """Ingest a file under a ref of its own."""
    content(address, "ingest", "--expected-size", str(file.stat().st_size), file.name, stdin=file)


def ingest_all(address: Path, files: list[Path], clients: int) -> None:
    """Ingest files, so many clients at once."""
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(lambda file: ingest(address, file), files))


def list_often(address: Path) -> None:
    """List all, again and again: once takes less than a tenth of a second."""
    for _ in range(LISTINGS):
        content(address, "ls")


def round_of(address: Path, folder: Path, sizes: Sizes) -> dict[str, float]:
    """One round against one server: seconds by workload."""
    seconds = {}
    small = [fresh(folder, KIB) for _ in range(sizes.small)]
    seconds["ingest_1k"] = timed(lambda: ingest_all(address, small, 1))
    large = fresh(folder, sizes.large_bytes)
    digest = Digest.of(large.read_bytes())
    seconds["ingest_256m"] = timed(lambda: ingest(address, large))
    seconds["get_256m"] = timed(lambda: content(address, "get", digest))
    content(address, "rm", digest)
    seconds["ls"] = timed(lambda: list_often(address))
    middle = [fresh(folder, sizes.parallel_bytes) for _ in range(CLIENTS)]
    seconds["ingest_8x32m"] = timed(lambda: ingest_all(address, middle, CLIENTS))
    more = [fresh(folder, KIB) for _ in range(sizes.small)]
    seconds["ingest_8x1k"] = timed(lambda: ingest_all(address, more, CLIENTS))
    seconds["add_8x1k"] = timed(lambda: add_all(address, sizes.small * 10))
    for file in (*small, large, *middle, *more):
        file.unlink()
    return seconds


def client_alone(sizes: Sizes) -> dict[str, float]:
    """What starting ctr takes in each workload."""
    return {
        "ingest_1k": timed(lambda: start_all(sizes.small, 1)),
        "ingest_8x32m": timed(lambda: start_all(CLIENTS, CLIENTS)),
        "ingest_8x1k": timed(lambda: start_all(sizes.small, CLIENTS)),
    }


def start_all(count: int, clients: int) -> None:
    """Start ctr for nothing, so many clients at once."""
    with ThreadPoolExecutor(clients) as threads:
        list(threads.map(lambda _: content(Path("/"), "--help"), range(count)))


def add_all(address: Path, count: int) -> None:
    """Ingest 1 KiB again and again from one process, by eight streams at once."""
    with (
        connect(str(address), namespace=NAMESPACE) as store,
        ThreadPoolExecutor(CLIENTS) as threads,
    ):
        list(threads.map(lambda _: store.add(os.urandom(KIB)), range(count)))


def fill(address: Path, count: int) -> None:
    """Put blobs there for `ls` to list."""
    with (
        connect(str(address), namespace=NAMESPACE) as store,
        ThreadPoolExecutor(CLIENTS) as threads,
    ):
        list(threads.map(lambda number: store.add(b"listed %d" % number), range(count)))


@contextmanager
def contentdb_server(folder: Path) -> Iterator[Path]:
    """Serve a fresh store from a process of its own."""
    address = folder / "contentdb" / "c.sock"
    command = [sys.executable, "-m", "contentdb", "--root", str(folder / "store")]
    process = subprocess.Popen([*command, "serve", "--socket", str(address)])
    try:
        while ctr(address, "content", "ls").code:  # it waits for a socket that is not there yet
            if process.poll() is not None:
                raise RuntimeError("contentdb serve does not start")
        yield address
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure, print the table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="smaller, in under a minute")
    parser.add_argument("--json", type=Path, help="write the medians here")
    parser.add_argument("--ours", type=Path, help="measure the server on this socket")
    options = parser.parse_args()
    quick, whole = Sizes(10, 64 * MIB, 8 * MIB, 500), Sizes(40, 256 * MIB, 32 * MIB, 10_000)
    sizes = quick if options.quick else whole
    with tempfile.TemporaryDirectory(prefix="cdb-", dir="/tmp") as name, ExitStack() as servers:
        folder = Path(name)
        addresses = {
            "contentdb": options.ours or servers.enter_context(contentdb_server(folder)),
            "containerd": servers.enter_context(containerd(folder / "containerd")),
        }
        for address in addresses.values():
            fill(address, sizes.listed)
        rounds = [
            {
                **{
                    who: round_of(address, folder, sizes) for who, address in order(addresses, turn)
                },
                "ctr": client_alone(sizes),
            }
            for turn in range(2 if options.quick else options.rounds)
        ]
    report(rounds, options.json)


def order(addresses: dict[str, Path], turn: int) -> list[tuple[str, Path]]:
    """Let each be the first in turn."""
    places = list(addresses.items())
    return places[turn % 2 :] + places[: turn % 2]


def report(rounds: list[dict[str, dict[str, float]]], file: Path | None) -> None:
    """Print medians and ratios; the ratio is the median of those within a round."""
    print("| workload | contentdb s | containerd s | ctr alone s | times as fast | wanted |")
    print("|---|---:|---:|---:|---:|---:|")
    figures = {}
    for name, at_least in TARGETS:
        medians = {
            who: statistics.median(one[who][name] for one in rounds)
            for who in rounds[0]
            if name in rounds[0][who]
        }
        ratio = statistics.median(
            one["containerd"][name] / one["contentdb"][name] for one in rounds
        )
        figures[name] = medians | {"times": ratio}
        alone = f"{medians['ctr']:.2f}" if "ctr" in medians else ""
        ours, theirs = medians["contentdb"], medians["containerd"]
        print(f"| {name} | {ours:.2f} | {theirs:.2f} | {alone} | {ratio:.2f} | {at_least:.1f} |")
    if file is not None:
        file.write_text(json.dumps({"rounds": len(rounds), "figures": figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
