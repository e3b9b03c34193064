"""Downloads one blob from a registry, resuming while there is progress.

Registries differ in how they resume. If one refuses a range without an end, as
go-containerregistry's does, a range with an end is asked for; if it refuses that too, or answers
with something else, the whole blob is, and the bytes that are there are read past.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from contentdb.logs import inform
from contentdb.oci.errors import (
    HostileRegistryError,
    RegistryError,
    given_up,
)
from contentdb.oci.failures import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from contentdb.digest import Digest
    from contentdb.oci.registry.registry import BlobStream, Registry

__all__ = ["blob_chunks"]

_RETRIES: Final = 100
"""Give up after this many broken connections in all, so that no server makes us retry for ever."""
_PARTS: Final = 4
"""Ask for the whole after more answers in a row than this that bring less than the next."""
_PROGRESS_BYTES: Final = 64 * 1024
"""A connection must bring this much to count as progress."""

_Way = Literal["open range", "closed range", "whole"]
_NOT_OVER_RANGES: Final = frozenset({401, 429})
"""Credentials are missing, or requests come too often. By any other status a server, or a proxy
before it, may refuse a range of what it gives whole: 403 is a signed URL's."""
_BEFORE_IT: Final = frozenset({502, 503, 504})
"""Statuses of a proxy that the server's answer did not suit; no other range will suit it."""


def blob_chunks(
    registry: Registry,
    repository: str,
    digest: Digest,
    *,
    offset: int = 0,
    size: int | None = None,
    on_retry: Callable[[int], None] = lambda _offset: None,
    pause: Callable[[float], object] | None = None,
) -> Generator[bytes]:
    """Yield a blob's bytes from ``offset`` to its end, reconnecting if a connection breaks.

    The registry's ``retries`` say how many connections in a row may break without progress. If a
    server ignores or refuses the range, skip the bytes before it. With ``size`` known, or stated
    by the first answer, yield exactly the bytes up to it, or raise; the caller still has to check
    the digest.

    Args:
        registry: The client to use.
        repository: The repository to get it from.
        digest: The blob.
        offset: Bytes that the caller has already; below ``size``.
        size: The blob's size in bytes, as its descriptor states.
        on_retry: Called with the offset when a connection broke and a new one is made.
        pause: Called with the seconds to wait between tries without progress; by default the
            registry's.

    Raises:
        RegistryError: As for `Registry.blob`; or too many connections broke.
    """
    download = _Download(registry, repository, digest, offset, size)
    failures = retries = 0
    while True:
        began = download.at
        try:
            yield from download.one_answer()
            if download.is_over:
                return
            short: BrokenError | None = None
        except BrokenError as error:
            if error.elsewhere:  # at most once for each mirror
                on_retry(download.at)
                continue
            short = error
            retries += 1
        failures = 0 if download.at - began >= _PROGRESS_BYTES else failures + 1
        if retries > (_RETRIES if registry.retries else 0) or (short is not None and short.slow):
            raise download.failure(short)
        if failures > (_PARTS if short is None else registry.retries):
            if not download.ask_for_the_whole():
                raise download.failure(short)
            failures = 0
        if short is None:
            continue  # a part of what was asked for, which is legal: go on from there
        on_retry(download.at)
        if failures:
            (pause or registry.pause)(0.05 * 2**failures)


class _Download:
    """Where one download stands, and how it asks for the rest."""

    def __init__(
        self, registry: Registry, repository: str, digest: Digest, at: int, size: int | None
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self.at = at
        """The offset of the next byte to yield."""
        self._size = size
        self._way: _Way = "open range"
        self._refusal: tuple[int, RegistryError] | None = None
        """Where the last range was refused, and how."""
        self.is_over = False

    def one_answer(self) -> Generator[bytes]:
        """Yield what one answer brings.

        Raises:
            BrokenError: The connection broke, or the answer ended too early.
        """
        stream = self._request()
        try:
            yield from self._new_bytes(stream)
        except OversizeError:
            reason = f"it sends more than {self._size} bytes"
            raise self._hostile(reason) from None
        finally:
            stream.answer.close()
        if self._size is None or self.at == self._size:
            self.is_over = True
        elif stream.stop is None or self.at < stream.stop:
            raise BrokenError(f"the body ended after {self.at} of {self._size} bytes")

    def ask_for_the_whole(self) -> bool:
        """Ask for no more ranges, since they bring nothing; return whether that is a change."""
        if self._way == "whole" or not self.at:
            return False
        self._way = "whole"
        return True

    def failure(self, error: BrokenError | None) -> RegistryError:
        """Return the error of a download that is given up: a refused range if that is the cause."""
        error = error or BrokenError("it sends too little at a time")
        if self._refusal is not None and self._refusal[0] == self.at and not error.slow:
            return self._refusal[1]
        failure = given_up(
            error, self._registry.name, self._thing, "run it again to go on from here"
        )
        failure.__cause__ = error
        return failure

    def _request(self) -> BlobStream:
        while True:
            whole = self._way == "whole" or not self.at
            try:
                stream = self._registry.blob(
                    self._repository,
                    self._digest,
                    offset=0 if whole else self.at,
                    stop=None if whole or self._way == "open range" else self._size,
                    size=self._size,
                )
            except RegistryError as error:
                if whole or not _is_over_range(error):
                    raise
                self._refusal = (self.at, error)
                closed = self._way == "open range" and self._size is not None
                closed &= error.status not in _BEFORE_IT
                self._way = "closed range" if closed else "whole"
                inform("oci", "asking in another way", way=self._way, why=error)
                continue
            self._size = self._size if self._size is not None else stream.size
            return stream

    def _new_bytes(self, stream: BlobStream) -> Generator[bytes]:
        end = stream.stop if self._size is None else self._size
        skip = self.at - stream.start
        most = 2**63 - 1 if end is None else (stream.stop or end) - stream.start
        for chunk in stream.chunks(most):
            fresh = chunk[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            if fresh:
                self.at += len(fresh)
                yield fresh

    @property
    def _thing(self) -> str:
        return f"{self._repository}@{self._digest}"

    def _hostile(self, reason: str) -> HostileRegistryError:
        return HostileRegistryError(
            self._registry.name, self._thing, reason, "do not trust this copy"
        )


def _is_over_range(error: RegistryError) -> bool:
    """Return whether asking in another way may bring the bytes."""
    if isinstance(error, HostileRegistryError):
        return True  # it answered with another range
    return error.status is not None and error.status not in _NOT_OVER_RANGES
