"""Content without a ref, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from contentdb.cluster.add import add
from contentdb.cluster.add_many import add_many
from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.errors import FailedPreconditionError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from contentdb.asked import Asked
    from contentdb.content import Info, Link
    from contentdb.digest import Digest
    from contentdb.errors import ContentDBError
    from contentdb.labels import Labelling

__all__ = ["Write"]


class Write(Lifecycle):
    """The engine's part in `contentdb.content.Ingester`, but for what has a ref."""

    begins_with = None

    def add(self, source: object, expected: Digest | None, labels: Labelling, link: Link) -> Info:
        """Store one source; with ``expected``, stored content is not read."""
        with self._gate:
            return add(self._resources, self._namespace, source, expected, labels, link)

    def add_many(
        self, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
    ) -> Generator[Info | ContentDBError]:
        """Store many sources in groups that share the cost of durability."""
        with self._gate:
            return add_many(
                self._resources,
                self._gate,
                self._namespace,
                asked,
                keep_labels=keep_labels,
                raising=raising,
            )

    def batch(self) -> NoReturn:
        """Refuse: the front asks for the capability first."""
        raise FailedPreconditionError(f"{self.place} takes no batches; use add_many")
