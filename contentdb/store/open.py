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


def _reopening(engine: LocalEngine) -> tuple[object, ...]:
    with engine.parts():  # raises if it is closed
        options = (engine.durability, engine.namespace, engine.mode, engine.sharing)
        return _opened_anew, (engine.root, *options)


def _opened_anew(
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
        mode: With ``"r"`` nothing is made or changed, not even a lock file: for a store on a
            read-only mount, in a snapshot, or of another user who lets this one read. What
            would change it raises `StoreReadOnlyError`.
        sharing: With ``"shared"``, content that another namespace holds is stored here by its
            digest alone, without being read or sent: whoever may use a namespace can find out
            what others hold, and get it. With ``"isolated"`` the bytes must be at hand.
        shared: With ``"group"`` a new store is made for all members of the group that its
            directory gets, or has; see `docs/operations.md`. A store remembers it.

    Raises:
        StoreNotFoundError: There is no store, and ``create`` is false.
        NotAStoreError: The directory is something else, or not this user's or group's.
        StoreError: Others may write into it, or it was not made for a group.
        StoreReadOnlyError: This process may not write into the directory.
        NewerStoreError, MigrationNeededError: Made by another version of contentdb.
        UnsupportedFilesystemError: The filesystem lacks what the promises stand on.
        IndexDamagedError: The index cannot be read; `contentdb.reindex` makes it anew.
        StorageError: The system refused.
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
    return Store(engine, partial(_reopening, engine))
