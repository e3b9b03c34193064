"""The layout on disk: pure functions from root, digest and ref to names and paths.

::

    ROOT/index.sqlite                         the index (WAL)
    ROOT/index.sqlite-shared                  four bytes, see `contentdb.local.shared_flags`
    ROOT/index.sqlite-reserve                 a megabyte that a full disk gets back
    ROOT/index.sqlite-wal-hole                a sync failed, see `local/index/wal.py`
    ROOT/blobs/<algorithm>/<hex[:2]>/<hex>    committed, read-only
    ROOT/packs/<number>.pack                  small blobs, of a store that packs them
    ROOT/ingest/<xxh3-128 of the ref>         one file for an active ingest
    ROOT/trash/                               on its way out
    ROOT/quarantine/                          found damaged, kept for a look

The modification time of a blob's file is its row's time of update; see `local/info_cache.py`.

256 shards on one level: measured, two levels make a scan twice as slow and cold scans six
times, and ext4 holds millions of names in a directory without trouble.
"""

from __future__ import annotations

import os

import xxhash

from contentdb.errors import InvalidArgumentError, StoreError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.refs import DEFAULT_NAMESPACE
from contentdb.store_folder import (
    BLOBS,
    DIRECTORIES,
    INDEX,
    INGEST,
    PACKS,
    QUARANTINE,
    SHARED,
    TRASH,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

    from contentdb.digest import Digest

__all__ = [
    "ALGORITHM",
    "ALGORITHM_AND_SHARD",
    "BLOBS",
    "DIRECTORIES",
    "ENCODED",
    "INDEX",
    "INDEX_REBUILT",
    "INGEST",
    "PACKS",
    "QUARANTINE",
    "RESERVE",
    "SHARD",
    "SHARDS",
    "SHARED",
    "TEMPORARY",
    "TRASH",
    "check_root",
    "ingest_name",
    "lock_name",
    "quarantine_name",
    "root_path",
]

INDEX_REBUILT: Final = f"{INDEX}.new"
RESERVE: Final = "index.sqlite-reserve"

TEMPORARY: Final = "."
"""Prefix of the names of temporary files in ``ingest/``; their lock's token follows."""
_TOKEN_CHARS: Final = 32

# The parts of a digest that make its path; each algorithm's name has six letters.
ALGORITHM: Final = slice(6)
SHARD: Final = slice(7, 9)
ENCODED: Final = slice(7, None)
ALGORITHM_AND_SHARD: Final = slice(9)

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
"""Look it up here, and do not import it by name: the crash suites keep fewer, in this one place."""

_INDEX_PATH_BYTES: Final = 504
"""SQLite takes paths of 512 bytes, with the suffix that it appends for a journal."""


def root_path(root: object) -> str:
    """Return a root's absolute path without symbolic links.

    Raises:
        InvalidArgumentError: It is no text or path, or an empty one: an unset variable must not
            make a store of the current directory.
    """
    if not isinstance(root, str | os.PathLike):
        raise InvalidArgumentError(f"a root is a path, as text or Path, not {root!r:.80}")
    text = os.fspath(root)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidArgumentError(f"a root is a path that is not empty, not {text!r:.80}")
    return os.path.realpath(text)


def check_root(root: str | Path, index: str = INDEX) -> None:
    """Raise `StoreError` if SQLite could not open a file of that name in the root."""
    length = len(os.fsencode(root))
    most = _INDEX_PATH_BYTES - len(f"/{index}")
    if length > most:
        raise StoreError(
            str(root), f"its path has {length} bytes, and SQLite takes {most}; use a shorter one"
        )


def quarantine_name(digest: Digest) -> str:
    """Return a new name for a blob's damaged file."""
    return f"{digest.replace(':', '-')}.{os.urandom(4).hex()}"


def ingest_name(namespace: str, ref: str) -> str:
    """Return the file name of an ingest: XXH3-128 of its ref, so that no ref becomes a path.

    Refs of other namespaces than the default are hashed behind their namespace and a NUL, which
    neither can contain.
    """
    key = ref if namespace == DEFAULT_NAMESPACE else f"{namespace}\0{ref}"
    return xxhash.xxh3_128_hexdigest(key.encode())


def lock_name(name: str) -> str:
    """Return the file in ``ingest/`` whose lock shows that the owner of a file there lives."""
    return name[: 1 + _TOKEN_CHARS] if name.startswith(TEMPORARY) else name
