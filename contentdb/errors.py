"""All errors of this package, as one tree.

::

    ContentDBError
     ├─ InvalidArgumentError                (also ValueError)
     │   ├─ InvalidDigestError
     │   │   ├─ MalformedDigestError
     │   │   ├─ DigestLengthError
     │   │   ├─ UnsupportedAlgorithmError
     │   │   └─ AmbiguousDigestError
     │   ├─ InvalidRefError
     │   ├─ InvalidTagError
     │   ├─ InvalidLabelError
     │   ├─ InvalidFieldError
     │   ├─ InvalidFilterError
     │   └─ OffsetOutOfRangeError
     ├─ NotFoundError                       (also LookupError)
     ├─ AlreadyExistsError
     ├─ FailedPreconditionError
     │   ├─ ConflictError
     │   ├─ LeaseExistsError
     │   ├─ NoRootsError
     │   ├─ SizeMismatchError
     │   └─ DigestMismatchError
     ├─ RefLockedError
     ├─ ClosedError
     │   ├─ LeaseEndedError
     │   ├─ WriterClosedError
     │   └─ StoreClosedError
     ├─ UndecidedError
     ├─ QuotaExceededError
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

Each error carries its facts as attributes, and its message is one sentence. Errors about an
argument are also ``ValueError``, errors about absence also ``LookupError``.
"""

# Long: all errors are one tree.

from __future__ import annotations

import errno
import os

from contentdb.light_typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AlreadyExistsError",
    "AmbiguousDigestError",
    "ClosedError",
    "CommitUnknownError",
    "ConflictError",
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
    "InvalidTagError",
    "LeaseEndedError",
    "LeaseExistsError",
    "MalformedDigestError",
    "MigrationNeededError",
    "MissingExtraError",
    "NewerStoreError",
    "NoRootsError",
    "NoSpaceError",
    "NotAStoreError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "QuotaExceededError",
    "ReentrantCallError",
    "RefLockedError",
    "SizeMismatchError",
    "StorageError",
    "StoreClosedError",
    "StoreError",
    "StoreNotFoundError",
    "StoreReadOnlyError",
    "UndecidedError",
    "UnsafeForkError",
    "UnsupportedAlgorithmError",
    "UnsupportedFilesystemError",
    "WriterClosedError",
]

_SHOWN_CHARS = 80


def _quote(text: str) -> str:
    """Quote text for a one-line message, shortened, with control characters escaped."""
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")


def _shorten(digest: str) -> str:
    """Return the beginning of a digest, enough to know it by."""
    return f"{digest[:19]}…"


class ContentDBError(Exception):
    """Base class of every error that contentdb raises on purpose."""

    source_index: int | None = None
    """The place of the bad source in `add_many`, from 0; None in errors of other calls."""

    def at_source(self, index: int, source: str) -> Self:
        """Return a copy of this error whose message names the source of `add_many`."""
        message = f"sources[{index}] ({source}): {self}"
        facts = self.__dict__ | {"source_index": index}
        made: Self = _restore(type(self), (message,), facts)
        return made

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the message and all attributes, so that a process pool passes an error whole."""
        return (_restore, (type(self), self.args, self.__dict__))


E = TypeVar("E", bound=ContentDBError)


def _restore(kind: type[E], args: tuple[object, ...], facts: dict[str, object]) -> E:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


# -- arguments ---------------------------------------------------------------------------


class InvalidArgumentError(ContentDBError, ValueError):
    """An argument that is invalid whatever the store holds."""


class InvalidDigestError(InvalidArgumentError):
    """A text that is not a digest. Attribute: ``text``."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(f"invalid digest {_quote(text)}: {reason}")
        self.text = text
        self.reason = reason


class MalformedDigestError(InvalidDigestError):
    """The text does not have the form ``algorithm:encoded``."""


class DigestLengthError(InvalidDigestError):
    """The encoded part is too short or too long for the algorithm."""


class UnsupportedAlgorithmError(InvalidDigestError):
    """The algorithm is not one of sha256, sha384 and sha512."""


class AmbiguousDigestError(InvalidDigestError):
    """A shortened digest that several blobs' digests begin with."""


class InvalidRefError(InvalidArgumentError):
    """A ref that is empty, too long or holds a NUL. Attribute: ``ref``."""

    def __init__(self, ref: str, reason: str) -> None:
        super().__init__(f"invalid ref {_quote(ref)}: {reason}")
        self.ref = ref


class InvalidTagError(InvalidArgumentError):
    """A tag's name or media type that cannot be stored. Attribute: ``tag``."""

    def __init__(self, tag: str, reason: str) -> None:
        super().__init__(f"invalid tag {_quote(tag)}: {reason}")
        self.tag = tag


