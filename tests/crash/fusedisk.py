"""A disk that remembers: one file in a FUSE filesystem, to be put under a loop device.

``python -m tests.crash.fusedisk MOUNTPOINT IMAGE LOG`` serves, until it is unmounted,

- ``disk``: the image. Each write and each flush goes to the log, in order.
- ``mark``: what is written here goes to the same log, so that a promise has its place in it.
- ``poison``: ``N`` fails write number N from now on with EIO, ``N lasting`` all after it too,
  ``off`` ends that.

It speaks the kernel's protocol (linux/fuse.h) by itself, which takes root and no library.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Flush", "Mark", "Write", "events", "main"]

_LOOKUP, _FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 1, 2, 3, 4, 14, 15, 16
_STATFS, _RELEASE, _FSYNC, _FLUSH, _INIT, _OPENDIR, _RELEASEDIR = 17, 18, 20, 25, 26, 27, 29
_DESTROY, _BATCH_FORGET, _INTERRUPT = 38, 42, 36
_NO_ANSWER: Final = {_FORGET, _BATCH_FORGET, _INTERRUPT}

_ROOT, _DISK, _MARK, _POISON = 1, 2, 3, 4
_NODES: Final = {b"disk": _DISK, b"mark": _MARK, b"poison": _POISON}
_HEADER: Final = struct.Struct("<IIQQIIII")
_MAX_WRITE: Final = 128 << 10
_BIG_WRITES, _MAX_PAGES = 1 << 5, 1 << 22
_DIRECT_IO: Final = 1
_FOREVER: Final = 1 << 30


class Write(NamedTuple):
    """A write that the disk took."""

    offset: int
    data: bytes


class Flush(NamedTuple):
    """All writes before it are on the medium."""


class Mark(NamedTuple):
    """Lines of a ledger."""

    text: str


def events(log: Path) -> Iterator[Write | Flush | Mark]:
    """Read a log back."""
    with log.open("rb") as file:
        while head := file.read(17):
            kind, offset, size = head[:1], *struct.unpack("<QQ", head[1:])
            data = file.read(size)
            if kind == b"W":
                yield Write(offset, data)
            elif kind == b"M":
                yield Mark(data.decode())
            else:
                yield Flush()


class Disk:
    """The answers to the kernel's requests."""

    def __init__(self, image: Path, log: Path) -> None:
        self._image = os.open(image, os.O_RDWR)
        self._size = os.fstat(self._image).st_size
        self._log = log.open("wb", buffering=0)
        self._writes_left: int | None = None
        self._lasting = False
        self._handlers: dict[int, Callable[[int, bytes], bytes]] = {
            _INIT: self._begin,
            _LOOKUP: self._look_up,
            _GETATTR: self._attributes_answer,
            _SETATTR: self._attributes_answer,
            _OPEN: self._open,
            _OPENDIR: self._open,
            _READ: self._read,
            _WRITE: self._write,
            _FSYNC: self._sync,
            _STATFS: lambda _, __: bytes(80),
        }
        for code in (_FLUSH, _RELEASE, _RELEASEDIR, _DESTROY):
            self._handlers[code] = lambda _, __: b""

    def serve(self, device: int) -> None:
        """Answer until the filesystem is unmounted."""
        while True:
            try:
                request = os.read(device, _MAX_WRITE + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in {errno.EINTR, errno.ENOENT, errno.EAGAIN}:
                    continue
                raise
            _, code, unique, node, *_ = _HEADER.unpack_from(request)
            if code in _NO_ANSWER:
                continue
            try:
                body, number = self._answer(code, node, request[_HEADER.size :]), 0
            except OSError as error:
                body, number = b"", -(error.errno or errno.EIO)
            with contextlib.suppress(FileNotFoundError):  # whoever asked was killed meanwhile
                os.write(device, struct.pack("<IiQ", 16 + len(body), number, unique) + body)

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        handler = self._handlers.get(code)
        if handler is None:
            raise OSError(errno.ENOSYS, "not served")
        return handler(node, body)

    @staticmethod
    def _begin(_: int, __: bytes) -> bytes:
        pages = _MAX_WRITE // 4096
        return struct.pack(
            "<IIIIHHIIHHII24x",
            *(7, 31, 0, _BIG_WRITES | _MAX_PAGES, 16, 12, _MAX_WRITE, 1, pages, 0, 0, 0),
        )

    def _look_up(self, _: int, body: bytes) -> bytes:
        found = _NODES.get(body.rstrip(b"\0"))
        if found is None:
            raise OSError(errno.ENOENT, "no such file")
        entry = struct.pack("<QQQQII", found, 0, _FOREVER, _FOREVER, 0, 0)
        return entry + self._attributes(found)

    def _attributes_answer(self, node: int, _: bytes) -> bytes:
        return struct.pack("<QII", _FOREVER, 0, 0) + self._attributes(node)

    @staticmethod
    def _open(node: int, _: bytes) -> bytes:
        return struct.pack("<QII", node, 0 if node == _DISK else _DIRECT_IO, 0)

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        return os.pread(self._image, size, offset) if node == _DISK else b""

    def _sync(self, node: int, _: bytes) -> bytes:
        if node == _DISK:
            self._note(b"F")
        return b""

    def _attributes(self, node: int) -> bytes:
        mode = stat.S_IFDIR | 0o700 if node == _ROOT else stat.S_IFREG | 0o600
        size = self._size if node == _DISK else 0
        return struct.pack(
            "<QQQQQQIIIIIIIIII",
            node,
            size,
            size // 512,
            0,
            0,
            0,
            0,
            0,
            0,
            mode,
            1,
            0,
            0,
            0,
            4096,
            0,
        )

    def _write(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        data = body[40 : 40 + size]
        if node == _MARK:
            self._note(b"M", 0, data)
        elif node == _POISON:
            self._set_poison(data.decode().split())
        else:
            self._fail_if_poisoned()
            self._note(b"W", offset, data)
            os.pwrite(self._image, data, offset)
        return struct.pack("<II", size, 0)

    def _set_poison(self, words: list[str]) -> None:
        self._writes_left = None if words[0] == "off" else int(words[0])
        self._lasting = "lasting" in words

    def _fail_if_poisoned(self) -> None:
        if self._writes_left is None:
            return
        self._writes_left -= 1
        if self._writes_left < 0:
            if not self._lasting:
                self._writes_left = None
            raise OSError(errno.EIO, "poisoned")

    def _note(self, kind: bytes, offset: int = 0, data: bytes = b"") -> None:
        self._log.write(kind + struct.pack("<QQ", offset, len(data)) + data)


def main() -> None:
    """Mount and serve; the first line of output says that it is mounted."""
    at, image, log = (Path(argument) for argument in sys.argv[1:])
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,max_read={_MAX_WRITE}"
    if libc.mount(b"crash", os.fsencode(at), b"fuse", 0, options.encode()):
        number = ctypes.get_errno()
        sys.exit(f"cannot mount: {os.strerror(number)}")
    print("mounted", flush=True)  # noqa: T201 - whoever started it waits for this
    Disk(image, log).serve(device)


if __name__ == "__main__":
    main()
