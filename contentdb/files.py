"""The seam to the operating system: every file operation of the store goes through here.

Small on purpose, since it is where crash tests take hold. Callers write ``files.sync(…)``,
so that a test can put another function in a name's place. Each function either does one
thing or raises a `StorageError` that names the file and the system's reason.

No name is ever followed through a symbolic link: directories are opened once, with
``O_NOFOLLOW``, and their children by descriptor and name.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import re
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentdb.errors import DurabilityError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

__all__ = [
    "LINK_REFUSED",
    "Descriptor",
    "Directory",
    "clone",
    "close",
    "copy",
    "create_unnamed",
    "entries",
    "has_writer",
    "is_private_file",
    "let_go",
    "link",
    "link_unnamed",
    "lock",
    "lock_holder",
    "lock_shared",
    "make_directory",
    "make_name_read_only",
    "make_read_only",
    "make_writable",
    "open_again",
    "open_directory",
    "open_file",
    "open_path",
    "read",
    "read_at",
    "read_into",
    "rename",
    "set_mode",
    "stamp",
    "start_write_back",
    "stat_name",
    "stat_open",
    "sync",
    "sync_directory",
    "sync_filesystem",
    "truncate",
    "unlink",
    "unlock",
    "write",
    "write_all",
    "write_at",
]

_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a planted FIFO must not hang us
_UNNAMED: Final = getattr(os, "O_TMPFILE", 0)
_KIND: Final = 0o170000  # of a file, in its mode; see inode(7)
_FICLONE: Final = 0x40049409  # linux/fs.h
_SYNC_FILE_RANGE_WRITE: Final = 2  # linux/fs.h
LINK_REFUSED: Final = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP})
"""A file cannot have one name more; its bytes can be copied."""
_LOCK_POLL_S: Final = (0.0002, 0.001, 0.005)
"""Pause between two looks at a held lock: the first, the longest of who came just now, and the
longest. Where writers queue a long pause starves; where one waits for a download a short one
burns the processor."""
_LOCK_PATIENCE: Final = 64
"""Who has waited so many times as long as a pause may take it."""


class Descriptor(int):
    """An open descriptor that closes itself when nothing refers to it any more.

    A signal's handler may raise as soon as open(2) has returned, before any name of Python's holds
    the number. So the number becomes one of these before code in Python goes on: see `_opened`.
    """

    is_open = True

    def __del__(self) -> None:
        """Close what an exception kept from being closed."""
        if self.is_open:
            let_go(self)


def _opened(path: str, flags: int, mode: int, within: int | None) -> Descriptor:
    """Open a file, and own its descriptor; all of that happens in code in C, one level deep."""
    opening = functools.partial(os.open, dir_fd=within)
    return next(map(Descriptor, map(opening, (path,), (flags,), (mode,))))


class Directory:
    """An open directory: children are reached from its descriptor, whatever its path becomes.

    A child of another one can be opened again, or made again, where it was removed: tools that
    tidy up take empty directories away.
    """

    __slots__ = ("_lost", "_name", "_within", "fd", "group", "owner", "path")

    def __init__(
        self, fd: int, path: str, owner: int | None = None, group: int | None = None
    ) -> None:
        self.fd = fd
        self.path = path
        self.owner = os.geteuid() if owner is None else owner
        """The user whose files in here are the store's; see `is_private_file`."""
        self.group = group
        """The group whose files are so too, and may be written to by its members."""
        self._within: Directory | None = None
        self._name = ""
        self._lost: list[int] = []
        """Descriptors of directories that are gone, in which another thread may be at work."""

    @property
    def file_mode(self) -> int:
        """The mode of a file in here that is being written."""
        return 0o600 if self.group is None else 0o660

    def child(self, name: str) -> str:
        """The path of a child, for messages and for callers; not for opening."""
        return f"{self.path}/{name}"

    def close(self) -> None:
        """Free the descriptor; twice is harmless."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            let_go(fd)
        while self._lost:
            let_go(self._lost.pop())

    def belongs(self, within: Directory, name: str) -> None:
        """Let the directory be opened again under that name, once it was removed."""
        self._within = within
        self._name = name

    @property
    def is_removed(self) -> bool:
        """Whether the directory was removed, which takes an empty one; not if it was moved."""
        return stat_open(self.fd, self.path).st_nlink == 0

    def may_be(self, found: os.stat_result | None) -> bool:
        """Whether the path leads here; where the directory was removed, it may lead anywhere."""
        if self.is_removed:
            return True
        return found is not None and os.path.samestat(found, stat_open(self.fd, self.path))

    def renew(self, used: int, *, make: bool) -> bool:
        """Open the directory again if it was removed; whether ``used`` is no more what it is.

        Args:
            used: The descriptor that a caller found nothing in.
            make: Make it again if nothing has its name, durably; its parents too.
        """
        within = self._within
        if within is None or self.fd < 0:
            return False
        if not self.is_removed:
            return self.fd != used
        within.renew(within.fd, make=make)
        if make and make_directory(within, self._name):
            sync_directory(within)
        try:
            fresh = open_directory(self._name, within=within)
        except StorageError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        self._lost.append(self.fd)
        self.fd = fresh.fd
        return True


# -- directories -----------------------------------------------------------------------------


def open_directory(path: str, *, within: Directory | None = None) -> Directory:
    """Open a directory by path, or a child of one by name; a symbolic link is refused.

    A child trusts the files that its parent trusts.
    """
    shown = path if within is None else within.child(path)
    used = None if within is None else within.fd
    try:
        fd = _opened(path, _DIRECTORY_FLAGS, 0, used)
    except OSError as error:
        if error.errno == errno.ENOENT and within and used and within.renew(used, make=False):
            return open_directory(path, within=within)
        raise StorageError.of("open directory", shown, error) from error
    if within is None:
        return Directory(fd, shown)
    opened = Directory(fd, shown, within.owner, within.group)
    opened.belongs(within, path)
    return opened


def open_again(directory: Directory) -> Directory:
    """Open a directory once more, as one that is no child of any."""
    try:
        fd = _opened(".", _DIRECTORY_FLAGS, 0, directory.fd)
    except OSError as error:
        raise StorageError.of("open directory", directory.path, error) from error
    return Directory(fd, directory.path, directory.owner, directory.group)


def make_directory(within: Directory, name: str) -> bool:
    """Make a child directory, private to its owner; False if something has that name already.

    In a directory of a group it is the group's, whatever the umask.
    """
    used = within.fd
    try:
        os.mkdir(name, 0o700, dir_fd=used)
        if within.group is not None:
            os.chmod(name, 0o2770, dir_fd=used)  # noqa: S103 - to members of the group
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.ENOENT and within.renew(used, make=True):
            return make_directory(within, name)
        raise StorageError.of("make directory", within.child(name), error) from error
    return True


def entries(directory: Directory) -> Iterator[os.DirEntry[str]]:
    """List the children, in no order."""
    directory.renew(directory.fd, make=False)
    again = open_directory(".", within=directory)  # a position of its own in the listing
    try:
        with os.scandir(again.fd) as found:
            yield from found
    except OSError as error:
        raise StorageError.of("list", directory.path, error) from error
    finally:
        again.close()


# -- files -----------------------------------------------------------------------------------


def open_file(within: Directory, name: str, flags: int, mode: int = 0o600) -> int:
    """Open a child; `FileNotFoundError` and `PermissionError` go to the caller as they are.

    A new one in a directory of a group may be written to by all of it, whatever the umask.
    """
    used = within.fd
    try:
        fd = _opened(name, flags | _FILE_FLAGS, mode, used)
        if within.group is not None and flags & os.O_CREAT:
            _open_to_group(fd, within)
    except FileNotFoundError:
        if flags & os.O_CREAT and within.renew(used, make=True):
            return open_file(within, name, flags, mode)
        raise
    except PermissionError:
        raise
    except OSError as error:
        raise StorageError.of("open", within.child(name), error) from error
    return fd


def _open_to_group(fd: int, within: Directory) -> None:
    """As SQLite does: what is empty was made just now, perhaps by one who was cut off."""
    found = os.fstat(fd)
    if not found.st_size and found.st_uid == os.geteuid():
        os.fchmod(fd, within.file_mode)


def open_path(path: str, flags: int) -> int:
    """Open a caller's file by its path, links followed; errors go to the caller as they are."""
    return _opened(path, flags | os.O_CLOEXEC, 0, None)


