"""A content store: verified, read-only blobs in files, an SQLite index, ingests locked by ref.

::

    import contentdb

    with contentdb.open("/var/cache/blobs") as store:
        info = store.add(b"hello")
        assert store.read(info.digest) == b"hello"

`contentdb.content` is the design in one short file, `contentdb.errors` draws what can go wrong.
Each name is imported when it is first asked for: this file alone takes a millisecond, so that the
command line is at its first line, and hears Ctrl-C, before what it needs is imported.
"""

from __future__ import annotations

import sys as _sys
import types as _types

TYPE_CHECKING = False  # to import `typing` takes ten times as long as all of this
if TYPE_CHECKING:
    from contentdb import content as content
    from contentdb import errors as errors
    from contentdb import filters as filters
    from contentdb.content import (
        Answers,
        Info,
        Ingester,
        IngestManager,
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
    from contentdb.opening import migrate
    from contentdb.reindex import Reindexed, reindex
    from contentdb.remote import RemoteStore, connect
    from contentdb.repair import Repaired, repair
    from contentdb.store import Store
    from contentdb.store import open_store as open  # noqa: A004 - `contentdb.open`, like `gzip.open`
    from contentdb.sweep import Swept
    from contentdb.verify import Finding

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
    "MissingExtraError",
    "NewerStoreError",
    "NoSpaceError",
    "NotAStoreError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "Openable",
    "Progress",
    "Provider",
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
    "Swept",
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
    "Digest": "digest",
    "Finding": "verify",
    "Info": "content",
    "IngestManager": "content",
    "Ingester": "content",
    "Manager": "content",
    "Openable": "content",
    "Progress": "content",
    "Provider": "content",
    "Reader": "content",
    "Reindexed": "reindex",
    "RemoteStore": "remote",
    "Repaired": "repair",
    "SortOrder": "content",
    "Source": "content",
    "Status": "content",
    "Store": "store",
    "Swept": "sweep",
    "Usage": "content",
    "Writer": "content",
    "connect": "remote",
    "migrate": "opening",
    "open": "store",
    "reindex": "reindex",
    "repair": "repair",
}
"""Where a name comes from, but for errors, which are in `contentdb.errors`."""


def _load(name: str) -> object:
    """Import what is asked for; the modules that documents speak of, too."""
    from importlib import import_module

    if name in {"content", "errors", "filters"}:
        return import_module(f"contentdb.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"contentdb.{_MODULES.get(name, 'errors')}")
    found: object = getattr(module, "open_store" if name == "open" else name)
    globals()[name] = found
    return found


if not TYPE_CHECKING:  # type checkers read the names above, and tell of a misspelt one
    __getattr__ = _load


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Function:
    """A function that has the name of a module, which an import would put in its place."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, package: object, _owner: type) -> object:
        found = vars(package)
        return found[self._name] if self._name in found else _load(self._name)

    def __set__(self, package: object, value: object) -> None:
        if not isinstance(value, _types.ModuleType):
            vars(package)[self._name] = value

    def __delete__(self, package: object) -> None:
        vars(package).pop(self._name, None)


class _Package(_types.ModuleType):
    """Gives `contentdb.repair` and `contentdb.reindex` as what they are to callers."""

    reindex = _Function()
    repair = _Function()


_sys.modules[__name__].__class__ = _Package
del TYPE_CHECKING
