"""One mirror of a registry: asked until it fails for good, and watched while it sends a blob."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from contentdb.logs import inform, warn
from contentdb.oci.errors import (
    HostileRegistryError,
    RegistryError,
    UnauthorizedError,
    UnreachableError,
)
from contentdb.oci.failures import BrokenError, OversizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb.digest import Digest
    from contentdb.oci.registry.endpoint import Endpoint
    from contentdb.oci.registry.registry import BlobStream, Registry

__all__ = ["Mirror", "Watched"]

_LASTING: Final = (UnreachableError, UnauthorizedError, HostileRegistryError)
"""After these a mirror is not asked again; another error is about one object."""
_UNKNOWN_BYTES: Final = 2**62
"""A larger limit for a body is no size that it should have."""


class Mirror:
    """A mirror, connected when it is first asked. Thread-safe.

    Args:
        endpoint: Where it is.
        make: Returns a client of it. It passes on each client that it tries on the way, so that
            `interrupt` reaches those.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        make: Callable[[Endpoint, Callable[[Registry], object]], Registry],
    ) -> None:
        self.endpoint = endpoint
        self._make = make
        self._lock = threading.Lock()
        self._client: Registry | None = None
        self._tried: Registry | None = None
        self._interrupted = False
        self.is_out = False
        """Whether it is not asked any more, until `resume`."""

    def client(self) -> Registry:
        """Return its client.

        Raises:
            UnreachableError: It was interrupted while the client was made.
        """
        with self._lock:
            if self._client is not None:
                return self._client
            self._client = made = self._make(self.endpoint, self._note_tried)
            self._tried = None
            if self._interrupted:  # then it may not have been found out how to reach the mirror
                self._client = None
                made.close()
                raise UnreachableError(self.endpoint.name, "mirror", "interrupted")
            return made

    def _note_tried(self, registry: Registry) -> None:
        self._tried = registry
        if self._interrupted:
            registry.interrupt()

    def serves(self, *, tag: bool) -> bool:
        """Return whether to ask it for a tag, or for a digest."""
        return not self.is_out and (self.endpoint.resolves if tag else self.endpoint.pulls)

    def fail(self, error: RegistryError) -> None:
        """Note an error, and whether the mirror is out."""
        self.is_out = self.is_out or isinstance(error, _LASTING)
        tell = warn if isinstance(error, HostileRegistryError) else inform
        tell("oci", "going past a mirror", mirror=self.endpoint.name, why=error, out=self.is_out)

    def lie(self, digest: Digest, reason: str) -> None:
        """Note that it served a blob's bytes wrongly: it is out."""
        self.is_out = True
        warn("oci", "a mirror lies", mirror=self.endpoint.name, digest=digest, why=reason)

    def interrupt(self) -> None:
        """Cut its exchanges."""
        self._interrupted = True  # without the lock, which a connection in the making holds
        for client in (self._tried, self._client):
            if client is not None:
                client.interrupt()

    def resume(self) -> None:
        """Allow exchanges, and ask the mirror again."""
        with self._lock:
            self._interrupted = self.is_out = False
            client = self._client
        if client is not None:
            client.resume()

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


class Watched:
    """A mirror's answer that tells when it broke; another place is then asked for the rest.

    It does what the stream's ``answer`` does.
    """

    def __init__(
        self, stream: BlobStream, mirror: Mirror, digest: Digest, broke: Callable[[], None]
    ) -> None:
        self._answer = stream.answer
        self._mirror = mirror
        self._digest = digest
        self._broke = broke

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the answer's
        """Return what the answer has of that name."""
        return getattr(self._answer, name)

    def chunks(self, most_bytes: int) -> Iterator[bytes]:
        """Yield the body; what is too slow breaks too, and what is too long ends at the limit."""
        left = most_bytes
        try:
            for chunk in self._answer.chunks(most_bytes):
                left -= len(chunk)
                yield chunk
            if left and most_bytes < _UNKNOWN_BYTES:
                raise BrokenError("the body ended early")  # noqa: TRY301 - handled like a broken connection
        except OversizeError:  # all that was wanted is there, and its digest will tell
            self._mirror.lie(self._digest, f"it sends more than {most_bytes} bytes")
        except BrokenError as error:
            self._broke()
            inform("oci", "a mirror broke off", mirror=self._mirror.endpoint.name, why=error)
            raise BrokenError(str(error), elsewhere=True) from error
