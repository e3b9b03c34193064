"""What users write, and type checkers accept; nothing here is run."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import contentdb
from contentdb import Digest, Info

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def sources(store: contentdb.Store, other: contentdb.Store, digest: Digest, up: IO[bytes]) -> None:
    """Whatever is read by `read(n) -> bytes` is content."""
    store.add(urllib.request.urlopen("http://localhost"))
    store.add(up)
    process = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    assert process.stdout
    store.add(process.stdout)
    store.add(gzip.open("x"))
    store.add(zipfile.ZipFile("x").open("x"))
    member = tarfile.open("x").extractfile("x")
    assert member
    store.add(member)
    store.add(tempfile.TemporaryFile())
    store.add(tempfile.SpooledTemporaryFile())
    store.add(tempfile.NamedTemporaryFile())
    store.add(other.open(digest))
    store.add(sys.stdin.buffer)
    store.add(io.BytesIO(b""))
    store.add(open("x", "rb", buffering=0))
    store.add(open("x", "rb"))
    store.add(memoryview(b"x"))
    store.add(bytearray(b"x"))
    store.add(Path("x"), link="reflink")
    store.ingest("r", other.open(digest))
    store.ingest("r", up)
    for info in store.add_many([b"x", Path("y"), up, other.open(digest)]):
        print(info.digest, info.size, info.new)


def provided(provider: contentdb.Provider, digest: str) -> None:
    """A reader of any store is a binary stream."""
    reader = provider.open(digest)
    zipfile.ZipFile(reader)
    json.load(reader)
    gzip.open(reader)
    shutil.copyfileobj(reader, sys.stdout.buffer)
    for line in reader:
        print(line.strip())
    print(reader.readline(), reader.readlines(), reader.readall(), reader.closed)
    with reader as same:
        print(same.read(5), same.seek(0), same.readable(), same.seekable())


def opened(store: contentdb.Provider, digest: str) -> None:
    """A reader is an `IO[bytes]`, whatever the store."""
    with store.open(digest) as reader:
        tarfile.open(fileobj=reader)
        io.TextIOWrapper(reader)
        io.BufferedReader(reader)
        file: IO[bytes] = reader
        print(file)


def roles(store: contentdb.Store, remote: contentdb.RemoteStore) -> None:
    """Both stores play all of them."""
    provider: contentdb.Provider = store
    ingester: contentdb.Ingester = store
    manager: contentdb.Manager = store
    ingests: contentdb.IngestManager = store
    print(provider, ingester, manager, ingests)
    provider, ingester, manager, ingests = remote, remote, remote, remote
    print(provider, ingester, manager, ingests)


def either(*, local: bool, digest: str) -> None:
    """What one takes the other takes as well."""
    store = contentdb.open("x") if local else contentdb.connect("y")
    with store:
        store.add(b"", labels={"k": "v"}, keep_labels=True)
        store.export(digest, "y")
        with store.open(digest) as reader:
            tarfile.open(fileobj=reader)
        for info in store.walk(labels={"k": "v"}, sort="-size"):
            print(info.asdict())


def answers(store: contentdb.Store, labels: list[Mapping[str, str] | None]) -> Iterator[Info]:
    """Errors are among the answers of `add_many` where they are asked for."""
    for answer in store.add_many([b"x", b"y"], labels=labels, errors="yield"):
        if isinstance(answer, contentdb.ContentDBError):
            raise answer
        yield answer
    yield from store.add_many([b"x"], labels={"k": "v"}, keep_labels=True, errors="raise")
    store.add_many([b"x"]).close()


def managed(store: contentdb.Store, info: Info) -> dict[str, Any]:
    """Orders are of the eight there are, labels and fields are text."""
    order: contentdb.SortOrder = "-size"
    walked = store.walk("size>1", labels={"k": "v"}, sort=order, limit=5)
    store.update(info.digest, {"a": "1"}, fields=["labels.a"])
    print(store.delete_many((one.digest for one in walked), missing_ok=True) + 1)
    print(contentdb.filters.quote("x").upper(), info.created_at.isoformat(), info.labels["k"])
    return info.asdict()
