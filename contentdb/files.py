"""The seam to the operating system: every file operation of the store goes through here.

It is small on purpose: crash tests replace its functions. So callers write ``files.sync(…)`` and
never import the function itself. Each function does one thing, or raises a `StorageError` that
names the file and the system's reason.

Symbolic links are never followed: a directory is opened once, with ``O_NOFOLLOW``, and its
children by its descriptor and their names.
"""

# Long: the one seam to the operating system, which tests replace as a whole.

from __future__ import annotations

import errno
import fcntl
import functools
import os
import stat
import time

from contentdb.errors import DurabilityError, StorageError
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

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
    "seal",
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
"""Error numbers of link(2) that mean: the file cannot get another name, but can be copied."""
_LOCK_POLL_S: Final = (0.0002, 0.001, 0.005)
"""Seconds between two tries for a held lock: at first, at most in the beginning, and at most ever.
With long pauses a writer in a queue of writers may never get the lock; with short ones a process
that waits for a download wastes processor time."""
_LOCK_PATIENCE: Final = 64
"""After the beginning a pause may last 1/64 of the time that the process has already waited."""


class Descriptor(int):
    """An open descriptor that closes itself when nothing refers to it any more.

    A signal handler may raise as soon as open(2) has returned, before a variable holds the number.
    So code in C wraps the number in this class before Python code goes on: see `_open`.
    """

    is_open = True

    def __del__(self) -> None:
        """Close the descriptor if an exception prevented the owner from doing so."""
        if self.is_open:
            let_go(self)


def _open(path: str, flags: int, mode: int, within: int | None) -> Descriptor:
    """Open a file and wrap its descriptor, all within one call of code in C."""
    opening = functools.partial(os.open, dir_fd=within)
    return next(map(Descriptor, map(opening, (path,), (flags,), (mode,))))


class Directory:
    """An open directory: its children are opened by its descriptor, even after a rename.

    A child of another `Directory` can be opened again, or made again, after something has removed
    it: cleanup tools remove empty directories.
    """

    __slots__ = ("_lost", "_name", "_within", "fd", "group", "owner", "path")

    def __init__(
        self, fd: int, path: str, owner: int | None = None, group: int | None = None
    ) -> None:
        self.fd = fd
        self.path = path
        self.owner = os.geteuid() if owner is None else owner
        """The user whose files in this directory the store uses; see `is_private_file`."""
        self.group = group
        """The group whose files the store uses too, and whose members may write to them."""
        self._within: Directory | None = None
        self._name = ""
        self._lost: list[int] = []
        """Descriptors of removed directories, which other threads may still be using."""

    @property
    def file_mode(self) -> int:
        """The mode of a file in this directory while it is being written."""
        return 0o600 if self.group is None else 0o660

    def child(self, name: str) -> str:
        """Return the path of a child, for messages and for callers; not for opening."""
        return f"{self.path}/{name}"

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            let_go(fd)
        while self._lost:
            let_go(self._lost.pop())

    def belongs(self, within: Directory, name: str) -> None:
        """Note the parent and the name, so that `renew` can open the directory again."""
        self._within = within
        self._name = name

    @property
    def is_removed(self) -> bool:
        """Whether the directory was removed, not just renamed. Only an empty one can be."""
        return stat_open(self.fd, self.path).st_nlink == 0

    def may_be(self, found: os.stat_result | None) -> bool:
        """Return whether what a path leads to may be this directory.

        True if the directory was removed: then its path may lead to anything.
        """
        if self.is_removed:
            return True
        return found is not None and os.path.samestat(found, stat_open(self.fd, self.path))

    def renew(self, used: int, *, make: bool) -> bool:
        """Open the directory again if it was removed; return whether `fd` differs from ``used``.

        Args:
            used: The descriptor in which the caller found nothing.
            make: Make the directory and its parents again, durably, if nothing has their names.
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

    A child has the owner and group of its parent.
    """
    shown = path if within is None else within.child(path)
    used = None if within is None else within.fd
    try:
        fd = _open(path, _DIRECTORY_FLAGS, 0, used)
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
    """Open a directory a second time, without a parent."""
    try:
        fd = _open(".", _DIRECTORY_FLAGS, 0, directory.fd)
    except OSError as error:
        raise StorageError.of("open directory", directory.path, error) from error
    return Directory(fd, directory.path, directory.owner, directory.group)