class InvalidLabelError(InvalidArgumentError):
    """A label that cannot be stored. Attribute: ``key``."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"invalid label {_quote(key)}: {reason}")
        self.key = key


class InvalidFieldError(InvalidArgumentError):
    """A field that cannot be updated, or sorted by. Attribute: ``field``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"invalid field {_quote(field)}: {reason}")
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
    """There is no such thing. Attributes: ``digest``, ``ref``, ``tag``, ``lease``."""

    def __init__(
        self,
        *,
        digest: str | None = None,
        ref: str | None = None,
        tag: str | None = None,
        lease: str | None = None,
    ) -> None:
        if ref is not None:
            sentence = f"no ingest with ref {_quote(ref)}"
        elif lease is not None:
            sentence = f"no lease {_quote(lease)}"
        else:
            sentence = f"no blob {digest}" if tag is None else f"no tag {_quote(tag)}"
        super().__init__(sentence)
        self.digest = digest
        self.ref = ref
        self.tag = tag
        self.lease = lease


class AlreadyExistsError(ContentDBError):
    """The content is stored already. Attribute: ``digest``."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"blob {digest} is already stored")
        self.digest = digest


class FailedPreconditionError(ContentDBError):
    """What the caller declared contradicts what the store has."""


class ConflictError(FailedPreconditionError):
    """A tag is not what the caller last saw. Attributes: ``tag``, ``wanted``, ``found``.

    Both are digests; None means that there is no such tag.
    """

    def __init__(self, tag: str, *, wanted: str | None, found: str | None) -> None:
        then = "no such tag" if wanted is None else _shorten(wanted)
        now = "there is none" if found is None else f"it names {_shorten(found)}"
        super().__init__(f"tag {_quote(tag)}: expected {then}, but {now}; look before you move it")
        self.tag = tag
        self.wanted = wanted
        self.found = found


class LeaseExistsError(FailedPreconditionError):
    """Another lease has that id. Attribute: ``lease``."""

    def __init__(self, lease: str) -> None:
        super().__init__(f"there is a lease {_quote(lease)} already; use it, or choose another id")
        self.lease = lease


class NoRootsError(FailedPreconditionError):
    """Nothing in the namespace says what is wanted, so all would go. Attribute: ``namespace``."""

    def __init__(self, namespace: str) -> None:
        super().__init__(
            f"namespace {_quote(namespace)} has no tag, lease or gc.root label, so a collection "
            "would take all that is not new; tag what is wanted, or pass no_roots (--no-roots)"
        )
        self.namespace = namespace


class SizeMismatchError(FailedPreconditionError):
    """The content has another size than declared.

    Attributes: ``expected``, ``actual`` (bytes), ``ref`` (of the ingest that is kept, if any).
    """

    def __init__(self, *, expected: int, actual: int, ref: str | None = None) -> None:
        super().__init__(_mismatch(ref, f"expected {expected} bytes, got {actual}"))
        self.expected = expected
        self.actual = actual
        self.ref = ref


class DigestMismatchError(FailedPreconditionError):
    """The content has another digest than declared.

    Attributes: ``expected``, ``actual``, ``ref`` (of the ingest that is kept, if any).
    """

    def __init__(self, *, expected: str, actual: str, ref: str | None = None) -> None:
        super().__init__(_mismatch(ref, f"expected content {expected}, got {actual}"))
        self.expected = expected
        self.actual = actual
        self.ref = ref


def _mismatch(ref: str | None, sentence: str) -> str:
    """Add the ref to a message, with what can be done about the ingest that is kept."""
    if ref is None:
        return sentence
    return (
        f"ref {_quote(ref)}: {sentence}; nothing is stored and what came is kept: ingest the right "
        "content, go on by writer(resume=True), start over by resume=False, or drop it by abort()"
    )


class RefLockedError(ContentDBError):
    """Another writer holds the ref. Attributes: ``ref``, ``held_s`` (seconds), ``holder``."""

    def __init__(self, ref: str, *, held_s: float | None = None, holder: str | None = None) -> None:
        since = "" if held_s is None else f" for {held_s:.1f} s"
        by = "" if holder is None else f" by {holder}"
        super().__init__(f"ref {_quote(ref)} is held{since}{by}; wait for it, or abort that writer")
        self.ref = ref
        self.held_s = held_s
        self.holder = holder


class ClosedError(ContentDBError):
    """The store, lease or writer is closed already."""


class WriterClosedError(ClosedError):
    """The writer was closed, committed, or opened before a fork. Attribute: ``ref``."""

    def __init__(self, ref: str) -> None:
        super().__init__(f"the writer of ref {_quote(ref)} is closed; open the ref again")
        self.ref = ref


class LeaseEndedError(ClosedError):
    """The lease has ended or expired, or belongs to the parent of a fork. Attribute: ``lease``."""

    def __init__(self, lease: str) -> None:
        super().__init__(
            f"lease {_quote(lease)} has ended, and keeps nothing any more; begin another"
        )
        self.lease = lease


class StoreClosedError(ClosedError):
    """The store was closed. Attribute: ``root``."""

    def __init__(self, root: str) -> None:
        super().__init__(f"the store at {root} is closed; open it again")
        self.root = root


class UndecidedError(ContentDBError):
    """A blob has too many parents to find out what keeps it. Attributes: ``digest``, ``seen``."""

    def __init__(self, digest: str, seen: int) -> None:
        super().__init__(
            f"what keeps {digest} was not found out: {seen} blobs refer to it that nothing keeps; "
            "a collection takes those first"
        )
        self.digest = digest
        self.seen = seen


class QuotaExceededError(ContentDBError):
    """A namespace has no room for content within its bound; none of it was stored.

    Attributes: ``namespace``, ``wanted``, ``max_bytes`` (bytes).
    """

    def __init__(self, namespace: str, wanted: int, max_bytes: int) -> None:
        way_out = "give its policy a larger bound"
        if wanted <= max_bytes:
            kept = "the rest is kept by tags, leases or grace"
            way_out = f"{kept}; remove some, or change its policy"
        super().__init__(
            f"namespace {_quote(namespace)} may hold {max_bytes} bytes and has no room for "
            f"{wanted}: {way_out}"
        )
        self.namespace = namespace
        self.wanted = wanted
        self.max_bytes = max_bytes


class CorruptBlobError(ContentDBError):
    """A stored blob's file is gone or damaged. Attributes: ``digest``, ``path``, ``reason``."""

    def __init__(self, digest: str, path: str, reason: str) -> None:
        super().__init__(f"blob {digest} is damaged: {path}: {reason}; store its content again")
        self.digest = digest
        self.path = path
        self.reason = reason


