"""The engine behind a socket: what a store does, asked of a server of the Content API."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from google.protobuf.field_mask_pb2 import FieldMask

from contentdb.content import Usage
from contentdb.errors import CorruptBlobError, FailedPreconditionError, NotFoundError
from contentdb.remote.believing import as_info
from contentdb.remote.exporting import save
from contentdb.remote.labelling import info_of, label_stored
from contentdb.remote.listing import list_infos, list_statuses
from contentdb.remote.reader import RemoteReader
from contentdb.remote.sorting import sorted_infos
from contentdb.remote.write import Write
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from contentdb.content import ExportLink, Info
    from contentdb.digest import Digest
    from contentdb.engine import Capability, Query
    from contentdb.labels import Labelling

__all__ = ["RemoteEngine"]


class RemoteEngine(Write):
    """Plays `contentdb.engine.Engine` over a connection, with no further capability.

    What is durable and what is verified is up to the server, but every blob read from its
    beginning is verified here too. A child of a process that has used gRPC is refused
    (`UnsafeForkError`), and so is a signal's handler whose thread is inside gRPC
    (`ReentrantCallError`); both at once.
    """

    capabilities: frozenset[Capability] = frozenset()

    # -- bytes out

    def open(self, digest: Digest, *, verify: bool) -> RemoteReader:
        """Open for reading; with ``verify`` the read that reaches the end checks the digest."""
        return RemoteReader(self._channel, digest, self.info(digest).size, verify=verify)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes, verified against the digest."""
        with self.open(digest, verify=True) as reader:
            return reader.read()

    def path(self, digest: Digest) -> NoReturn:
        """Refuse: the front asks for the capability first."""
        raise FailedPreconditionError(f"{digest} is at {self.place}: it has no path here")

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:  # noqa: ARG002 - every link is a copy
        """Write a blob to a path here; every link becomes a copy."""
        with self.open(digest, verify=True) as reader:
            return save(reader, target)

    # -- blobs

    def info(self, digest: Digest) -> Info:
        """Ask what is known of a blob."""
        return info_of(self._channel, digest)

    def exists(self, digest: Digest) -> bool:
        """Whether a blob is stored and not known to be damaged."""
        try:
            self.info(digest)
        except (NotFoundError, CorruptBlobError):
            return False
        return True

    def listed(self, digest: Digest) -> Digest:
        """Return the digest of a blob that is stored."""
        return self.info(digest).digest

    def abbreviated(self, beginnings: list[str]) -> list[Digest]:
        """Look through all blobs: the wire has no shorter way."""
        wanted = tuple(beginnings)
        infos = list_infos(self._channel, wire.ListContentRequest())
        return list(islice((each.digest for each in infos if each.digest.startswith(wanted)), 2))

    def update(
        self, digest: Digest, labels: Mapping[str, str], keys: frozenset[str] | None
    ) -> Info:
        """Replace all labels, or those of some keys."""
        if keys is not None and not keys:
            return self.info(digest)  # no mask at all would mean all labels on the wire
        paths = None if keys is None else [f"labels.{key}" for key in keys]
        request = wire.UpdateRequest(
            info=wire.Info(digest=digest, labels=labels),
            update_mask=None if paths is None else FieldMask(paths=paths),
        )
        with self._channel.told(digest=digest):
            answer = self._channel.update(request)
        return as_info(answer.info, asked=digest)

    def label_stored(self, digest: Digest, labels: Labelling) -> Info | None:
        """Set the labels of a call on stored content; None if it was deleted meanwhile."""
        try:
            return label_stored(self._channel, digest, labels.stored)
        except NotFoundError:
            return None

    def walk(self, query: Query) -> Iterator[Info]:
        """Stream what the filters select. Any order but that by digest is made here, on disk."""
        infos = list_infos(self._channel, wire.ListContentRequest(filters=query.texts))
        if (behind := query.after) is not None:
            infos = (info for info in infos if info.digest > behind)
        if query.sort != "digest":
            return sorted_infos(infos, query.sort, query.limit)
        return infos if query.limit is None else islice(infos, min(query.limit, sys.maxsize))

    def delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Remove one blob after the other, each durably."""
        count = 0
        for digest in digests:
            try:
                with self._channel.told(digest=digest):
                    self._channel.delete(wire.DeleteContentRequest(digest=digest))
                count += 1
            except NotFoundError:
                if not missing_ok:
                    raise
        return count

    # -- the whole

    def usage(self) -> Usage:
        """Count by listing all: the wire has no shorter way."""
        infos = list_infos(self._channel, wire.ListContentRequest())
        statuses = list_statuses(self._channel, wire.ListStatusesRequest())
        blobs, blob_bytes = _count(info.size for info in infos)
        return Usage(blobs, blob_bytes, *_count(status.offset for status in statuses))

    def close(self) -> None:
        """Disconnect; twice is harmless."""
        self._channel.close()


def _count(sizes: Iterator[int]) -> tuple[int, int]:
    """How many there are, and their sum."""
    count = total = 0
    for size in sizes:
        count += 1
        total += size
    return count, total
