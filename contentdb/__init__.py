"""A content store: verified, read-only blobs in files, an SQLite index, ingests locked by ref.

::

    import contentdb

    with contentdb.open("/var/cache/blobs") as store:
        info = store.add(b"hello")
        assert store.read(info.digest) == b"hello"

`contentdb.content` is the design in one short file, `contentdb.errors` draws the tree of errors.
A name is imported at its first use. This file alone takes a millisecond to import, so the command
line runs its first line, and reacts to Ctrl-C, before it imports what it needs.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import `typing` takes ten times as long as all of this
if TYPE_CHECKING:
    from contentdb import content as content
    from contentdb import errors as errors
    from contentdb import filters as filters
    from contentdb.content import (
        Answers,
        ContentStore,
        ExportLink,
        Info,
        Ingester,
        IngestManager,
        Link,
        Manager,
        Openable,
        Progress,
        Provider,
        Reader,
        SortOrder,
        Source,
        Status,
        Usage,
        Writer,
    )
    from contentdb.digest import Digest
    from contentdb.errors import (
        AlreadyExistsError,
        AmbiguousDigestError,
        ClosedError,
        CommitUnknownError,
        ContentDBError,
        CorruptBlobError,
        DigestLengthError,
        DigestMismatchError,
        DurabilityError,
        FailedPreconditionError,
        IndexBusyError,
        IndexDamagedError,
        IndexFailedError,
        InvalidArgumentError,
        InvalidDigestError,
        InvalidFieldError,
        InvalidFilterError,
        InvalidLabelError,
        InvalidRefError,
        MalformedDigestError,
        MigrationNeededError,
        MissingExtraError,
        NewerStoreError,
        NoSpaceError,
        NotAStoreError,
        NotFoundError,
        OffsetOutOfRangeError,
        ReentrantCallError,
        RefLockedError,
        SizeMismatchError,
        StorageError,
        StoreClosedError,
        StoreError,
        StoreNotFoundError,
        StoreReadOnlyError,
        UnsafeForkError,
        UnsupportedAlgorithmError,
        UnsupportedFilesystemError,
        WriterClosedError,
    )
    from contentdb.local.upkeep.migrate import migrate
    from contentdb.local.upkeep.prune import Pruned
    from contentdb.local.upkeep.reindex import Reindexed, reindex
    from contentdb.local.upkeep.repair import Repaired, repair
    from contentdb.local.upkeep.verify import Finding
    from contentdb.store import Store
    from contentdb.store.connect import RemoteStore, connect
    from contentdb.store.open import open_store as open  # noqa: A004 - `contentdb.open`, like `gzip.open`

__all__ = [
    "AlreadyExistsError",
    "AmbiguousDigestError",
    "Answers",
    "ClosedError",
    "CommitUnknownError",
    "ContentDBError",
    "ContentStore",
    "CorruptBlobError",
    "Digest",
    "DigestLengthError",
    "DigestMismatchError",
    "DurabilityError",
    "ExportLink",
    "FailedPreconditionError",
    "Finding",
    "IndexBusyError",
    "IndexDamagedError",
    "IndexFailedError",
    "Info",
    "IngestManager",
    "Ingester",
    "InvalidArgumentError",
    "InvalidDigestError",
    "InvalidFieldError",
    "InvalidFilterError",
    "InvalidLabelError",
    "InvalidRefError",
    "Link",
    "MalformedDigestError",
    "Manager",
    "MigrationNeededError",
    "MissingExtraError",
    "NewerStoreError",
    "NoSpaceError",
    "NotAStoreError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "Openable",
    "Progress",
    "Provider",
    "Pruned",
    "Reader",
    "ReentrantCallError",
    "RefLockedError",
    "Reindexed",
    "RemoteStore",
    "Repaired",
    "SizeMismatchError",
    "SortOrder",
    "Source",
    "Status",
    "StorageError",
    "Store",
    "StoreClosedError",
    "StoreError",
    "StoreNotFoundError",
    "StoreReadOnlyError",
    "UnsafeForkError",
    "UnsupportedAlgorithmError",
    "UnsupportedFilesystemError",
    "Usage",
    "Writer",
    "WriterClosedError",
    "__version__",
    "connect",
    "migrate",
    "open",
    "reindex",
    "repair",
]

__version__ = "0.1.0"


_MODULES = {
    "Answers": "content",
    "ContentStore": "content",
    "ExportLink": "content",
    "Link": "content",
    "Digest": "digest",
    "Finding": "local.upkeep.verify",
    "Info": "content",
    "IngestManager": "content",
    "Ingester": "content",
    "Manager": "content",
    "Openable": "content",
    "Progress": "content",
    "Provider": "content",
    "Reader": "content",
    "Reindexed": "local.upkeep.reindex",
    "RemoteStore": "store.connect",
    "Repaired": "local.upkeep.repair",
    "SortOrder": "content",
    "Source": "content",
    "Status": "content",
    "Store": "store",
    "Pruned": "local.upkeep.prune",
    "Usage": "content",
    "Writer": "content",
    "connect": "store.connect",
    "migrate": "local.upkeep.migrate",
    "open": "store.open",
    "reindex": "local.upkeep.reindex",
    "repair": "local.upkeep.repair",
}
"""The module of each public name; names that are missing here are in `contentdb.errors`."""


def _load(name: str) -> object:
    """Import and return a public name, or one of the modules that the documents name."""
    from importlib import import_module

    if name in {"content", "errors", "filters"}:
        return import_module(f"contentdb.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"contentdb.{_MODULES.get(name, 'errors')}")
    found: object = getattr(module, "open_store" if name == "open" else name)
    globals()[name] = found
    return found


if not TYPE_CHECKING:  # a type checker reads the imports above instead, and finds a misspelt name
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


del TYPE_CHECKING
