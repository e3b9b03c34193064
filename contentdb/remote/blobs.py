"""Blobs over a connection: read, described, changed and removed."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from google.protobuf.field_mask_pb2 import FieldMask

from contentdb.content import Usage
from contentdb.errors import CorruptBlobError, FailedPreconditionError, NotFoundError
from contentdb.remote.believing import as_info
from contentdb.remote.labelling import info_of, label_stored
from contentdb.remote.listing import list_infos, list_statuses
from contentdb.remote.reader import RemoteReader
from contentdb.remote.sorting import sorted_infos
from contentdb.remote.tags import Tags
from contentdb.streams.export import save
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from contentdb.content import ExportLink, Info
    from contentdb.digest import Digest
    from contentdb.engine import Query
    from contentdb.labels import Labelling

__all__ = ["Blobs"]


class Blobs(Tags):
    """The engine's part of `contentdb.content.Provider` and `Manager`, over a connection."""

    # -- bytes out

    def open(self, digest: Digest, *, verify: bool) -> RemoteReader:
        """Open a blob; with ``verify`` the read that reaches the end checks the digest."""
        return RemoteReader(self._channel, digest, self.info(digest).size, verify=verify)

    def read(self, digest: Digest) -> bytes:
        """Return all bytes, verified against the digest."""
        with self.open(digest, verify=True) as reader:
            return reader.read()

    def path(self, digest: Digest) -> NoReturn:
        """Refuse: the front asks for the capability first."""
        raise FailedPreconditionError(f"{digest} is at {self.place}: it has no path here")

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:  # noqa: ARG002 - every link is a copy
        """Write a blob to a local path, verified; every kind of link becomes a copy."""
        with self.open(digest, verify=True) as reader:
            return save(reader, target)

    # -- blobs

    def info(self, digest: Digest) -> Info:
        """Return a blob's Info."""
        return info_of(self._channel, digest)

    def exists(self, digest: Digest) -> bool:
        """Return whether a blob is stored and not known to be damaged."""
        try:
            self.info(digest)
        except (NotFoundError, CorruptBlobError):
            return False
        return True

    def listed(self, digest: Digest) -> Digest:
        """Return the digest of a blob that is stored."""
        return self.info(digest).digest

    def abbreviated(self, beginnings: list[str]) -> list[Digest]:
        """Return up to two digests with these beginnings; all blobs are listed to find them."""
        wanted = tuple(beginnings)
        infos = list_infos(self._channel, wire.ListContentRequest())
        return list(islice((each.digest for each in infos if each.digest.startswith(wanted)), 2))

    def update(
        self, digest: Digest, labels: Mapping[str, str], keys: frozenset[str] | None
    ) -> Info:
        """Replace all labels, or those under ``keys``."""
        if keys is not None and not keys:
            return self.info(digest)  # on the wire an empty mask means all labels
        paths = None if keys is None else [f"labels.{key}" for key in keys]
        request = wire.UpdateRequest(
            info=wire.Info(digest=digest, labels=labels),
            update_mask=None if paths is None else FieldMask(paths=paths),
        )
        with self._channel.translate_errors(digest=digest):
            answer = self._channel.update(request)
        return as_info(answer.info, asked=digest)

    def label_stored(self, digest: Digest, labels: Labelling) -> Info | None:
        """Add a call's labels to stored content; return None if it was deleted meanwhile."""
        try:
            return label_stored(self._channel, digest, labels.stored)
        except NotFoundError:
            return None

    def walk(self, query: Query) -> Iterator[Info]:
        """Stream the query's blobs; an order other than by digest is sorted here, on disk."""
        infos = list_infos(self._channel, wire.ListContentRequest(filters=query.texts))
        if (behind := query.after) is not None:
            infos = (info for info in infos if info.digest > behind)
        if query.sort != "digest":
            return sorted_infos(infos, query.sort, query.limit)
        return infos if query.limit is None else islice(infos, min(query.limit, sys.maxsize))

    def delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Remove blobs one by one, each durably; return how many were removed."""
        count = 0
        for digest in digests:
            try:
                with self._channel.translate_errors(digest=digest):
                    self._channel.delete(wire.DeleteContentRequest(digest=digest))
                count += 1
            except NotFoundError:
                if not missing_ok:
                    raise
        return count

    # -- the whole

    def usage(self) -> Usage:
        """Count blobs and ingests by listing all of them: the wire has no rpc for it."""
        infos = list_infos(self._channel, wire.ListContentRequest())
        statuses = list_statuses(self._channel, wire.ListStatusesRequest())
        blobs, blob_bytes = _count(info.size for info in infos)
        return Usage(blobs, blob_bytes, *_count(status.offset for status in statuses))

    def close(self) -> None:
        """Disconnect; twice is harmless."""
        self._channel.close()


def _count(sizes: Iterator[int]) -> tuple[int, int]:
    """Return how many sizes there are, and their sum."""
    count = total = 0
    for size in sizes:
        count += 1
        total += size
    return count, total
