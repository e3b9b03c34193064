"""``path`` and ``cat`` of whole digests, answered by the files of the blobs alone.

A name in ``blobs/`` promises a whole blob, so the file alone answers. Whatever is not as it should
be is left to click's way:

- the store is of this user alone, of this version, with the default namespace only;
- the store has never had a bound: then each read must be noted as a use;
- the blob is there and not being deleted; for ``cat`` it has at most `_LARGEST_BYTES`.
"""

from __future__ import annotations

import os
import stat

from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.store_folder import (
    APPLICATION_ID,
    BLOBS,
    BOUNDED,
    FORMAT_VERSION,
    INDEX,
    SEVERAL_NAMESPACES,
    SHARED,
)

TYPE_CHECKING = False  # as in `contentdb.cli.quick`
if TYPE_CHECKING:
    from contentdb.cli.quick import Call

__all__ = ["answer", "flags_if_common", "open_root", "print_and_exit"]

_LARGEST_BYTES = 1 << 20
_HEADER_BYTES = 100
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def answer(call: Call) -> bytes | None:
    """Return what the command prints; None if the whole command has to find out."""
    try:
        return _look(os.path.realpath(call.root), call)
    except (OSError, ValueError):
        return None


def open_root(root: str) -> int:
    """Open the directory of a store."""
    return os.open(root, _OPEN | os.O_DIRECTORY)


def _look(root: str, call: Call) -> bytes | None:
    fd = open_root(root)
    try:
        flags = flags_if_common(fd)
        if flags is None or flags[BOUNDED:].strip(b"\0"):
            return None
        blobs = os.open(BLOBS, _OPEN | os.O_DIRECTORY, dir_fd=fd)
        parts = []
        for digest in call.words:
            data = _find(blobs, digest, read=call.command == "cat")
            if data is None:
                return None
            algorithm, _, encoded = digest.partition(":")
            path = os.fsencode(f"{root}/{BLOBS}/{algorithm}/{encoded[:2]}/{encoded}\n")
            head = b"" if call.quiet else digest.encode() + b" "
            parts.append(data if call.command == "cat" else head + path)
        return b"".join(parts)
    finally:
        os.close(fd)


def flags_if_common(root: int) -> bytes | None:
    """Return the flags of a store of this user and this version, with one namespace; else None."""
    found = os.fstat(root)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        return None
    flags = _read(root, SHARED, BOUNDED + 1)
    # No connection to the database is open in this process, whose locks a close could drop.
    header = _read(root, INDEX, _HEADER_BYTES)
    is_common = (
        len(flags) > SEVERAL_NAMESPACES + 1  # older stores have two flags
        and not flags[SEVERAL_NAMESPACES]
        and int.from_bytes(header[68:72], "big") == APPLICATION_ID
        and int.from_bytes(header[60:64], "big") == FORMAT_VERSION
    )
    return flags if is_common else None


def _read(root: int, name: str, size: int) -> bytes:
    fd = os.open(name, _OPEN, dir_fd=root)
    try:
        return os.pread(fd, size, 0) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def _find(blobs: int, digest: str, *, read: bool) -> bytes | None:
    """Return the bytes of a blob, verified, or none of them; None if it is not as it should be."""
    algorithm, _, encoded = digest.partition(":")
    directory = os.open(algorithm, _OPEN | os.O_DIRECTORY, dir_fd=blobs)
    shard = os.open(encoded[:2], _OPEN | os.O_DIRECTORY, dir_fd=directory)
    fd = os.open(encoded, _OPEN, dir_fd=shard)
    found = os.fstat(fd)
    if (
        not stat.S_ISREG(found.st_mode)
        or found.st_uid != os.geteuid()
        or found.st_mtime_ns == BEING_DELETED_NS
    ):
        return None
    data = b""
    if read:
        from _hashlib import new

        if found.st_size > _LARGEST_BYTES:
            return None
        data = os.read(fd, found.st_size + 1)
        if len(data) != found.st_size or new(algorithm, data).hexdigest() != encoded:
            return None
    for opened in (fd, shard, directory):
        os.close(opened)
    return data


def print_and_exit(data: bytes) -> None:
    """Print the answer and end the process; return if nothing was printed."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(1, left) :]
        except OSError as error:
            if len(left) == len(data):
                return  # the whole command meets the same error, and says so
            if not isinstance(error, BrokenPipeError):
                os.write(2, f"contentdb: standard output: {error.strerror}\n".encode())
            os._exit(141 if isinstance(error, BrokenPipeError) else 1)
    os._exit(0)
