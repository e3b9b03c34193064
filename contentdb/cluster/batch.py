"""Adds inside ``with store.batch():``, whose objects and rows are written in groups, at its end.

Commits of ingests are durable at once: each frees its ref.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from contentdb.asked import Asked
from contentdb.cluster.add import discard
from contentdb.cluster.add_many import GROUP_COUNT, Group
from contentdb.cluster.publish import label_stored
from contentdb.cluster.sql import NOW_NS
from contentdb.errors import ContentDBError
from contentdb.labels import check_total_labels
from contentdb.values import Info, NewInfo

if TYPE_CHECKING:
    from contentdb.cluster.add import Content
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest
    from contentdb.labels import Labelling

__all__ = ["Batch"]

_NOW: Final = f"SELECT {NOW_NS}"


class Batch:
    """The adds of one thread's block."""

    def __init__(self, resources: Resources, namespace: str) -> None:
        self._resources = resources
        self._namespace = namespace
        self._group = Group(resources, namespace)
        self._waiting: dict[Digest, Info] = {}
        self._count = 0
        self._ahead_ns: int | None = None
        """By how much the server's clock is ahead of this process's monotonic one."""

    def add(self, source: object, expected: Digest | None, labels: Labelling) -> Info:
        """Read a source; return the Info that its blob will have when the block ends.

        Its times are those of this moment, by the server's clock, and those of the blob a little
        later.
        """
        self._count += 1
        asked = Asked(self._count, source, None if expected is None else str(expected), labels)
        answer = self._group.take(asked, keep_labels=False, as_value=False)
        content = self._group.newest.content
        if isinstance(answer, ContentDBError):
            self._group.withdraw()
            raise answer
        if content is None:  # it was stored already
            assert answer is not None  # noqa: S101 - one or the other
            self._group.withdraw()
            return answer
        earlier = self._waiting.get(content.digest)
        try:
            stored = self._find_stored(content, labels) if earlier is None else None
            info = stored or self._foretell(content, labels, earlier)
        except BaseException:  # what failed for the caller must not be stored when the block ends
            self._drop_newest(content)
            raise
        if stored is not None:
            self._drop_newest(content)
            return stored
        self._waiting[content.digest] = info
        if self._group.is_full(GROUP_COUNT):
            self.flush()
        return NewInfo.of(info) if earlier is None else info

    def _find_stored(self, content: Content, labels: Labelling) -> Info | None:
        return label_stored(self._resources, self._namespace, content.digest, labels)

    def _foretell(self, content: Content, labels: Labelling, earlier: Info | None) -> Info:
        """Return what the end of the block will make of content that is not stored yet."""
        if earlier is not None:
            return _relabelled(earlier, labels)
        now_ns = self._now_ns()
        return Info(content.digest, content.size, now_ns, now_ns, dict(labels.new) or None)

    def _drop_newest(self, content: Content) -> None:
        self._group.withdraw()
        discard(self._resources, content.segments)

    def _now_ns(self) -> int:
        if self._ahead_ns is None:
            self._ahead_ns = self._resources.database.rows(_NOW)[0][0] - time.monotonic_ns()
        return time.monotonic_ns() + self._ahead_ns

    def flush(self) -> None:
        """Make what waits durable.

        Raises:
            ContentDBError: The first error of an add. The others are stored, unless the database
                failed, which fails them all.
        """
        self._waiting.clear()
        for item in self._group.finish():
            if isinstance(item.answer, ContentDBError):
                raise item.answer


def _relabelled(info: Info, labels: Labelling) -> Info:
    """Return the Info with the labels that content already stored gets."""
    merged = {**info.labels, **labels.stored}
    check_total_labels(merged, info.labels)
    return Info(info.digest, info.size, info.created_ns, info.updated_ns, merged or None)
