"""One source of `add_many`, with its digest and labels, and the errors that it causes."""

from __future__ import annotations

import os

from contentdb.errors import ContentDBError, InvalidArgumentError, StorageError
from contentdb.labels import Labelling, labelling
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.streams.source import is_of_source

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Asked"]


class Asked(NamedTuple):
    """One source, with the digest and the labels that the caller gave for it."""

    number: int
    """Its place among the sources, from 0."""
    source: Any
    expected: str | None
    labels: Labelling | Mapping[str, str] | None

    def labelling(self, *, keep_labels: bool) -> Labelling:
        """Check the labels of this source."""
        if isinstance(self.labels, Labelling):
            return self.labels
        return labelling(self.labels, keep_labels=keep_labels)

    def answer_of(self, error: Exception, *, as_value: bool) -> ContentDBError:
        """Turn an exception of this source into a `ContentDBError`.

        Exceptions of the source's own classes, such as `lzma.LZMAError`, are raised unchanged,
        with a note that names the source. With ``as_value`` they are turned too.
        """
        if isinstance(error, ContentDBError):
            return error
        if isinstance(error, OSError):
            answer: ContentDBError = StorageError("read", f"source {self.describe()}", error)
        elif isinstance(error, TypeError | ValueError) or (as_value and is_of_source(error)):
            reason = str(error) or type(error).__name__
            answer = InvalidArgumentError(f"source {self.describe()} cannot be read: {reason}")
        else:
            error.add_note(f"from sources[{self.number}] of add_many: {self.describe()}")
            raise error
        answer.__cause__ = error
        return answer

    def describe(self) -> str:
        """Describe the source in a few words, for error messages."""
        source = self.source
        if isinstance(source, bytes | bytearray | memoryview):  # before what is slow to ask for
            return f"{memoryview(source).nbytes} bytes"
        if isinstance(source, os.PathLike):
            return repr(os.fspath(source))
        kind = type(source).__name__
        if isinstance(source, str):
            return f"the text {source:.40s}"
        name = getattr(source, "name", None)
        return f"{kind} {name!r:.200}" if isinstance(name, str | int) else kind
