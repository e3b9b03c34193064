"""The ingests: how far they are, whether a writer holds them, and how to abort them."""

from __future__ import annotations

from itertools import islice

from contentdb.errors import NotFoundError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.lifecycle import Lifecycle
from contentdb.local.layout import ingest_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from contentdb.filters import Filter
    from contentdb.local.index import IngestRow
    from contentdb.values import Status

__all__ = ["Ingests"]

_PAGE_ROWS: Final = 100


class Ingests(Lifecycle):
    """The engine's part in `contentdb.content.IngestManager`."""

    def status(self, ref: str) -> Status:
        """Describe one ingest as it is now."""
        with self._gate:
            row = self._parts.index.ingest(ref)
            found = row and self._describe(row)
            if found is None:
                raise NotFoundError(ref=ref)
            return found

    def statuses(self, chosen: Filter, texts: tuple[str, ...]) -> Iterator[Status]:  # noqa: ARG002 - an engine's
        """Yield ingests, read in pages; each as it is when its page is read."""
        with self._gate:
            rows = self._parts.index.ingests()
        return self._select(rows, chosen)

    def _select(self, rows: Iterator[IngestRow], chosen: Filter) -> Iterator[Status]:
        """Yield the chosen ingests; a page's files are read at once, however slow the caller."""
        from contentdb.filters.items import fields_of_status  # few commands ask

        while True:
            with self._gate:
                page = list(map(self._describe, islice(rows, _PAGE_ROWS)))
            if not page:
                return
            for status in page:
                if status is not None and chosen.matches(fields_of_status(status)):
                    yield status

    def _describe(self, row: IngestRow) -> Status | None:
        from contentdb.local.ingest.describe import describe  # few commands ask

        return describe(row, self._parts.ingest, self._parts.index.ingest)

    def abort(self, ref: str) -> None:
        """Remove an ingest and its bytes: steps A1 and A2 of docs/design.md."""
        from contentdb.local.upkeep.prune import drop_ingest

        with self._gate:
            name = ingest_name(self._parts.namespace, ref)
            if self._parts.index.ingest(ref) is None:
                raise NotFoundError(ref=ref)
            make_room(self._parts.root)
            dropped = drop_ingest(self._parts, name, ref)
            if dropped is None:
                from contentdb.local.ingest.begin import ref_locked_error

                raise ref_locked_error(self._parts, ref)
            if not dropped:
                raise NotFoundError(ref=ref)
