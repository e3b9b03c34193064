"""One blob from a registry, resumed for as long as there is progress."""

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
    pause: Callable[[float], object] | None = None,
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
        pause: What waits between tries without progress, given seconds; by default the registry's.

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
