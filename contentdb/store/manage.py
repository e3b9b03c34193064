"""What is there and what is coming in: listing, labels, removal, counting."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from contentdb.digest import Digest
from contentdb.labels import check_labels, keys_of_fields
from contentdb.refs import check_ref
from contentdb.store.add_many import check_is_many
from contentdb.store.front import Front
from contentdb.store.query import check_walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from contentdb.content import Info, SortOrder, Status, Usage

__all__ = ["Manage"]

_GROUP_COUNT: Final = 500
"""Deletions that an engine gets at once."""


class Manage(Front):
    """Plays `contentdb.content.Manager` and `contentdb.content.IngestManager`."""

    # -- blobs

    def update(
        self, digest: str, labels: Mapping[str, str], *, fields: Sequence[str] | None = None
    ) -> Info:
        """Replace all labels, or with ``fields=["labels.k"]`` set just those keys. Durable.

        An empty or missing value removes its key. ``updated_at`` moves, ``created_at`` never.

        Raises:
            NotFoundError: There is no such blob.
            InvalidLabelError: Key and value have more than 4096 bytes together, or all labels of
                the blob more than 1 MiB.
            InvalidFieldError: A field is not ``labels`` or one of them; nothing changes.
        """
        wanted = Digest(digest)
        kept = check_labels(labels)
        keys = None if fields is None else keys_of_fields(fields)
        return self._engine.update(wanted, kept, keys)

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
        return self._engine.walk(check_walk(filters, labels, sort, after, limit))

    def delete(self, digest: str) -> None:
        """Remove a blob, its row and its file, damaged or not. Durable when it returns.

        Raises:
            NotFoundError: There is no such blob.
        """
        self._engine.delete([Digest(digest)], missing_ok=False)

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
                count += self._engine.delete(group, missing_ok=missing_ok)
            if failure is not None:
                raise failure
            if len(group) < _GROUP_COUNT:
                return count

    def usage(self) -> Usage:
        """Count blobs, ingests and their bytes."""
        return self._engine.usage()

    # -- ingests

    def status(self, ref: str) -> Status:
        """Describe one ingest as it is now. A containerd does not tell whether it is held: False.

        Raises:
            NotFoundError: There is none.
        """
        return self._engine.status(check_ref(ref))

    def statuses(self, *filters: str) -> Iterator[Status]:
        """Describe the ingests that any of the filters selects, by ref; without filters all.

        They are read in pages, in bounded memory, each as it is then: one that begins or ends
        meanwhile may be among them or not.

        Raises:
            InvalidFilterError: A filter does not parse.
        """
        from contentdb.filters import INGEST_FIELDS, parse  # 2 ms that most commands need not spend

        chosen = parse(*filters, fields=INGEST_FIELDS)
        return self._engine.statuses(chosen, filters)

    def abort(self, ref: str) -> None:
        """Drop an ingest and what it has received.

        Raises:
            NotFoundError: There is none.
            RefLockedError: A live writer holds it.
        """
        self._engine.abort(check_ref(ref))


def _next_group(left: Iterator[str]) -> tuple[list[Digest], Exception | None]:
    """Take so many as an engine gets, up to what is no digest; and what that raised."""
    group: list[Digest] = []
    try:
        for text in islice(left, _GROUP_COUNT):
            group.append(Digest(text))  # noqa: PERF401 - what comes before an error counts
    except Exception as error:  # noqa: BLE001 - raised after those before it are removed
        return group, error
    return group, None
