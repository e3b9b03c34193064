"""The one seam to the object store: PUT, ranged GET, DELETE, LIST, through obstore.

A key is written once, so a PUT may be sent again. Every request is tried until a deadline, with
growing, random pauses; obstore's own tries come first.
"""

from __future__ import annotations

import errno
import os
import random
import re
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import obstore
from obstore import exceptions
from obstore.store import LocalStore, MemoryStore, S3Store

from contentdb.errors import InvalidArgumentError, StorageError, UnsafeForkError
from contentdb.logs import inform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from typing_extensions import Buffer

__all__ = ["Bucket", "Listed", "check_objects"]

T = TypeVar("T")

DEADLINE_S: Final = 30.0
"""Seconds after which a request that fails again and again is an error."""
_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 3.0
_NEVER_PASSES: Final = re.compile(r"status(?: code:)? (?:400|401|403|404|405|411|501)\b")
"""A status in obstore's text, which has the key too."""
_LIST_COUNT: Final = 1000
_DELETE_COUNT: Final = 500

_memories: dict[str, MemoryStore] = {}
_memories_lock = threading.Lock()
_user = 0
"""The process that has used obstore first: its threads do not exist in a fork's child."""


def check_objects(url: object) -> str:
    """Return the address of an object store; raise `InvalidArgumentError` for another."""
    if isinstance(url, str):
        scheme, found, rest = url.partition("://")
        if found and rest.strip("/") and scheme in {"s3", "file", "memory"}:
            return url.rstrip("/")
    raise InvalidArgumentError(
        f"objects is s3://BUCKET/PREFIX (or file:///DIRECTORY, memory://NAME for tests), "
        f"not {url!r:.80}"
    )


def _check_fork(url: str) -> None:
    """Raise `UnsafeForkError` in a child of a process that has used obstore: it would hang."""
    global _user  # noqa: PLW0603 - one process, one number
    _user = _user or os.getpid()
    if _user != os.getpid():
        raise UnsafeForkError(url, served=True, client="obstore")


def _open(url: str, endpoint: str | None) -> Any:  # noqa: ANN401 - one of obstore's classes
    scheme, _, rest = url.partition("://")
    if scheme == "memory":
        with _memories_lock:
            return _memories.setdefault(rest, MemoryStore())
    if scheme == "file":
        return LocalStore(rest, mkdir=True)
    bucket, _, prefix = rest.partition("/")
    given: dict[str, Any] = {"client_options": {"timeout": "60s", "connect_timeout": "5s"}}
    if endpoint is not None:
        given["endpoint"] = endpoint
        if endpoint.startswith("http://"):
            given["client_options"]["allow_http"] = True
    return S3Store(
        bucket,
        prefix=prefix or None,
        checksum_algorithm="SHA256",  # the server compares it with what arrives, and keeps it
        retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=15)},
        **given,
    )


class Listed(NamedTuple):
    """An object in a list."""

    key: str
    size: int
    """Bytes."""
    changed_s: float
    """When it was written, by the object store's clock, in seconds since the epoch."""


