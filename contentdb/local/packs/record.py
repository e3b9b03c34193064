"""A record: a blob in a pack, with all that its row needs if that is lost.

::

    magic       4   ``CDBR``
    state       1   ``L``; ``M`` for a copy that upkeep made, of a blob with a row; ``D`` once
                    nothing needs this record: another place has the blob, or its call failed;
                    ``X`` once the blob was deleted. It is not in the check
    algorithm   1   length of the digest in bytes: 32, 48 or 64
    reserved    2
    size        4   of the content, in bytes
    facts       4   length of the facts, in bytes
    created     8   nanoseconds since the epoch
    checksum    8   XXH3-64 of the content, signed
    check       8   XXH3-64 of the fields above but for the state, of the digest and of the facts
    digest      32, 48 or 64
    content
    facts           JSON: namespace, labels, whether stored content keeps its own, ref and token of
                    the ingest; without the usual ones

All integers are little-endian. Zeros follow the last record.

A copy has the check of its original. So ``X`` on one of them says of all that the blob was deleted,
while ``D`` says something of one record alone. Older versions wrote ``D`` for both.
"""

from __future__ import annotations

import struct

import xxhash

from contentdb.digest import Digest
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.refs import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from typing import Any, Final

    from contentdb.labels import Labelling
    from contentdb.local.index import LeaseKey

__all__ = [
    "DEAD",
    "DELETED",
    "HEAD_BYTES",
    "LIVE",
    "MAGIC",
    "MOST_BELOW",
    "MOVED",
    "STATE_AT",
    "Header",
    "Life",
    "begins_with",
    "content_at",
    "encode",
    "facts_of",
    "parse",
    "read_facts",
    "state_of_deleted",
]

LIVE: Final = b"L"
MOVED: Final = b"M"
DEAD: Final = b"D"
DELETED: Final = b"X"
STATE_AT: Final = 4
"""Place of the state in a record."""

MAGIC: Final = b"CDBR"
_FIELDS: Final = struct.Struct("<BxxIIqq")
_HEAD: Final = struct.Struct("<4scBxxIIqqQ")
_ALGORITHMS: Final = {32: "sha256", 48: "sha384", 64: "sha512"}
_LENGTHS: Final = {name: length for length, name in _ALGORITHMS.items()}
MOST_BELOW: Final = 1 << 20
"""Bytes; the largest `pack_below`. A packed blob is read and written as a whole."""
HEAD_BYTES: Final = _HEAD.size + max(_ALGORITHMS)
"""Enough of a record to `parse`."""
_MOST_FACTS: Final = 8 << 20
"""Bytes: labels have at most 1 MiB, of which JSON may make six."""


class Life(NamedTuple):
    """A blob from one storing to its delete: what all records of it have in common, and no other.

    Their check covers the time of the storing, too.
    """

    digest: Digest
    check: int


class Header(NamedTuple):
    """What stands before a record's content."""

    digest: Digest
    size: int
    """Bytes of the content."""
    checksum: int
    created_ns: int
    facts_size: int
    check: int
    state: bytes
    checked: bytes
    """What its check covers, but for the facts."""
    content_at: int
    """Where the content begins in the record."""

    @property
    def life(self) -> Life:
        """Which blob it is, among all that have had this content."""
        return Life(self.digest, self.check)

    @property
    def length(self) -> int:
        """Bytes of the whole record."""
        return self.content_at + self.size + self.facts_size


def content_at(digest: str) -> int:
    """Return where the content of a blob begins in its record."""
    return _HEAD.size + _LENGTHS[digest[:6]]


def state_of_deleted(*, is_elsewhere: bool) -> bytes:
    """Return what the record of a deleted blob becomes.

    If another namespace has the blob, its record may be a copy of this one: only this one is dead.
    """
    return DEAD if is_elsewhere else DELETED


def encode(
    digest: Digest,
    data: bytes | memoryview,
    checksum: int,
    created_ns: int,
    facts: bytes,
    state: bytes = LIVE,
) -> tuple[bytes, bytes | memoryview, bytes]:
    """Return a record as three pieces: head, content, facts."""
    raw = bytes.fromhex(digest[7:])
    fields = (len(raw), len(data), len(facts), created_ns, checksum)
    check = xxhash.xxh3_64_intdigest(_FIELDS.pack(*fields) + raw + facts)
    return _HEAD.pack(MAGIC, state, *fields, check) + raw, data, facts


def facts_of(
    namespace: str,
    labels: Labelling,
    ref: str | None,
    token: str | None,
    lease: LeaseKey | None = None,
) -> bytes:
    """Return the facts of a new blob; empty for the usual ones, which take no room."""
    facts: dict[str, Any] = {}
    if namespace != DEFAULT_NAMESPACE:
        facts["namespace"] = namespace
    if labels.new:
        facts["labels"] = dict(labels.new)
        if not labels.stored:
            facts["keep"] = True
    if token is not None:
        facts |= {"ref": ref, "token": token}
    if lease is not None:
        facts["lease"] = lease
    if not facts:
        return b""
    import json  # 3 ms that a blob without labels need not spend

    return json.dumps(facts, ensure_ascii=False).encode()


def begins_with(head: bytes, digest: Digest) -> bool:
    """Return whether bytes are the beginning of a record of this digest."""
    raw = bytes.fromhex(digest[7:])
    at = _HEAD.size
    return head[:4] == MAGIC and head[5:6] == bytes((len(raw),)) and head[at : at + len(raw)] == raw


def parse(head: bytes) -> Header | None:
    """Read the beginning of a record; return None if there is none. The check is not made yet."""
    if len(head) < _HEAD.size or head[:4] != MAGIC:
        return None
    _, state, length, size, facts_size, created_ns, checksum, check = _HEAD.unpack_from(head)
    raw = head[_HEAD.size : _HEAD.size + length]
    if length not in _ALGORITHMS or len(raw) != length:
        return None
    if size >= MOST_BELOW or facts_size > _MOST_FACTS:  # it would be read whole
        return None
    digest = Digest.of_raw(_ALGORITHMS[length], raw)
    checked = _FIELDS.pack(length, size, facts_size, created_ns, checksum) + raw
    begin = _HEAD.size + length
    return Header(digest, size, checksum, created_ns, facts_size, check, state, checked, begin)


def read_facts(header: Header, facts: bytes) -> dict[str, Any] | None:
    """Return the facts of a record; None if head and facts do not match their check."""
    if len(facts) != header.facts_size:
        return None
    if xxhash.xxh3_64_intdigest(header.checked + facts) != header.check:
        return None
    if not facts:
        return {}
    import json  # as above

    read: dict[str, Any] = json.loads(facts)
    return read
