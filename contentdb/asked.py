"""One source of many, what is said of it, and what its errors become."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from contentdb.errors import ContentDBError, InvalidArgumentError, StorageError
from contentdb.labels import Labelling, labelling
from contentdb.streams.source import is_of_source

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Asked"]


class Asked(NamedTuple):
    """One source, and what is said of it."""

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
        """Say what is wrong with this source, or raise the error if it is of the caller's own.

        Errors of classes that only the source knows, such as `lzma.LZMAError`, are raised as they
        are, unless the caller asked for values.
        """
        if isinstance(error, ContentDBError):
            return error
        if isinstance(error, OSError):
            told: ContentDBError = StorageError("read", f"source {self.describe()}", error)
        elif isinstance(error, TypeError | ValueError) or (as_value and is_of_source(error)):
            reason = str(error) or type(error).__name__
            told = InvalidArgumentError(f"source {self.describe()} cannot be read: {reason}")
        else:
            error.add_note(f"from sources[{self.number}] of add_many: {self.describe()}")
            raise error
        told.__cause__ = error
        return told

    def describe(self) -> str:
        """Show the source in a few words, whatever it is."""
        source = self.source
        if isinstance(source, os.PathLike):
            return repr(os.fspath(source))
        kind = type(source).__name__
        if isinstance(source, bytes | bytearray | memoryview):
            return f"{memoryview(source).nbytes} bytes"
        if isinstance(source, str):
            return f"the text {source:.40s}"
        name = getattr(source, "name", None)
        return f"{kind} {name!r:.200}" if isinstance(name, str | int) else kind
