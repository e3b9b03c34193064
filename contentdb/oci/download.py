"""One blob from a registry, resumed for as long as there is progress.

The network is read in one thread, ahead of the thread that hashes and writes.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from contentdb.oci.errors import HostileRegistryError, TooSlowError, UnreachableError
from contentdb.oci.transport import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from contentdb.digest import Digest
    from contentdb.oci.registry import Registry

__all__ = ["ahead", "blob_chunks"]

_AHEAD: Final = 16
"""Pieces read before they are asked for: at most 16 MiB a blob."""
_FAILURES: Final = 5
"""Broken connections in a row without progress that are borne."""
_RETRIES: Final = 100
"""Broken connections that are borne in all, so that no server makes us call for ever."""
_PROGRESS_BYTES: Final = 64 * 1024
"""What a connection must bring to count as progress."""


def blob_chunks(
    registry: Registry,
    repository: str,
    digest: Digest,
    *,
    offset: int = 0,
    size: int | None = None,
    on_retry: Callable[[int], None] = lambda _offset: None,
    pause: Callable[[float], None] = time.sleep,
) -> Generator[bytes]:
    """A blob's bytes from ``offset`` to its end, across broken connections.

    A server that ignores the range is read past. With ``size`` known, exactly that many
    bytes come out, or an error; the caller still has to check the digest.

    Args:
        registry: Whom to ask.
        repository: Where.
        digest: Which.
        offset: What is there already, in bytes; below ``size``.
        size: The whole blob, in bytes, as its descriptor says.
        on_retry: Told the offset whenever a connection broke and a new one is made.
        pause: What waits between tries without progress, given seconds.

    Raises:
        RegistryError: See `Registry.blob`; also too many broken connections.
    """
    failures = retries = 0
    at = offset
    while size is None or at < size or size == 0:
        began = at
        try:
            for chunk in _one_connection(registry, repository, digest, at, size):
                at += len(chunk)
                yield chunk
            if size is None or at == size:
                return
            raise BrokenError(f"the body ended after {at} of {size} bytes")  # noqa: TRY301 - as a cut
        except BrokenError as error:
            failures = 0 if at - began >= _PROGRESS_BYTES else failures + 1
            retries += 1
            if failures >= _FAILURES or retries >= _RETRIES or error.slow:
                kind = TooSlowError if error.slow else UnreachableError
                raise kind(
                    registry.name,
                    f"{repository}@{digest}",
                    str(error),
                    "run it again to go on from here",
                ) from error
            on_retry(at)
            if failures:
                pause(0.05 * 2**failures)


def _one_connection(
    registry: Registry, repository: str, digest: Digest, at: int, size: int | None
) -> Generator[bytes]:
    stream = registry.blob(repository, digest, offset=at, size=size)
    skip = at - stream.start
    most = (size if size is not None else 2**63 - 1) - stream.start
    try:
        for chunk in stream.chunks(most):
            if skip >= len(chunk):
                skip -= len(chunk)
            elif skip:
                yield chunk[skip:]
                skip = 0
            else:
                yield chunk
    except OversizeError:
        raise HostileRegistryError(
            registry.name,
            f"{repository}@{digest}",
            f"it sends more than {size} bytes",
            "do not trust this copy",
        ) from None
    finally:
        stream.answer.close()


def ahead(source: Generator[bytes]) -> Generator[bytes]:
    """The same pieces, read by a thread of their own up to 16 ahead.

    Close the generator to stop that thread; it ends after the piece that it is reading.
    """
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()
    thread = threading.Thread(
        target=_read_ahead, args=(source, pieces, stop), name="contentdb-oci-network", daemon=True
    )
    thread.start()
    try:
        while (item := pieces.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()  # not for long: it ends with its piece, or by the watchdog


def _read_ahead(
    source: Generator[bytes],
    pieces: queue.Queue[bytes | BaseException | None],
    stop: threading.Event,
) -> None:
    try:
        for piece in source:
            if not _put(pieces, piece, stop):
                break
    except BaseException as error:  # noqa: BLE001 - it is raised where the pieces are used
        _put(pieces, error, stop)
    else:
        _put(pieces, None, stop)
    finally:
        source.close()


def _put(
    pieces: queue.Queue[bytes | BaseException | None],
    item: bytes | BaseException | None,
    stop: threading.Event,
) -> bool:
    """Wait for room; False when nobody wants the pieces any more."""
    while not stop.is_set():
        try:
            pieces.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
