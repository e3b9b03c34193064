"""`RemoteStore`: the roles of a store, played over a connection."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Final, Self

from google.protobuf.field_mask_pb2 import FieldMask

from contentdb.content import Usage
from contentdb.digest import Digest
from contentdb.errors import (
    CorruptBlobError,
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidDigestError,
    NotFoundError,
)
from contentdb.labels import check_labels, keys_of_fields
from contentdb.refs import DEFAULT_NAMESPACE
from contentdb.remote.believing import as_info
from contentdb.remote.exporting import save
from contentdb.remote.ingesting import Ingesting
from contentdb.remote.labelling import info_of
from contentdb.remote.listing import list_infos
from contentdb.remote.reader import RemoteReader
from contentdb.remote.sorting import sorted_infos
from contentdb.short_digest import beginnings, only_one
from contentdb.store.add_many import check_is_many
from contentdb.store.query import check_walk
from contentdb.streams.export import target_path
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike
    from pathlib import Path
    from types import TracebackType

    from contentdb.content import ExportLink, Info, SortOrder
    from contentdb.remote.channel import Credentials

__all__ = ["RemoteStore", "connect"]

_LINKS: Final = ("reflink", "hardlink", "copy")


def connect(
    address: str, *, namespace: str = DEFAULT_NAMESPACE, credentials: Credentials | None = None
) -> RemoteStore:
    """Use the store that a server serves.

    Args:
        address: The path of a unix socket (also as ``unix:PATH``), or ``HOST:PORT``.
        namespace: Whose blobs and ingests to see.
        credentials: For mutual TLS, which ``HOST:PORT`` takes.

    Returns:
        The store. Nothing is sent before it is used.
    """
    return RemoteStore(address, namespace=namespace, credentials=credentials)


def _connected_anew(address: str, namespace: str, credentials: Credentials | None) -> RemoteStore:
    return connect(address, namespace=namespace, credentials=credentials)


class RemoteStore(Ingesting):
    """Provider, Ingester, IngestManager and Manager over containerd's Content API.

    What is durable and what is verified is up to the server, but every blob read from its
    beginning is verified here too. Thread-safe. A child of a process that has used gRPC is refused
    (`UnsafeForkError`), and so is a signal's handler whose thread is inside gRPC
    (`ReentrantCallError`); both at once.
    """

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled or copied it is another store at the same address, connected anew."""
        return _connected_anew, (self.address, self.namespace, self._credentials)

    # -- Provider

    def open(self, digest: str, *, verify: bool = True) -> RemoteReader:
        """Open for reading; with ``verify`` the read that reaches the end checks the digest."""
        digest = Digest(digest)
        return RemoteReader(self._channel, digest, self.info(digest).size, verify=verify)

    def read(self, digest: str) -> bytes:
        """All bytes, verified against the digest."""
        with self.open(digest) as reader:
            return reader.read()

    def path(self, digest: str) -> Path:
        """Refuse: a remote blob has no file here."""
        raise FailedPreconditionError(f"{Digest(digest)} is at {self.address}: it has no path here")

    def export(self, digest: str, path: str | PathLike[str], *, link: ExportLink = "copy") -> Path:
        """Write a blob to a path here, verified, whole or not at all; gives the path.

        It replaces what a store at hand would replace. Not synced. Every ``link`` becomes a copy.
        """
        _check_link(link)
        target = target_path(path)
        with self.open(digest) as reader:
            return save(reader, target)

    # -- Manager

    def info(self, digest: str) -> Info:
        """What is known of a blob."""
        return info_of(self._channel, Digest(digest))

    def exists(self, digest: str) -> bool:
        """Whether the blob is stored and not known to be damaged."""
        try:
            self.info(digest)
        except (NotFoundError, CorruptBlobError):
            return False
        return True

    def update(
        self, digest: str, labels: Mapping[str, str], *, fields: Sequence[str] | None = None
    ) -> Info:
        """Replace all labels, or with ``fields=["labels.k"]`` set or remove just those."""
        digest = Digest(digest)
        if fields is not None:
            keys_of_fields(fields)
            if not fields:
                return self.info(digest)  # no mask at all would mean all labels on the wire
        request = wire.UpdateRequest(
            info=wire.Info(digest=digest, labels=check_labels(labels)),
            update_mask=None if fields is None else FieldMask(paths=fields),
        )
        with self._channel.told(digest=digest):
            answer = self._channel.update(request)
        return as_info(answer.info, asked=digest)

    def walk(
        self,
        *filters: str,
        labels: Mapping[str, str] | None = None,
        sort: SortOrder = "digest",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Info]:
        """Stream what the filters select. Any order but that by digest is made here, on disk."""
        asked = check_walk(filters, labels, sort, after, limit)
        infos = list_infos(self._channel, wire.ListContentRequest(filters=asked.texts))
        if (behind := asked.after) is not None:
            infos = (info for info in infos if info.digest > behind)
        if sort != "digest":
            return sorted_infos(infos, sort, limit)
        return infos if limit is None else islice(infos, min(limit, sys.maxsize))

    def delete(self, digest: str) -> None:
        """Remove a blob."""
        digest = Digest(digest)
        with self._channel.told(digest=digest):
            self._channel.delete(wire.DeleteContentRequest(digest=digest))

    def delete_many(self, digests: Iterable[str], *, missing_ok: bool = False) -> int:
        """Remove one blob after the other, each durably; gives how many there were."""
        check_is_many("digests", digests, "to remove one, use delete")
        count = 0
        for digest in digests:
            try:
                self.delete(digest)
                count += 1
            except NotFoundError:
                if not missing_ok:
                    raise
        return count

    # -- beyond the roles

    def resolve(self, prefix: str) -> Digest:
        """The stored digest that begins so, with or without its algorithm."""
        try:
            return self.info(Digest(prefix)).digest
        except InvalidDigestError as error:
            wanted = tuple(beginnings(prefix, error))
        found = (info.digest for info in self.walk() if info.digest.startswith(wanted))
        return only_one(prefix, list(islice(found, 2)))

    def usage(self) -> Usage:
        """Count by listing all: the wire has no shorter way."""
        blobs, blob_bytes = _count(info.size for info in self.walk())
        return Usage(blobs, blob_bytes, *_count(status.offset for status in self.statuses()))

    def close(self) -> None:
        """Disconnect; twice is harmless."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _count(sizes: Iterator[int]) -> tuple[int, int]:
    """How many there are, and their sum."""
    count = total = 0
    for count, size in enumerate(sizes, 1):  # noqa: B007 - the last one is it
        total += size
    return count, total


def _check_link(link: str) -> None:
    if link not in _LINKS:
        raise InvalidArgumentError(f"link is one of {', '.join(_LINKS)}, not {link!r}")
