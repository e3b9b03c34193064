"""`RemoteStore`: the roles of a store, played over a connection."""

from __future__ import annotations

import time
import uuid
from io import BytesIO
from itertools import islice, repeat
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from google.protobuf.field_mask_pb2 import FieldMask

from contentdb.content import Info, Status, Usage
from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    CorruptBlobError,
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidDigestError,
    InvalidFieldError,
    InvalidFilterError,
    NotFoundError,
    RefLockedError,
    StorageError,
)
from contentdb.labels import check_labels, keys_of_fields
from contentdb.layout import DEFAULT_NAMESPACE, check_namespace, check_ref
from contentdb.remote.believing import as_info, as_status, nonsense
from contentdb.remote.channel import Channel, Credentials
from contentdb.remote.exporting import save
from contentdb.remote.ingesting import fill
from contentdb.remote.listing import list_infos, list_statuses
from contentdb.remote.reader import RemoteReader
from contentdb.remote.writer import RemoteWriter
from contentdb.server import content_pb2 as wire
from contentdb.shortening import beginnings, only_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import BinaryIO

    from typing_extensions import Buffer

    Source = Buffer | BinaryIO | PathLike[str]

__all__ = ["RemoteStore", "connect"]

_RETRY_S: Final = 0.02
_LINKS: Final = ("reflink", "hardlink", "copy")
_SORTS: Final = {
    "digest": lambda info: info.digest,
    "size": lambda info: (info.size, info.digest),
    "created_at": lambda info: (info.created_ns, info.digest),
    "updated_at": lambda info: (info.updated_ns, info.digest),
}


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


