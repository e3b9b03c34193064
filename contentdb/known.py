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

    from contentdb.content import Info

__all__ = ["Known"]

_MOST: Final = 16_384
"""Infos of half a kilobyte at most without labels: some megabytes."""


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
        """Remember what a row says."""
        _bounded(self._infos)
        self._infos[info[0]] = info  # by place, as in `get`

    def secured(self, info: Info) -> None:
        """Remember that a blob and its labels are on disk, whoever stored them."""
        _bounded(self._secured)
        self._secured[info.digest] = info.updated_ns

    def is_secured(self, info: Info) -> bool:
        """Whether this very blob, not deleted or labelled since, was put on disk."""
        return self._secured.get(info.digest) == info.updated_ns


def _bounded(items: dict[str, Any]) -> None:
    """Make room for one more."""
    if len(items) >= _MOST:
        items.pop(next(iter(items), ""), None)
