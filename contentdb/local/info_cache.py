"""Infos that this process has cached; the time of a blob's file shows whether one is still valid.

A blob's file has the row's time of update as its modification time. A process that is about to
change a row sets another time first, under the index's write lock. So a cached `Info` with the
time and size of the file says what the row says, whichever process changed it last: one stat
instead of two queries. Where they differ, as after an interrupted change or between namespaces,
the row is read.
"""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Any, Final

    from contentdb.content import Info

__all__ = ["Known", "NothingKnown"]

_MOST: Final = 16_384
_LABELS_WEIGHT: Final = 2048
"""Bytes that the labels of one Info may take in memory; the rest of it takes half a kilobyte. So
the cache takes 40 MiB at most. An Info with more labels is read from the index each time."""
_LABEL_WEIGHT: Final = 256
"""Bytes that two texts and their place in a dict take, beside their letters."""


class Known:
    """Infos by digest; the oldest are dropped first. Safe among threads."""

    __slots__ = ("_infos", "_secured")

    def __init__(self) -> None:
        self._infos: dict[str, Info] = {}
        self._secured: dict[str, int] = {}
        """Times of update by digest, of blobs that this process put on disk."""

    def get(self, digest: str, found: os.stat_result) -> Info | None:
        """Return the cached Info if the file, as it is now, vouches for it."""
        info = self._infos.get(digest)
        # by place, as in `Info.__new__`: a property costs a tenth of a look-up
        if info is None or info[3] != found.st_mtime_ns or info[1] != found.st_size:
            return None
        return info

    def put(self, info: Info) -> None:
        """Cache an Info, unless its labels take too much memory."""
        labels = info[4]  # by place, as in `get`
        if labels and _weigh(labels) > _LABELS_WEIGHT:
            self._infos.pop(info[0], None)
            return
        if len(self._infos) >= _MOST:
            _drop_oldest(self._infos)
        self._infos[info[0]] = info

    def secured(self, info: Info) -> None:
        """Note that a blob and its labels are on disk."""
        if len(self._secured) >= _MOST:
            _drop_oldest(self._secured)
        self._secured[info.digest] = info.updated_ns

    def is_secured(self, info: Info) -> bool:
        """Return whether this very blob, not deleted or labelled since, was put on disk."""
        return self._secured.get(info.digest) == info.updated_ns


class NothingKnown(Known):
    """An empty cache, for a group's store: there only a file's owner may set its time."""

    __slots__ = ()

    def get(self, digest: str, found: os.stat_result) -> Info | None:  # noqa: ARG002 - as above
        """Return None."""
        return None

    def put(self, info: Info) -> None:
        """Cache nothing."""


def _weigh(labels: Mapping[str, str]) -> int:
    letters = sum(map(len, labels)) + sum(map(len, labels.values()))
    return _LABEL_WEIGHT * len(labels) + letters


def _drop_oldest(items: dict[str, Any]) -> None:
    items.pop(next(iter(items), ""), None)
