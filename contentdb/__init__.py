"""A content store: verified, read-only blobs in files, an SQLite index, ingests locked by ref.

::

    import contentdb

    with contentdb.open("/var/cache/blobs") as store:
        info = store.add(b"hello")
        assert store.read(info.digest) == b"hello"

`contentdb.content` is the design in one short file, `contentdb.errors` draws what can go wrong.
Importing this imports neither SQLAlchemy nor alembic, nor what an extra brings.
"""

from __future__ import annotations

import typing as _typing

from contentdb.content import (
    Answers,
    Info,
    Ingester,
    IngestManager,
    Manager,
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
    NewerStoreError,
    NoSpaceError,
    NotAStoreError,
    NotFoundError,
    OffsetOutOfRangeError,
    RefLockedError,
    SizeMismatchError,
    StorageError,
    StoreClosedError,
    StoreError,
    StoreNotFoundError,
    UnsupportedAlgorithmError,
    UnsupportedFilesystemError,
    WriterClosedError,
)
from contentdb.opening import migrate
from contentdb.reindex import Reindexed, reindex
from contentdb.repair import Repaired, repair
from contentdb.store import Store
from contentdb.store import open_store as open  # noqa: A004 - `contentdb.open`, like `gzip.open`
from contentdb.sweep import Swept
from contentdb.verify import Finding

if _typing.TYPE_CHECKING:
    from contentdb import filters
    from contentdb.remote import RemoteStore, connect

__all__ = [
    "AlreadyExistsError",
    "AmbiguousDigestError",
    "Answers",
    "ClosedError",
    "CommitUnknownError",
    "ContentDBError",
    "CorruptBlobError",
    "Digest",
    "DigestLengthError",
    "DigestMismatchError",
    "DurabilityError",
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
    "MalformedDigestError",
    "Manager",
    "MigrationNeededError",
    "NewerStoreError",
    "NoSpaceError",
    "NotAStoreError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "Provider",
    "Reader",
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
    "Swept",
    "UnsupportedAlgorithmError",
    "UnsupportedFilesystemError",
    "Usage",
    "Writer",
    "WriterClosedError",
    "__version__",
    "connect",
    "filters",
    "migrate",
    "open",
    "reindex",
    "repair",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Bring in when it is asked for what takes its time, or needs the extra ``contentdb[grpc]``."""
    if name == "filters":
        import importlib

        return importlib.import_module("contentdb.filters")
    if name not in {"RemoteStore", "connect"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from contentdb import remote

    found: object = getattr(remote, name)
    return found
