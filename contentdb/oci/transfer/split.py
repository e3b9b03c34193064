"""Downloads one large blob over several connections, if one alone is slow.

Many registries limit the rate of a connection, and lines with a long delay limit it too. So a blob
begins on one connection; if that is slow, spare ones fetch the ranges further on, and the first
connection is closed where those begin. The blob is still hashed and written in order: a later run
goes on where the yielding stood.

No failure of a range is an error. If a registry ignores ranges, limits the connections or lies,
one connection goes on, as `contentdb.oci.transfer.download` does it.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from contentdb.logs import inform
from contentdb.oci.transfer.download import blob_chunks
from contentdb.oci.transfer.ranges import RANGE_BYTES, Ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from threading import Event as Flag

    from contentdb.digest import Digest
    from contentdb.oci.registry.registry import Registry
    from contentdb.oci.transfer.ranges import Lanes

__all__ = ["SplitDownload"]

_SPLIT_BYTES: Final = 64 * 1024 * 1024
"""A blob with this much left to fetch may be split."""
_FAST: Final = 100_000_000
"""Bytes per second of a connection above which hashing and writing are the limit: measured with
``benchmarks.oci_ranges``, splitting then costs a fifth."""
_METERED: Final = (4 * 1024 * 1024, 0.2)
"""The speed is taken from so many bytes and seconds at least; then anew."""


class SplitDownload:
    """Downloads one blob, in ranges if it is large and its connection slow.

    The caller has one connection, and has to check the digest.

    Args:
        registry: The client to use.
        repository: The repository to get it from.
        digest: The blob.
        size: The blob's size in bytes, as its descriptor states.
        lanes: Where spare connections are taken.
        stopped: Ends the fetching of ranges.
        on_retry: As for `blob_chunks`.
    """

    def __init__(
        self,
        registry: Registry,
        repository: str,
        digest: Digest,
        *,
        size: int,
        lanes: Lanes,
        stopped: Flag,
        on_retry: Callable[[int], None],
    ) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._size = size
        self._lanes = lanes
        self._stopped = stopped
        self._on_retry = on_retry
        self._at = 0
        self._meter = 0, 0.0
        self._tried = False
        """Whether ranges were begun once: a second try is not made."""
        self.was_split = False
        """Whether some of the bytes came in ranges over other connections."""

    def chunks(self, offset: int) -> Generator[bytes]:
        """Yield the bytes from ``offset`` to the end, or raise, as `blob_chunks` does.

        If ``stopped`` is set while ranges are under way, end early.
        """
        self._at = offset
        ranges: Ranges | None = None
        if self._size - offset >= _SPLIT_BYTES:
            with closing(self._one_stream()) as stream:
                ranges = yield from self._until_split(stream)
        if ranges is not None:
            self.was_split = True
            with closing(ranges):
                for chunk in ranges.chunks(self._stopped):
                    self._at += len(chunk)
                    yield chunk
        if self._at < self._size and not self._stopped.is_set():
            yield from self._one_stream()

    def _one_stream(self) -> Generator[bytes]:
        return blob_chunks(
            self._registry,
            self._repository,
            self._digest,
            offset=self._at,
            size=self._size,
            on_retry=self._on_retry,
        )

    def _until_split(self, stream: Generator[bytes]) -> Generator[bytes, None, Ranges | None]:
        """Yield the stream up to where ranges go on; return those, or None at its end."""
        ranges: Ranges | None = None
        self._meter = self._at, time.monotonic()
        try:
            for chunk in stream:
                if ranges is not None and self._at + len(chunk) >= ranges.start:
                    if ranges.wait_for_proof():
                        last = chunk[: ranges.start - self._at]
                        self._at += len(last)
                        yield last
                        found, ranges = ranges, None
                        return found
                    ranges.close()
                    ranges = None
                self._at += len(chunk)
                yield chunk
                if not self._tried and self._is_slow():
                    ranges = self._begin_ranges()
        finally:
            if ranges is not None:
                ranges.close()
        return None

    def _is_slow(self) -> bool:
        at, began = self._meter
        count, seconds = self._at - at, time.monotonic() - began
        if count < _METERED[0] or seconds < _METERED[1]:
            return False
        self._meter = self._at, time.monotonic()
        return count / seconds < _FAST

    def _begin_ranges(self) -> Ranges | None:
        start = self._at + RANGE_BYTES
        if self._size - start < RANGE_BYTES or not self._lanes.take():
            return None
        self._tried = True
        try:
            ranges = Ranges(
                self._registry, self._repository, self._digest, start, self._size, self._lanes
            )
        except OSError as error:  # no room for temporary files
            self._lanes.give_back()
            inform("oci", "fetching over one connection", digest=self._digest, why=error)
            return None
        ranges.begin_thread()
        return ranges
