"""Servers of a suite's own with one store on them, processes that work on it, and its judge."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.cluster.fixtures import place_for_objects, running
from tests.cluster.servers import CREDENTIALS, Postgres, SeaweedFS, missing
from tests.crash.suite import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from multiprocessing.context import ForkServerProcess

    import contentdb

__all__ = [
    "NAMESPACES", "SEGMENT_BYTES", "Place", "Rig", "content", "digest_of", "judged",
    "prepare_process", "rig", "started",
]  # fmt: skip

NAMESPACES: Final = ("default", "other")
SEGMENT_BYTES: Final = 32 << 10
"""Of the processes here: content of 100 KB is in several objects."""
_SIZES: Final = (200, 9_000, 9_000, 100_000)
"""In its row, in one object, in a run of objects."""


class Place(NamedTuple):
    """What a process must know of the store to open it."""

    database: str
    objects: str
    endpoint: str
    """Of the S3 server, or of a proxy before it."""

    def open(self, namespace: str = "default") -> contentdb.Store:
        """Open the store, and make it if need be."""
        import contentdb

        return contentdb.open(
            self.database, namespace=namespace, objects=self.objects, endpoint=self.endpoint
        )

    @property
    def prefix(self) -> str:
        """Of all its objects in the bucket."""
        return self.objects.rpartition("/")[2]


class Rig(NamedTuple):
    """The store, and what it stands on."""

    postgres: Postgres
    s3: SeaweedFS
    place: Place


def content(number: int) -> bytes:
    """The content of this number, of one of the sizes."""
    line = f"content {number:09d}\n".encode()
    size = _SIZES[number % len(_SIZES)]
    return (line * (size // len(line) + 1))[:size]


def digest_of(data: bytes) -> str:
    """Its digest."""
    return f"sha256:{sha256(data).hexdigest()}"


@contextmanager
def rig(*, durable: bool = False, addresses: tuple[str, ...] = ()) -> Iterator[Rig]:
    """Start the servers; they end with the block.

    Raises:
        UnavailableError: This machine lacks one of them.
    """
    lacking = [name for name in ("obstore", "psycopg") if importlib.util.find_spec(name) is None]
    if reason := missing(Postgres, SeaweedFS) or ", ".join(lacking):
        raise UnavailableError(reason)
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory(prefix="cdb-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        postgres = Postgres(folder / "postgres", durable=durable, addresses=addresses)
        s3 = SeaweedFS(folder / "seaweed")
        with running(postgres, s3):
            yield Rig(postgres, s3, Place(postgres.create_database(), *place_for_objects(s3)))


_forkserver = get_context("forkserver")
_SLOW_TO_IMPORT: Final = ("contentdb.cluster.engine", "contentdb.cluster.open")


def started(work: Callable[..., object], *given: object) -> ForkServerProcess:
    """Begin work in a process of its own; it has all modules at once, and no threads of ours.

    The object store's client has threads, which a fork of this process would not have.
    """
    _forkserver.set_forkserver_preload([work.__module__, *_SLOW_TO_IMPORT])
    process = _forkserver.Process(target=work, args=given, daemon=True)
    process.start()
    return process


def prepare_process() -> None:
    """Make content of a few kilobytes worth several objects, in this process."""
    from contentdb.cluster import add, segments

    for module in (add, segments):
        setattr(module, "SEGMENT_BYTES", SEGMENT_BYTES)  # noqa: B010 - a constant elsewhere


# -- the judge -------------------------------------------------------------------------------------

_NAMED: Final = "SELECT key, runs FROM objects WHERE inline IS NULL"
_NEEDLESS: Final = (
    "SELECT count(*) FROM objects o WHERE NOT EXISTS "
    "(SELECT 1 FROM blobs b WHERE b.digest = o.digest)"
)


def judged(rig: Rig, must: Iterable[tuple[str, str]] = (), *, prune: bool = True) -> list[str]:
    """Say what is wrong with the store, once its servers run and nothing else uses it.

    ``must`` are namespaces and digests that it must have. With ``prune`` it is pruned in the end:
    nothing may be left in the bucket but what a row names, and all blobs must be whole still.
    """
    found: list[str] = []
    for name in NAMESPACES:
        with rig.place.open(name) as store:
            there = {str(info.digest) for info in store.walk()}
            found += [f"{digest} of {place} is lost" for place, digest in must
                      if place == name and digest not in there]  # fmt: skip
            found += list(_broken(store, there, ""))
    return found + (_pruned(rig) if prune else [])


def _pruned(rig: Rig) -> list[str]:
    found: list[str] = []
    for name in NAMESPACES:
        with rig.place.open(name) as store:
            for status in list(store.statuses()):
                store.abort(status.ref)  # raises if a dead writer's ref is held
            there = {str(info.digest) for info in store.walk()}
            store.prune(older_than=0)  # what it judges
            store.prune(older_than=0)  # what the first one has thrown away
            found += list(_broken(store, there, " after the prune"))
    return found + list(_left_over(rig))


def _broken(store: contentdb.Store, there: Iterable[str], when: str) -> Iterator[str]:
    import contentdb

    for digest in there:
        try:
            if digest_of(store.read(digest)) != digest:
                yield f"{digest} has other bytes{when}"
        except contentdb.ContentDBError as error:
            yield f"{digest} is listed and cannot be read{when}: {error}"


def _left_over(rig: Rig) -> Iterator[str]:
    import obstore
    import psycopg

    named: set[str] = {"contentdb.json"}
    with psycopg.connect(rig.place.database) as connection:
        rows: list[tuple[str, list[list[Any]] | None]] = connection.execute(_NAMED).fetchall()
        needless = connection.execute(_NEEDLESS).fetchone()
    for key, runs in rows:
        named.add(key)
        for prefix, first, count, *_ in runs or ():
            named.update(f"{prefix}{number:08}" for number in range(first, first + count))
    pages = obstore.list(rig.s3.client(rig.place.prefix))
    present = {one["path"] for page in pages for one in page}
    for key in sorted(present - named)[:5]:
        yield f"an object that no row names is left: {key} ({len(present - named)} in all)"
    for key in sorted(named - present)[:5]:
        yield f"a row without its object: {key} ({len(named - present)} in all)"
    if needless != (0,):
        yield f"{needless} rows of objects that no namespace has"
