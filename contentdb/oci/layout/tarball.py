"""Reads a tar in place: its regular files by name, through links to members of the same tar.

A compressed tar, or one that comes through a pipe, is spooled first; see `Spool`.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from contentdb.oci.errors import InvalidManifestError, shown
from contentdb.oci.layout.compressed import MAGIC_BYTES, is_compressed
from contentdb.oci.layout.spool import Spool
from contentdb.oci.layout.tar_headers import Headers, Member, Place

if TYPE_CHECKING:
    from typing import BinaryIO

    from contentdb.content import Source

__all__ = ["Tarball"]

_TOPS: Final = (b"index.json", b"manifest.json")
_MOST_LINKS: Final = 8
"""Limit for links that lead to links."""


class Tarball:
    """The regular files of a tar, by name; the first of several with one name.

    If ``index.json`` and ``manifest.json`` are not at its top but in one folder, all names are
    those in this folder.
    """

    def __init__(self, source: Path | Source, *, partial: bool = False) -> None:
        """Read all headers.

        Args:
            source: A file, or a stream to spool; either may be compressed by gzip or zstd.
            partial: If the tar was cut off, use what is before the cut.

        Raises:
            InvalidManifestError: It is not a tar, or exceeds a limit.
            StorageError: There is no room to spool.
            OSError: It cannot be read.
        """
        with ExitStack() as stack:
            self._blocks = _blocks_of(source, stack)
            self._members = Headers(self._blocks).members(partial=partial)
            if isinstance(self._blocks, Spool):
                self._blocks.finish()
            self._folder = _find_folder(self._members)
            self._open = stack.pop_all()

    def open(self, name: str) -> BinaryIO:
        """Open a member for reading; it is readable while the tar is open.

        Raises:
            FileNotFoundError: The tar has no member of that name.
            InvalidManifestError: The member is not a regular file, nor a link to one in the tar.
        """
        return io.BufferedReader(_Window(self._blocks.fileno(), self.place(name)))

    def place(self, name: str) -> Place:
        """Return where a member's bytes are; the same for all names and links of one member.

        Errors are as for `open`.
        """
        key = self._folder + name.encode()
        if key not in self._members:
            raise FileNotFoundError(2, os.strerror(2), name)
        for _ in range(_MOST_LINKS):
            member = self._members[key]
            if isinstance(member, Place):
                return member
            if member is None:
                raise InvalidManifestError(f"{shown(name)} in the tar is not a regular file")
            if member.target not in self._members:
                raise InvalidManifestError(f"{shown(name)} is a link to what is not in the tar")
            key = member.target
        raise InvalidManifestError(f"{shown(name)} leads from link to link without end")

    def path(self, name: str) -> Path | None:  # noqa: ARG002 - a member has no path
        """Return None: a member has no file of its own."""
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _blocks_of(source: Path | Source, stack: ExitStack) -> _File | Spool:
    """Return the tar's plain bytes; what is opened for them is closed with the stack."""
    if isinstance(source, Path):
        # O_NONBLOCK: a pipe without a writer must not block; it is refused as no file
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        stream = stack.enter_context(os.fdopen(fd, "rb", buffering=0))
        file = _File(fd)
        if not is_compressed(file.pread(MAGIC_BYTES, 0)):
            return file
        source = stream
    spool = Spool(source)
    stack.callback(spool.close)
    return spool


class _File:
    """The bytes of a tar in a regular file."""

    def __init__(self, fd: int) -> None:
        """Read from an open descriptor; anything but a regular file counts as empty."""
        self._fd = fd
        found = os.fstat(fd)
        self._size = found.st_size if stat.S_ISREG(found.st_mode) else 0

    def reach(self, at: int) -> bool:
        return at <= self._size

    def pread(self, count: int, at: int) -> bytes:
        return os.pread(self._fd, count, at) if self._size else b""

    def fileno(self) -> int:
        return self._fd


def _find_folder(members: dict[bytes, Member]) -> bytes:
    """Return the folder that the layout is in, with its slash: the one nearest to the top."""
    folders = {
        name.removesuffix(top)
        for name in members
        for top in _TOPS
        if name == top or name.endswith(b"/" + top)
    }
    depth = min((folder.count(b"/") for folder in folders), default=0)
    nearest = sorted(folder for folder in folders if folder.count(b"/") == depth)
    if len(nearest) > 1:
        names = " and ".join(shown(name.decode(errors="replace")) for name in nearest[:2])
        raise InvalidManifestError(f"the tar has several layouts, in {names}; make a tar of one")
    return nearest[0] if nearest else b""


class _Window(io.RawIOBase):
    """A file object over the bytes of one member."""

    def __init__(self, fd: int, place: Place) -> None:
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