def make_directory(within: Directory, name: str) -> bool:
    """Make a child directory, private to its owner; return False if the name is taken.

    In a directory of a group the group may use it, whatever the umask.
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
    """Yield the children, in no order."""
    directory.renew(directory.fd, make=False)
    again = open_directory(".", within=directory)  # its position in the listing is its own
    try:
        with os.scandir(again.fd) as found:
            yield from found
    except OSError as error:
        raise StorageError.of("list", directory.path, error) from error
    finally:
        again.close()


# -- files -----------------------------------------------------------------------------------


def open_file(within: Directory, name: str, flags: int, mode: int = 0o600) -> int:
    """Open a child; raise `FileNotFoundError` and `PermissionError` unchanged.

    All members of a directory's group may write to a new file in it, whatever the umask.
    """
    used = within.fd
    try:
        fd = _open(name, flags | _FILE_FLAGS, mode, used)
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
    """Let the group write to an empty file of ours.

    Empty means just made, perhaps by a process that died before its fchmod; SQLite does the same.
    """
    found = os.fstat(fd)
    if not found.st_size and found.st_uid == os.geteuid():
        os.fchmod(fd, within.file_mode)


def open_path(path: str, flags: int) -> int:
    """Open a caller's file by its path, following links; raise `OSError` unchanged."""
    return _open(path, flags | os.O_CLOEXEC, 0, None)


def open_bytes(data: bytes, name: str) -> int:
    """Open a file in memory that holds these bytes, at its start."""
    try:
        fd = Descriptor(os.memfd_create(name[:200], os.MFD_CLOEXEC))
    except OSError as error:
        raise StorageError.of("open in memory", name, error) from error
    write_all(fd, data, name)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def create_unnamed(within: Directory) -> int | None:
    """Open a new file without a name, which disappears with its process; None if unsupported."""
    used = within.fd
    try:
        return _open(".", _UNNAMED | os.O_RDWR | os.O_CLOEXEC, 0o600, used)
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}:
            return None
        if within.renew(used, make=True):  # ext4 gives EPERM in a removed directory
            return create_unnamed(within)
        if error.errno == errno.ENOENT:
            return None
        raise StorageError.of("create a file in", within.path, error) from error


def is_private_file(found: os.stat_result, within: Directory | None = None) -> bool:
    """Return whether it is a regular file of the owner or group of the directory.

    A store touches no other files. Without a directory: whether it is one of this process's user.
    """
    if found.st_mode & _KIND != stat.S_IFREG:
        return False
    if within is None:
        return found.st_uid == os.geteuid()
    return found.st_uid == within.owner or found.st_gid == within.group


def read(fd: int, size: int, path: str) -> bytes:
    """Read from the descriptor's position; return ``b""`` at the end of the file."""
    try:
        return os.read(fd, size)
    except OSError as error:
        raise StorageError.of("read", path, error) from error


def write(fd: int, data: Buffer, path: str) -> int:
    """Write once and return how many bytes the system wrote, which may be fewer."""
    try:
        return os.write(fd, data)
    except OSError as error:
        raise StorageError.of("write", path, error) from error


def write_all(fd: int, data: Buffer, path: str) -> int:
    """Write until the system has written all of it; return the count of bytes."""
    view = memoryview(data)
    taken = write(fd, view, path)
    if taken < view.nbytes:
        left = view.cast("B")[taken:]
        while left:
            left = left[write(fd, left, path) :]
    return view.nbytes


def write_at(fd: int, data: Buffer, offset: int, path: str) -> int:
    """Write once at an offset in the file, even behind its end; return the count of bytes."""
    try:
        return os.pwrite(fd, data, offset)
    except OSError as error:
        raise StorageError.of("write", path, error) from error


def read_at(fd: int, size: int, offset: int, path: str) -> bytes:
    """Read at an offset in the file, perhaps fewer bytes; return ``b""`` at its end."""
    try:
        return os.pread(fd, size, offset)
    except OSError as error:
        raise StorageError.of("read", path, error) from error


