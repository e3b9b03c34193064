"""Check whether a directory can hold a store: try what the store's promises depend on."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentdb import files
from contentdb.digest import ALGORITHMS
from contentdb.errors import ContentDBError
from contentdb.findings import Check
from contentdb.local.layout import BLOBS, DIRECTORIES, INDEX, SHARDS
from contentdb.local.mounts import is_network, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["examine", "has_wal_reset_bug"]

_LOW_BYTES: Final = 1 << 30


def has_wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Return whether checkpoints beside two writers can corrupt (https://sqlite.org/wal.html)."""
    fixed_branch = {(3, 50): 7, (3, 44): 6}.get(version[:2])
    if fixed_branch is not None and version[2] >= fixed_branch:
        return False
    return (3, 7, 0) <= version <= (3, 51, 2)


def examine(root: str | os.PathLike[str]) -> Iterator[Check]:
    """Check the root, or if it is missing the nearest directory above it.

    Scratch files are made there in a directory of their own, and removed.
    """
    place = Path(root).absolute()
    while not place.exists():
        place = place.parent
    yield _check_filesystem(place)
    yield from _try_all(place)
    yield _check_one_filesystem(Path(root))
    yield _check_directories(Path(root))
    yield _check_space(place)
    yield _check_sqlite()
    revision = _check_revision(Path(root))
    yield revision
    if revision.verdict == "ok" and (Path(root) / INDEX).exists():
        yield from _check_totals(Path(root))


def _try_all(place: Path) -> Iterator[Check]:
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as scratch:
            for name, attempt, fatal in _ATTEMPTS:
                yield _attempt(name, attempt, Path(scratch), fatal=fatal)
    except OSError as error:
        yield Check("write", "fail", f"{place}: {error.strerror}")


def _attempt(name: str, attempt: Callable[[Path], str], place: Path, *, fatal: bool) -> Check:
    try:
        return Check(name, "ok", attempt(place))
    except OSError as error:
        reason = error.strerror or str(error)
        return Check(name, "fail" if fatal else "warn", reason)


def _rename(place: Path) -> str:
    (place / "old").write_bytes(b"old")
    (place / "new").write_bytes(b"new")
    (place / "new").rename(place / "old")
    if (place / "old").read_bytes() != b"new":
        raise OSError(errno.EIO, "a rename did not replace its target")
    return "replaces its target"


def _link(place: Path) -> str:
    (place / "name").write_bytes(b"")
    (place / "second").hardlink_to(place / "name")
    try:
        (place / "second").hardlink_to(place / "name")
    except FileExistsError:
        return "hard links, refused where the name is taken"
    raise OSError(errno.EIO, "a link replaced its target")


def _fsync(place: Path) -> str:
    for path, flags in ((place / "synced", os.O_CREAT | os.O_RDWR), (place, os.O_DIRECTORY)):
        fd = os.open(path, flags, 0o600)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    return "files and directories"


def _flock(place: Path) -> str:
    with (place / "lock").open("wb") as first, (place / "lock").open("rb") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "a second opening is kept out"
    raise OSError(errno.ENOLCK, "two openings got one exclusive lock")


def _make_unnamed(place: Path) -> str:
    os.close(os.open(place, os.O_TMPFILE | os.O_RDWR, 0o600))
    return "files without a name"


def _reflink(place: Path) -> str:
    (place / "from").write_bytes(b"x" * 4096)
    with (place / "from").open("rb") as source, (place / "to").open("wb") as target:
        if not files.clone(source.fileno(), target.fileno()):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return "copies share their blocks"


_ATTEMPTS: Final[tuple[tuple[str, Callable[[Path], str], bool], ...]] = (
    ("rename", _rename, True),
    ("link", _link, True),
    ("fsync", _fsync, True),
    ("flock", _flock, True),
    ("O_TMPFILE", _make_unnamed, False),
    ("reflink", _reflink, False),
)


def _check_filesystem(place: Path) -> Check:
    """Name the filesystem; fail for a network one, whose locks and syncs cannot be trusted."""
    kind = kind_of(place)
    if kind is None:
        return Check("filesystem", "warn", "unknown")
    return Check("filesystem", "fail" if is_network(kind) else "ok", kind)


def _check_one_filesystem(root: Path) -> Check:
    devices = {path.lstat().st_dev for name in ("", *DIRECTORIES) if (path := root / name).exists()}
    if len(devices) > 1:
        return Check("one device", "fail", f"{', '.join(DIRECTORIES)} are on several filesystems")
    return Check("one device", "ok", "all directories" if devices else "no store yet")


def _check_directories(root: Path) -> Check:
    """Look for missing directories: a tool that copies may leave empty ones out."""
    if not (root / INDEX).exists():
        return Check("directories", "ok", "no store yet")
    missing = [f"no {name}/" for name in DIRECTORIES if not (root / name).is_dir()]
    for algorithm in sorted(path for path in root.glob(f"{BLOBS}/*") if path.name in ALGORITHMS):
        lost = sum(not (algorithm / name).is_dir() for name in SHARDS)
        place = f"{BLOBS}/{algorithm.name}/"
        missing += [f"{lost} of {len(SHARDS)} shards missing in {place}"] if lost else []
    if missing:
        return Check("directories", "warn", f"{', '.join(missing)}; made again at the next opening")
    return Check("directories", "ok", "all there")


def _check_space(place: Path) -> Check:
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    inodes = f"{found.f_favail} inodes" if found.f_files else "inodes unlimited"
    low = free < _LOW_BYTES or (found.f_files and not found.f_favail)
    return Check("free space", "warn" if low else "ok", f"{free >> 20} MiB, {inodes}")


def _check_sqlite() -> Check:
    version = sqlite3.sqlite_version
    if has_wal_reset_bug(sqlite3.sqlite_version_info[:3]):
        return Check(
            "SQLite", "warn", f"{version} has the WAL-reset bug; the store works around it"
        )
    return Check("SQLite", "ok", version)


def _check_revision(root: Path) -> Check:
    from contentdb.local.index.revision import HEAD, REVISIONS, revision_of

    path = root / INDEX
    if not path.exists():
        return Check("revision", "ok", f"no index yet; this contentdb makes {HEAD}")
    try:
        found = revision_of(str(path), str(root))
    except ContentDBError as error:
        return Check("revision", "fail", str(error))
    if found == HEAD:
        return Check("revision", "ok", HEAD)
    known = "older: run `contentdb migrate`" if found in (None, *REVISIONS) else "not known here"
    return Check("revision", "fail", f"{found}, {known}")


def _check_totals(root: Path) -> Iterator[Check]:
    """Count what is within each bound, if there is any, and compare it with the totals kept."""
    from contentdb.local.index import statements
    from contentdb.local.index.connect import connect
    from contentdb.local.index.policy import find_wrong_totals

    try:
        with closing(connect(str(root / INDEX), query_only=True)) as connection:
            if connection.execute(statements.ANY_TOTALS).fetchone() is None:
                return
            wrong = find_wrong_totals(connection)
    except (ContentDBError, sqlite3.Error) as error:
        yield Check("totals", "fail", str(error))
        return
    if wrong:
        way_out = "`contentdb policy set` counts anew"
        yield Check("totals", "fail", f"{'; '.join(wrong)}; {way_out}")
    else:
        yield Check("totals", "ok", "as counted")
