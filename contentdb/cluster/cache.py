"""A store on files of this host as a cache of blobs: read at its speed, and fetched into it once.

The cache never says what is stored: the database is asked for the row first, so a deleted blob is
not served. What the cache cannot do, for want of room or whatever else, is done without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from contentdb.content import ContentStore
from contentdb.errors import ContentDBError, CorruptBlobError, NotFoundError
from contentdb.logs import inform, swallow, warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.content import Reader
    from contentdb.digest import Digest

__all__ = ["Cache", "Files"]

T = TypeVar("T")

_WAIT_S: Final = 60.0
"""How long a read waits for another one that fetches the same blob."""
_TRIES: Final = 3
"""How often a blob may be gone again as soon as it was fetched: the cache makes room for others."""
_LEFT: Final = (
    "what was fetched of a blob that cannot be had stays in the cache until a prune there"
)


class _ElsewhereError(Exception):
    """A blob could not be read where it is stored; the argument is why."""


class _Source:
    """A blob on its way into the cache. It keeps its own error, which is not the cache's."""

    def __init__(self, open_reader: Callable[[], Reader]) -> None:
        self.failure: Exception | None = None
        self._open_reader = open_reader
        self._reader: Reader | None = None

    def open_at(self, offset: int) -> _Source:
        """Begin to read at an offset."""
        self.close()
        self._reader = self._open_reader()
        self._reader.seek(offset)
        return self

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes."""
        assert self._reader is not None  # noqa: S101 - it is opened first
        try:
            return self._reader.read(size)
        except Exception as error:
            self.failure = error
            raise

    def close(self) -> None:
        """End the reading."""
        if self._reader is not None:
            self._reader.close()


class Files(ContentStore, Protocol):
    """The store that a cache is in."""

    def open(self, digest: str, *, verify: bool = True) -> Reader:
        """Open a blob for reading."""
        ...


class Cache:
    """The blobs of one store, or of several, in a store on files."""

    def __init__(self, files: Files) -> None:
        self.files = files

    def close(self) -> None:
        """Close the store; its readers go on."""
        self.files.close()

    def try_act(self, digest: Digest, act: Callable[[], T]) -> T | None:
        """Return what ``act`` makes of the cached blob; None if that fails, or it is not there."""
        try:
            return act()
        except NotFoundError:
            return None
        except ContentDBError as error:
            _log_failure(digest, error)
            return None

    def use(
        self, digest: Digest, size: int, open_reader: Callable[[], Reader], act: Callable[[], T]
    ) -> T | None:
        """Return what ``act`` makes of the cached blob, which is fetched if need be.

        Return None if the cache fails, so that it is to be done without it.

        Args:
            digest: The blob, which has a row.
            size: In bytes.
            open_reader: Opens it where it is stored, verified.
            act: Called when it is in the cache.

        Raises:
            ContentDBError: It could not be read where it is stored.
        """
        try:
            return self._use(digest, size, open_reader, act, wait=_WAIT_S)
        except _ElsewhereError as error:
            raise error.args[0] from None
        except ContentDBError as error:
            _log_failure(digest, error)
            return None

    def demand(
        self, digest: Digest, size: int, open_reader: Callable[[], Reader], act: Callable[[], T]
    ) -> T:
        """Do as `use` does, but raise the error of a cache that fails, and wait without end."""
        try:
            return self._use(digest, size, open_reader, act, wait=True)
        except _ElsewhereError as error:
            raise error.args[0] from None

    def _use(
        self,
        digest: Digest,
        size: int,
        open_reader: Callable[[], Reader],
        act: Callable[[], T],
        *,
        wait: float | bool,
    ) -> T:
        for _ in range(_TRIES):
            try:
                return act()
            except NotFoundError:
                pass
            except CorruptBlobError as error:
                warn("cluster.cache", "a copy was damaged, and is fetched again", digest=digest,
                     path=error.path)  # fmt: skip
            self._fetch(digest, size, open_reader, wait=wait)
        return act()

    def _fetch(
        self, digest: Digest, size: int, open_reader: Callable[[], Reader], *, wait: float | bool
    ) -> None:
        """Store a blob in the cache; of several fetches of one at once all but one only wait."""
        source = _Source(open_reader)
        ref = str(digest)
        try:
            self.files.ingest(ref, source.open_at, total=size, expected=digest, wait=wait)
        except Exception as error:
            if source.failure is None:
                raise
            if isinstance(source.failure, (CorruptBlobError, NotFoundError)):
                with swallow("cluster.cache", _LEFT, ContentDBError, digest=digest):
                    self.files.abort(ref)
            raise _ElsewhereError(source.failure) from error
        finally:
            source.close()


def _log_failure(digest: Digest, error: ContentDBError) -> None:
    inform("cluster.cache", "a blob is read without the cache", digest=digest, error=error)
