"""Acting on what `verify` found. Nothing is destroyed: what is damaged goes to ``quarantine/``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from contentdb import files
from contentdb.digest import Hasher
from contentdb.index import Outcome, State
from contentdb.layout import quarantine_name
from contentdb.publish import Candidate
from contentdb.verify import why_damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentdb.digest import Digest
    from contentdb.parts import HasParts, Parts
    from contentdb.verify import Finding

__all__ = ["Repaired", "adopt", "quarantine", "repair"]

_PIECE_BYTES: Final = 1 << 20
_NOT_BEING_DELETED: Final = frozenset({None, State.LIVE, State.DAMAGED})

Action = Literal["adopted", "quarantined", "marked as missing", "made read-only", "left alone"]


class Repaired(NamedTuple):
    """What was done about a finding."""

    finding: Finding
    action: Action


def repair(
    store: HasParts,
    findings: Iterable[Finding],
    *,
    dry_run: bool = False,
    progress: Callable[[Repaired], object] = lambda _repaired: None,
) -> list[Repaired]:
    """Mend each finding as it comes, looking again first; durable when it returns.

    An orphan that matches its name gets a row, or its row is served again; one that does not
    goes to ``quarantine/``, as does a corrupt blob, whose row is marked: it is served no more
    until its content is stored again. So is the row of a missing file. A wrong mode is set
    right. May be repeated.

    Args:
        store: The store that the findings are of.
        findings: From `Store.verify`, perhaps chosen among.
        dry_run: Only say what would be done.
        progress: Called with each as it is done, and durable.

    Returns:
        What was done, in the order of the findings.
    """
    with store.parts() as parts:
        if parts.read_only and not dry_run:
            parts.refuse_writing()
    with store.parts() as parts:
        if parts.read_only and not dry_run:
            parts.refuse_writing()
    act = _planned if dry_run else _mend
    repaired: list[Repaired] = []
    for finding in findings:
        with store.parts() as parts:  # not while `progress` is called: it may close the store
            action = act(parts, finding)
        repaired.append(Repaired(finding, action))
        progress(repaired[-1])
    return repaired


def _planned(parts: Parts, finding: Finding) -> Action:
    if finding.digest is None:
        return "left alone"
    if finding.kind == "orphan":
        return "quarantined" if why_damaged(parts.shards, finding.digest) else "adopted"
    actions: dict[str, Action] = {
        "corrupt": "quarantined", "missing": "marked as missing", "mode": "made read-only",
    }  # fmt: skip
    return actions[finding.kind]


def _mend(parts: Parts, finding: Finding) -> Action:
    digest = finding.digest
    if digest is None:
        return "left alone"
    if finding.kind == "missing":
        gone = parts.index.mark_damaged(digest, lambda: parts.shards.size(digest) is None)
        return "marked as missing" if gone else "left alone"
    if finding.kind == "mode":
        return _set_mode(parts, digest)
    if finding.kind == "orphan" and adopt(parts, digest):
        return "adopted"
    return "quarantined" if quarantine(parts, digest) else "left alone"


def _set_mode(parts: Parts, digest: Digest) -> Action:
    shard = parts.shards.shard(digest)
    try:
        made = files.make_name_read_only(shard, digest.encoded)
    finally:
        shard.close()
    return "made read-only" if made else "left alone"


def adopt(parts: Parts, digest: Digest) -> bool:
    """Give a file without a row its row, if its bytes match its name; durable."""
    fd = parts.shards.open(digest)
    if fd is None:
        return False
    try:
        hasher = Hasher(digest.algorithm)
        while piece := files.read(fd, _PIECE_BYTES, digest):
            hasher.update(piece)
        if hasher.digest != digest:
            return False
        found = files.stat_open(fd, digest)
        files.make_read_only(fd, digest)
        files.sync(fd, digest)
    finally:
        files.let_go(fd)
    _sync_shard(parts, digest)
    born_ns = min(found.st_mtime_ns, time.time_ns())
    made = Candidate(parts.shards, digest, found.st_size, hasher.checksum, {}, born_ns)
    made.only_if = _NOT_BEING_DELETED
    (outcome,) = parts.index.record([made])
    return outcome is not Outcome.GONE


def quarantine(parts: Parts, digest: Digest) -> bool:
    """Take a damaged file out of the blobs and mark its row, if it is still damaged; durable."""
    found = _identity(parts, digest)
    if found is None or why_damaged(parts.shards, digest) is None:
        return False
    name = quarantine_name(digest)

    def take_away() -> bool:
        """Not a file that healed it meanwhile."""
        return _identity(parts, digest) == found and parts.shards.move(
            digest, parts.quarantine, name
        )

    moved = parts.index.mark_damaged(digest, take_away)
    if moved:
        _sync_shard(parts, digest)
        files.sync_directory(parts.quarantine)
    return moved


def _identity(parts: Parts, digest: Digest) -> tuple[int, int] | None:
    shard = parts.shards.shard(digest)
    try:
        found = files.stat_name(shard, digest.encoded)
    finally:
        shard.close()
    return None if found is None else (found.st_ino, found.st_ctime_ns)


def _sync_shard(parts: Parts, digest: Digest) -> None:
    shard = parts.shards.shard(digest)
    try:
        files.sync_directory(shard)
    finally:
        shard.close()
