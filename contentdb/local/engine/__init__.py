"""The store: a root directory opened, playing all roles of the contract at once.

Each role has a file of its own here; what a method does in detail is in the module that it
calls. This is the only room that puts files and index together: file first, then row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn

from contentdb import forks
from contentdb.errors import CorruptBlobError, InvalidArgumentError
from contentdb.local.engine.ingesting import Ingesting
from contentdb.local.engine.managing import Managing
from contentdb.local.engine.providing import Providing
from contentdb.local.engine.upkeep import Upkeep
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.local.index.opening import not_forking
from contentdb.local.open import open_parts
from contentdb.local.resources import Options
from contentdb.refs import DEFAULT_NAMESPACE, check_namespace

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.digest import Digest
    from contentdb.local.upkeep.prune import Pruned
    from contentdb.local.upkeep.reindex import Reindexed
    from contentdb.streams.export import ExportLink

__all__ = ["Durability", "Mode", "ReadOnlyStore", "SharingPolicy", "Store", "open_store"]

Durability = Literal["full", "process"]
_DURABILITIES = ("full", "process")
Mode = Literal["rw", "r"]
_MODES = ("rw", "r")
SharingPolicy = Literal["isolated", "shared"]
_SHARING_POLICIES = ("isolated", "shared")


class Store(Providing, Ingesting, Managing, Upkeep):
    """A content store on a local filesystem; made by `contentdb.open`.

    One store may be shared by many threads, many processes may have one root open, and after a
    fork both sides may go on using it: only the writers stay with the parent. Every method
    raises `StoreClosedError` once it was closed.

    Pickled or copied it is another store at the same root, opened anew where it arrives, with the
    same options; nothing is made there if the root is gone.
    """

    def __reduce__(self) -> tuple[object, ...]:
        with self._gate:  # what is closed has no copies
            options = (self.durability, self.namespace, self.mode, self.sharing)
            return _opened_anew, (self.root, *options)


def _opened_anew(
    root: Path, durability: Durability, namespace: str, mode: Mode, sharing: SharingPolicy
) -> Store:
    return open_store(
        root, create=False, durability=durability, namespace=namespace, mode=mode, sharing=sharing
    )


class ReadOnlyStore(Store):
    """A store opened with ``mode="r"``: what would change it raises before it touches anything."""

    def _refused(self, *_arguments: Any, **_options: Any) -> NoReturn:  # noqa: ANN401 - of any method
        with self.parts() as parts:
            parts.refuse_writing()

    writer = ingest = add = add_many = batch = _refused
    abort = update = delete = delete_many = _refused

    def prune(
        self,
        *,
        older_than: float,
        dry_run: bool = False,
        progress: Callable[[Pruned], object] = lambda _pruned: None,
    ) -> list[Pruned]:
        """Only tell what `Store.prune` would remove."""
        if not dry_run:
            self._refused()
        return super().prune(older_than=older_than, dry_run=dry_run, progress=progress)

    def reindex(self, *, dry_run: bool = False) -> Reindexed:
        """Only count what `Store.reindex` would do."""
        if not dry_run:
            self._refused()
        return super().reindex(dry_run=dry_run)

    def export(
        self, digest: str, path: str | os.PathLike[str], *, link: ExportLink = "reflink"
    ) -> Path:
        """As `Store.export`; a hard link would change the store's file, so it is a copy."""
        return super().export(digest, path, link="copy" if link == "hardlink" else link)

    def _missed(self, digest: Digest) -> None:
        """As in a store that may be written to, without its lock.

        A blob's file is there before its row is live, and goes after it. So where one row is live
        before and after a look that found no file, the file was lost.
        """
        row = self._row(digest)
        shards = self._parts.shards
        if shards.stat(digest) is None and self._row(digest) == row:
            raise CorruptBlobError(digest, shards.path(digest), "its file is gone")

    def _check_not_deleted(self, digest: Digest, found: os.stat_result) -> None:
        """Ask the index as ever; the file keeps the time that it has."""
        if found.st_mtime_ns == BEING_DELETED_NS:
            self._row(digest)

    def _damaged(self, fd: int, digest: Digest, reason: str) -> NoReturn:  # noqa: ARG002 - as above
        """Only tell: the file stays where it is."""
        raise CorruptBlobError(digest, self._parts.shards.path(digest), reason)


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
    made = ReadOnlyStore if options.read_only else Store
    forks.check()
    with not_forking:
        for_group = shared == "group"
        return made(open_parts(root, options, create=create, for_group=for_group))
