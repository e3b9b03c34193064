"""Pulls from a registry on loopback: ``python -m benchmarks.oci``.

Questions: what part of the speed does one layer of 1 GiB reach that the same client reaches when
it hashes and writes a plain file; is the disk what it waits for; and are eight layers of 64 MiB as
fast as ``skopeo copy`` to a directory. Needs docker-registry and skopeo on PATH. Rounds are
interleaved; what was written is synced before a clock starts, and removed at the very end. Pulls
go into an empty store that was made before: to make one takes 0.1 s, however much is pulled.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import contentdb
from benchmarks.docker_registry import running_registry
from benchmarks.machine import describe
from contentdb import oci

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.store.open import Durability

MIB = 1 << 20
IMAGES = {"pull_1x1g": (1, 1024 * MIB), "pull_8x64m": (8, 64 * MIB)}
NOT_DURABLE = "no"

Run = tuple[str, str, str, "Callable[[Path], object]"]
"""Workload, contestant, what is durable on return, and what to time, given a fresh path."""


def main() -> int:
    """Measure and print a table; JSON goes where ``--out`` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.oci", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=IMAGES, help="one of the workloads")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp"))  # noqa: S108 - a fresh directory in it
    parser.add_argument("--out", type=Path, help="figures as JSON")
    options = parser.parse_args()
    missing = [name for name in ("docker-registry", "skopeo") if shutil.which(name) is None]
    if missing:
        print(f"needs {', '.join(missing)} on PATH: apt-get install docker-registry skopeo")
        return 1
    scratch = Path(mkdtemp(prefix="contentdb-bench-", dir=options.scratch))
    try:
        with running_registry(scratch) as host, oci.Registry(host, plain_http=True) as client:
            for name, (layers, size) in IMAGES.items():
                push_image(
                    scratch / f"made-{name}", client, f"{host}/bench/{name}:v1", layers, size
                )
            runs = [run for run in _runs(client, host) if options.only in {None, run[0]}]
            figures = _measure(scratch, runs, options.rounds)
        _show(figures)
        if options.out is not None:
            found = {"machine": describe(scratch), "mb_per_s": figures}
            options.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


def _runs(client: oci.Registry, host: str) -> Iterator[Run]:
    for workload, (layers, size) in IMAGES.items():
        place = f"{host}/bench/{workload}:v1"
        yield workload, "same client, plain file", NOT_DURABLE, _Plain(client, place)
        yield workload, "same client, plain file, fsync", "yes", _Plain(client, place, sync=True)
        yield workload, "contentdb pull, full", "yes", _Pull(client, place, "full")
        yield workload, "contentdb pull, process", NOT_DURABLE, _Pull(client, place, "process")
        yield workload, "skopeo copy to dir", NOT_DURABLE, _Skopeo(place)
        yield workload, "writing alone, fsync", "yes", _Disk(layers, size)


class _Plain:
    def __init__(self, client: oci.Registry, place: str, *, sync: bool = False) -> None:
        self._client = client
        self._place = oci.parse_reference(place)
        self._sync = sync

    def __call__(self, target: Path) -> None:
        target.mkdir()
        repository = self._place.repository
        served = self._client.manifest(repository, self._place.object)
        for layer in oci.parse_document(served.data).layers:
            hasher = hashlib.new(layer.digest.algorithm)
            with (target / layer.digest.encoded).open("wb") as file:
                chunks = oci.blob_chunks(self._client, repository, layer.digest, size=layer.size)
                for chunk in chunks:
                    hasher.update(chunk)
                    file.write(chunk)
                if self._sync:
                    file.flush()
                    os.fsync(file.fileno())


class _Disk:
    """What the disk takes: files of that size from memory, without network and hashing."""

    def __init__(self, layers: int, size: int) -> None:
        self._layers = layers
        self._size = size
        self._piece = os.urandom(MIB)

    def __call__(self, target: Path) -> None:
        target.mkdir()
        for number in range(self._layers):
            with (target / str(number)).open("wb", buffering=0) as file:
                for _ in range(self._size // MIB):
                    file.write(self._piece)
                os.fsync(file.fileno())


class _Pull:
    def __init__(self, client: oci.Registry, place: str, durability: Durability) -> None:
        self._client = client
        self._place = place
        self._durability = durability

    def __call__(self, target: Path) -> None:
        with contentdb.open(target, durability=self._durability) as store:
            oci.pull(store, self._place, registry=self._client)


class _Skopeo:
    def __init__(self, place: str) -> None:
        self._place = place

    def __call__(self, target: Path) -> None:
        source = f"docker://{self._place}"
        command = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false"]
        subprocess.run([*command, source, f"dir:{target}"], check=True)


def _measure(scratch: Path, runs: list[Run], rounds: int) -> list[dict[str, object]]:
    speeds: dict[int, list[float]] = {number: [] for number in range(len(runs))}
    for turn in range(rounds):
        for number in range(len(runs)):
            which = (number + turn) % len(runs)
            workload, _, _, work = runs[which]
            layers, size = IMAGES[workload]
            target = scratch / f"run-{turn}-{which}"
            if isinstance(work, _Pull):
                contentdb.open(target).close()
            os.sync()
            started = time.perf_counter()
            work(target)
            speeds[which].append(layers * size / 1e6 / (time.perf_counter() - started))
    return [
        {
            "workload": run[0],
            "contestant": run[1],
            "durable": run[2],
            "median": round(statistics.median(speeds[number]), 1),
            "lowest": round(min(speeds[number]), 1),
            "highest": round(max(speeds[number]), 1),
            "of plain": _ratio(
                speeds[number], speeds[_same(runs, number, "same client, plain file")]
            ),
            "of skopeo": _ratio(speeds[number], speeds[_same(runs, number, "skopeo copy to dir")]),
        }
        for number, run in enumerate(runs)
    ]


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios: what else runs here changes both of a round alike."""
    pairs = zip(ours, theirs, strict=True)
    return round(statistics.median(one / other for one, other in pairs), 2)


def _same(runs: list[Run], number: int, contestant: str) -> int:
    """The run of another contestant at the same workload."""
    return next(n for n, run in enumerate(runs) if run[:2] == (runs[number][0], contestant))


def _show(figures: list[dict[str, object]]) -> None:
    print(
        "| workload | contestant | durable on return | MB/s, median | lowest | highest "
        "| of plain | of skopeo |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for row in figures:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


def push_image(folder: Path, client: oci.Registry, place: str, layers: int, size: int) -> None:
    """Make an image of random layers and put it into the registry."""
    kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
    with contentdb.open(folder, durability="process") as store:
        config = store.add(
            b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        )
        infos = []
        for number in range(layers):
            with store.writer(f"layer {number}") as writer:
                for _ in range(size // MIB):
                    writer.write(os.urandom(MIB))
                infos.append(writer.commit())
        entries = [
            {"mediaType": kind, "digest": info.digest, "size": info.size}
            for kind, info in ((kinds[0], config), *((kinds[1], info) for info in infos))
        ]
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": entries[0],
            "layers": entries[1:],
        }
        top = store.add(json.dumps(document).encode())
        oci.push(store, top.digest, place, registry=client)


if __name__ == "__main__":
    sys.exit(main())
