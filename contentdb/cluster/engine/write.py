"""Content without a ref, in one call."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from contentdb.cluster.add import add
from contentdb.cluster.add_many import add_many
from contentdb.cluster.batch import Batch
from contentdb.cluster.engine.lifecycle import Lifecycle

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
        """Store one source; with ``expected``, stored content is not read.

        In a batch it waits for the end of the block, unless its file is to be removed.
        """
        with self._gate:
            batch = self._current.batch
            if batch is not None and link != "move":
                return batch.add(source, expected, labels)
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

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Let this thread's adds share the cost of durability; an inner block is the outer one."""
        if self._current.batch is not None:
            yield
            return
        batch = self._current.batch = Batch(self._resources, self._namespace)
        try:
            yield
        finally:
            self._current.batch = None
            with self._gate:
                batch.flush()
