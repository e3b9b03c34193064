"""Downloads one blob from a registry, resuming while there is progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.oci.errors import HostileRegistryError, given_up
from contentdb.oci.failures import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from contentdb.digest import Digest
    from contentdb.oci.registry.registry import Registry

__all__ = ["blob_chunks"]

_FAILURES: Final = 5
"""Give up after this many broken connections in a row without progress."""
_RETRIES: Final = 100
"""Give up after this many broken connections in all, so that no server makes us retry for ever."""
_PROGRESS_BYTES: Final = 64 * 1024
"""A connection must bring this much to count as progress."""


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

    If a server ignores the range, skip the bytes before it. With ``size`` known, yield exactly the
    bytes up to it, or raise; the caller still has to check the digest.

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
            raise BrokenError(f"the body ended after {at} of {size} bytes")  # noqa: TRY301 - handled below like a broken connection
        except BrokenError as error:
            failures = 0 if at - began >= _PROGRESS_BYTES else failures + 1
            retries += 1
            if failures >= _FAILURES or retries >= _RETRIES or error.slow:
                thing = f"{repository}@{digest}"
                raise given_up(
                    error, registry.name, thing, "run it again to go on from here"
                ) from error
            on_retry(at)
            if failures:
                (pause or registry.pause)(0.05 * 2**failures)


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
