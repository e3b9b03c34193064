"""Act on what `verify` found. Nothing is destroyed: damaged files go to ``quarantine/``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.digest import Hasher
from contentdb.labels import labelling
from contentdb.local.commit.candidate import Candidate
from contentdb.local.damage import quarantine, sync_shard, why_damaged
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.local.packed import lose_record
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    import os

    from contentdb.digest import Digest
    from contentdb.findings import Action, Finding
    from contentdb.local.resources import Parts

__all__ = ["act_on", "adopt"]

_CLOCK_STEP_NS: Final = 1_000_000_000
"""The clock of a file's change time ticks more slowly than the clock of its stamp."""


def act_on(parts: Parts, finding: Finding, *, dry_run: bool) -> Action:
    """Repair one finding after another check of it, or say what would be done.

    An orphan that matches its name gets a row, or its row is served again; one that does not
    goes to ``quarantine/``, as does a corrupt blob. The row of a corrupt blob or a missing file is
    marked: it is not served until its content is stored again. A wrong mode is set right.
    """
    return _plan(parts, finding) if dry_run else _mend(parts, finding)


def _plan(parts: Parts, finding: Finding) -> Action:
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
        return "marked as missing" if _mark_missing(parts, digest) else "left alone"
    if finding.kind == "mode":
        return _set_mode(parts, digest)
    if finding.kind == "orphan" and adopt(parts, digest):
        return "adopted"
    return "quarantined" if quarantine(parts, digest) else "left alone"


def _mark_missing(parts: Parts, digest: Digest) -> bool:
    row = parts.index.blob(digest)
    if row is None:  # it was deleted since it was found
        return False
    if row.location is not None:
        return lose_record(parts, digest, row.location)
    return parts.index.mark_damaged(digest, lambda: parts.shards.is_gone(digest))


def _set_mode(parts: Parts, digest: Digest) -> Action:
    shard = parts.shards.shard(digest)
    try:
        made = files.make_name_read_only(shard, digest.encoded)
    finally:
        shard.close()
    return "made read-only" if made else "left alone"


def adopt(parts: Parts, digest: Digest) -> bool:
    """Give a file without a row its row, if its bytes match its name; durable.

    The row gets the file's time, by which a commit that is about to record this very file knows
    the row: see `contentdb.local.index.record`. Return False if the file does not match.
    """
    fd = parts.shards.open(digest)
    if fd is None:
        return False
    try:
        hasher = Hasher(digest.algorithm)
        while piece := files.read(fd, PIECE_BYTES, digest):
            hasher.update(piece)
        if hasher.digest != digest:
            return False
        found = files.stat_open(fd, digest)
        files.make_read_only(fd, digest)
        files.sync(fd, digest)
    finally:
        files.let_go(fd)
    sync_shard(parts, digest)
    made = Candidate(
        parts.shards, digest, found.st_size, hasher.checksum, labelling(None), _born_ns(found)
    )
    made.whole_ns = found.st_mtime_ns
    return parts.index.adopt(made)


def _born_ns(found: os.stat_result) -> int:
    """Return the time of the commit that stamped the file: even, and not after its change time.

    After an interrupted adoption, the file's time is one nanosecond less.
    """
    of_file_ns = found.st_mtime_ns + (found.st_mtime_ns & 1)
    is_stamp = 0 < of_file_ns <= found.st_ctime_ns + _CLOCK_STEP_NS
    return of_file_ns if is_stamp and of_file_ns != BEING_DELETED_NS else time.time_ns()