def create_unnamed(within: Directory) -> int | None:
    """Open a new file without a name, which vanishes with its process; None if unsupported."""
    used = within.fd
    try:
        return _opened(".", _UNNAMED | os.O_RDWR | os.O_CLOEXEC, 0o600, used)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            return None
        if within.renew(used, make=True):  # ext4 says EPERM of a directory that was removed
            return create_unnamed(within)
        if error.errno == errno.ENOENT:
            return None
        raise StorageError.of("create a file in", within.path, error) from error


def is_private_file(found: os.stat_result, within: Directory | None = None) -> bool:
    """Whether it is a regular file of the directory's owner, the only kind that a store touches.

    Or of its group, if it has one. Outside of a store: of our own user.
    """
    if found.st_mode & _KIND != stat.S_IFREG:
        return False
    if within is None:
        return found.st_uid == os.geteuid()
    return found.st_uid == within.owner or found.st_gid == within.group


def read(fd: int, size: int, path: str) -> bytes:
    """Read on from the descriptor's position; empty at the end of the file."""
    try:
        return os.read(fd, size)
    except OSError as error:
        raise StorageError.of("read", path, error) from error


def write(fd: int, data: Buffer, path: str) -> int:
    """Write once and return how many bytes the system took, which may be fewer."""
    try:
        return os.write(fd, data)
    except OSError as error:
        raise StorageError.of("write", path, error) from error


