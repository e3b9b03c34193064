"""Bodies of requests that may have to be sent again: bytes, and files that can go back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["Body"]


class Body:
    """The body of one request, where a file begins at its position now."""

    def __init__(self, content: BinaryIO | bytes | None) -> None:
        self.content = content
        self._start: int | None = None
        if content is not None and not isinstance(content, bytes):
            with suppress(AttributeError, OSError):  # a pipe, or only a `read`
                self._start = content.tell()

    @property
    def is_stream(self) -> bool:
        """Whether it is read while it is sent."""
        return self.content is not None and not isinstance(self.content, bytes)

    @property
    def is_untouched(self) -> bool:
        """Whether no byte of it can have been sent yet."""
        if self.content is None or isinstance(self.content, bytes):
            return False
        return self._start is not None and self.content.tell() == self._start

    def rewind(self) -> bool:
        """Go back to its start; return whether it can be sent again."""
        if self.content is None or isinstance(self.content, bytes):
            return True
        if self._start is None:
            return False
        self.content.seek(self._start)
        return True
