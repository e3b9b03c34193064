"""Small real filesystems on loop devices: made, mounted, cut off, mounted again. Needs root."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from typing import TYPE_CHECKING, Final

from tests.crash.suite import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "CUTS",
    "FILESYSTEMS",
    "attached",
    "copy",
    "cut_power",
    "make",
    "mounted",
    "require",
    "thin",
    "unmount",
]

FILESYSTEMS: Final = ("ext4", "xfs")
_SIZES: Final = {"ext4": 24 << 20, "xfs": 300 << 20}  # xfs refuses to be smaller

_OPTIONS: Final = {
    # Blocks and sectors of a page, as on disks of any size. The kernel's loop device takes smaller
    # writes apart, and where it then writes a part only, it says that all was written.
    "ext4": ("-F", "-b", "4096"),
    "xfs": ("-f", "-s", "size=4096"),
}

_SHUTDOWN: Final = 0x8004587D
"""FS_IOC_SHUTDOWN of ext4 and xfs: the filesystem stops at once, as if the power had failed."""
CUTS: Final = {"flushed": 1, "unflushed": 2}
"""Whether what is in the journal's buffers by then still reaches the disk."""

_LOOP_SET_FD, _LOOP_CLR_FD, _LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C82
_MNT_DETACH: Final = 2
_PIECE_BYTES: Final = 64 << 10
_libc = ctypes.CDLL(None, use_errno=True)


def require(*programs: str) -> None:
    """Say what is missing to mount filesystems here.

    Raises:
        UnavailableError: Not root, no loop devices, or a program is not installed.
    """
    if os.geteuid() != 0:
        raise UnavailableError("needs to be root, to mount filesystems")
    if not os.path.exists("/dev/loop-control"):
        raise UnavailableError("needs loop devices")
    for program in programs:
        if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise UnavailableError(f"needs {program}; .ci/run installs it")


def make(image: Path, filesystem: str, *options: str, size: int | None = None) -> None:
    """Make an empty filesystem in a sparse file."""
    with image.open("wb") as file:
        file.truncate(size or _SIZES[filesystem])
    command = [f"/usr/sbin/mkfs.{filesystem}", "-q", *_OPTIONS[filesystem], *options, str(image)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def copy(source: Path, target: Path) -> None:
    """Copy an image without its holes."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        end = os.fstat(reading).st_size
        os.ftruncate(writing, end)
        at = 0
        while at < end:
            try:
                start = os.lseek(reading, at, os.SEEK_DATA)
            except OSError:  # only a hole is left
                break
            at = os.lseek(reading, start, os.SEEK_HOLE)
            os.pwrite(writing, os.pread(reading, at - start, start), start)
    finally:
        os.close(reading)
        os.close(writing)


def thin(image: Path) -> None:
    """Turn zeros into holes: xfs has a log of 64 MiB of them, and images are copied often."""
    thinner = image.with_suffix(".thin")
    with image.open("rb") as source, thinner.open("wb") as target:
        target.truncate(os.fstat(source.fileno()).st_size)
        at = 0
        while piece := source.read(_PIECE_BYTES):
            if piece.count(0) != len(piece):
                target.seek(at)
                target.write(piece)
            at += len(piece)
    thinner.replace(image)


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@contextlib.contextmanager
def attached(image: Path) -> Iterator[str]:
    """Put a file under a loop device, whose path is given."""
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    device, name = _free_loop(backing)
    try:
        yield name
    finally:
        os.close(backing)
        _again_while_busy(lambda: fcntl.ioctl(device, _LOOP_CLR_FD))
        os.close(device)


def _free_loop(backing: int) -> tuple[int, str]:
    while True:  # another process may take the one that was said to be free
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
        finally:
            os.close(control)
        name = f"/dev/loop{number}"
        device = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _LOOP_SET_FD, backing)
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:
                raise
            continue
        return device, name


def _again_while_busy(act) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - any callable
    for _ in range(200):
        try:
            act()
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.ENXIO}:
                raise
            if error.errno == errno.ENXIO:
                return
            time.sleep(0.01)  # the kernel lets go of a device a moment after the umount
        else:
            return


@contextlib.contextmanager
def mounted(device: str, at: Path, filesystem: str, options: str = "") -> Iterator[Path]:
    """Mount a device for a while."""
    at.mkdir(exist_ok=True)
    if filesystem == "xfs":
        options = ",".join(
            filter(None, (options, "nouuid"))
        )  # copies of an image are mounted at once
    arguments = (device.encode(), os.fsencode(at), filesystem.encode(), 0, options.encode())
    _checked(_libc.mount(*arguments), f"mount {filesystem}")
    try:
        yield at
    finally:
        unmount(at)


def unmount(at: Path) -> None:
    """Unmount, at the latest when the last process has let go."""
    for _ in range(200):
        if _libc.umount2(os.fsencode(at), 0) == 0:
            return
        if ctypes.get_errno() != errno.EBUSY:
            break
        time.sleep(0.01)  # a process that was killed is not quite gone
    _checked(_libc.umount2(os.fsencode(at), _MNT_DETACH), "umount")


def cut_power(at: Path, how: str) -> None:
    """Stop a mounted filesystem as a power cut would: nothing reaches its disk from now on."""
    fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", CUTS[how]))
    finally:
        os.close(fd)