def write_all(fd: int, data: Buffer, path: str) -> int:
    """Write until the system has taken all of it; return the bytes."""
    view = memoryview(data)
    taken = write(fd, view, path)
    if taken < view.nbytes:
        left = view.cast("B")[taken:]
        while left:
            left = left[write(fd, left, path) :]
    return view.nbytes


def write_at(fd: int, data: Buffer, offset: int, path: str) -> int:
    """Write once at a place in the file, wherever its end is; return the bytes taken."""
    try:
        return os.pwrite(fd, data, offset)
    except OSError as error:
        raise StorageError.of("write", path, error) from error


def read_at(fd: int, size: int, offset: int, path: str) -> bytes:
    """Read from a place in the file, which may give fewer bytes; empty at its end."""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        raise StorageError.of("read", path, error) from error


def read_into(fd: int, buffer: Buffer, path: str) -> int:
    """Read on into a buffer and return how many bytes came; 0 at the end of the file."""
    try:
        return os.readv(fd, [buffer])
    except OSError as error:
        raise StorageError.of("read", path, error) from error


def clone(source: int, target: int) -> bool:
    """Let the target share the source's blocks (reflink); False where that cannot be.

    The request is FICLONE of ioctl_ficlonerange(2).
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def start_write_back(fd: int, offset: int, size: int) -> None:
    """Let the system begin to write a range to disk, so that a later sync has less to do.

    It promises nothing, and errors are left to that sync; see sync_file_range(2).
    """
    call = _sync_file_range()
    if call is not None:
        call(fd, offset, size, _SYNC_FILE_RANGE_WRITE)


@functools.cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    import ctypes

    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[[int, int, int, int], int] = call
    return found


def truncate(fd: int, size: int, path: str) -> None:
    """Cut the file and go on writing at its new end."""
    try:
        os.ftruncate(fd, size)
        os.lseek(fd, size, os.SEEK_SET)
    except OSError as error:
        raise StorageError.of("truncate", path, error) from error


def has_writer(fd: int) -> bool:
    """Whether a file that is open for reading alone is open for writing elsewhere, or mapped so.

    The kernel gives a lease for reading only where it is not; see F_SETLEASE of fcntl(2). It tells
    the holder of a lease by a signal of an opening for writing: by one that is ignored unless
    asked for, not by SIGIO, which ends a process. False where there are no leases.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def make_read_only(fd: int, path: str) -> None:
    """Give the file the mode of a blob: 0444."""
    set_mode(fd, 0o444, path)


