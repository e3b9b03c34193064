"""One large layer over one connection and over four: ``python -m benchmarks.oci_ranges``.

Questions: what do ranges of one blob gain where the registry limits the rate of each connection,
and what do they cost where nothing is limited. The registry is docker-registry on loopback, the
limit that of a proxy before it, in a process of its own. Rounds are interleaved; the median of the
ratios within the rounds is what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import socket
import statistics
import sys
import threading
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import contentdb
from benchmarks.docker_registry import running_registry
from benchmarks.oci import MIB, push_image
from contentdb import oci

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_BYTES = 64 * 1024
_JOBS = 4


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oci_ranges", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, metavar="MIB")
    parser.add_argument("--limit", type=float, default=10, metavar="MB/S", help="per connection")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"))  # noqa: S108 - a fresh directory in it
    options = parser.parse_args()
    if shutil.which("docker-registry") is None:
        print("needs docker-registry on PATH: apt-get install docker-registry")
        return 1
    scratch = Path(mkdtemp(prefix="contentdb-bench-", dir=options.scratch))
    try:
        with running_registry(scratch) as host, _limited(host, options.limit * 1e6) as limited:
            with oci.Registry(host, plain_http=True) as client:
                size = options.size * MIB
                push_image(scratch / "made", client, f"{host}/bench/one:v1", 1, size)
            print("| registry | one connection, MB/s | four, MB/s | ratio |\n|---|---|---|---|")
            for name, place in (("limited", limited), ("not limited", host)):
                _compare(scratch, name, f"{place}/bench/one:v1", size, options.rounds)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _compare(scratch: Path, name: str, place: str, size: int, rounds: int) -> None:
    speeds: dict[int, list[float]] = {1: [], _JOBS: []}
    for turn in range(rounds):
        for jobs in (1, _JOBS) if turn % 2 else (_JOBS, 1):
            root = scratch / "run"
            os.sync()
            started = time.perf_counter()
            with contentdb.open(root, durability="process") as store:
                registry = oci.parse_reference(place).registry
                with oci.Registry(registry, plain_http=True) as client:
                    oci.pull(store, place, registry=client, jobs=jobs)
            speeds[jobs].append(size / 1e6 / (time.perf_counter() - started))
            shutil.rmtree(root)
    ratio = statistics.median(b / a for a, b in zip(speeds[1], speeds[_JOBS], strict=True))
    one, four = (statistics.median(speeds[jobs]) for jobs in (1, _JOBS))
    print(f"| {name} | {one:.1f} | {four:.1f} | {ratio:.2f} |", flush=True)


@contextlib.contextmanager
def _limited(host: str, rate: float) -> Iterator[str]:
    """Run a proxy that forwards to a host and sends ``rate`` bytes a second on each connection."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as door:
        process = multiprocessing.get_context("fork").Process(
            target=_forward_all, args=(door, host, rate), daemon=True
        )
        process.start()
        try:
            yield f"127.0.0.1:{door.getsockname()[1]}"
        finally:
            process.terminate()
            process.join()


def _forward_all(door: socket.socket, host: str, rate: float) -> None:
    name, _, port = host.partition(":")
    while True:
        near, _ = door.accept()
        far = socket.create_connection((name, int(port)))
        for source, sink, limit in ((near, far, None), (far, near, rate)):
            threading.Thread(target=_forward, args=(source, sink, limit), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket, rate: float | None) -> None:
    due = time.perf_counter()
    with contextlib.suppress(OSError):
        while data := source.recv(_PIECE_BYTES):
            sink.sendall(data)
            if rate is not None:
                due = max(due + len(data) / rate, time.perf_counter() - _PIECE_BYTES / rate)
                time.sleep(max(0.0, due - time.perf_counter()))
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    sys.exit(main())
