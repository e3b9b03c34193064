"""Reads a tar in place: which names it has, and where their bytes are.

A tar is not trusted, so everything that is read from its headers is bounded. The standard
library's `tarfile` reads names and records of any length into memory, and searches them in
quadratic time. The format is ustar with the additions of tools, pax records and GNU's long names:
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html and
https://www.gnu.org/software/tar/manual/html_node/Standard.html. Sparse files are refused.
"""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from contentdb.oci.errors import InvalidManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Tarball"]

_BLOCK_BYTES: Final = 512
_MOST_MEMBERS: Final = 200_000
_NAME_BYTES: Final = 160
"""A blob's name has at most 141 bytes; members with longer names are ignored."""
_EXTENSION_BYTES: Final = 1 << 20
"""Limit for one extension header."""
_ALL_EXTENSIONS_BYTES: Final = 64 << 20
_MOST_IN_A_ROW: Final = 16
"""Limit for the extension headers before one member."""
_MOST_DIGITS: Final = 20

_REGULAR: Final = {b"0", b"\0", b"7"}
_WITHOUT_BYTES: Final = {b"1", b"2", b"3", b"4", b"5", b"6"}
"""Links, devices, directories and pipes have no bytes, whatever size their headers state."""
_LONG_NAME: Final = b"L"
_LONG_LINK: Final = b"K"
_GNU_SPARSE: Final = b"S"
_PAX: Final = {b"x", b"X"}
_PAX_FOR_ALL: Final = b"g"
_BINARY: Final = 0x80
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class _Place(NamedTuple):
    start: int
    size: int


