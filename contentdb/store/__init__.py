"""The store: a root directory opened, playing all roles of the contract at once.

Each role has a file of its own here; what a method does in detail is in the module that it
calls. This is the only room that puts files and index together: file first, then row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from contentdb import forks
from contentdb.errors import InvalidArgumentError
from contentdb.index.opening import not_forking
from contentdb.layout import DEFAULT_NAMESPACE, check_namespace
from contentdb.opening import open_parts
from contentdb.store.ingesting import Ingesting
from contentdb.store.managing import Managing
from contentdb.store.providing import Providing
from contentdb.store.upkeep import Upkeep

if TYPE_CHECKING:
    import os

__all__ = ["Durability", "Store", "open_store"]

Durability = Literal["full", "process"]
_DURABILITIES = ("full", "process")


class Store(Providing, Ingesting, Managing, Upkeep):
    """A content store on a local filesystem; made by `contentdb.open`.

    One store may be shared by many threads, many processes may have one root open, and after a
    fork both sides may go on using it: only the writers stay with the parent. Every method
    raises `StoreClosedError` once it was closed.
    """


def open_store(
    root: str | os.PathLike[str],
    *,
    create: bool = True,
    durability: Durability = "full",
    namespace: str = DEFAULT_NAMESPACE,
) -> Store:
    """Open the store at a directory, made first if need be.

    Deletions that were cut off are finished; nothing else needs repair after a crash.

    Args:
        root: The directory. A new store's is made private to its owner.
        create: Whether to make a store where there is none.
        durability: With ``"full"``, what a method that changes something has returned survives
            a power cut. With ``"process"`` it survives the death of any process and may be
            lost with the power: several times faster for small content.
        namespace: Whose rows to see. Blobs are shared underneath; labels, refs and whether a
            blob exists are each namespace's own.

    Raises:
        StoreNotFoundError: There is no store, and ``create`` is false.
        NotAStoreError: The directory is something else, or not this user's.
        NewerStoreError, MigrationNeededError: Made by another version of contentdb.
        UnsupportedFilesystemError: The filesystem lacks what the promises stand on.
        IndexDamagedError: The index cannot be read; `contentdb.reindex` makes it anew.
        StorageError: The system refused.
    """
    if durability not in _DURABILITIES:
        raise InvalidArgumentError(f"durability is full or process, not {durability!r}")
    check_namespace(namespace)
    durable = durability == "full"
    forks.check()
    with not_forking:
        return Store(open_parts(root, create=create, namespace=namespace, durable=durable))
