"""What keeps a blob: the way up from it, over references, to the first root that is found.

The walk goes from child to parents, depth first, and asks each blob for a root of its own. A parent
that is being deleted, or is not there, keeps nothing. In a flat lease only the item itself is kept.
Where no root is found the blob is garbage, also within a cycle, whose members are all seen.
"""

from __future__ import annotations

import time

from contentdb.errors import UndecidedError
from contentdb.expiry import EXPIRE, parse_expiry
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.local.index import statements
from contentdb.references import ROOT
from contentdb.values import Step

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from sqlite3 import Connection
    from typing import Final

__all__ = ["FOREVER_NS", "Horizon", "Root", "Walk"]

_MOST_SEEN: Final = 512
"""Blobs that one walk looks at; a blob with more parents without a root waits until those go."""
FOREVER_NS: Final = 1 << 62


class Root(NamedTuple):
    """What keeps a blob by itself."""

    step: Step
    until_ns: int | None
    """When it ends without a word, so that the blob must be looked at again then; or None."""


class Horizon(NamedTuple):
    """What a walk takes for a root beside the roots that have names."""

    fresh_after_ns: int
    """A blob whose review comes later than that is fresh."""
    old_before_ns: int = 0
    """A blob is old that is not in the queue and was stored before that: before there was a queue.
    Whether anything keeps it only a full collection asks."""


class Walk:
    """One walk up from a blob; all is of one namespace, and of the connection's transaction."""

    def __init__(self, connection: Connection, namespace: str, horizon: Horizon) -> None:
        self._connection = connection
        self._namespace = namespace
        self._horizon = horizon
        self._now_ns = time.time_ns()
        self.own_root: Root | None = None
        """What keeps the blob of the last `run` by itself, rather than what refers to it."""
        self._seen: list[str] = []
        """The blobs that are there and were asked for a root."""

    def run(self, digest: str) -> tuple[Step, ...]:
        """Return the steps from a blob up to a root; () if nothing keeps it.

        Raises:
            UndecidedError: So many parents were seen, and none had a root.
        """
        self._seen = [digest]
        path = [Step("content", digest)]
        self.own_root = self._root_of(digest, depth=0)
        if self.own_root is not None:
            return (*path, self.own_root.step)
        ways = [self._parents(digest)]
        try:
            return self._climb(path, ways)
        finally:
            for way in ways:  # their cursors would keep the snapshot
                way.close()

    def _climb(self, path: list[Step], ways: list[Generator[tuple[str, str]]]) -> tuple[Step, ...]:
        """Go up; ``ways`` has the parents that are still to be looked at, for each step."""
        seen = set(self._seen)
        while ways:
            found = next(ways[-1], None)
            if found is None:
                ways.pop()
                path.pop()
                continue
            parent, key = found
            if parent in seen:
                continue
            seen.add(parent)
            if not self._is_there(parent):
                continue
            self._seen.append(parent)
            path.append(Step("content", parent, key))
            root = self._root_of(parent, depth=len(ways))
            if root is not None:
                return (*path, root.step)
            if len(seen) >= _MOST_SEEN:
                raise UndecidedError(path[0].name, len(seen))
            ways.append(self._parents(parent))
        return ()

    def unkept(self, digest: str) -> list[str]:
        """Return a blob and all above it that nothing keeps; [] if something keeps it.

        A parent that a flat lease has is kept, and does not keep its child.

        Raises:
            UndecidedError: As `run`.
        """
        return [] if self.run(digest) else self.seen_unkept()

    def seen_unkept(self) -> list[str]:
        """Return what `unkept` does, after a `run` that found nothing."""
        first, *above = self._seen
        return [first, *(one for one in above if self._root_of(one, depth=0) is None)]

    def _is_there(self, digest: str) -> bool:
        values = {"namespace": self._namespace, "digest": digest}
        return self._connection.execute(statements.IS_THERE, values).fetchone() is not None

    def _parents(self, digest: str) -> Generator[tuple[str, str]]:
        """Yield the digests that keep a blob, each with the key of its label."""
        values = {"namespace": self._namespace, "digest": digest}
        yield from self._connection.execute(statements.REFERRING, values)
        yield from self._connection.execute(statements.BACK_REFERENCES, values)

    def _root_of(self, digest: str, *, depth: int) -> Root | None:
        """Return what keeps a blob by itself, rather what has no date; None also if it is gone."""
        values: dict[str, str | int] = {"namespace": self._namespace, "digest": digest}
        values |= {"now": self._now_ns, "depth": depth}
        row = self._connection.execute(statements.ROOTS, values).fetchone()
        return None if row is None else next(self._roots(*row), None)

    def _roots(
        self,
        created_ns: int,
        review_ns: int | None,
        tag: str | None,
        is_root: int,
        lease: str | None,
        ref: str | None,
        expire: str | None,
        /,
    ) -> Iterator[Root]:
        if tag is not None:
            yield Root(Step("tag", tag), None)
        if is_root:
            yield Root(Step("label", ROOT), None)
        if lease is not None:
            yield Root(Step("lease", lease), None)
        if ref is not None:
            yield Root(Step("ingest", ref), self._now_ns)
        if expire is not None and (ends_ns := _read_end(expire)) > self._now_ns:
            yield Root(Step("label", EXPIRE), ends_ns)
        if review_ns is None and created_ns < self._horizon.old_before_ns:
            yield Root(Step("old", str(created_ns)), None)
        if review_ns is not None and review_ns > self._horizon.fresh_after_ns:
            yield Root(Step("fresh", str(review_ns)), review_ns)


def _read_end(text: str) -> int:
    """Return when a label ends what it keeps; what is no time never comes."""
    try:
        return parse_expiry(text)
    except ValueError:
        return FOREVER_NS
