"""Writes: under a ref, or in one call."""

from __future__ import annotations

import os
from contextlib import contextmanager

from contentdb.declared import Takeover
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit import add
from contentdb.local.engine.lifecycle import Lifecycle
from contentdb.streams.source import bytes_of, reading

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from contentdb.asked import Asked
    from contentdb.content import Info, Link
    from contentdb.declared import Declared
    from contentdb.digest import Digest
    from contentdb.errors import ContentDBError
    from contentdb.labels import Labelling
    from contentdb.local.ingest.held import LocalIngest

__all__ = ["Write"]


class Write(Lifecycle):
    """The engine's part in `contentdb.content.Ingester`."""

    begins_with = None

    def hold(
        self, ref: str, declared: Declared, takeover: Takeover, *, wait_s: float
    ) -> LocalIngest:
        """Begin the ingest of a ref or take it over."""
        from contentdb.local.ingest.begin import begin  # a command needs one of the three ways in
        from contentdb.local.ingest.held import LocalIngest

        # A caller that starts over may write without a look at the offset.
        shares = self._parts.shares and takeover is not Takeover.ANEW
        kind: type[LocalIngest] = LocalIngest
        if shares:
            from contentdb.local.ingest.unsent import UnsentIngest

            kind = UnsentIngest
        batch = self._batch
        if batch is not None and batch.holds(ref):
            batch.flush()
        with self._gate:  # not for long: closing this store may free the ref
            row, fd, size, room = begin(self._parts, ref, declared, takeover, wait=wait_s)
            made = kind(self._parts, self._gate, row, fd, size, room, self)
            self._held.add(made)
            return made

    def add(self, source: object, expected: Digest | None, labels: Labelling, link: Link) -> Info:
        """Store one source; stored content costs no write, and with ``expected`` no read."""
        with self._gate:
            moving = link == "move" and isinstance(source, os.PathLike)
            if expected is not None and not moving:
                known = add.label_stored(self._parts, expected, labels)
                if known is not None:
                    return known
            batch = self.current.batch
            if batch is not None and batch.is_ours and link == "copy":
                return batch.add(source, expected, labels)
            view = bytes_of(source)
            if view is not None:
                return add.add_bytes(self._parts, view, expected, labels)
            if isinstance(source, os.PathLike):
                return add.add_path(self._parts, source, expected, labels, link)
            return add.add_stream(self._parts, reading(source), expected, labels)

    def add_many(
        self, asked: Iterator[Asked], *, keep_labels: bool, raising: bool
    ) -> Generator[Info | ContentDBError]:
        """Store many sources in groups that share the cost of durability."""
        from contentdb.local.commit.add_many import add_many  # as in `hold`

        with self._gate:
            return add_many(
                self._parts, self._gate, asked, keep_labels=keep_labels, raising=raising
            )

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Let this thread's adds and commits share the cost of durability."""
        if self._batch is not None:
            yield
            return
        from contentdb.local.commit.batch import Batch  # as in `hold`

        batch = self.current.batch = Batch(self._parts)
        try:
            try:
                yield
            finally:
                self.current.batch = None
                if batch.is_ours:
                    with self._gate:
                        batch.flush()
        finally:
            batch.discard()
