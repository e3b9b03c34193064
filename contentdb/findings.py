"""What upkeep finds, for every engine: the values of verify, repair, doctor and collection."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.values import Collection

if TYPE_CHECKING:
    from typing import Literal

    from contentdb.digest import Digest
    from contentdb.values import Collected

    Action = Literal[
        "adopted",
        "quarantined",
        "marked as missing",
        "marked as damaged",
        "made read-only",
        "written again",
        "left alone",
    ]

__all__ = ["Check", "Finding", "Repaired", "Tally"]


class Finding(NamedTuple):
    """One difference between bytes and rows."""

    kind: Literal["orphan", "missing", "corrupt", "mode", "index"]
    """``orphan``: a file or an object without a row, or a whole one whose row says that it was
    damaged; ``missing``: a row without its file, its pack, its objects or their manifest;
    ``corrupt``: bytes that do not match; ``mode``: a blob's file that can be written to, or cannot
    be read; ``index``: the database contradicts itself, and `contentdb.reindex` rebuilds it."""
    digest: Digest | None
    """None for what is not named after a blob."""
    path: str
    """Of the file, or the key of the object; the address of the database for bytes in a row."""
    detail: str


class Repaired(NamedTuple):
    """A finding, and the action that was taken."""

    finding: Finding
    action: Action


class Check(NamedTuple):
    """The result of one check of what a store stands on."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    """``warn``: the store works without it, or around it."""
    detail: str


class Tally:
    """The count of a collection, whose passes may see a blob more than once."""

    def __init__(self) -> None:
        self.blobs = self.bytes = self.ingests = self._kept = 0
        self.begins_ns: int | None = None
        self.saw_all = False
        """Whether a pass looked at all blobs: what later passes find kept is counted already."""
        self._waiting = 0
        """Blobs that something keeps, and that stay in the queue until their time has come."""
        self._undecided: set[Digest] = set()
        """A later pass may decide them; it sees them only if their new time has come by then."""

    @property
    def result(self) -> Collection:
        """What was done so far."""
        return Collection(
            self.blobs,
            self.bytes,
            self._kept + self._waiting,
            len(self._undecided),
            self.ingests,
            self.begins_ns,
        )

    def begin_pass(self) -> None:
        """Count what waits in the queue anew, for the next pass sees it again."""
        if not self.saw_all:
            self._waiting = 0

    def see(self, digest: Digest, *, kept: bool | None, waits: bool) -> None:
        """Count a blob that was judged; ``kept`` is None if that could not be found out."""
        if kept is None:
            self._undecided.add(digest)
            return
        self._undecided.discard(digest)
        if kept and not self.saw_all:
            self._waiting += waits
            self._kept += not waits

    def take(self, gone: Collected) -> Collected:
        """Count a blob that is gone, or would be, and return it."""
        self._undecided.discard(gone.digest)
        self.blobs += 1
        self.bytes += gone.size
        return gone
