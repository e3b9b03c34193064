"""A store as it lies on disk, seen without the library and without changing anything.

Another process looks, so that a lock that the first one holds is in its way, and nothing that the
first one has not committed is seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from contentdb.local.index import State

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["look"]


def look(root: Path) -> dict[str, Any]:
    """What there is: blobs, ingests, leftovers, and which locks are held.

    A packed blob is among the files if its pack is there.
    """
    seen: dict[str, Any] = {
        "blobs": {}, "tombstones": [], "ingests": {}, "files": [], "temporaries": [], "trash": [],
        "held": [], "unknown": [], "root_locked": False, "packs_locked": False, "busy": False,
    }  # fmt: skip
    if not root.exists():
        return seen
    seen["root_locked"] = _is_locked(str(root), fcntl.LOCK_EX)
    if (root / "packs").exists():
        seen["packs_locked"] = _is_locked(str(root / "packs"), fcntl.LOCK_EX)
    names: dict[str, str] = {}
    path = root / "index.sqlite"
    if path.exists() and path.stat().st_size:
        _read_index(path, root, seen, names)
    for name in _listed(root / "ingest"):
        if name.startswith("."):
            seen["temporaries"].append(name)
        elif _is_locked(str(root / "ingest" / name), fcntl.LOCK_EX):
            seen["held"].append(names.get(name, name))
        if not name.startswith(".") and name not in names:
            seen["unknown"].append(name)
    seen["trash"] = _listed(root / "trash")
    for algorithm in _listed(root / "blobs"):
        for shard in _listed(root / "blobs" / algorithm):
            found = _listed(root / "blobs" / algorithm / shard)
            seen["files"] += [f"{algorithm}:{name}" for name in found]
    return seen


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_locked(path: str, kind: int) -> bool:
    """Whether another process has locked it."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _read_index(path: Path, root: Path, seen: dict[str, Any], names: dict[str, str]) -> None:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    with contextlib.closing(connection):
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            seen["busy"] = True
        try:
            rows = connection.execute(
                "SELECT digest, state, size, pack FROM blobs WHERE namespace = 'default'"
            ).fetchall()
        except sqlite3.OperationalError:  # it has no tables yet
            return
        labels: dict[str, dict[str, str]] = {}
        for digest, key, value in connection.execute(
            "SELECT digest, key, value FROM labels WHERE namespace = 'default'"
        ):
            labels.setdefault(digest, {})[key] = value
        for digest, state, size, pack in rows:
            if pack is not None and (root / "packs" / f"{pack}.pack").exists():
                seen["files"].append(digest)
            if state == State.TOMBSTONE:
                seen["tombstones"].append(digest)
            else:
                seen["blobs"][digest] = [state, size, labels.get(digest, {})]
        for ref, name, total, expected in connection.execute(
            "SELECT ref, name, total, expected FROM ingests WHERE namespace = 'default'"
        ):
            names[name] = ref
            try:
                offset = (root / "ingest" / name).stat().st_size
            except FileNotFoundError:
                offset = 0
            seen["ingests"][ref] = [offset, total, expected]
