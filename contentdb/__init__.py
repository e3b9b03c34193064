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
        ANY,
        Answers,
        Anything,
        Collected,
        Collection,
        Collector,
        ContentStore,
        ExportLink,
        Info,
        Ingester,
        IngestManager,
        Lease,
        LeaseInfo,
        LeaseItem,
        Leaser,
        Link,
        Manager,
        Openable,
        Policy,
        Progress,
        Provider,
        QueueStatus,
        Reader,
        SortOrder,
        Source,
        Status,
        Step,
        Tag,
        Tagger,
        Usage,
        Writer,
    )
    from contentdb.digest import Digest
    from contentdb.engine import Pruned
    from contentdb.errors import (
        AlreadyExistsError,
        AmbiguousDigestError,
        ClosedError,
        CommitUnknownError,
        ConflictError,
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
        InvalidTagError,
        LeaseEndedError,
        LeaseExistsError,
        MalformedDigestError,
        MigrationNeededError,
        MissingExtraError,
        NewerStoreError,
        NoRootsError,
        NoSpaceError,
        NotAStoreError,
        NotFoundError,
        OffsetOutOfRangeError,
        QuotaExceededError,
        ReentrantCallError,
        RefLockedError,
        SizeMismatchError,
        StorageError,
        StoreClosedError,
        StoreError,
        StoreNotFoundError,
        StoreReadOnlyError,
        UndecidedError,
        UnsafeForkError,
        UnsupportedAlgorithmError,
        UnsupportedFilesystemError,
        WriterClosedError,
    )
    from contentdb.findings import Finding, Repaired
    from contentdb.local.upkeep.reindex import Reindexed, reindex
    from contentdb.local.upkeep.repack import Repacked
    from contentdb.store import Store
    from contentdb.store.connect import RemoteStore, connect
    from contentdb.store.migrate import migrate
    from contentdb.store.open import open_store as open  # noqa: A004 - `contentdb.open`, like `gzip.open`
    from contentdb.store.repair import repair

__all__ = [
    "ANY",
    "AlreadyExistsError",
    "AmbiguousDigestError",
    "Answers",
    "Anything",
    "ClosedError",
    "Collected",
    "Collection",
    "Collector",
    "CommitUnknownError",
    "ConflictError",
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
    "InvalidTagError",
    "Lease",
    "LeaseEndedError",
    "LeaseExistsError",
    "LeaseInfo",
    "LeaseItem",
    "Leaser",
    "Link",
    "MalformedDigestError",
    "Manager",
    "MigrationNeededError",
    "MissingExtraError",
    "NewerStoreError",
    "NoRootsError",
    "NoSpaceError",
    "NotAStoreError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "Openable",
    "Policy",
    "Progress",
    "Provider",
    "Pruned",
    "QueueStatus",
    "QuotaExceededError",
    "Reader",
    "ReentrantCallError",
    "RefLockedError",
    "Reindexed",
    "RemoteStore",
    "Repacked",
    "Repaired",
    "SizeMismatchError",
    "SortOrder",
    "Source",
    "Status",
    "Step",
    "StorageError",
    "Store",
    "StoreClosedError",
    "StoreError",
    "StoreNotFoundError",
    "StoreReadOnlyError",
    "Tag",
    "Tagger",
    "UndecidedError",
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
    "ANY": "content",
    "Anything": "content",
    "Answers": "content",
    "Collected": "content",
    "Collection": "content",
    "Collector": "content",
    "ContentStore": "content",
    "ExportLink": "content",
    "Link": "content",
    "Digest": "digest",
    "Finding": "findings",
    "Info": "content",
    "IngestManager": "content",
    "Ingester": "content",
    "Lease": "content",
    "LeaseInfo": "content",
    "LeaseItem": "content",
    "Leaser": "content",
    "Manager": "content",
    "Openable": "content",
    "Policy": "content",
    "Progress": "content",
    "Provider": "content",
    "QueueStatus": "content",
    "Reader": "content",
    "Reindexed": "local.upkeep.reindex",
    "Repacked": "local.upkeep.repack",
    "RemoteStore": "store.connect",
    "Repaired": "findings",
    "SortOrder": "content",
    "Source": "content",
    "Status": "content",
    "Step": "content",
    "Store": "store",
    "Tag": "content",
    "Tagger": "content",
    "Pruned": "engine",
    "Usage": "content",
    "Writer": "content",
    "connect": "store.connect",
    "migrate": "store.migrate",
    "open": "store.open",
    "reindex": "local.upkeep.reindex",
    "repair": "store.repair",
}
"""The module of each public name; names that are missing here are in `contentdb.errors`."""


def _load(name: str) -> object:
    """Import and return a public name, or one of the modules that the documents name."""
    public = name in __all__ or name in {"content", "errors", "filters"}
    if not public:  # before the import: `from contentdb import files` asks here first
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in {"content", "errors", "filters"}:
        return import_module(f"contentdb.{name}")
    module = import_module(f"contentdb.{_MODULES.get(name, 'errors')}")
    found: object = getattr(module, "open_store" if name == "open" else name)
    globals()[name] = found
    return found


if not TYPE_CHECKING:  # a type checker reads the imports above instead, and finds a misspelt name
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


del TYPE_CHECKING
