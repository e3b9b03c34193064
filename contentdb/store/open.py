"""Opening a store: on files of this machine, or behind a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from contentdb.errors import InvalidArgumentError
from contentdb.local.engine import open_engine
from contentdb.local.resources import Options
from contentdb.refs import DEFAULT_NAMESPACE, check_namespace
from contentdb.store import Store

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from contentdb.local.engine import LocalEngine

__all__ = ["Durability", "Mode", "SharingPolicy", "open_store"]

Durability = Literal["full", "process"]
_DURABILITIES = ("full", "process")
Mode = Literal["rw", "r"]
_MODES = ("rw", "r")
SharingPolicy = Literal["isolated", "shared"]
_SHARING_POLICIES = ("isolated", "shared")


def _reduce(engine: LocalEngine) -> tuple[object, ...]:
    with engine.parts():  # raises if the store is closed
        options = (engine.durability, engine.namespace, engine.mode, engine.sharing)
        return _open_again, (engine.root, *options)


def _open_again(
    root: Path, durability: Durability, namespace: str, mode: Mode, sharing: SharingPolicy
) -> Store:
    return open_store(
        root, create=False, durability=durability, namespace=namespace, mode=mode, sharing=sharing
    )


def open_store(
    root: str | os.PathLike[str],
    *,
    create: bool = True,
    durability: Durability = "full",
    namespace: str = DEFAULT_NAMESPACE,
    mode: Mode = "rw",
    sharing: SharingPolicy = "isolated",
    shared: Literal["group"] | None = None,
) -> Store:
    """Open the store at a directory, and make it first if there is none.

    An opening finishes deletions that a crash cut off; nothing else needs repair after a crash.

    Args:
        root: The directory. That of a new store is made private to its owner.
        create: Whether to make a store if there is none.
        durability: With ``"full"``, a change survives a power cut once its method has returned.
            With ``"process"`` it survives the death of any process, but a power cut may lose it:
            several times faster for small content.
        namespace: The namespace whose rows this store sees. Namespaces share the files of blobs;
            each has its own labels and refs, and its own answer to whether a blob exists.
        mode: With ``"r"`` nothing is made or changed, not even a lock file: for a store on a
            read-only mount, in a snapshot, or of another user who lets this one read. Methods
            that would change the store raise `StoreReadOnlyError`.
        sharing: With ``"shared"``, a digest is enough to store content that another namespace
            has; it is not read or sent. So every user of a namespace can find out which content
            others have, and get it. With ``"isolated"`` the caller must give the bytes.
        shared: With ``"group"`` a new store is made for all members of the group of its
            directory; see `docs/operations.md`. The store keeps this for later openings.

    Raises:
        StoreNotFoundError: There is no store, and ``create`` is false.
        NotAStoreError: The directory is something else, or not this user's or group's.
        StoreError: Others may write into the directory, or the store was not made for a group.
        StoreReadOnlyError: This process may not write into the directory.
        NewerStoreError, MigrationNeededError: Another version of contentdb made the store.
        UnsupportedFilesystemError: The filesystem lacks something that the promises need.
        IndexDamagedError: The index cannot be read; `contentdb.reindex` makes a new one.
        StorageError: A file operation failed.
    """
    if durability not in _DURABILITIES:
        raise InvalidArgumentError(f"durability is full or process, not {durability!r}")
    check_namespace(namespace)
    if mode not in _MODES:
        raise InvalidArgumentError(f"mode is rw or r, not {mode!r}")
    if sharing not in _SHARING_POLICIES:
        raise InvalidArgumentError(f"sharing is isolated or shared, not {sharing!r}")
    if shared not in {None, "group"}:
        raise InvalidArgumentError(f"shared is 'group' or None, not {shared!r}")
    options = Options(namespace, durability == "full", mode == "r", sharing == "shared")
    engine = open_engine(root, options, create=create, for_group=shared == "group")
    return Store(engine, partial(_reduce, engine))
