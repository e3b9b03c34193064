"""The bytes of a blob on their way out: read from its source while a request is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from contentdb.oci.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.session import Session

__all__ = ["Opener", "Part", "SourceError", "stream"]


class Opener(Protocol):
    """A function that opens a blob for reading from an offset on; it may be called again."""

    def __call__(self, offset: int, /) -> BinaryIO:
        """Open the blob at an offset in bytes. The caller closes what it opened."""
        ...


class SourceError(Exception):
    """Reading the blob failed, with ``cause``: no other way of sending it helps."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(cause)
        self.cause = cause


class Part:
    """A file of a blob's next bytes; it is opened when it is first read, and can be read again."""

    def __init__(
        self, open_at: Opener, start: int, length: int, moved: Callable[[int], object]
    ) -> None:
        self.start = start
        self.length = length
        self.failure: BaseException | None = None
        """The error of reading, which the transport would take for one of the connection."""
        self._open_at = open_at
        self._moved = moved
        self._file: BinaryIO | None = None
        self._at = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes."""
        left = self.length - self._at
        try:
            self._moved(self.start + self._at)
            if self._file is None:
                self._file = self._open_at(self.start + self._at)
            data = self._file.read(left if size < 0 else min(size, left))
        except BaseException as error:
            self.failure = error
            raise
        self._at += len(data)
        return data

    def tell(self) -> int:
        """Return the position within this part."""
        return self._at

    def seek(self, offset: int, /) -> int:
        """Go to a position within this part, to send it again."""
        self._at, self._file = offset, None
        return offset


def stream(
    session: Session,
    method: str,
    url: str,
    thing: str,
    *,
    scope: str,
    headers: Mapping[str, str],
    body: Part | bytes,
    ok: tuple[int, ...],
) -> Answer:
    """Send a part of a blob, as `Session.request` does.

    Raises:
        SourceError: The blob could not be read.
        RegistryError: The request failed.
    """
    sent = body if isinstance(body, bytes) else cast("BinaryIO", body)
    try:
        return session.request(method, url, thing, scope=scope, headers=headers, body=sent, ok=ok)
    except RegistryError:
        if isinstance(body, Part) and body.failure is not None:
            raise SourceError(body.failure) from None
        raise
