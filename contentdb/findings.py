"""What upkeep finds: the values of verify, repair and doctor, for every engine."""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Literal

    from contentdb.digest import Digest

    Action = Literal[
        "adopted",
        "quarantined",
        "marked as missing",
        "marked as damaged",
        "made read-only",
        "written again",
        "left alone",
    ]

__all__ = ["Check", "Finding", "Repaired"]


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
