"""Blobs and ingests as records: listing, labels, removal, counting."""

from __future__ import annotations

from itertools import islice

from contentdb.digest import Digest
from contentdb.labels import check_labels, keys_of_fields
from contentdb.light_typing import TYPE_CHECKING
from contentdb.refs import check_ref
from contentdb.store.add_many import check_is_many
from contentdb.store.front import Front

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Final

    from contentdb.content import Info, SortOrder, Status, Usage

__all__ = ["Manage"]

_GROUP_COUNT: Final = 500
"""How many blobs an engine deletes in one call."""


class Manage(Front):
    """Implements `contentdb.content.Manager` and `contentdb.content.IngestManager`."""

    # -- blobs

    def update(
        self, digest: str, labels: Mapping[str, str], *, fields: Sequence[str] | None = None
    ) -> Info:
        """Replace all labels, or with ``fields=["labels.k"]`` set only these keys.

        Durable when it returns. An empty or missing value removes its key. ``updated_at`` changes,
        ``created_at`` never.

        Raises:
            NotFoundError: There is no such blob.
            InvalidLabelError: Key and value have more than 4096 bytes together, or all labels of
                the blob more than 1 MiB.
            InvalidFieldError: A field is neither ``labels`` nor ``labels.KEY``; nothing changes.
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

        The walk shows the store as of its first record, in bounded memory. SQLite cannot shorten
        the index's log before a walk ends: a slow caller should ask for pages with ``after`` and
        ``limit``.

        Args:
            *filters: See `contentdb.filters`.
            labels: Select only blobs that have all of these, with these values.
            sort: ``digest``, ``size``, ``created_at`` or ``updated_at``; ``-`` before it descends.
            after: Begin behind this digest; in digest order only.
            limit: Stop after this many blobs.

        Raises:
            InvalidFilterError: A filter does not parse.
            InvalidFieldError: ``sort`` is not one of these orders.
            InvalidLabelError: No blob can have such a label.
        """
        from contentdb.store.query import check_walk  # few commands list

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
            digests: The blobs; read one after the other, so they may come from a walk.
            missing_ok: Skip absent blobs instead of raising.

        Returns:
            How many blobs were removed.

        Raises:
            NotFoundError: A blob is absent; those before it are removed, those after it are not.
            InvalidDigestError: One text is not a digest; as above.
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
        """Return the present state of an ingest.

        Behind a containerd daemon, which does not tell it, ``held`` is always False.

        Raises:
            NotFoundError: There is no such ingest.
        """
        return self._engine.status(check_ref(ref))

    def statuses(self, *filters: str) -> Iterator[Status]:
        """Stream the ingests that any of the filters selects, sorted by ref; without filters all.

        They are read in pages, in bounded memory: an ingest that begins or ends during the call
        may be listed or not.

        Raises:
            InvalidFilterError: A filter does not parse.
        """
        from contentdb.filters import INGEST_FIELDS, parse  # 2 ms that most commands need not spend

        chosen = parse(*filters, fields=INGEST_FIELDS)
        return self._engine.statuses(chosen, filters)

    def abort(self, ref: str) -> None:
        """Drop an ingest and its bytes.

        Raises:
            NotFoundError: There is no such ingest.
            RefLockedError: A live writer holds its ref.
        """
        self._engine.abort(check_ref(ref))


def _next_group(left: Iterator[str]) -> tuple[list[Digest], Exception | None]:
    """Return the digests of one call, up to the first invalid one, and the exception of that."""
    group: list[Digest] = []
    try:
        for text in islice(left, _GROUP_COUNT):
            group.append(Digest(text))  # noqa: PERF401 - keeps the digests before an error
    except Exception as error:  # noqa: BLE001 - raised after those before it are removed
        return group, error
    return group, None