class Bucket:
    """The objects of one store, below its prefix."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        """Open ``s3://BUCKET/PREFIX``; credentials are those that the AWS tools would find."""
        self.url = check_objects(url)
        _check_fork(self.url)
        try:
            self._store = _open(self.url, endpoint)
        except Exception as error:
            raise _failed("open", self.url, error) from error

    def put(self, key: str, data: Buffer) -> None:
        """Write a whole object under a key that was never used; durable as the store promises."""

        def send() -> object:  # no multipart: a kill would leave an upload that nothing lists
            return obstore.put(self._store, key, data, use_multipart=False)

        self._try("write", key, send)

    def get(self, key: str, offset: int, size: int) -> bytes | None:
        """Return bytes of an object, fewer if it is shorter; None if it is not there."""
        if not size:
            return b""

        def ask() -> bytes | None:
            try:
                return bytes(obstore.get_range(self._store, key, start=offset, length=size))
            except FileNotFoundError:
                return None
            except exceptions.GenericError as error:
                if "non-partial response" in str(error):  # some send all when the range is all
                    whole = obstore.get(self._store, key).bytes()
                    return bytes(memoryview(whole)[offset : offset + size])
                found = self._head(key)  # one request: a try that waits on tries of its own is long
                if found is None or found > offset:
                    raise error from None
                return b""  # a range behind the end

        return self._try("read", key, ask)

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if it is not there."""
        return self._try("look at", key, lambda: self._head(key))

    def _head(self, key: str) -> int | None:
        try:
            return int(obstore.head(self._store, key)["size"])
        except FileNotFoundError:
            return None

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the sizes of all objects below a prefix, in bytes, by their keys."""

        def ask() -> dict[str, int]:  # from the first page on, each time
            pages = obstore.list(self._store, prefix, chunk_size=_LIST_COUNT)
            return {one["path"]: one["size"] for page in pages for one in page}

        return self._try("list", prefix, ask)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        left = list(keys)
        for at in range(0, len(left), _DELETE_COUNT):
            some = left[at : at + _DELETE_COUNT]
            self._try("delete", some[0], lambda some=some: self._delete(some))  # type: ignore[misc]

    def _delete(self, keys: list[str]) -> None:
        try:
            obstore.delete(self._store, keys)
        except FileNotFoundError:
            for key in keys:
                try:
                    obstore.delete(self._store, key)
                except FileNotFoundError:
                    continue

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield all objects below a prefix, in no particular order."""
        try:  # once: a list that went on after an error could lack something
            for page in obstore.list(self._store, prefix, chunk_size=_LIST_COUNT):
                for one in page:
                    yield Listed(one["path"], one["size"], one["last_modified"].timestamp())
        except exceptions.BaseError as error:
            raise _failed("list", f"{self.url}/{prefix}", error) from error

    def top(self) -> Iterator[str]:
        """Yield the names above all prefixes, and the first parts of the prefixes with a slash."""
        found = self._try("list", "", lambda: obstore.list_with_delimiter(self._store))
        yield from (one["path"] for one in found["objects"])
        yield from (f"{one.rstrip('/')}/" for one in found["common_prefixes"])

    @property
    def signs(self) -> bool:
        """Whether it makes URLs by which others may read."""
        return isinstance(self._store, S3Store)

    def sign(self, keys: Sequence[str], seconds: int) -> Sequence[str]:
        """Return URLs by which anyone may read objects for so long; it needs `signs`."""

        def ask() -> Sequence[str]:  # a role's credentials may have to be fetched first
            return obstore.sign(self._store, "GET", keys, timedelta(seconds=seconds))

        return self._try("sign", keys[0], ask)

    def _try(self, action: str, key: str, call: Callable[[], T]) -> T:
        deadline = time.monotonic() + DEADLINE_S
        pause_s = _PAUSE_S
        while True:
            try:
                return call()
            except Exception as error:
                left_s = deadline - time.monotonic()
                if not _may_pass(error) or left_s <= pause_s:
                    raise _failed(action, f"{self.url}/{key}", error) from error
                inform("cluster.objects", "a request failed; it is tried again", key=key,
                       error=_sentence(error))  # fmt: skip
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _may_pass(error: Exception) -> bool:
    """Return whether another try may help: obstore says no more of most errors than a text."""
    if not isinstance(error, exceptions.GenericError):
        return False
    return _NEVER_PASSES.search(_sentence(error)) is None


def _sentence(error: Exception) -> str:
    """Return the first line of obstore's text; the rest of it is for its own authors."""
    return str(error).partition("\n")[0].strip()


def _failed(action: str, path: str, error: Exception) -> StorageError:
    if isinstance(error, StorageError):
        return error
    number = errno.EIO
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        number = errno.EACCES
    elif isinstance(error, OSError) and error.errno:
        number = error.errno
    return StorageError.of(action, path, OSError(number, _sentence(error)))