def stamp(fd: int, moment_ns: int, path: str) -> None:
    """Set the file's times of access and modification, in nanoseconds since the epoch.

    The file of another member of a group keeps its time, which only its owner may set.
    """
    try:
        os.utime(fd, ns=(moment_ns, moment_ns))
    except OSError as error:
        if error.errno == errno.EPERM and stat_open(fd, path).st_uid != os.geteuid():
            return
        raise StorageError.of("set the time of", path, error) from error


def make_name_read_only(within: Directory, name: str) -> bool:
    """Give a file the mode of a blob that its owner may not open; False if it is none of ours.

    A descriptor of O_PATH needs no right to the file and stays with it; see open(2).
    """
    try:
        fd = _opened(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, 0, within.fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.of("open", within.child(name), error) from error
    try:
        if not is_private_file(os.fstat(fd), within):
            return False
        os.chmod(f"/proc/self/fd/{fd}", 0o444)  # noqa: PTH101 - no Path in between
    except OSError as error:
        raise StorageError.of("change the mode of", within.child(name), error) from error
    finally:
        let_go(fd)
    return True


def make_writable(fd: int, within: Directory, path: str) -> None:
    """Give the file the mode of an ingest again."""
    set_mode(fd, within.file_mode, path)


def set_mode(fd: int, mode: int, path: str) -> None:
    """Set the permission bits of an open file; only its owner may, unless it has them already."""
    try:
        os.fchmod(fd, mode)
    except OSError as error:
        if error.errno == errno.EPERM and stat.S_IMODE(stat_open(fd, path).st_mode) == mode:
            return
        raise StorageError.of("change the mode of", path, error) from error


def copy(source: int, target: int, path: str) -> None:
    """Append what follows in the source to the target, inside the system where it can."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise StorageError.of("copy to", path, error) from error
        while piece := read(source, 1 << 20, path):
            write_all(target, piece, path)


def stat_name(within: Directory, name: str) -> os.stat_result | None:
    """Look at a child without following it; None if there is none."""
    try:
        return os.stat(name, dir_fd=within.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.of("stat", within.child(name), error) from error


def stat_open(fd: int, path: str) -> os.stat_result:
    """Look at an open file or directory; a filesystem that has given up refuses even that."""
    try:
        return os.fstat(fd)
    except OSError as error:
        raise StorageError.of("stat", path, error) from error


def let_go(fd: int) -> None:
    """Close a descriptor that nothing hangs on any more, whatever the system says of it."""
    try:  # noqa: SIM105 - `contextlib.suppress` costs as much as the call
        _close(fd)
    except OSError:
        pass


def close(fd: int, path: str) -> None:
    """Close a descriptor. An error means that written bytes may be lost, as with a sync."""
    try:
        _close(fd)
    except OSError as error:
        raise DurabilityError("close", path, error) from error


def _close(fd: int) -> None:
    """Close, and let nothing close that number again: it may soon be another file's."""
    if isinstance(fd, Descriptor):
        if not fd.is_open:
            return
        fd.is_open = False  # from here to the call no handler runs
    os.close(fd)


# -- names -----------------------------------------------------------------------------------


def link(source: Directory, name: str, target: Directory, new_name: str) -> bool:
    """Give a file a second name; False if that name is taken."""
    used = target.fd
    try:
        os.link(name, new_name, src_dir_fd=source.fd, dst_dir_fd=used, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.ENOENT and target.renew(used, make=True):
            return link(source, name, target, new_name)
        raise StorageError.of("link", target.child(new_name), error) from error
    return True


def link_unnamed(fd: int, target: Directory, new_name: str) -> bool:
    """Give an unnamed file its name; False if that name is taken.

    The way by /proc is the one of open(2) under O_TMPFILE. The otherwise needless
    ``src_dir_fd`` makes Python follow the link: without it, it calls plain link(2).
    """
    used = target.fd
    try:
        os.link(
            f"/proc/self/fd/{fd}",
            new_name,
            src_dir_fd=used,
            dst_dir_fd=used,
            follow_symlinks=True,
        )
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno == errno.ENOENT and target.renew(used, make=True):
            return link_unnamed(fd, target, new_name)
        raise StorageError.of("link", target.child(new_name), error) from error
    return True


def rename(source: Directory, name: str, target: Directory, new_name: str) -> None:
    """Move a file over whatever has the new name; a missing one is `FileNotFoundError`."""
    used = target.fd
    try:
        os.rename(name, new_name, src_dir_fd=source.fd, dst_dir_fd=used)
    except FileNotFoundError:
        if not target.renew(used, make=True):
            raise
        rename(source, name, target, new_name)
    except OSError as error:
        raise StorageError.of("rename", target.child(new_name), error) from error


def unlink(within: Directory, name: str) -> bool:
    """Remove a name; False if there was none."""
    try:
        os.unlink(name, dir_fd=within.fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.of("remove", within.child(name), error) from error
    return True


# -- durability --------------------------------------------------------------------------------


def sync(fd: int, path: str) -> None:
    """Put a file's bytes and size on disk. Never retry it: a second call lies (durability 5)."""
    try:
        os.fsync(fd)
    except OSError as error:
        raise DurabilityError("sync", path, error) from error


def sync_directory(directory: Directory) -> None:
    """Put a directory's names on disk."""
    try:
        os.fsync(directory.fd)
    except OSError as error:
        raise DurabilityError("sync directory", directory.path, error) from error


def sync_filesystem(directory: Directory) -> bool:
    """Put everything on the directory's filesystem on disk; False if the system cannot."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    if call(directory.fd):
        number = ctypes.get_errno()
        raise DurabilityError("sync", directory.path, OSError(number, os.strerror(number)))
    return True


# -- locks -------------------------------------------------------------------------------------


def lock(fd: int, path: str, *, wait: float | bool = False) -> bool:
    """Take the exclusive flock(2) of an open file, and say whether it was got.

    ``wait`` is how long to wait, in seconds; True waits without end, asleep in the kernel.
    The lock dies with the last descriptor of this opening, however its process ends, so a
    forked child must close its copy.
    """
    try:
        if wait is True:
            fcntl.flock(fd, fcntl.LOCK_EX)
            return True
        return _lock_until(fd, time.monotonic() + wait)
    except OSError as error:
        raise StorageError.of("lock", path, error) from error


def _lock_until(fd: int, deadline: float, kind: int = fcntl.LOCK_EX) -> bool:
    pause, short, longest = _LOCK_POLL_S
    began = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            now = time.monotonic()
            if now >= deadline:
                return False
            time.sleep(min(pause, deadline - now))
            pause = min(2 * pause, max(short, (now - began) / _LOCK_PATIENCE), longest)
        else:
            return True


def lock_holder(fd: int) -> int | None:
    """Return the process that holds a flock of an open file, as `/proc/locks` has it (proc(5))."""
    found = os.fstat(fd)
    device = found.st_dev
    name = f"{os.major(device):02x}:{os.minor(device):02x}:{found.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    form = re.compile(rf"\d+: FLOCK +\w+ +\w+ (\d+) {name} ")
    for line in lines:
        if match := form.match(line):
            return int(match[1]) or None  # 0: a process of another PID namespace
    return None


def lock_shared(fd: int, path: str, *, wait: float = 0) -> bool:
    """Take the shared flock(2) of an open file, and say whether it was got in so many seconds."""
    try:
        return _lock_until(fd, time.monotonic() + wait, fcntl.LOCK_SH)
    except OSError as error:
        raise StorageError.of("lock", path, error) from error


def unlock(fd: int) -> bool:
    """Free the lock now, even where a forked child still holds a copy of the descriptor.

    False if the system refused: then only closing the descriptor frees it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        return False
    return True
