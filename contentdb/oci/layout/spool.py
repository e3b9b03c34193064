"""Spools a tar that cannot be read in place: from a pipe, or compressed.

The plain bytes go to an unnamed file in the system's folder for temporary files (``TMPDIR``), and
only as far as its reader asks for them: a tar that is refused at its first header is not read on.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from contentdb.errors import NoSpaceError, StorageError
from contentdb.files import write_all
from contentdb.oci.layout.compressed import MAGIC_BYTES, Expanded, Metered, is_compressed

if TYPE_CHECKING:
    from contentdb.content import Source

__all__ = ["Spool"]

_PIECE_BYTES: Final = 1 << 20


class Spool:
    """The bytes of a stream, decompressed, by offset."""

    def __init__(self, stream: Source) -> None:
        """Begin to read a tar, plain or compressed by gzip or zstd; the caller closes the stream.

        Raises:
            MissingExtraError: It is compressed by zstd, and the package for it is not installed.
            StorageError: There is no place for temporary files.
        """
        import tempfile  # takes 20 ms, which most commands save

        head = _read_head(stream)
        metered = Metered(head, stream)
        self._source: Source = Expanded(metered, head) if is_compressed(head) else metered
        self._filled = 0
        self._ended = False
        self._place = f"the folder for temporary files, {tempfile.gettempdir()} (TMPDIR)"
        try:
            self._file = tempfile.TemporaryFile(prefix="contentdb-", buffering=0)  # noqa: SIM115 - `close` does
        except OSError as error:
            raise StorageError.of("spool to", self._place, error) from error

    def reach(self, at: int) -> bool:
        """Return whether the stream has bytes up to this offset, reading on until it has.

        Raises:
            NoSpaceError: There is no room for so many bytes; none of them is read.
        """
        if at > self._filled and not self._ended:
            self._check_room(at - self._filled)
        while self._filled < at and not self._ended:
            piece = self._source.read(_PIECE_BYTES)
            if piece:
                self._filled += write_all(self._file.fileno(), piece, self._place)
            else:
                self._ended = True
        return self._filled >= at

    def _check_room(self, count: int) -> None:
        """Refuse what a header claims at once, instead of filling a disk with it first."""
        found = os.fstatvfs(self._file.fileno())
        if found.f_blocks and count > found.f_bavail * found.f_frsize:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise NoSpaceError("spool to", self._place, full)

    def pread(self, count: int, at: int) -> bytes:
        """Return bytes at an offset; fewer at the end of the stream alone."""
        self.reach(at + count)
        return os.pread(self._file.fileno(), count, at)

    def finish(self) -> None:
        """Pass over what may follow a tar's end mark: its last record, and a checksum to check.

        Else the program that writes into the pipe could fail: its end would not be read.

        Raises:
            InvalidManifestError: The compressed bytes do not match their checksum.
        """
        passed = 0
        while passed < _PIECE_BYTES and (piece := self._source.read(_PIECE_BYTES)):
            passed += len(piece)

    def fileno(self) -> int:
        """Return the descriptor of the file that has the bytes read so far."""
        return self._file.fileno()

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()


def _read_head(stream: Source) -> bytes:
    head = b""
    while len(head) < MAGIC_BYTES and (piece := stream.read(MAGIC_BYTES - len(head))):
        head += piece
    return head