class RemoteStore:
    """Provider, Ingester, IngestManager and Manager over containerd's Content API.

    What is durable and what is verified is up to the server, but every blob read from its
    beginning is verified here too. Thread-safe; not for use across a fork.
    """

    def __init__(
        self, address: str, *, namespace: str, credentials: Credentials | None = None
    ) -> None:
        self.address = address
        self.namespace = check_namespace(namespace)
        self._credentials = credentials
        self._channel = Channel(address, namespace, credentials)

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

    def export(self, digest: str, path: str | PathLike[str], *, link: str = "copy") -> Path:
        """Write a blob to a path here, verified, whole or not at all; gives the path.

        It replaces what a store at hand would replace. Not synced. Every ``link`` becomes a copy.
        """
        _check_link(link)
        with self.open(digest) as reader:
            return save(reader, Path(path))

    # -- Ingester

    def writer(
        self,
        ref: str,
        *,
        total: int | None = None,
        expected: str | None = None,
        wait: float | bool = False,
    ) -> RemoteWriter:
        """Begin or resume an ingest. The server itself waits half a second for a held ref."""
        wanted = None if expected is None else Digest(expected)
        total, wanted = self._declaration(check_ref(ref), total, wanted)
        deadline = None if wait is True else time.monotonic() + wait
        while True:
            try:
                return RemoteWriter(self._channel, ref, total=total, expected=wanted)
            except RefLockedError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
            time.sleep(_RETRY_S)

    def _declaration(
        self, ref: str, total: int | None, expected: Digest | None
    ) -> tuple[int | None, Digest | None]:
        """Complete what is declared by what was; the wire would take a contradiction."""
        try:
            before = self.status(ref)
        except NotFoundError:
            return total, expected
        for was, now in ((before.total, total), (before.expected, expected)):
            if None not in (was, now) and was != now:
                raise FailedPreconditionError(f"ref {ref} was begun for {was}, not for {now}")
        return before.total if total is None else total, expected or before.expected

    def ingest(
        self,
        ref: str,
        source: BinaryIO,
        *,
        total: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        wait: float | bool = True,
    ) -> Info:
        """Take a whole stream in: wait, resume, verify, commit. Already stored is success."""
        labels = check_labels(labels or {})
        try:
            with self.writer(ref, total=total, expected=expected, wait=wait) as writer:
                return fill(writer, source, total=total, expected=expected, labels=labels)
        except AlreadyExistsError as error:
            self._forget(ref)  # an ingest of what is stored has nothing left to do
            if expected not in {None, error.digest}:
                raise nonsense(f"{error.digest} where {expected} was expected") from error
            return self.info(error.digest)

    def add(
        self,
        source: Source,
        *,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        link: str = "copy",
    ) -> Info:
        """Store content without a ref, whether it was there already or not.

        A ``reflink`` or a ``hardlink`` becomes a copy; ``move`` is refused.
        """
        _check_link(link, "move")
        if link == "move":
            raise FailedPreconditionError(f"a move does not reach {self.address}: use copy")
        if isinstance(source, PathLike):
            try:
                with Path(source).open("rb") as file:
                    return self._add(file, expected, labels)
            except OSError as error:
                raise StorageError.of("read", source, error) from error
        stream: BinaryIO = source if hasattr(source, "read") else BytesIO(source)  # type: ignore[assignment]
        return self._add(stream, expected, labels)

    def _add(
        self, source: BinaryIO, expected: str | None, labels: Mapping[str, str] | None
    ) -> Info:
        ref = f"add-{uuid.uuid4()}"
        try:
            return self.ingest(ref, source, expected=expected, labels=labels)
        except BaseException:
            self._forget(ref)
            raise

    def _forget(self, ref: str) -> None:
        try:
            self.abort(ref)
        except ContentDBError:
            return  # the first error is the one to tell; a sweep finds the rest

    def add_many(
        self,
        sources: Iterable[Source],
        *,
        expected: Iterable[str | None] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Info | ContentDBError]:
        """Store one after the other; a bad source yields its error and spoils no other."""
        for source, digest in zip(sources, repeat(None) if expected is None else expected):  # noqa: B905 - repeat has no end
            try:
                yield self.add(source, expected=digest, labels=labels)
            except ContentDBError as error:
                yield error

    # -- IngestManager

    def status(self, ref: str) -> Status:
        """One ingest. A containerd does not tell whether it is held: False."""
        with self._channel.told(ref=check_ref(ref)):
            answer = self._channel.status(wire.StatusRequest(ref=ref))
        return as_status(answer.status, asked=ref)

    def statuses(self, *filters: str) -> Iterator[Status]:
        """Those that any of the filters selects, by ref."""
        return list_statuses(self._channel, wire.ListStatusesRequest(filters=_checked(filters)))

    def abort(self, ref: str) -> None:
        """Drop an ingest."""
        with self._channel.told(ref=check_ref(ref)):
            self._channel.abort(wire.AbortRequest(ref=ref))

    # -- Manager

    def info(self, digest: str) -> Info:
        """What is known of a blob."""
        digest = Digest(digest)
        with self._channel.told(digest=digest):
            answer = self._channel.info(wire.InfoRequest(digest=digest))
        return as_info(answer.info, asked=digest)

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
        sort: str = "digest",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Info]:
        """Stream what the filters select. Any order but that by digest is made here, in memory."""
        key = _SORTS.get(sort.removeprefix("-"))
        if key is None:
            raise InvalidFieldError(sort, f"sort by one of {', '.join(_SORTS)}")
        behind = None if after is None else Digest(after)
        if behind is not None and sort != "digest":
            raise InvalidArgumentError(
                f"after pages in digest order; leave it out to sort by {sort!r:.80}"
            )
        if limit is not None and limit < 0:
            raise InvalidArgumentError(f"a limit is 0 or more, not {limit}")
        infos = list_infos(self._channel, wire.ListContentRequest(filters=_checked(filters)))
        if behind is not None:
            infos = (info for info in infos if info.digest > behind)
        if sort != "digest":
            infos = iter(sorted(infos, key=key, reverse=sort.startswith("-")))
        return infos if limit is None else islice(infos, limit)

    def delete(self, digest: str) -> None:
        """Remove a blob."""
        digest = Digest(digest)
        with self._channel.told(digest=digest):
            self._channel.delete(wire.DeleteContentRequest(digest=digest))

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
        sizes = [info.size for info in self.walk()]
        offsets = [status.offset for status in self.statuses()]
        return Usage(len(sizes), sum(sizes), len(offsets), sum(offsets))

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


def _check_link(link: str, *more: str) -> None:
    if link not in {*_LINKS, *more}:
        raise InvalidArgumentError(f"link is one of {', '.join((*_LINKS, *more))}, not {link!r}")


def _checked(filters: Sequence[str]) -> Sequence[str]:
    """What a filter says is read by the server; here it must be text that the wire can carry."""
    for text in filters:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            reason = "no field holds what is not Unicode"
            raise InvalidFilterError(text, error.start, reason) from error
    return filters
