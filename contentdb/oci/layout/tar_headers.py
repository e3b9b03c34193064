"""Parses the headers of a tar: names, links, and where the bytes of each member are.

A tar is not trusted, so everything that is read from its headers is bounded. The standard
library's `tarfile` reads names and records of any length into memory, and searches them in
quadratic time. The format is ustar with the additions of tools, pax records and GNU's long names:
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html and
https://www.gnu.org/software/tar/manual/html_node/Standard.html. Sparse files are refused.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from contentdb.oci.errors import InvalidManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NAME_BYTES", "Blocks", "Headers", "Link", "Member", "Place"]

_BLOCK_BYTES: Final = 512
_MOST_MEMBERS: Final = 200_000
NAME_BYTES: Final = 255
"""A blob's name has at most 141 bytes, behind its folder; members with longer names are ignored."""
_EXTENSION_BYTES: Final = 1 << 20
"""Limit for one extension header."""
_ALL_EXTENSIONS_BYTES: Final = 64 << 20
_MOST_RECORDS: Final = 300_000
"""Limit for the records of all extension headers: they are of a few bytes and parsed one by one."""
_MOST_IN_A_ROW: Final = 16
"""Limit for the extension headers before one member."""
_MOST_DIGITS: Final = 20

_REGULAR: Final = {b"0", b"\0", b"7"}
_HARD_LINK: Final = b"1"
_SYMBOLIC_LINK: Final = b"2"
_WITHOUT_BYTES: Final = {_HARD_LINK, _SYMBOLIC_LINK, b"3", b"4", b"5", b"6"}
"""Links, devices, directories and pipes have no bytes, whatever size their headers state."""
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_GNU_SPARSE: Final = b"S"
_PAX: Final = {b"x", b"X"}
_PAX_FOR_ALL: Final = b"g"
_BINARY: Final = 0x80
_OURS: Final = {b"path", b"size", b"linkpath"}
_NO_TAR: Final = (
    "it is neither a layout's directory nor a tar of one or of images by docker save"
    " (a pipe is read as `-`)"
)
_CUT_OFF: Final = (
    "it was cut off: it ends before the tar does; get it again, or import what is whole by"
    " --partial (partial=True)"
)
_COMPRESSED: Final = {b"BZh": "bzip2 -dc", b"\xfd7zXZ": "xz -dc", b"\x04\x22\x4d\x18": "lz4 -dc"}
"""What decompresses a file that begins so."""


class Place(NamedTuple):
    """Where a regular file's bytes are."""

    start: int
    size: int


class Link(NamedTuple):
    """A hard or symbolic link to another member; None if it leads out of the tar."""

    target: bytes | None


Member = Place | Link | None
"""None is any other kind of member, such as a directory or a device."""


class Blocks(Protocol):
    """The bytes of a tar."""

    def reach(self, at: int) -> bool:
        """Return whether there are bytes up to this offset; a spool reads on until there are."""

    def pread(self, count: int, at: int) -> bytes:
        """Return bytes at an offset; fewer at the end alone."""


class _CutOffError(InvalidManifestError):
    """The bytes end before the tar's end mark."""


class _Header(NamedTuple):
    """The fields of the block before a member."""

    name: bytes
    kind: bytes
    size: int
    link: bytes


class _Extension:
    """What extension headers say of the member behind them."""

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.link: bytes | None = None
        self.size: int | None = None

    def update(self, records: dict[bytes, bytes]) -> None:
        self.name = records.get(b"path") or self.name
        self.link = records.get(b"linkpath") or self.link
        if b"size" in records:
            self.size = _decimal(records[b"size"])


