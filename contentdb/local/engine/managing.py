"""What is there: listing, labels, removal, counting."""

from __future__ import annotations

import time
from itertools import chain, islice
from typing import TYPE_CHECKING

from contentdb.add_many import check_is_many
from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError, NoSpaceError, NotFoundError
from contentdb.labels import check_labels, keys_of_fields
from contentdb.local.commit.publish import looked_up
from contentdb.local.delete import GROUP_COUNT, finish_delete
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.opened import Opened
from contentdb.local.index import State
from contentdb.short_digest import beginnings, only_one
from contentdb.walk_query import check_walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentdb.content import Info, SortOrder, Usage

__all__ = ["Managing"]


class Managing(Opened):
    """Plays `contentdb.content.Manager`."""

    def info(self, digest: str) -> Info:
        """What is known of a blob; its file is not looked at.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: It was found damaged before.
        """
        wanted = Digest(digest)
        with self._gate:
            found = looked_up(self._parts, wanted)
            return found or self._parts.index.info(wanted, self._row(wanted))

    def exists(self, digest: str) -> bool:
        """Whether the blob is stored, its file there in full, and not known to be damaged."""
        wanted = Digest(digest)
        with self._gate:
            return looked_up(self._parts, wanted) is not None

    def resolve(self, text: str) -> Digest:
        """Find the one blob whose digest begins so, with or without its algorithm.

        Raises:
            NotFoundError: There is none.
            AmbiguousDigestError: There are several.
            MalformedDigestError: No digest begins so.
        """
        with self._gate:
            try:
                digest = Digest(text)
            except InvalidDigestError as error:
                found = map(self._parts.index.shortened, beginnings(text, error))
                return only_one(text, list(chain.from_iterable(found)))
            return self._listed(digest)

    def _listed(self, digest: Digest) -> Digest:
        row = self._parts.index.blob(digest)
        if row is None or row.state == State.TOMBSTONE:
            raise NotFoundError(digest=digest)
        return digest

    def update(
        self, digest: str, labels: Mapping[str, str], *, fields: Sequence[str] | None = None
    ) -> Info:
        """Replace all labels, or with ``fields=["labels.k"]`` set just those keys. Durable.

        An empty or missing value removes its key. ``updated_at`` moves, ``created_at`` does not.

        Raises:
            NotFoundError: There is no such blob.
            InvalidLabelError: Key and value have more than 4096 bytes together, or all labels of
                the blob more than 1 MiB.
            InvalidFieldError: A field is not ``labels`` or one of them; nothing changes.
        """
        wanted = Digest(digest)
        kept = check_labels(labels)
        keys = None if fields is None else keys_of_fields(fields)
        with self._gate:
            self._row(wanted)
            of_file = self._parts.shards.time(wanted)  # see `contentdb.local.info_cache`
            if not self._parts.index.update_labels(wanted, kept, keys, time.time_ns(), of_file):
                self._row(wanted)
                raise NotFoundError(digest=wanted)
            return self._parts.index.info(wanted, self._row(wanted))

    def walk(
        self,
        *filters: str,
        labels: Mapping[str, str] | None = None,
        sort: SortOrder = "digest",
        after: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Info]:
        """Stream the blobs that any of the filters selects; without filters all.

        What is streamed is the store as of the first record, in bounded memory. A long walk
        keeps the index's log from being folded until it ends: take pages with ``after`` and
        ``limit`` where the caller is slow.

        Args:
            *filters: See `contentdb.filters`.
            labels: Those that a blob has all of, each with that value; beside the filters.
            sort: ``digest``, ``size``, ``created_at`` or ``updated_at``; ``-`` before it descends.
            after: Begin behind this digest; in digest order only.
            limit: At most so many.

        Raises:
            InvalidFilterError: A filter does not parse.
            InvalidFieldError: There is no such order.
            InvalidLabelError: There can be no such label.
        """
        asked = check_walk(filters, labels, sort, after, limit)
        with self._gate:
            return self._parts.index.walk(asked.chosen, asked.sort, asked.after, asked.limit)

    def delete(self, digest: str) -> None:
        """Remove a blob, its row and its file, damaged or not. Durable when it returns.

        Raises:
            NotFoundError: There is no such blob.
        """
        self._delete([Digest(digest)], missing_ok=False)

    def delete_many(self, digests: Iterable[str], *, missing_ok: bool = False) -> int:
        """Remove blobs, sharing the cost of durability. Durable when it returns.

        Args:
            digests: Which; they are taken as they come, so a walk's will do.
            missing_ok: Pass over what is absent, instead of raising.

        Returns:
            How many there were.

        Raises:
            NotFoundError: One is absent; those before it are removed, those behind it are not.
            InvalidDigestError: One is no digest; as above.
        """
        check_is_many("digests", digests, "to remove one, use delete")
        left = iter(digests)
        count = 0
        while True:
            group, failure = _next_group(left)
            if group:
                count += self._delete(group, missing_ok=missing_ok)
            if failure is not None:
                raise failure
            if len(group) < GROUP_COUNT:
                return count

    def _delete(self, digests: list[Digest], *, missing_ok: bool) -> int:
        """Remove blobs together; one by one where the disk has no room for that."""
        parts = self._parts
        with self._gate:
            make_room(str(self.root))
            try:
                gone = parts.index.entomb_all(digests, parts.shards.time, missing_ok=missing_ok)
            except NoSpaceError:
                if len(digests) == 1:
                    raise
                return sum(self._delete([one], missing_ok=missing_ok) for one in digests)
            finish_delete(parts, *gone)
        if len(gone) < len(digests) and not missing_ok:
            raise NotFoundError(digest=digests[len(gone)])
        return len(gone)

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes, from the index alone."""
        with self._gate:
            return self._parts.index.usage()


def _next_group(left: Iterator[str]) -> tuple[list[Digest], Exception | None]:
    """Take so many as share their transactions, up to what is no digest; and what that raised."""
    group: list[Digest] = []
    try:
        for text in islice(left, GROUP_COUNT):
            group.append(Digest(text))  # noqa: PERF401 - what comes before an error counts
    except Exception as error:  # noqa: BLE001 - raised after those before it are removed
        return group, error
    return group, None
