"""What can go wrong, as one tree.

::

    ContentDBError
     ├─ InvalidArgumentError                (also ValueError)
     │   ├─ InvalidDigestError
     │   │   ├─ MalformedDigestError
     │   │   ├─ DigestLengthError
     │   │   ├─ UnsupportedAlgorithmError
     │   │   └─ AmbiguousDigestError
     │   ├─ InvalidRefError
     │   ├─ InvalidLabelError
     │   ├─ InvalidFieldError
     │   ├─ InvalidFilterError
     │   └─ OffsetOutOfRangeError
     ├─ NotFoundError                       (also LookupError)
     ├─ AlreadyExistsError
     ├─ FailedPreconditionError
     │   ├─ SizeMismatchError
     │   └─ DigestMismatchError
     ├─ RefLockedError
     ├─ ClosedError
     │   ├─ WriterClosedError
     │   └─ StoreClosedError
     ├─ CorruptBlobError
     ├─ StorageError                        a file: which one, and the system's reason
     │   ├─ NoSpaceError
     │   └─ DurabilityError
     ├─ IndexFailedError                    the database: which one, and its reason
     │   ├─ IndexBusyError
     │   ├─ IndexDamagedError
     │   ├─ CommitUnknownError
     │   ├─ ReentrantCallError
     │   └─ UnsafeForkError
     ├─ StoreError                          the root as a whole
     │   ├─ StoreNotFoundError              (also LookupError)
     │   ├─ NotAStoreError
     │   ├─ NewerStoreError
     │   ├─ MigrationNeededError
     │   ├─ StoreReadOnlyError
     │   └─ UnsupportedFilesystemError
     └─ MissingExtraError                   (also ImportError)

Each class carries its facts as attributes and says one plain sentence. Errors about an
argument are also ``ValueError``, those about absence also ``LookupError``.
"""

from __future__ import annotations

import errno
import os
from typing import Self, TypeVar

__all__ = [
    "AlreadyExistsError",
    "AmbiguousDigestError",
    "ClosedError",
    "CommitUnknownError",
    "ContentDBError",
    "CorruptBlobError",
    "DigestLengthError",
    "DigestMismatchError",
    "DurabilityError",
    "FailedPreconditionError",
    "IndexBusyError",
    "IndexDamagedError",
    "IndexFailedError",
    "InvalidArgumentError",
    "InvalidDigestError",
    "InvalidFieldError",
    "InvalidFilterError",
    "InvalidLabelError",
    "InvalidRefError",
    "MalformedDigestError",
    "MigrationNeededError",
    "MissingExtraError",
    "NewerStoreError",
    "NoSpaceError",
    "NotAStoreError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "ReentrantCallError",
    "RefLockedError",
    "SizeMismatchError",
    "StorageError",
    "StoreClosedError",
    "StoreError",
    "StoreNotFoundError",
    "StoreReadOnlyError",
    "UnsafeForkError",
    "UnsupportedAlgorithmError",
    "UnsupportedFilesystemError",
    "WriterClosedError",
]

_SHOWN_CHARS = 80


def _shown(text: str) -> str:
    """Quote text for a one-line message, shortened, with control characters escaped."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


class ContentDBError(Exception):
    """Root of every error that contentdb raises on purpose."""

    source_index: int | None = None
    """Which source of `add_many` it is about, counted from 0; None for any other call's."""

    def at_source(self, index: int, source: str) -> Self:
        """Make the error that `add_many` raises of this one: of its class, naming the place."""
        message = f"sources[{index}] ({source}): {self}"
        facts = self.__dict__ | {"source_index": index}
        made: Self = _restored(type(self), (message,), facts)
        return made

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as message and facts, so that an error crosses a process pool whole."""
        return (_restored, (type(self), self.args, self.__dict__))


E = TypeVar("E", bound=ContentDBError)


def _restored(kind: type[E], args: tuple[object, ...], facts: dict[str, object]) -> E:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


# -- arguments ---------------------------------------------------------------------------


class InvalidArgumentError(ContentDBError, ValueError):
    """An argument that can never be right, whatever the store holds."""


class InvalidDigestError(InvalidArgumentError):
    """A text that is not a digest. Attribute: ``text``."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"invalid digest {_shown(text)}: {reason}")
        self.text = text


class MalformedDigestError(InvalidDigestError):
    """The text does not have the form ``algorithm:encoded``."""


class DigestLengthError(InvalidDigestError):
    """The encoded part has another length than the algorithm gives."""


class UnsupportedAlgorithmError(InvalidDigestError):
    """The algorithm is not one of sha256, sha384 and sha512."""


