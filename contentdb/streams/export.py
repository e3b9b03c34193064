"""Writing a blob to a caller's file: whole or not at all, and never over anything special."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from pathlib import Path

from contentdb import files
from contentdb.errors import InvalidArgumentError, StorageError
from contentdb.light_typing import TYPE_CHECKING, NamedTuple
from contentdb.logs import swallow
from contentdb.store_folder import is_store
from contentdb.streams.pump import PIECE_BYTES
from contentdb.streams.reader import BlobReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from contentdb.content import ExportLink, Reader
    from contentdb.digest import Digest
    from contentdb.streams.reader import Damaged

__all__ = ["Draft", "cat_advice", "draft", "export", "refuse_stores", "save", "target_path"]

_LEFT: Final = "a hidden file beside the target could not be removed"
_HIDDEN: Final = ".contentdb-"
"""Prefix of a draft's name, by which a draft that a kill has left can be recognized."""
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class Draft(NamedTuple):
    """A free, hidden name in the target's directory, for the file while it is incomplete."""

    directory: files.Directory
    name: str

    @property
    def path(self) -> str:
        """The path at which to make the file."""
        return self.directory.child(self.name)


def target_path(path: object) -> Path:
    """Return the path of a caller's file, or raise `InvalidArgumentError`."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise InvalidArgumentError(f"a target is a path, as text or Path, not {path!r:.80}")
    return Path(path)


@contextmanager
def draft(target: Path, *, advice: str = "name another file") -> Iterator[Draft]:
    """Let the block make a file under a hidden name, then rename it to the target.

    Only a regular file of this process's user is replaced; a symbolic link is neither replaced nor
    followed, since others may use it. If the block raises, the draft is removed and the target
    stays as it was. Nothing is synced.

    Args:
        target: The path of the finished file.
        advice: For the message: what to do if something that is not replaced has the name.

    Raises:
        StorageError: Something that is not replaced has the name, the path is inside a store, or
            the system refuses. An `OSError` of the block becomes one too.
    """
    if not target.name or "\0" in str(target):
        raise InvalidArgumentError(f"{str(target)!r} names no file")
    try:
        directory = _open_parent(target)
        try:
            _check_replaceable(directory, target, advice)
            name = f"{_HIDDEN}{os.urandom(8).hex()}"
            try:
                yield Draft(directory, name)
                _check_replaceable(directory, target, advice)  # it may have changed meanwhile
                files.rename(directory, name, directory, target.name)
            finally:  # after a rename too: rename(2) keeps both names if they are links to one file
                with swallow("export", _LEFT, StorageError, file=directory.child(name)):
                    files.unlink(directory, name)
        finally:
            directory.close()
    except OSError as error:
        raise StorageError.of("write", target, error) from error


def _open_parent(target: Path) -> files.Directory:
    parent = os.path.realpath(target.parent)
    refuse_stores(target, parent)
    return files.open_directory(parent)


def _check_replaceable(directory: files.Directory, target: Path, advice: str) -> None:
    found = files.stat_name(directory, target.name)
    if found is None or (stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()):
        return
    number = errno.EEXIST
    if stat.S_ISDIR(found.st_mode):
        number, reason = errno.EISDIR, "it is a directory; name a file in it"
    elif stat.S_ISREG(found.st_mode):
        number, reason = errno.EPERM, f"it belongs to user {found.st_uid}; {advice}"
    else:
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something unknown")
        reason = f"it is {kind}, and only a regular file is replaced; {advice}"
    raise StorageError("write", str(target), OSError(number, reason))


def refuse_stores(target: Path, real: str) -> None:
    """Raise `StorageError` if a path is inside a store, this one or any other.

    Args:
        target: The path, as the caller gave it.
        real: The same path, or its directory, without symbolic links.
    """
    place = Path(real)
    for folder in (place, *place.parents):
        if is_store(folder):
            reason = f"it is inside the store at {folder}; name a place outside"
            raise StorageError("write", str(target), OSError(errno.EPERM, reason))


def cat_advice(digest: Digest) -> str:
    """Tell how to write a blob into something that `draft` does not replace: a device, a pipe."""
    return f"`contentdb cat {digest} > FILE` writes into what is there"


def save(reader: Reader, target: Path) -> Path:
    """Copy a reader to a file, which gets its name only after the reader has verified all bytes.

    What is replaced is documented at `draft`.

    Raises:
        CorruptBlobError: The blob is damaged; the target stays as it was.
        StorageError: The target cannot be written.
    """
    with draft(target, advice=cat_advice(reader.digest)) as new, Path(new.path).open("xb") as file:
        while piece := reader.read(PIECE_BYTES):
            file.write(piece)
    return target


def export(
    fd: int,
    digest: Digest,
    target: Path,
    link: ExportLink,
    damaged: Damaged,
) -> Path:
    """Write an open blob to a caller's path, and close its descriptor.

    What is replaced is documented at `draft`. A reflink or a hard link that the filesystem does not
    allow becomes a copy. The bytes are always verified before the file gets its name; nothing is
    synced.

    Raises:
        CorruptBlobError: The blob is damaged; the target stays as it was.
        StorageError: The target cannot be written.
    """
    with (
        BlobReader(fd, digest, damaged, verify=True) as reader,
        draft(target, advice=cat_advice(digest)) as new,
    ):
        if link != "hardlink" or not _link(reader, new):
            _write(reader, new, clone=link == "reflink")
    return target


def _link(reader: BlobReader, new: Draft) -> bool:
    while reader.read(PIECE_BYTES):
        pass
    try:
        return files.link_unnamed(reader.fileno(), new.directory, new.name)
    except StorageError as error:
        if error.errno in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            reader.seek(0)
            return False
        raise


def _write(reader: BlobReader, new: Draft, *, clone: bool) -> None:
    with open(new.path, "xb", buffering=0) as out:  # noqa: PTH123 - Path costs more and says no more
        cloned = clone and files.clone(reader.fileno(), out.fileno())
        while piece := reader.read(PIECE_BYTES):
            if not cloned:
                files.write_all(out.fileno(), piece, new.path)
