"""Reads a layout's directory: it opens each component of a name, and follows no link."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, Self

from contentdb.oci.errors import InvalidManifestError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["Directory"]

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Directory:
    """The regular files of a directory, by name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            FileNotFoundError: There is no such file.
            InvalidManifestError: It is not a regular file, or it or a folder above it is a link.
            OSError: It cannot be opened.
        """
        *folders, last = name.split("/")
        at = self._fd
        try:
            for folder in folders:
                below = _open(folder, _FOLDER, at, name)
                if at != self._fd:
                    os.close(at)
                at = below
            fd = _open(last, _FILE, at, name)
        finally:
            if at != self._fd:
                os.close(at)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidManifestError(f"{name} in the layout is not a regular file")
        return os.fdopen(fd, "rb")

    def path(self, name: str) -> Path | None:
        """Return the path of a file, to link it."""
        return self._root / name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _open(part: str, flags: int, at: int, name: str) -> int:
    try:
        return os.open(part, flags, dir_fd=at)
    except OSError as error:
        if error.errno not in {errno.ELOOP, errno.ENOTDIR}:  # ENOTDIR: O_DIRECTORY, of a link
            raise
        reason = f"{name} is, or is behind, a symbolic link, and none is followed; copy the layout"
        raise InvalidManifestError(f"{reason} by `cp -rL`, and import the copy") from error
