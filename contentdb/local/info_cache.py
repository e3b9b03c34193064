"""What this process knows of blobs, and how it can tell from their files that it is still so.

A blob's file carries the row's time of update as its time of modification. Whoever is about to
change a row sets another time first, under the index's write lock. So a remembered `Info` whose
time and size are those of the file says what the row says, whichever process changed it last:
one stat instead of two queries. Where the two differ, as after a change that was cut off or
between namespaces, the row is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from contentdb.content import Info

__all__ = ["Known", "NothingKnown"]

_MOST: Final = 16_384
_LABELS_WEIGHT: Final = 2048
"""What the labels of one Info may take in memory; half a kilobyte is the rest of it. So what is
remembered takes 40 MiB at most. An Info with more labels is read from the index each time."""
_LABEL_WEIGHT: Final = 256
"""What two texts and their place in a dict take, beside their letters."""


class Known:
    """Infos by digest, the oldest forgotten first; safe among threads."""

    __slots__ = ("_infos", "_secured")

    def __init__(self) -> None:
        self._infos: dict[str, Info] = {}
        self._secured: dict[str, int] = {}
        """Times of update by digest, of what this process put on disk."""

    def get(self, digest: str, found: os.stat_result) -> Info | None:
        """Recall an Info if the file, as it is now, vouches for it."""
        info = self._infos.get(digest)
        # by place, as in `Info.__new__`: a property costs a tenth of a look-up
        if info is None or info[3] != found.st_mtime_ns or info[1] != found.st_size:
            return None
        return info

    def put(self, info: Info) -> None:
        """Remember what a row says, unless it says very much."""
        labels = info[4]  # by place, as in `get`
        if labels and _weigh(labels) > _LABELS_WEIGHT:
            self._infos.pop(info[0], None)
            return
        _bounded(self._infos)
        self._infos[info[0]] = info

    def secured(self, info: Info) -> None:
        """Remember that a blob and its labels are on disk, whoever stored them."""
        _bounded(self._secured)
        self._secured[info.digest] = info.updated_ns

    def is_secured(self, info: Info) -> bool:
        """Whether this very blob, not deleted or labelled since, was put on disk."""
        return self._secured.get(info.digest) == info.updated_ns


class NothingKnown(Known):
    """For the store of a group: only its owner may set a file's time, so that it tells nothing."""

    __slots__ = ()

    def get(self, digest: str, found: os.stat_result) -> Info | None:  # noqa: ARG002 - as above
        """Recall nothing."""
        return None

    def put(self, info: Info) -> None:
        """Remember nothing."""


def _weigh(labels: Mapping[str, str]) -> int:
    letters = sum(map(len, labels)) + sum(map(len, labels.values()))
    return _LABEL_WEIGHT * len(labels) + letters


def _bounded(items: dict[str, Any]) -> None:
    """Make room for one more."""
    if len(items) >= _MOST:
        items.pop(next(iter(items), ""), None)
