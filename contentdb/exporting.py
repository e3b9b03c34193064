"""A blob's bytes out into a file of the caller's, verified, whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from contentdb import files
from contentdb.errors import InvalidArgumentError, StorageError
from contentdb.reader import BlobReader

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.digest import Digest
    from contentdb.reader import Damaged

__all__ = ["ExportLink", "export"]

ExportLink = Literal["reflink", "hardlink", "copy"]
_LINKS: Final = ("reflink", "hardlink", "copy")
_PIECE_BYTES: Final = 1 << 20


def export(
    fd: int,
    digest: Digest,
    target: Path,
    link: ExportLink,
    damaged: Damaged,
) -> Path:
    """Give an open blob a name of the caller's, over what has it; the descriptor is used up.

    A reflink or a hard link that the filesystem does not allow becomes a copy. The bytes are
    verified in each case before they get the name; nothing is synced.

    Raises:
        CorruptBlobError: The blob is damaged; the target stays as it was.
        StorageError: The target cannot be written.
    """
    with BlobReader(fd, digest, damaged, verify=True) as reader:
        if link not in _LINKS:
            raise InvalidArgumentError(f"link is one of {', '.join(_LINKS)}, not {link!r}")
        directory = _open_parent(target)
        name = f".{os.urandom(16).hex()}"
        try:
            if link != "hardlink" or not _linked(reader, directory, name):
                _written(reader, directory, name, clone=link == "reflink")
            files.rename(directory, name, directory, target.name)
            files.unlink(directory, name)  # rename(2) leaves it where both are links to one file
        except BaseException:
            with suppress(StorageError):
                files.unlink(directory, name)
            raise
        finally:
            directory.close()
    return target


def _open_parent(target: Path) -> files.Directory:
    if not target.name:
        raise InvalidArgumentError(f"{target} names no file")
    if target.is_dir():
        cause = OSError(errno.EISDIR, "it is a directory; name a file in it")
        raise StorageError("write", str(target), cause)
    if target.exists() and not target.is_file():
        cause = OSError(errno.EINVAL, "it is no regular file, and would be replaced by one")
        raise StorageError("write", str(target), cause)
    return files.open_directory(os.path.realpath(target.parent))


def _linked(reader: BlobReader, directory: files.Directory, name: str) -> bool:
    while reader.read(_PIECE_BYTES):
        pass
    try:
        return files.link_unnamed(reader.fileno(), directory, name)
    except StorageError as error:
        if error.errno in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            reader.seek(0)
            return False
        raise


def _written(reader: BlobReader, directory: files.Directory, name: str, *, clone: bool) -> None:
    path = directory.child(name)
    try:
        out = files.open_file(directory, name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except OSError as error:
        raise StorageError.of("create", path, error) from error
    try:
        cloned = clone and files.clone(reader.fileno(), out)
        while piece := reader.read(_PIECE_BYTES):
            if not cloned:
                files.write_all(out, piece, path)
    finally:
        files.close(out, path)
