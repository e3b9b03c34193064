"""The stored blobs: listing, labels, removal, counting."""

from __future__ import annotations

import time
from itertools import chain, islice

from contentdb.errors import ContentDBError, NoSpaceError, NotFoundError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.add import label_stored
from contentdb.local.commit.stored import look_up
from contentdb.local.delete import finish_delete
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.lifecycle import Lifecycle
from contentdb.local.index import State
from contentdb.local.met import touch
from contentdb.logs import swallow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentdb.content import Info, Usage
    from contentdb.digest import Digest
    from contentdb.engine import Query
    from contentdb.labels import Labelling

__all__ = ["Manage"]

_UNRECORDED = "a pack of a dead process could not be read; the next opening tries again"


class Manage(Lifecycle):
    """The engine's part in `contentdb.content.Manager`."""

    def info(self, digest: Digest) -> Info:
        """Return the Info of a blob; its file is not checked."""
        with self._gate:
            found = look_up(self._parts, digest)
            return found or self._parts.index.info(digest, self._find_row(digest))

    def exists(self, digest: Digest) -> bool:
        """Return whether a blob is stored, with its file in full, and not known to be damaged."""
        with self._gate:
            return look_up(self._parts, digest) is not None and self._is_still_there(digest)

    def _is_still_there(self, digest: Digest) -> bool:
        """Keep what was found from a collector for a while; return False if it was just taken.

        Where the index cannot be written, the answer says only what is there now.
        """
        try:
            return touch(self._parts, digest)
        except ContentDBError:
            return True

    def abbreviated(self, beginnings: list[str]) -> list[Digest]:
        """Return at most two digests of blobs that start with one of these beginnings."""
        with self._gate:
            found = map(self._parts.index.find_by_prefix, beginnings)
            return list(islice(chain.from_iterable(found), 2))

    def listed(self, digest: Digest) -> Digest:
        """Return the digest of a blob that has a row, damaged or not."""
        with self._gate:
            row = self._parts.index.blob(digest)
            if row is None or row.state == State.TOMBSTONE:
                raise NotFoundError(digest=digest)
            return digest

    def update(
        self, digest: Digest, labels: Mapping[str, str], keys: frozenset[str] | None
    ) -> Info:
        """Replace all labels, or those of some keys, in one synced transaction."""
        with self._gate:
            self._find_row(digest)
            of_file = self._parts.shards.time(digest)  # see `contentdb.local.info_cache`
            if not self._parts.index.update_labels(digest, labels, keys, time.time_ns(), of_file):
                self._find_row(digest)
                raise NotFoundError(digest=digest)
            return self._parts.index.info(digest, self._find_row(digest))

    def label_stored(self, digest: Digest, labels: Labelling) -> Info | None:
        """Set labels on stored content; return None if it was deleted meanwhile."""
        with self._gate:
            return label_stored(self._parts, digest, labels)

    def walk(self, query: Query) -> Iterator[Info]:
        """Yield blobs from one snapshot, read in pages."""
        with self._gate:
            return self._parts.index.walk(query.chosen, query.sort, query.after, query.limit)

    def delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Delete blobs together, by steps D1 to D3; one by one if the disk has no room for that."""
        parts = self._parts
        with self._gate:
            make_room(self._parts.root)
            if parts.packs is not None:  # what a killed process has not recorded must not come back
                from contentdb.local.packs.replay import replay_all  # few stores have packs

                with swallow("local.packs", _UNRECORDED, ContentDBError, root=self._parts.root):
                    own = None if parts.appender is None else parts.appender.number
                    replay_all(parts.packs, parts.index, own)
            try:
                gone = parts.index.entomb_all(digests, parts.shards.time, missing_ok=missing_ok)
            except NoSpaceError:
                if len(digests) == 1:
                    raise
                return sum(self.delete([one], missing_ok=missing_ok) for one in digests)
            finish_delete(parts, *gone)
        if len(gone) < len(digests) and not missing_ok:
            raise NotFoundError(digest=digests[len(gone)])
        return len(gone)

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes, from the index alone."""
        with self._gate:
            return self._parts.index.usage()
