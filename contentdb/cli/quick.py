"""``path`` and ``cat`` of whole digests, answered before click and the library are imported.

Scripts call these two for each blob, and then a start of the interpreter is all the time there is.
A name in ``blobs/`` promises a whole blob, so the file alone answers. This module knows the common
shapes of the command line and the common store. Whatever it does not know, or does not find as it
should be, it leaves to the whole command, which does it all or says what is wrong:

- ``contentdb [--root DIR] path [-q] DIGEST…`` and ``contentdb [--root DIR] cat DIGEST``;
- a store of this user alone, of this version, with the default namespace only, at ``--root``;
- a blob that is there and is not being deleted; for ``cat`` one of at most `_LARGEST_BYTES`.
"""

from __future__ import annotations

import os
import stat

from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.store_folder import (
    APPLICATION_ID,
    BLOBS,
    DEFAULT_ROOT,
    FORMAT_VERSION,
    INDEX,
    SEVERAL_NAMESPACES,
    SHARED,
)

__all__ = ["answer", "print_and_exit"]

_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LARGEST_BYTES = 1 << 20
_HEADER_BYTES = 100
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def answer(arguments: list[str]) -> bytes | None:
    """Return what the command prints; None if the whole command has to find out."""
    words = list(arguments)
    root = os.environ.get("CONTENTDB_ROOT") or DEFAULT_ROOT
    if len(words) > 1 and words[0] == "--root":
        root = words[1]
        del words[:2]
    if len(words) < 2 or not root or any(map(_is_a_setting, os.environ)):  # noqa: PLR2004 - a command and a digest
        return None
    command, *digests = words
    quiet = command == "path" and digests[0] == "-q"
    if quiet:
        del digests[0]
    known = command == "path" or (command == "cat" and len(digests) == 1)
    if not known or not digests or not all(map(_is_whole, digests)):
        return None
    try:
        return _look(os.path.realpath(root), command, digests, quiet=quiet)
    except (OSError, ValueError):
        return None


def _is_a_setting(name: str) -> bool:
    return name.startswith(("CONTENTDB_", "_CONTENTDB_")) and name != "CONTENTDB_ROOT"


def _is_whole(digest: str) -> bool:
    algorithm, _, encoded = digest.partition(":")
    return len(encoded) == _HEX_DIGITS.get(algorithm) and not encoded.strip("0123456789abcdef")


def _look(root: str, command: str, digests: list[str], *, quiet: bool) -> bytes | None:
    fd = os.open(root, _OPEN | os.O_DIRECTORY)
    try:
        if not _is_common(fd):
            return None
        blobs = os.open(BLOBS, _OPEN | os.O_DIRECTORY, dir_fd=fd)
        parts = []
        for digest in digests:
            data = _find(blobs, digest, read=command == "cat")
            if data is None:
                return None
            algorithm, _, encoded = digest.partition(":")
            path = os.fsencode(f"{root}/{BLOBS}/{algorithm}/{encoded[:2]}/{encoded}\n")
            head = b"" if quiet else digest.encode() + b" "
            parts.append(data if command == "cat" else head + path)
        return b"".join(parts)
    finally:
        os.close(fd)


def _is_common(root: int) -> bool:
    """Return whether it is a store of this user and this version, with one namespace."""
    found = os.fstat(root)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        return False
    flags = _read(root, SHARED, 2)
    # No connection to the database is open in this process, whose locks a close could drop.
    header = _read(root, INDEX, _HEADER_BYTES)
    return (
        len(flags) == 2  # noqa: PLR2004 - two flags
        and not flags[SEVERAL_NAMESPACES]
        and int.from_bytes(header[68:72], "big") == APPLICATION_ID
        and int.from_bytes(header[60:64], "big") == FORMAT_VERSION
    )


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
