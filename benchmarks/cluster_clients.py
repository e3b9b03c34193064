"""What one client process of ``benchmarks.cluster`` does: one line of code for each contestant."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import traceback
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import contentdb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

CLIENTS: Final = (1, 2, 4, 8)
_CHUNK: Final = 8 << 20
_MANY: Final = 512
_LISTED: Final = 20_000
_TABLE: Final = """CREATE TABLE IF NOT EXISTS floor
(digest text COLLATE "C" PRIMARY KEY, size bigint, key text)"""


class Address(NamedTuple):
    """Where everything is."""

    endpoint: str
    registry: str
    floor: str
    objects: str
    inline: str
    objects_at: str
    inline_at: str
    cache: str
    """A directory, of all client processes."""


def client(address: Address, pipe: Connection) -> None:
    """Do what comes through the pipe; answer how often a second, or with a traceback."""
    work = Work(address)
    while True:
        contestant, size, seconds = pipe.recv()
        try:
            pipe.send(_rate(work.of(contestant, size), seconds))
        except Exception:  # noqa: BLE001 - the parent raises it
            pipe.send(traceback.format_exc())


def _rate(act: Callable[[], int], seconds: float) -> float:
    count = act() if not seconds else 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        count += act()
    return count / (time.perf_counter() - began)


class Work:
    """What the contestants do. An act returns how many blobs it did."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._known: dict[str, str] = {}

    def of(self, contestant: str, size: int) -> Callable[[], int]:
        """The act of a contestant with content of this size, new each time."""
        acts: dict[str, Callable[[int], int]] = {
            "PUT + INSERT": self._floor, "PUT": self._put, "INSERT": self._insert,
            "add, object": lambda size: self._add(self._objects, size),
            "add, inline": lambda size: self._add(self._inline, size),
            "add_many, inline": self._add_many, "docker-registry": self._push,
            "put(iterator)": self._put_stream, "writer": self._write,
            "GET": self._get, "SELECT + GET": self._select_get,
            "read, object": lambda size: self._read(self._objects, "object", size),
            "read, cached": lambda size: self._read(self._cached, "cached", size),
            "read, inline": lambda size: self._read(self._inline, "inline", size),
            "COPY": self._copy, "walk": self._walk,
        }  # fmt: skip
        return lambda: acts[contestant](size)

    # -- the floor -----------------------------------------------------------------------------

    @cached_property
    def _s3(self) -> Any:  # noqa: ANN401 - obstore's
        from tests.cluster.servers import s3_client

        return s3_client(self._address.endpoint, "floor", checksum_algorithm="SHA256")

    @cached_property
    def _database(self) -> Any:  # noqa: ANN401 - psycopg's
        import psycopg

        made = psycopg.connect(self._address.floor, autocommit=True)
        made.execute("SELECT pg_advisory_lock(1)")
        made.execute(_TABLE)
        made.execute("SELECT pg_advisory_unlock(1)")
        return made

    def _floor(self, size: int) -> int:
        import obstore

        data = os.urandom(size)
        digest = hashlib.sha256(data).hexdigest()
        obstore.put(self._s3, digest, data, use_multipart=False)
        values = (digest, size, digest)
        self._database.execute("INSERT INTO floor VALUES (%s, %s, %s)", values)
        self._known[f"floor {size}"] = digest
        return 1

    def _put(self, size: int) -> int:
        import obstore

        obstore.put(self._s3, os.urandom(16).hex(), os.urandom(size), use_multipart=False)
        return 1

    def _insert(self, size: int) -> int:
        digest = os.urandom(32).hex()
        values = (digest, size, digest)
        self._database.execute("INSERT INTO floor VALUES (%s, %s, %s)", values)
        return 1

    def _get(self, size: int) -> int:
        import obstore

        if f"floor {size}" not in self._known:
            self._floor(size)
        obstore.get_range(self._s3, self._known[f"floor {size}"], start=0, length=size)
        return 1

    def _select_get(self, size: int) -> int:
        if f"floor {size}" not in self._known:
            self._floor(size)
        query = "SELECT key FROM floor WHERE digest = %s"
        self._database.execute(query, (self._known[f"floor {size}"],)).fetchone()
        return self._get(size)

    def _put_stream(self, size: int) -> int:
        import obstore

        obstore.put(self._s3, os.urandom(16).hex(), _chunks(size), chunk_size=_CHUNK,
                    max_concurrency=3)  # fmt: skip
        return size >> 20

    # -- ours ----------------------------------------------------------------------------------

    @cached_property
    def _objects(self) -> contentdb.Store:
        from contentdb.cluster.open import create

        at = self._address
        create(at.objects, at.objects_at, endpoint=at.endpoint, inline_bytes=0)
        return contentdb.open(at.objects)

    @cached_property
    def _cached(self) -> contentdb.Store:
        self._objects  # noqa: B018 - it makes the store
        return contentdb.open(self._address.objects, cache=self._address.cache)

    @cached_property
    def _inline(self) -> contentdb.Store:
        at = self._address
        return contentdb.open(at.inline, objects=at.inline_at, endpoint=at.endpoint)

    @staticmethod
    def _add(store: contentdb.Store, size: int) -> int:
        store.add(os.urandom(size))
        return 1

    def _add_many(self, size: int) -> int:
        return sum(1 for _ in self._inline.add_many([os.urandom(size) for _ in range(_MANY)]))

    def _read(self, store: contentdb.Store, name: str, size: int) -> int:
        known = f"{name} {size}"
        if known not in self._known:
            self._known[known] = store.add(os.urandom(size)).digest
        store.read(self._known[known])
        return 1

    def _write(self, size: int) -> int:
        with self._objects.writer(os.urandom(16).hex()) as writer:
            for chunk in _chunks(size):
                writer.write(chunk)
            writer.commit()
        return size >> 20

    def _walk(self, _size: int) -> int:
        self._fill()
        return sum(1 for _ in self._inline.walk())

    def _copy(self, _size: int) -> int:
        self._fill()
        with self._rows.cursor().copy("COPY blobs TO STDOUT") as copy:
            return sum(1 for _ in copy.rows())

    def _fill(self) -> None:
        if "listed" not in self._known:
            missing = max(0, _LISTED - self._inline.usage().blobs)
            for _ in self._inline.add_many(os.urandom(64) for _ in range(missing)):
                pass
            self._known["listed"] = "yes"

    @cached_property
    def _rows(self) -> Any:  # noqa: ANN401 - psycopg's
        import psycopg

        return psycopg.connect(self._address.inline, autocommit=True)

    # -- the rival -----------------------------------------------------------------------------

    @cached_property
    def _registry(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address.registry)

    def _push(self, size: int) -> int:
        data = os.urandom(size)
        self._registry.request("POST", "/v2/bench/blobs/uploads/")
        answer = self._registry.getresponse()
        answer.read()
        place = urlsplit(answer.getheader("location", ""))
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        where = f"{place.path}?{place.query}&digest={digest}"
        self._registry.request("PUT", where, data, {"content-type": "application/octet-stream"})
        answer = self._registry.getresponse()
        said = answer.read()
        if answer.status != http.client.CREATED:
            raise RuntimeError(f"the registry answers {answer.status}: {said!r}")
        return 1


def _chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // _CHUNK):
        yield os.urandom(_CHUNK)
