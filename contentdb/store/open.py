"""Opening a store: on files of this machine, or behind a server."""

from __future__ import annotations

from functools import partial

from contentdb.errors import InvalidArgumentError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.engine import open_engine
from contentdb.local.resources import Options
from contentdb.refs import DEFAULT_NAMESPACE, check_namespace
from contentdb.store import Store
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from typing import Literal

    from contentdb.local.engine import LocalEngine

    Durability = Literal["full", "process"]
    Mode = Literal["rw", "r"]
    SharingPolicy = Literal["isolated", "shared"]

__all__ = ["open_store"]


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


def open_store(  # noqa: PLR0913 - all but the first have a default that fits most
    root: str | os.PathLike[str],
    *,
    create: bool = True,
    durability: Durability = "full",
    namespace: str = DEFAULT_NAMESPACE,
    mode: Mode = "rw",
    sharing: SharingPolicy = "isolated",
    shared: Literal["group"] | None = None,
    pack_below: int | None = None,
    objects: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Store:
    """Open the store at a directory or in a database, and make it first if there is none.

    An opening finishes deletions that a crash cut off; nothing else needs repair after a crash.

    Args:
        root: The directory. That of a new store is made private to its owner. Or
            ``postgresql://…``, a database whose store keeps its bytes in an object store; see
            docs/cluster.md. It takes no options but ``namespace`` and the last three.
        create: Whether to make a store if there is none; in a database only with ``objects``.
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
        pack_below: A new store keeps blobs of fewer bytes than this, 1 MiB at most, as records in
            packs: several times faster for small content, and smaller. Other blobs are loose:
            each has a file. 32 KiB is a good choice. The store keeps this for later openings,
            which need not name it; 0 is a store without packs, as None makes.
        objects: Where a new store in a database keeps its bytes: ``s3://BUCKET/PREFIX``. The
            database keeps this for later openings.
        endpoint: The address of that object store, where it is not that of AWS.
        cache: For a store in a database: the directory of a store on files, through which blobs
            are read. All processes of a host may share it, and stores of several databases. A new
            one is made, with room for 10 GiB; `set_policy` of a store at that directory changes it.

    Raises:
        StoreNotFoundError: There is no store, and ``create`` is false.
        NotAStoreError: The directory is something else, or not this user's or group's.
        StoreError: Others may write into the directory, the store was not made for a group, or it
            was made with another ``pack_below``.
        StoreReadOnlyError: This process may not write into the directory.
        NewerStoreError, MigrationNeededError: Another version of contentdb made the store.
        UnsupportedFilesystemError: The filesystem lacks something that the promises need.
        IndexDamagedError: The index cannot be read; `contentdb.reindex` makes a new one.
        StorageError: A file operation failed.
    """
    if is_database(root):
        for_files = (durability, mode, sharing, shared, pack_below)
        if for_files != ("full", "rw", "isolated", None, None):
            raise InvalidArgumentError(
                "durability, mode, sharing, shared and pack_below are for a store on files"
            )
        from contentdb.store.open_cluster import open_cluster

        return open_cluster(
            root,
            namespace=namespace,
            objects=objects if create else None,
            endpoint=endpoint,
            cache=cache,
        )
    if (objects, endpoint, cache) != (None, None, None):
        raise InvalidArgumentError("objects, endpoint and cache are for a store in a database")
    options = _check_options(durability, namespace, mode, sharing, pack_below)
    _check_choice("shared", shared, ("group", None))
    engine = open_engine(root, options, create=create, for_group=shared == "group")
    return Store(engine, partial(_reduce, engine))


def _check_options(
    durability: str, namespace: str, mode: str, sharing: str, pack_below: int | None
) -> Options:
    check_namespace(namespace)
    _check_choice("durability", durability, ("full", "process"))
    _check_choice("mode", mode, ("rw", "r"))
    _check_choice("sharing", sharing, ("isolated", "shared"))
    if pack_below is not None:
        _check_pack_below(pack_below)
    return Options(namespace, durability == "full", mode == "r", sharing == "shared", pack_below)


def _check_choice(name: str, given: object, choices: tuple[object, object]) -> None:
    if given not in choices:
        one, other = choices
        raise InvalidArgumentError(f"{name} is {one!r} or {other!r}, not {given!r:.80}")


def _check_pack_below(size: object) -> None:
    from contentdb.local.packs.record import MOST_BELOW  # most callers do not say

    if type(size) is not int or not 0 <= size <= MOST_BELOW:
        raise InvalidArgumentError(f"pack_below is 0 to {MOST_BELOW} bytes, not {size!r:.80}")
