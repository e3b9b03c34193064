"""What this process knows of blobs, and how it can tell from their files that it is still so.

A blob's file carries the row's time of update as its time of modification. Whoever is about to
change a row sets another time first, so a remembered `Info` whose time and size are those of
the file says what the row says, whichever process changed it last: one stat instead of two
queries. Where the two differ, as after a change that was cut off or between namespaces, the
row is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import os

    from contentdb.content import Info

__all__ = ["Known"]

_MOST: Final = 16_384
"""Infos of half a kilobyte at most without labels: some megabytes."""


class Known:
    """Infos by digest, the oldest forgotten first; safe among threads."""

    __slots__ = ("_infos",)

    def __init__(self) -> None:
        self._infos: dict[str, Info] = {}

    def get(self, digest: str, found: os.stat_result) -> Info | None:
        """Recall an Info if the file, as it is now, vouches for it."""
        info = self._infos.get(digest)
        if info is None or info.updated_ns != found.st_mtime_ns or info.size != found.st_size:
            return None
        return info

    def put(self, info: Info) -> None:
        """Remember what a row says."""
        infos = self._infos
        if len(infos) >= _MOST:
            infos.pop(next(iter(infos), ""), None)
        infos[info.digest] = info