class Headers:
    """Reads all headers, from the first block to the end mark."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._at = 0
        self._extended = 0
        """Bytes of extension headers read so far."""
        self._records = 0

    def members(self, *, partial: bool) -> dict[bytes, Member]:
        """Return the members by name; the first of several with one name.

        Args:
            partial: If the tar was cut off, return the members before the cut.

        Raises:
            InvalidManifestError: It is not a tar, was cut off, or exceeds a limit.
        """
        found: dict[bytes, Member] = {}
        try:
            for count, (name, member) in enumerate(self._members()):
                if count >= _MOST_MEMBERS:
                    raise InvalidManifestError(f"the tar has more than {_MOST_MEMBERS} members")
                if len(name) <= NAME_BYTES:
                    found.setdefault(name, member)
        except _CutOffError:
            if not partial:
                raise
        return found

    def _members(self) -> Iterator[tuple[bytes, Member]]:
        while True:
            more = _Extension()
            for _ in range(_MOST_IN_A_ROW):
                header = self._read_header()
                if header is None:
                    return
                if header.kind == _LONG_NAME:
                    more.name = _text(self._read_extension(header.size))
                elif header.kind == _LONG_LINK:
                    more.link = _text(self._read_extension(header.size))
                elif header.kind in _PAX:
                    more.update(dict(self._read_records(header.size)))
                elif header.kind == _PAX_FOR_ALL:
                    if any(self._read_records(header.size)):
                        raise InvalidManifestError("the tar gives all members one name or size")
                else:
                    yield self._member(header, more)
                    break
            else:
                raise InvalidManifestError("the tar has extended headers without end")

    def _member(self, header: _Header, more: _Extension) -> tuple[bytes, Member]:
        if header.kind == _GNU_SPARSE:
            raise InvalidManifestError("the tar has a sparse file")
        given = more.name or header.name
        name = _clean(given)
        size = header.size if more.size is None else more.size
        start = self._skip(0 if header.kind in _WITHOUT_BYTES else size)
        if header.kind in {_HARD_LINK, _SYMBOLIC_LINK}:
            target = more.link or header.link
            return name, _link(b"" if header.kind == _HARD_LINK else name, target)
        is_file = header.kind in _REGULAR and not given.endswith(b"/")
        return name, Place(start, size) if is_file else None

    def _read_header(self) -> _Header | None:
        """Read the next header block and advance; return None for the end mark."""
        block = self._blocks.pread(_BLOCK_BYTES, self._at)
        if len(block) < _BLOCK_BYTES:
            raise _CutOffError(_CUT_OFF) if self._at else _no_tar(block)
        if not any(block):
            return None
        given = _octal(block[148:156])
        if given is None or given != sum(block) - sum(block[148:156]) + 8 * ord(" "):
            raise _no_tar(block)
        size = _number(block[124:136])
        if size is None:
            raise InvalidManifestError("the tar has a member whose size is no number")
        self._at += _BLOCK_BYTES
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            name = _text(block[345:500]) + b"/" + name
        return _Header(name, block[156:157], size, _text(block[157:257]))

    def _skip(self, size: int) -> int:
        """Advance past a member's bytes; return the offset where they begin."""
        start = self._at
        if not self._blocks.reach(start + size):
            raise _CutOffError(_CUT_OFF)
        self._at = start + -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
        return start

    def _read_extension(self, size: int) -> bytes:
        self._extended += size
        if size > _EXTENSION_BYTES or self._extended > _ALL_EXTENSIONS_BYTES:
            raise InvalidManifestError("the tar has an extended header that is too large")
        return self._blocks.pread(size, self._skip(size))

    def _read_records(self, size: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield the ``LENGTH KEY=VALUE`` records that change a member's name, link or size."""
        data = self._read_extension(size)
        at = 0
        while at < len(data):
            self._records += 1
            if self._records > _MOST_RECORDS:
                raise InvalidManifestError("the tar has records in its headers without end")
            blank = data.find(b" ", at, at + _MOST_DIGITS)
            length = data[at:blank] if blank > at else b""
            stop = at + int(length) if length.isdigit() else 0
            key, equals, value = data[blank + 1 : stop - 1].partition(b"=")
            if not equals or data[stop - 1 : stop] != b"\n":
                raise InvalidManifestError("the tar has an extended header that is none")
            if key.startswith(b"GNU.sparse."):
                raise InvalidManifestError("the tar has a sparse file")
            if key in _OURS:
                yield key, value
            at = stop


def _no_tar(block: bytes) -> InvalidManifestError:
    for magic, command in _COMPRESSED.items():
        if block.startswith(magic):
            reason = f"gzip and zstd alone are read; decompress it: `{command} FILE |` … `-`"
            return InvalidManifestError(reason)
    return InvalidManifestError(_NO_TAR)


def _clean(name: bytes) -> bytes:
    return name.removeprefix(b"./").rstrip(b"/")


def _link(member: bytes, target: bytes) -> Link:
    """Return a link by the name of the member that it leads to.

    Args:
        member: The name of a symbolic link, whose target is relative to its folder; empty for a
            hard link, whose target is a member's name.
        target: The target as it is in the header.
    """
    if len(target) > NAME_BYTES or (member and target.startswith(b"/")):
        return Link(None)
    if not member:
        return Link(_clean(target))
    name = posixpath.normpath(posixpath.join(posixpath.dirname(member), target))
    return Link(None if name.startswith(b"../") else name)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _octal(field: bytes) -> int | None:
    digits = _text(field).strip(b" ")
    if not digits:
        return 0
    return int(digits, 8) if not digits.strip(b"01234567") else None


def _number(field: bytes) -> int | None:
    """Parse an octal number or GNU's binary one; return None if it is neither, or negative."""
    if field[0] & _BINARY:
        return int.from_bytes(field[1:]) if field[0] == _BINARY else None
    return _octal(field)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise InvalidManifestError("the tar has a member whose size is no number")
    return int(text)
