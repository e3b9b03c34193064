"""Sends a blob in chunks, and goes on from where the registry says that it stands.

The protocol is https://github.com/opencontainers/distribution-spec, "Pushing a blob in chunks".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.errors import InvalidArgumentError
from contentdb.oci.errors import RegistryError, TooSlowError, UnreachableError
from contentdb.oci.registry.parts import Part, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.parts import Opener
    from contentdb.oci.registry.session import Session

__all__ = ["CHUNK_BYTES", "Begun", "Chunks"]

CHUNK_BYTES: Final = 64 * 1024 * 1024
"""The first size of chunks, where a registry does not take the whole in one request."""
_SHRINK: Final = 4
"""Chunks that are refused are made smaller by this factor, down to the limit below."""
_LEAST_CHUNK_BYTES: Final = 256 * 1024
_STUMBLES: Final = 16
"""How often in all a registry may take less than it was sent, or break off within a chunk."""
_AT: Final = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")
_OUT_OF_ORDER: Final = 416
_TOO_LARGE: Final = 413


class Begun(NamedTuple):
    """An upload that the registry has begun."""

    url: str
    least_chunk_bytes: int
    """The registry's OCI-Chunk-Min-Length; 0 if it states none."""


class Chunks:
    """One blob's chunks, whose size is changed to what the registry takes.

    Args:
        session: Sends the requests.
        repository: Where to.
        size: The blob's size in bytes.
        chunk_bytes: The first size of chunks; by default `CHUNK_BYTES`.
    """

    def __init__(
        self, session: Session, repository: str, size: int, chunk_bytes: int | None
    ) -> None:
        self._session = session
        self._repository = repository
        self._size = size
        self._scope = f"repository:{repository}:pull,push"
        self.size_bytes = CHUNK_BYTES if chunk_bytes is None else chunk_bytes
        if self.size_bytes < 1:
            raise InvalidArgumentError(f"chunks of {chunk_bytes} bytes cannot be sent")
        self._least_bytes = min(max(1, self.size_bytes // _SHRINK), _LEAST_CHUNK_BYTES)
        self._stumbles = _STUMBLES

    def shrink(self, error: RegistryError) -> bool:
        """Make the chunks smaller if the last one may have been too large for the registry."""
        if error.status not in {_TOO_LARGE, _OUT_OF_ORDER} or self.size_bytes <= self._least_bytes:
            return False
        sent = min(self.size_bytes, self._size)
        self.size_bytes = max(sent // _SHRINK, self._least_bytes)
        return True

    def send(self, begun: Begun, open_at: Opener, moved: Callable[[int], object]) -> str:
        """Send all bytes; return the URL of the upload's end.

        Raises:
            SourceError: The blob could not be read.
            RegistryError: The registry refused a chunk, or stumbled too often.
        """
        url, at = begun.url, 0
        while at < self._size:
            length = min(max(self.size_bytes, begun.least_chunk_bytes), self._size - at)
            part = Part(open_at, at, length, moved)
            url, taken = self._send_chunk(url, part)
            if taken != at + length:
                self._stumbles -= 1
                if self._stumbles < 0:
                    raise self._error("it takes less than it is sent, again and again")
                if at < taken:
                    self.size_bytes = max(taken - at, self._least_bytes)
                else:
                    self._session.pause(0.1 * (_STUMBLES - self._stumbles))
            at = taken
        return url

    def _send_chunk(self, url: str, part: Part) -> tuple[str, int]:
        """Send a chunk; return the next URL, and how many bytes of the blob the registry has."""
        end = part.start + part.length
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(part.length),
            "Content-Range": f"{part.start}-{end - 1}",
        }
        try:
            answer = stream(
                self._session, "PATCH", url, self._repository,
                scope=self._scope, headers=headers, body=part, ok=(202, _OUT_OF_ORDER),
            )  # fmt: skip
        except TooSlowError:
            raise
        except UnreachableError as error:
            return self._ask(url, end, error)
        answer.close()
        taken = self._taken(answer, end)
        if answer.status != _OUT_OF_ORDER:
            url = self._session.location(answer, self._repository, url)
            return url, end if taken is None else taken
        refused = self._error("it answers 416")
        refused.status = _OUT_OF_ORDER
        if taken is None:
            url, taken = self._ask(url, end, refused)
        elif answer.headers.get("Location"):
            url = self._session.location(answer, self._repository, url)
        if taken == part.start:
            raise refused  # it stands where this chunk begins: it wants another size
        return url, taken

    def _ask(self, url: str, most: int, failure: RegistryError) -> tuple[str, int]:
        """Ask where an upload stands after a failure, which is raised if there is no answer."""
        try:
            answer = self._session.request(
                "GET", url, self._repository, scope=self._scope, headers={}, ok=(200, 204)
            )
        except TooSlowError:
            raise
        except RegistryError:
            raise failure from None
        answer.close()
        taken = self._taken(answer, most)
        if taken is None:
            raise failure
        if answer.headers.get("Location"):
            url = self._session.location(answer, self._repository, url)
        return url, taken

    def _taken(self, answer: Answer, most: int) -> int | None:
        """Return how many bytes the registry has by its Range; None if that does not say."""
        found = _AT.fullmatch(answer.headers.get("Range", ""))
        if found is None:
            return None
        # 0-0 is one byte, but none for the registries that have no other way to say so.
        taken = 0 if found[1] == "0" and most > 1 else int(found[1]) + 1
        if taken > most:
            self._session.refuse(self._repository, f"it was sent {most} bytes, and has {taken}")
        return taken

    def _error(self, reason: str) -> RegistryError:
        return RegistryError(
            self._session.name, self._repository, reason, "see the registry's own log"
        )
