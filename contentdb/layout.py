"""Where things are: pure functions from root, digest and ref to names and paths.

::

    ROOT/index.sqlite                         the index (WAL)
    ROOT/index.sqlite-shared                  two bytes, see `contentdb.sharing`
    ROOT/index.sqlite-reserve                 a megabyte that a full disk gets back
    ROOT/blobs/<algorithm>/<hex[:2]>/<hex>    committed, read-only
    ROOT/ingest/<xxh3-128 of the ref>         one file for an active ingest
    ROOT/trash/                               on its way out
    ROOT/quarantine/                          found damaged, kept for a look

A blob's file is modified at the time that its row says it was updated; see `contentdb.known`.

256 shards on one level: measured, two levels make a scan twice as slow and cold scans six
times, and ext4 holds millions of names in a directory without trouble.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import xxhash

from contentdb.errors import InvalidArgumentError, InvalidRefError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.digest import Digest

__all__ = [
    "BLOBS",
    "DEFAULT_NAMESPACE",
    "DIRECTORIES",
    "INDEX",
    "INDEX_REBUILT",
    "INGEST",
    "QUARANTINE",
    "RESERVE",
    "SHARDS",
    "SHARED",
    "TRASH",
    "blob_path",
    "check_namespace",
    "check_ref",
    "check_root",
    "ingest_name",
    "quarantine_name",
    "shard_name",
]

INDEX: Final = "index.sqlite"
INDEX_REBUILT: Final = f"{INDEX}.new"
SHARED: Final = "index.sqlite-shared"
RESERVE: Final = "index.sqlite-reserve"
BLOBS: Final = "blobs"
INGEST: Final = "ingest"
TRASH: Final = "trash"
QUARANTINE: Final = "quarantine"
DIRECTORIES: Final = (BLOBS, INGEST, TRASH, QUARANTINE)

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))

DEFAULT_NAMESPACE: Final = "default"
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
_NAMESPACE_CHARS: Final = 76
_REF_BYTES: Final = 4096
_INDEX_PATH_BYTES: Final = 504
"""SQLite takes paths of 512 bytes, and names a journal behind the database's own name."""


def check_root(root: Path, index: str = INDEX) -> None:
    """Raise `StoreError` where SQLite could not open a file of that name in the root."""
    length = len(os.fsencode(root))
    most = _INDEX_PATH_BYTES - len(f"/{index}")
    if length > most:
        raise StoreError(
            str(root), f"its path has {length} bytes, and SQLite takes {most}; use a shorter one"
        )


def blob_path(root: Path, digest: Digest) -> Path:
    """The file that holds a blob, whether or not it is there."""
    return root / BLOBS / digest.algorithm / shard_name(digest) / digest.encoded


def shard_name(digest: Digest) -> str:
    """The directory, within those of the algorithm, that a blob's file lies in."""
    return digest[7:9]


def quarantine_name(digest: Digest) -> str:
    """A new name for a damaged file of a blob."""
    return f"{digest.replace(':', '-')}.{os.urandom(4).hex()}"


def ingest_name(namespace: str, ref: str) -> str:
    """The file name of an ingest: XXH3-128 of its ref, so that no ref ever becomes a path.

    Refs of other namespaces than the default are hashed behind their namespace and a NUL,
    which neither can hold.
    """
    key = ref if namespace == DEFAULT_NAMESPACE else f"{namespace}\0{ref}"
    return xxhash.xxh3_128_hexdigest(key.encode())


def check_ref(ref: str) -> str:
    """Return the ref, or raise `InvalidRefError`: it is 1 to 4096 bytes of UTF-8 without NUL."""
    if not isinstance(ref, str):
        raise InvalidRefError(repr(ref), f"a ref is text, not {type(ref).__name__}")
    if not ref:
        raise InvalidRefError(ref, "it is empty")
    if "\0" in ref:
        raise InvalidRefError(ref, "it holds a NUL")
    try:
        length = len(ref.encode())
    except UnicodeEncodeError:
        raise InvalidRefError(ref, "it is not valid Unicode") from None
    if length > _REF_BYTES:
        raise InvalidRefError(ref, f"it has {length} bytes; {_REF_BYTES} is the most")
    return ref


def check_namespace(namespace: str) -> str:
    """Return the namespace, or raise `InvalidArgumentError`; the rule is containerd's."""
    valid = _NAMESPACE.fullmatch(namespace)
    if valid is None or len(namespace) > _NAMESPACE_CHARS:
        message = (
            f"invalid namespace {namespace!r}: letters and digits, joined by single . _ or -, "
            f"{_NAMESPACE_CHARS} characters at most"
        )
        raise InvalidArgumentError(message)
    return namespace