class Tarball:
    """The regular files of an uncompressed tar, by name; the first of several with one name."""

    def __init__(self, path: Path) -> None:
        """Read all headers.

        Raises:
            InvalidManifestError: The file is not a tar, or exceeds a limit.
            OSError: The file cannot be read.
        """
        # O_NONBLOCK: a pipe without a writer must not block; it is refused below
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(self._fd)
            if not stat.S_ISREG(found.st_mode):
                raise InvalidManifestError(f"{path} is neither a layout's directory nor its tar")  # noqa: TRY301 - the descriptor must be closed
            self._places = _Headers(self._fd, found.st_size, str(path)).places()
        except BaseException:
            os.close(self._fd)
            raise

    def open(self, name: str) -> BinaryIO:
        """Open a member for reading; it is readable while the tar is open.

        Raises:
            FileNotFoundError: The tar has no member of that name.
            InvalidManifestError: The member is not a regular file.
        """
        key = name.encode()
        if key not in self._places:
            raise FileNotFoundError(2, os.strerror(2), name)
        place = self._places[key]
        if place is None:
            raise InvalidManifestError(f"{name} in the layout is not a regular file")
        return io.BufferedReader(_Window(self._fd, place))

    def path(self, name: str) -> Path | None:  # noqa: ARG002 - a member has no path
        """Return None: a member has no file of its own."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _Header(NamedTuple):
    """The fields of the block before a member."""

    name: bytes
    kind: bytes
    size: int


class _Headers:
    """Reads all headers, from the first block to the end mark."""

    def __init__(self, fd: int, end: int, path: str) -> None:
        self._fd = fd
        self._end = end
        self._path = path
        self._at = 0
        self._extended = 0
        """Bytes of extension headers read so far."""

    def places(self) -> dict[bytes, _Place | None]:
        """Return each member's place, or None if it is not a regular file."""
        found: dict[bytes, _Place | None] = {}
        for count, (name, place) in enumerate(self._members()):
            if count >= _MOST_MEMBERS:
                raise InvalidManifestError(f"the tar has more than {_MOST_MEMBERS} members")
            if len(name) <= _NAME_BYTES:
                found.setdefault(name, place)
        return found

    def _members(self) -> Iterator[tuple[bytes, _Place | None]]:
        while True:
            name: bytes | None = None
            size: int | None = None
            for _ in range(_MOST_IN_A_ROW):
                header = self._read_header()
                if header is None:
                    return
                if header.kind == _LONG_NAME:
                    name = _text(self._read_extension(header.size))
                elif header.kind in _PAX:
                    records = dict(_records_of_ours(self._read_extension(header.size)))
                    name = records.get(b"path") or name
                    size = _decimal(records[b"size"]) if b"size" in records else size
                elif header.kind == _PAX_FOR_ALL:
                    if any(_records_of_ours(self._read_extension(header.size))):
                        raise InvalidManifestError("the tar gives all members one name or size")
                elif header.kind == _LONG_LINK:
                    self._read_extension(header.size)
                else:
                    yield self._member(header, name, size)
                    break
            else:
                raise InvalidManifestError("the tar has extended headers without end")

    def _member(
        self, header: _Header, long_name: bytes | None, long_size: int | None
    ) -> tuple[bytes, _Place | None]:
        name = long_name or header.name
        size = header.size if long_size is None else long_size
        if header.kind == _GNU_SPARSE:
            raise InvalidManifestError("the tar has a sparse file")
        if header.kind in _WITHOUT_BYTES:
            size = 0
        start = self._skip(size)
        is_file = header.kind in _REGULAR and not name.endswith(b"/")
        name = name.removeprefix(b"./").rstrip(b"/")
        return name, _Place(start, size) if is_file else None

    def _read_header(self) -> _Header | None:
        """Read the next header block and advance; return None for the end mark."""
        block = os.pread(self._fd, _BLOCK_BYTES, self._at)
        if len(block) < _BLOCK_BYTES:
            raise self._cut_off() if self._at else self._no_tar(block)
        if not any(block):
            return None
        given = _octal(block[148:156])
        if given is None or given != sum(block) - sum(block[148:156]) + 8 * ord(" "):
            raise self._no_tar(block)
        size = _number(block[124:136])
        if size is None:
            raise InvalidManifestError("the tar has a member whose size is no number")
        self._at += _BLOCK_BYTES
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            name = _text(block[345:500]) + b"/" + name
        return _Header(name, block[156:157], size)

    def _skip(self, size: int) -> int:
        """Advance past a member's bytes; return the offset where they begin."""
        start = self._at
        if size > self._end - start:
            raise self._cut_off()
        self._at = start + -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
        return start

    def _read_extension(self, size: int) -> bytes:
        self._extended += size
        if size > _EXTENSION_BYTES or self._extended > _ALL_EXTENSIONS_BYTES:
            raise InvalidManifestError("the tar has an extended header that is too large")
        return os.pread(self._fd, size, self._skip(size))

    def _cut_off(self) -> InvalidManifestError:
        return InvalidManifestError(f"{self._path} was cut off: it ends before the tar does")

    def _no_tar(self, block: bytes) -> InvalidManifestError:
        if block.startswith(_COMPRESSED):
            return InvalidManifestError(f"{self._path} is compressed; decompress it first")
        return InvalidManifestError(f"{self._path} is neither a layout's directory nor its tar")


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


def _records_of_ours(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the ``LENGTH KEY=VALUE`` records that change a member's name or size."""
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + _MOST_DIGITS)
        length = data[at:blank] if blank > at else b""
        stop = at + int(length) if length.isdigit() else 0
        key, equals, value = data[blank + 1 : stop - 1].partition(b"=")
        if not equals or data[stop - 1 : stop] != b"\n":
            raise InvalidManifestError("the tar has an extended header that is none")
        if key.startswith(b"GNU.sparse."):
            raise InvalidManifestError("the tar has a sparse file")
        if key in {b"path", b"size"}:
            yield key, value
        at = stop


class _Window(io.RawIOBase):
    """A file object over the bytes of one member."""

    def __init__(self, fd: int, place: _Place) -> None:
        super().__init__()
        self._fd = fd
        self._place = place
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # `io` passes a memoryview
        wanted = max(0, min(len(buffer), self._place.size - self._at))
        place = memoryview(buffer)[:wanted]
        count = os.preadv(self._fd, [place], self._place.start + self._at)
        self._at += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, (0, self._at, self._place.size)[whence] + offset)
        return self._at