class AmbiguousDigestError(InvalidDigestError):
    """A shortened digest that fits several blobs."""


class InvalidRefError(InvalidArgumentError):
    """A ref that is empty, too long or holds a NUL. Attribute: ``ref``."""

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(f"invalid ref {_shown(ref)}: {reason}")
        self.ref = ref


class InvalidLabelError(InvalidArgumentError):
    """A label that cannot be stored. Attribute: ``key``."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"invalid label {_shown(key)}: {reason}")
        self.key = key


class InvalidFieldError(InvalidArgumentError):
    """An update or a sort of a field that does not allow it. Attribute: ``field``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"invalid field {_shown(field)}: {reason}")
        self.field = field


class InvalidFilterError(InvalidArgumentError):
    """A filter that does not parse. Attributes: ``text``, ``position``, ``reason``."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        start = max(0, position - _SHOWN_CHARS // 2)
        window = text[start : start + _SHOWN_CHARS]
        line = "".join(
            char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in window
        )
        caret = " " * (position - start) + "^"
        super().__init__(
            f"invalid filter, at position {position}: {reason}\n    {line}\n    {caret}"
        )
        self.text = text
        self.position = position
        self.reason = reason


class OffsetOutOfRangeError(InvalidArgumentError):
    """An offset that lies outside the content. Attributes: ``offset``, ``size``."""

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(f"offset {offset} is outside content of {size} bytes")
        self.offset = offset
        self.size = size


# -- what is there and what is not ---------------------------------------------------------


class NotFoundError(ContentDBError, LookupError):
    """No blob of that digest, or no ingest of that ref. Attributes: ``digest``, ``ref``."""

    def __init__(self, *, digest: str | None = None, ref: str | None = None) -> None:
        super().__init__(
            f"no blob {digest}" if ref is None else f"no ingest with ref {_shown(ref)}"
        )
        self.digest = digest
        self.ref = ref


class AlreadyExistsError(ContentDBError):
    """The content is stored already. Attribute: ``digest``."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"blob {digest} is already stored")
        self.digest = digest


class FailedPreconditionError(ContentDBError):
    """What was declared contradicts what is there."""


class SizeMismatchError(FailedPreconditionError):
    """Content of another size than declared.

    Attributes: ``expected``, ``actual`` (bytes), ``ref`` (of the ingest that is kept, if any).
    """

    def __init__(self, *, expected: int, actual: int, ref: str | None = None) -> None:
        super().__init__(_mismatch(ref, f"expected {expected} bytes, got {actual}"))
        self.expected = expected
        self.actual = actual
        self.ref = ref


class DigestMismatchError(FailedPreconditionError):
    """Content of another digest than declared.

    Attributes: ``expected``, ``actual``, ``ref`` (of the ingest that is kept, if any).
    """

    def __init__(self, *, expected: str, actual: str, ref: str | None = None) -> None:
        super().__init__(_mismatch(ref, f"expected content {expected}, got {actual}"))
        self.expected = expected
        self.actual = actual
        self.ref = ref


def _mismatch(ref: str | None, sentence: str) -> str:
    """Say what to do where an ingest is left, which only its ref leads to."""
    if ref is None:
        return sentence
    return (
        f"ref {_shown(ref)}: {sentence}; nothing is stored and what came is kept: ingest the right "
        "content, go on by writer(resume=True), start over by resume=False, or drop it by abort()"
    )


class RefLockedError(ContentDBError):
    """Another writer holds the ref. Attributes: ``ref``, ``held_s`` (seconds), ``holder``."""

    def __init__(self, ref: str, *, held_s: float | None = None, holder: str | None = None) -> None:
        since = "" if held_s is None else f" for {held_s:.1f} s"
        by = "" if holder is None else f" by {holder}"
        super().__init__(f"ref {_shown(ref)} is held{since}{by}; wait for it, or abort that writer")
        self.ref = ref
        self.held_s = held_s
        self.holder = holder


class ClosedError(ContentDBError):
    """Use of something that was closed."""


