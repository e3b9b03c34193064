"""The engine on files and SQLite, for one open root directory. File first, then row."""

from __future__ import annotations

from contentdb import forks
from contentdb.engine import Capability
from contentdb.errors import CorruptBlobError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.engine.collect import Collect
from contentdb.local.engine.ingests import Ingests
from contentdb.local.engine.leases import Leases
from contentdb.local.engine.manage import Manage
from contentdb.local.engine.read import Read
from contentdb.local.engine.tags import Tags
from contentdb.local.engine.write import Write
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.local.index.connect import not_forking
from contentdb.local.open import open_parts

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any, NoReturn

    from contentdb.content import Collected, Collection, ExportLink
    from contentdb.digest import Digest
    from contentdb.engine import CollectTerms, Pruned
    from contentdb.local.index import Location
    from contentdb.local.resources import Options
    from contentdb.local.upkeep.reindex import Reindexed

__all__ = ["LocalEngine", "ReadOnlyEngine", "open_engine"]


class LocalEngine(Read, Write, Ingests, Manage, Tags, Leases, Collect):
    """A `contentdb.engine.Engine` with all capabilities that files have a use for."""

    capabilities = frozenset(Capability) - {Capability.ADOPT, Capability.URLS}


class ReadOnlyEngine(LocalEngine):
    """An engine opened with ``mode="r"``: calls that would change the store raise instead."""

    def _refuse(self, *_arguments: Any, **_options: Any) -> NoReturn:  # noqa: ANN401 - of any method
        with self.parts() as parts:
            parts.refuse_writing()

    hold = add = add_many = batch = _refuse
    abort = update = label_stored = delete = repack = tag = untag = _refuse
    lease = use_lease = end_lease = set_policy = _refuse

    def prune(
        self, *, older_than: float, dry_run: bool, progress: Callable[[Pruned], object]
    ) -> list[Pruned]:
        """Return what a prune would remove; raise without ``dry_run``."""
        if not dry_run:
            self._refuse()
        return super().prune(older_than=older_than, dry_run=dry_run, progress=progress)

    def collect(self, terms: CollectTerms, progress: Callable[[Collected], object]) -> Collection:
        """Return what a collection would take; raise without ``dry_run``."""
        if not terms.dry_run:
            self._refuse()
        return super().collect(terms, progress)

    def pack(self, *, dry_run: bool, progress: Callable[[Digest], object]) -> int:
        """Count what could be packed; raise without ``dry_run``."""
        if not dry_run:
            self._refuse()
        return super().pack(dry_run=dry_run, progress=progress)

    def unpack(self, *, dry_run: bool, progress: Callable[[Digest], object]) -> int:
        """Count what is packed; raise without ``dry_run``."""
        if not dry_run:
            self._refuse()
        return super().unpack(dry_run=dry_run, progress=progress)

    def reindex(self, *, dry_run: bool) -> Reindexed:
        """Count what a reindex would do; raise without ``dry_run``."""
        if not dry_run:
            self._refuse()
        return super().reindex(dry_run=dry_run)

    def export(self, digest: Digest, target: Path, link: ExportLink) -> Path:
        """Export like the parent; a hard link would change the store's file, so copy instead."""
        return super().export(digest, target, "copy" if link == "hardlink" else link)

    def _check_missing(self, digest: Digest) -> None:
        """Check like the parent, but without the write lock.

        A blob's file exists before its row is live, and is removed after. So if the same row is
        live before and after a look that found no file, the file was lost.
        """
        row = self._find_row(digest)
        if row.location is not None:  # it was packed meanwhile
            return
        shards = self._parts.shards
        if shards.stat(digest) is None and self._find_row(digest) == row:
            raise CorruptBlobError(digest, shards.path(digest), "its file is gone")

    def _make_file(self, digest: Digest) -> None:
        """Raise for a packed blob without a file, which would have to be made."""
        packed = self._find_row(digest).location is not None
        if packed and self._parts.shards.stat(digest) is None:
            self._refuse()

    def _put_away(self, digest: Digest, location: Location) -> bool:  # noqa: ARG002 - as above
        """Leave a damaged record, and its row, as they are."""
        return False

    def _check_not_deleted(self, digest: Digest, found: os.stat_result) -> None:
        """Ask the index like the parent; leave the file's time as it is."""
        if found.st_mtime_ns == BEING_DELETED_NS:
            self._find_row(digest)

    def _report_damage(self, fd: int, digest: Digest, reason: str) -> NoReturn:  # noqa: ARG002 - as above
        """Raise; leave the file where it is."""
        raise CorruptBlobError(digest, self._parts.shards.path(digest), reason)


def open_engine(
    root: str | os.PathLike[str], options: Options, *, create: bool, for_group: bool
) -> LocalEngine:
    """Open a store's root; make the store if it is missing and ``create``; see `contentdb.open`."""
    made = ReadOnlyEngine if options.read_only else LocalEngine
    forks.check()
    with not_forking:
        return made(open_parts(root, options, create=create, for_group=for_group))