def read_from_start(fd: int, path: str) -> bytes:
    """Return all bytes of a small file; the descriptor's position stays."""
    pieces = []
    at = 0
    while piece := read_at(fd, 1 << 20, at, path):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)


def read_into(fd: int, buffer: Buffer, path: str) -> int:
    """Read from the descriptor's position into a buffer; return the bytes read, 0 at the end."""
    try:
        return os.readv(fd, [buffer])
    except OSError as error:
        raise StorageError.of("read", path, error) from error


def clone(source: int, target: int) -> bool:
    """Let the target share the source's blocks (reflink); return False if the system refuses.

    The request is FICLONE of ioctl_ficlonerange(2).
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def start_write_back(fd: int, offset: int, size: int) -> None:
    """Ask the system to begin writing a range to disk, so that a later sync has less to do.

    It makes nothing durable, and errors show at that sync; see sync_file_range(2).
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
    """Cut the file and set the descriptor's position to its new end."""
    try:
        os.ftruncate(fd, size)
        os.lseek(fd, size, os.SEEK_SET)
    except OSError as error:
        raise StorageError.of("truncate", path, error) from error


_SIGURG: Final = 23
"""signal(7) of Linux, where alone there are leases; `signal` is slow to import."""


def has_writer(fd: int) -> bool:
    """Return whether a file has another descriptor, or a mapping, that can write to it.

    ``fd`` must be open for reading only. The kernel grants a read lease only if nothing has the
    file open for writing; see F_SETLEASE of fcntl(2). The kernel sends the holder of a lease a
    signal when a process opens the file for writing. SIGURG, which processes ignore by default,
    replaces SIGIO, which would end the process. False if the filesystem has no leases.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, _SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


def make_read_only(fd: int, path: str) -> None:
    """Give the file the mode of a blob: 0444."""
    set_mode(fd, 0o444, path)


def seal(fd: int, path: str, moment_ns: int) -> None:
    """Give a whole file the mode of a blob, and the time that its row will have."""
    make_read_only(fd, path)
    stamp(fd, moment_ns, path)


def stamp(fd: int, moment_ns: int, path: str) -> None:
    """Set the file's times of access and modification, in nanoseconds since the epoch.

    A file of another member of the group keeps its times: only its owner may set them.
    """
    try:
        os.utime(fd, ns=(moment_ns, moment_ns))
    except OSError as error:
        if error.errno == errno.EPERM and stat_open(fd, path).st_uid != os.geteuid():
            return
        raise StorageError.of("set the time of", path, error) from error


def set_access_time(fd: int, moment_ns: int) -> None:
    """Set the time of access of an open file, and leave that of modification alone.

    `os.utime` sets both, and could undo the mark of a delete that begins meanwhile. A system that
    refuses, as for the file of another member of a group, is not an error.
    """
    import ctypes  # few reads need it: one in an hour for each blob

    # two of C's ``struct timespec``, of access and of modification; utimensat(2) for UTIME_OMIT
    times = (ctypes.c_long * 4)(*divmod(moment_ns, 10**9), 0, (1 << 30) - 2)
    ctypes.CDLL(None).futimens(int(fd), times)


def make_name_read_only(within: Directory, name: str) -> bool:
    """Give a file that its owner may not open the mode of a blob; False if it is not the store's.

    Opening with O_PATH needs no permission on the file, and its descriptor follows a rename; see
    open(2).
    """
    try:
        fd = _open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, 0, within.fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.of("open", within.child(name), error) from error
    try:
        if not is_private_file(os.fstat(fd), within):
            return False
        os.chmod(f"/proc/self/fd/{fd}", 0o444)  # noqa: PTH101 - a Path would add nothing
    except OSError as error:
        raise StorageError.of("change the mode of", within.child(name), error) from error
    finally:
        let_go(fd)
    return True


def make_writable(fd: int, within: Directory, path: str) -> None:
    """Give a read-only file the mode of an ingest again."""
    set_mode(fd, within.file_mode, path)


def set_mode(fd: int, mode: int, path: str) -> None:
    """Set the permission bits of an open file.

    Only its owner may; for another user it is no error if the file has these bits already.
    """
    try:
        os.fchmod(fd, mode)
    except OSError as error:
        if error.errno == errno.EPERM and stat.S_IMODE(stat_open(fd, path).st_mode) == mode:
            return
        raise StorageError.of("change the mode of", path, error) from error


def copy(source: int, target: int, path: str) -> None:
    """Copy the source from its position to its end, inside the kernel if it can."""
    try:
        while os.copy_file_range(source, target, 1 << 30):
            pass
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise StorageError.of("copy to", path, error) from error
        while piece := read(source, 1 << 20, path):
            write_all(target, piece, path)


def stat_name(within: Directory, name: str) -> os.stat_result | None:
    """Return the stat of a child, not following a link; None if there is none."""
    try:
        return os.stat(name, dir_fd=within.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError.of("stat", within.child(name), error) from error


def stat_open(fd: int, path: str) -> os.stat_result:
    """Return the stat of an open file or directory; even this fails on a broken filesystem."""
    try:
        return os.fstat(fd)
    except OSError as error:
        raise StorageError.of("stat", path, error) from error


def let_go(fd: int) -> None:
    """Close a descriptor and ignore errors, when no written bytes depend on it."""
    try:  # noqa: SIM105 - `contextlib.suppress` costs as much as the call
        _close(fd)
    except OSError:
        pass


def close(fd: int, path: str) -> None:
    """Close a descriptor; an error means that written bytes may be lost, as in a sync."""
    try:
        _close(fd)
    except OSError as error:
        raise DurabilityError("close", path, error) from error


def _close(fd: int) -> None:
    """Close once: soon another file may have the same number, so `Descriptor` closes no more."""
    if isinstance(fd, Descriptor):
        if not fd.is_open:
            return
        fd.is_open = False  # no signal handler runs between this and the call below
    os.close(fd)


# -- names -----------------------------------------------------------------------------------


def link(source: Directory, name: str, target: Directory, new_name: str) -> bool:
    """Give a file a second name; return False if that name is taken."""
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
    """Give an unnamed file its name; return False if that name is taken.

    The path in /proc is the one that open(2) describes under O_TMPFILE. ``src_dir_fd`` has no
    effect on it, but without one Python calls plain link(2), which does not follow the link.
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
    """Rename a file, replacing any file of the new name; raise `FileNotFoundError` if missing."""
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
    """Remove a name; return False if there was none."""
    try:
        os.unlink(name, dir_fd=within.fd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.of("remove", within.child(name), error) from error
    return True


# -- durability --------------------------------------------------------------------------------


def sync(fd: int, path: str) -> None:
    """Put a file's bytes and size on disk.

    Never retry it: after an error, a second call may report success for lost bytes.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        raise DurabilityError("sync", path, error) from error


def sync_data(fd: int, path: str) -> None:
    """Put a file's bytes on disk, and its size if that has grown; not its times."""
    try:
        os.fdatasync(fd)
    except OSError as error:
        raise DurabilityError("sync", path, error) from error


def sync_directory(directory: Directory) -> None:
    """Put a directory's names on disk."""
    try:
        os.fsync(directory.fd)
    except OSError as error:
        raise DurabilityError("sync directory", directory.path, error) from error


def sync_filesystem(directory: Directory) -> bool:
    """Put everything on the directory's filesystem on disk; False if the system has no syncfs."""
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
    """Take the exclusive flock(2) of an open file; return False if it stayed taken.

    ``wait`` is in seconds; True waits for ever, asleep in the kernel. The kernel frees the lock
    when the last descriptor of this opening is closed, however the process ends, so a forked child
    must close its copy.
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
        with open("/proc/locks", encoding="ascii") as file:  # noqa: PTH123 - pathlib is slow to import
            lines = file.read().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if words[1] == "FLOCK" and words[5] == name:
            return int(words[4]) or None  # 0: a process of another PID namespace
    return None


def lock_shared(fd: int, path: str, *, wait: float = 0) -> bool:
    """Take the shared flock(2) of an open file; return False if not got in ``wait`` seconds."""
    try:
        return _lock_until(fd, time.monotonic() + wait, fcntl.LOCK_SH)
    except OSError as error:
        raise StorageError.of("lock", path, error) from error


def unlock(fd: int) -> bool:
    """Free the lock now, even if a forked child still has a copy of the descriptor.

    Return False if the system refused: then only closing the descriptor frees it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        return False
    return True