class WriterClosedError(ClosedError):
    """The writer was closed, committed, or opened before a fork. Attribute: ``ref``."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"the writer of ref {_shown(ref)} is closed; open the ref again")
        self.ref = ref


class StoreClosedError(ClosedError):
    """The store was closed. Attribute: ``root``."""

    def __init__(self, root: str) -> None:
        super().__init__(f"the store at {root} is closed; open it again")
        self.root = root


class CorruptBlobError(ContentDBError):
    """A stored blob whose file is gone or damaged. Attributes: ``digest``, ``path``, ``reason``."""

    def __init__(self, digest: str, path: str, reason: str) -> None:
        super().__init__(f"blob {digest} is damaged: {path}: {reason}; store its content again")
        self.digest = digest
        self.path = path
        self.reason = reason


# -- the machine ---------------------------------------------------------------------------


class StorageError(ContentDBError):
    """The system refused a file operation. Attributes: ``path``, ``errno``, ``action``."""

    def __init__(self, action: str, path: str, cause: OSError) -> None:
        reason = cause.strerror or str(cause)
        super().__init__(f"cannot {action} {path}: {reason}")
        self.action = action
        self.path = path
        self.errno = cause.errno

    @staticmethod
    def of(action: str, path: str | os.PathLike[str], cause: OSError) -> StorageError:
        """Choose the class that fits the system's error number."""
        full = cause.errno in {errno.ENOSPC, errno.EDQUOT}
        return (NoSpaceError if full else StorageError)(action, os.fspath(path), cause)


class NoSpaceError(StorageError):
    """The disk or the quota is full, of bytes or of inodes."""


class DurabilityError(StorageError):
    """A sync failed: the bytes behind it must be taken for lost and are written anew."""


class IndexFailedError(ContentDBError):
    """The database refused. Attributes: ``path``, ``reason``."""

    def __init__(self, path: str, reason: str, *, what: str = "index") -> None:
        super().__init__(f"{what} {path}: {reason}")
        self.path = path
        self.reason = reason


class IndexBusyError(IndexFailedError):
    """Another process held the database's write lock for too long."""


class IndexDamagedError(IndexFailedError):
    """The file is not a database, or is damaged; ``contentdb reindex`` rebuilds it."""


class CommitUnknownError(IndexFailedError):
    """A commit failed and could not be read back: it may have happened. No file was removed."""


class ReentrantCallError(IndexFailedError):
    """A signal handler called a store while its thread was inside a call of it; nothing changed.

    At a store at hand that is so of writes alone. ``path`` is the database's, or the address of a
    store that a server serves.
    """

    def __init__(self, path: str, *, served: bool = False) -> None:
        if served:
            reason = (
                "this thread is in the middle of a call of a served store already; a signal "
                "handler must not make another one: let it set a flag, and make the call after it "
                "has returned"
            )
        else:
            reason = (
                "this thread is in the middle of a write already; a signal handler must not write: "
                "let it set a flag, and write after it has returned"
            )
        super().__init__(path, reason, what=_what(served=served))


class UnsafeForkError(IndexFailedError):
    """A fork made this process in a way that SQLite, or gRPC, does not survive.

    This process must not use the store. ``path`` is the database's, or the address of a store that
    a server serves.
    """

    def __init__(self, path: str, *, served: bool = False) -> None:
        if served:
            reason = (
                "this process was forked from one that has used gRPC, which works in no such "
                "child, not even by a new connection: start workers by spawn or forkserver, or "
                "connect in the children alone"
            )
        else:
            reason = (
                "this process was forked while a thread of its parent was using the database; "
                "fork before the store is used, or run a new program and open the store there"
            )
        super().__init__(path, reason, what=_what(served=served))


def _what(*, served: bool) -> str:
    return "the store at" if served else "index"


# -- the root --------------------------------------------------------------------------------


class StoreError(ContentDBError):
    """The directory cannot be used as a store. Attributes: ``root``, ``reason``."""

    def __init__(self, root: str, reason: str) -> None:
        super().__init__(f"{root}: {reason}")
        self.root = root
        self.reason = reason


class StoreNotFoundError(StoreError, LookupError):
    """There is no store at that path."""


class NotAStoreError(StoreError):
    """The path holds something else."""


class NewerStoreError(StoreError):
    """The store was made by a newer contentdb than this one."""


class MigrationNeededError(StoreError):
    """The store was made by an older contentdb; ``contentdb migrate`` brings it up to date."""


class StoreReadOnlyError(StoreError):
    """The store was opened with ``mode="r"``, or this process may not write to it."""


class UnsupportedFilesystemError(StoreError):
    """The filesystem lacks what the store's promises stand on."""


# -- the installation --------------------------------------------------------------------------


class MissingExtraError(ContentDBError, ImportError):
    """What it needs is not installed. Attributes: ``what``, ``extra``."""

    def __init__(self, what: str, extra: str, cause: ImportError) -> None:
        super().__init__(f"{what} needs the extra: pip install 'contentdb[{extra}]' ({cause})")
        self.what = what
        self.extra = extra