# -- the machine ---------------------------------------------------------------------------


class StorageError(ContentDBError):
    """A file operation failed. Attributes: ``path``, ``errno``, ``action``."""

    def __init__(self, action: str, path: str, cause: OSError) -> None:
        reason = cause.strerror or str(cause)
        super().__init__(f"cannot {action} {path}: {reason}")
        self.action = action
        self.path = path
        self.errno = cause.errno

    @staticmethod
    def of(action: str, path: str | os.PathLike[str], cause: OSError) -> StorageError:
        """Make the error, as a `NoSpaceError` if the error number says so."""
        full = cause.errno in {errno.ENOSPC, errno.EDQUOT}
        return (NoSpaceError if full else StorageError)(action, os.fspath(path), cause)


class NoSpaceError(StorageError):
    """The disk or the quota has no more bytes or inodes."""


class DurabilityError(StorageError):
    """A sync failed: its bytes may be lost, so they must be written again, not synced again."""


class IndexFailedError(ContentDBError):
    """An operation of the database failed. Attributes: ``path``, ``reason``."""

    def __init__(self, path: str, reason: str, *, what: str = "index") -> None:
        super().__init__(f"{what} {path}: {reason}")
        self.path = path
        self.reason = reason


class IndexBusyError(IndexFailedError):
    """Another process held the database's write lock for too long."""


class IndexDamagedError(IndexFailedError):
    """The file is not a database, or is damaged; ``contentdb reindex`` rebuilds it."""


class CommitUnknownError(IndexFailedError):
    """A change may have happened, or may be undone by a power cut. No file was removed.

    A COMMIT failed and could not be read back, or it landed and the sync of its log failed. Do the
    same again: what is there already is then put on disk.
    """


class ReentrantCallError(IndexFailedError):
    """A signal handler called a store while its thread was inside another call; nothing changed.

    A store on files refuses only a write inside a write, a served store any call. ``path`` is the
    database's, or the address of a served store.
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
    """This process is a fork's child in which SQLite, gRPC or obstore does not work.

    It must not use the store. ``path`` is the database's, or the address of a served store or of
    objects.
    """

    def __init__(self, path: str, *, served: bool = False, client: str = "gRPC") -> None:
        if served:
            reason = (
                f"this process was forked from one that has used {client}, which works in no such "
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
    """The path leads to something else than a store."""


class NewerStoreError(StoreError):
    """The store was made by a newer contentdb than this one."""


class MigrationNeededError(StoreError):
    """The store was made by an older contentdb; ``contentdb migrate`` brings it up to date."""


class StoreReadOnlyError(StoreError):
    """The store was opened with ``mode="r"``, or this process may not write to it."""


class UnsupportedFilesystemError(StoreError):
    """The filesystem lacks something that the store's promises need."""


# -- the installation --------------------------------------------------------------------------


class MissingExtraError(ContentDBError, ImportError):
    """A package that a feature needs is not installed. Attributes: ``what``, ``extra``."""

    def __init__(self, what: str, extra: str, cause: ImportError) -> None:
        super().__init__(f"{what} needs the extra: pip install 'contentdb[{extra}]' ({cause})")
        self.what = what
        self.extra = extra
