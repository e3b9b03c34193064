"""What the key of an object tells: the session that wrote it, and its digest or its run."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from contentdb.digest import Digest
from contentdb.errors import InvalidDigestError

__all__ = ["BLOBS", "PARTS", "ObjectName", "parse_key"]

BLOBS: Final = "blobs/"
PARTS: Final = "parts/"
_BLOB: Final = re.compile(r"blobs/(\w+)/[0-9a-f]{2}/([0-9a-f]+)\.(\d+)\.\d+(\.m)?")
_PART: Final = re.compile(r"(parts/(\d+)\.\d+/)\d{8,}")


class ObjectName(NamedTuple):
    """A key, taken apart."""

    key: str
    session: int
    digest: Digest | None = None
    """Of the blob whose object, or whose manifest, it is."""
    is_manifest: bool = False
    prefix: str | None = None
    """Of the run that it is in."""


def parse_key(key: str) -> ObjectName | None:
    """Take the key of an object apart; return None for one that no store has made."""
    found = _BLOB.fullmatch(key)
    if found is not None:
        try:
            digest = Digest(f"{found[1]}:{found[2]}")
        except InvalidDigestError:
            return None
        return ObjectName(key, int(found[3]), digest, is_manifest=found[4] is not None)
    found = _PART.fullmatch(key)
    if found is None:
        return None
    return ObjectName(key, int(found[2]), prefix=found[1])
