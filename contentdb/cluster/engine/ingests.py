"""The ingests: begin one, how far they are, whether a writer holds them, and how to abort them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from contentdb.cluster.catalog import ingests
from contentdb.cluster.catalog.begin import begin
from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.cluster.ingest import ClusterIngest
from contentdb.cluster.publish import find_whole, keep_met
from contentdb.cluster.session import free_notice
from contentdb.errors import AlreadyExistsError, NotFoundError, RefLockedError
from contentdb.filters.items import fields_of_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.declared import Declared, Takeover
    from contentdb.digest import Digest
    from contentdb.filters import Filter
    from contentdb.values import Status

__all__ = ["Ingests"]

_LOOK_S: Final = 0.2
"""How often a waiter looks whether the holder has died, of which nothing gives notice."""


class Ingests(Lifecycle):
    """The engine's part in `contentdb.content.IngestManager`, and the beginning of ingests."""

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait_s: float
    ) -> ClusterIngest:
        """Begin the ingest of a ref or take it over."""
        resources = self._resources
        deadline = time.monotonic() + wait_s
        with self._gate:
            session = resources.session
            self._check_absent(declared.expected)
            with session.hearing(free_notice(self._namespace, ref)) as freed:
                while True:
                    freed.clear()
                    try:
                        row = begin(
                            resources.database, session, self._namespace, ref, declared, takeover
                        )
                    except AlreadyExistsError:
                        self._check_absent(declared.expected)  # as a rule it raises
                        continue
                    except RefLockedError:
                        left_s = deadline - time.monotonic()
                        if left_s <= 0:
                            raise
                        freed.wait(min(_LOOK_S, left_s))
                        continue
                    made = ClusterIngest(resources, self._gate, self._namespace, row, self)
                    self._held.add(made)
                    return made

    def _check_absent(self, expected: Digest | None) -> None:
        """Raise `AlreadyExistsError` for content that is stored, and keep it."""
        if expected is None:
            return
        found = find_whole(self._resources, self._namespace, expected)
        if found is not None and keep_met(self._resources, self._namespace, [found]):
            raise AlreadyExistsError(expected)

    def status(self, ref: str) -> Status:
        """Describe one ingest as it is now."""
        with self._gate:
            row = ingests.find(self._resources.database, self._namespace, ref)
            if row is None:
                raise NotFoundError(ref=ref)
            return self._describe(row)

    def statuses(self, chosen: Filter, texts: tuple[str, ...]) -> Iterator[Status]:  # noqa: ARG002 - an engine's
        """Yield ingests, read in pages; each as it is when its page is read."""
        pages = ingests.listed(self._resources.database, self._namespace)
        while True:
            with self._gate:
                page = list(map(self._describe, next(pages, ())))
            if not page:
                return
            for status in page:
                if chosen.matches(fields_of_status(status)):
                    yield status

    def _describe(self, row: ingests.IngestRow) -> Status:
        return row.status(row.offset, held=row.is_held(self._resources.session))

    def abort(self, ref: str) -> None:
        """Remove an ingest; its objects go to the trash."""
        with self._gate:
            resources = self._resources
            if not ingests.drop(resources.database, resources.session, self._namespace, ref):
                raise NotFoundError(ref=ref)
