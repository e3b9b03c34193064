"""Turn an strace recording of a scenario into operations on inodes and directories."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.crash.company import company
from tests.crash.suite import UnavailableError
from tests.crash.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "Data", "Drop", "Make", "Mode", "Move", "Op", "Say", "Size", "Sync", "record"]

ROOT: Final = 0
"""The inode of the root."""

_CHECKOUT: Final = Path(__file__).resolve().parents[2]
_CALLS: Final = (
    "openat,open,creat,close,dup,dup2,dup3,read,readv,write,pwrite64,writev,lseek,ftruncate,truncate,fallocate,fchmod,"
    "fchmodat,chmod,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,"
    "fsync,fdatasync,syncfs,sync,copy_file_range,sendfile"
)


class Make(NamedTuple):
    """A directory gets a name for an inode: create, mkdir, link."""

    folder: int
    name: str
    inode: int
    is_folder: bool


class Drop(NamedTuple):
    """A directory loses a name."""

    folder: int
    name: str


class Move(NamedTuple):
    """A name goes over to another place, replacing what had it; one step for the filesystem."""

    old_folder: int
    old_name: str
    folder: int
    name: str
    inode: int


class Data(NamedTuple):
    """Bytes of a file."""

    inode: int
    offset: int
    data: bytes


class Size(NamedTuple):
    """A file is cut or lengthened."""

    inode: int
    size: int


class Mode(NamedTuple):
    """A file's permission bits."""

    inode: int
    mode: int


class Sync(NamedTuple):
    """What came before the operation of that index is durable: of one inode, or all (None)."""

    inode: int | None
    before: int


class Say(NamedTuple):
    """A line of the ledger."""

    line: str


Op = Make | Drop | Move | Data | Size | Mode | Sync | Say

_LINE: Final = re.compile(r"^(\d+) +(.*)$")
_WHOLE: Final = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(?:<[^>]*>)?(?:\(deleted\))?(?: .*)?$")
_RESUMED: Final = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")
_STRING: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD: Final = re.compile(r"^(\d+|AT_FDCWD)(?:<((?:\\x[0-9a-f]{2})*)>)?")


def _plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


class Recorder:
    """Reads the lines of strace and keeps what the kernel keeps: names, inodes, positions."""

    def __init__(self, root: Path, ledger: Path, tree: Tree) -> None:
        self.ops: list[Op] = []
        self.base_names: dict[int, dict[str, int]] = {ROOT: {}}
        self.base_data: dict[int, tuple[bytes, int]] = {}
        self._root = str(root)
        self._ledger = str(ledger)
        self._inodes: dict[str, int] = {self._root: ROOT}
        self._open: dict[int, int | None] = {}
        self._at: dict[int, int] = {}
        self._next = 1
        self._begun: dict[str, tuple[str, int]] = {}
        for folder in tree.folders:
            self._known(f"{self._root}/{folder}", is_folder=True)
        for name, data, mode in tree.files:
            inode = self._known(f"{self._root}/{name}", is_folder=False)
            self.base_data[inode] = (data, mode)

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def _known(self, path: str, *, is_folder: bool) -> int:
        inode = self._inodes[path] = self._new()
        folder, name = os.path.split(path)
        self.base_names[self._inodes[folder]][name] = inode
        if is_folder:
            self.base_names[inode] = {}
        return inode

    # -- lines -------------------------------------------------------------------------------------

    def feed(self, line: str) -> None:
        """Take in one line; a call that was interrupted counts where it ended."""
        found = _LINE.match(line)
        if found is None:
            return
        thread, text = found.groups()
        began = len(self.ops)
        if text.endswith("<unfinished ...>"):
            self._begun[thread] = (text.removesuffix("<unfinished ...>").rstrip(), began)
            return
        if resumed := _RESUMED.match(text):
            head, began = self._begun.pop(thread)
            text = head + resumed[1]
        call = _WHOLE.match(text)
        if call is None or int(call[3]) < 0:
            return
        handler = getattr(self, f"_on_{call[1]}", None)
        if handler is not None:
            handler(call[2], int(call[3]), began)
        elif call[1] in {"writev", "sendfile", "truncate", "chmod"}:
            self._refuse(text)

    def _refuse(self, text: str) -> None:
        if any(self._root in _plain(part).decode(errors="replace") for part in _hex_parts(text)):
            raise NotImplementedError(f"a call that the model does not know: {text[:200]}")

    def _fd(self, arguments: str) -> tuple[int, str]:
        found = _FD.match(arguments)
        assert found is not None, arguments
        number = -1 if found[1] == "AT_FDCWD" else int(found[1])
        return number, _plain(found[2] or "").decode(errors="replace")

    def _inode(self, arguments: str) -> int | None:
        return self._open.get(self._fd(arguments)[0])

    def _path(self, folder: str, name: str) -> str | None:
        """An absolute path, if it is below the root."""
        path = os.path.normpath(name if name.startswith("/") else f"{folder}/{name}")
        return path if path == self._root or path.startswith(self._root + "/") else None

    def _paths(self, arguments: str) -> list[str | None]:
        """The paths of a call, each relative to the descriptor before it."""
        paths: list[str | None] = []
        folder = ""
        for part in _split(arguments):
            if string := _STRING.match(part):
                name = _plain(string[1]).decode(errors="surrogateescape")
                paths.append(
                    name if name.startswith("/proc/self/fd/") else self._path(folder, name)
                )
            elif _FD.match(part) and "<" in part:
                folder = self._fd(part)[1]
        return paths

    def _place(self, path: str) -> tuple[int, str]:
        folder, name = os.path.split(path)
        return self._inodes[folder], name

    # -- calls ------------------------------------------------------------------------------------

    def _on_openat(self, arguments: str, fd: int, _: int) -> None:
        (path,) = self._paths(arguments)
        self._at[fd] = 0
        self._open[fd] = None
        if path is None:
            return
        if "O_TMPFILE" in arguments:
            self._open[fd] = self._new()
            self.ops.append(Mode(self._open[fd] or 0, int(arguments.rsplit(",", 1)[1], 8)))
            return
        if path not in self._inodes:
            inode = self._inodes[path] = self._new()
            self.ops.append(Make(*self._place(path), inode, is_folder=False))
            self.ops.append(Mode(inode, int(arguments.rsplit(",", 1)[1], 8)))
        elif "O_TRUNC" in arguments:
            self.ops.append(Size(self._inodes[path], 0))
        self._open[fd] = self._inodes[path]

    def _on_close(self, arguments: str, _: int, __: int) -> None:
        self._open.pop(self._fd(arguments)[0], None)

    def _on_dup(self, arguments: str, fd: int, _: int) -> None:
        self._open[fd] = self._inode(arguments)

    def _on_write(self, arguments: str, count: int, _: int) -> None:
        fd, path = self._fd(arguments)
        string = _STRING.search(arguments)
        data = _plain(string[1])[:count] if string else b""
        if path == self._ledger:
            self.ops += [Say(line) for line in data.decode().splitlines()]
        elif (inode := self._open.get(fd)) is not None:
            self.ops.append(Data(inode, self._at[fd], data))
            self._at[fd] += count

    def _on_pwrite64(self, arguments: str, count: int, _: int) -> None:
        inode = self._inode(arguments)
        string = _STRING.search(arguments)
        if inode is not None and string is not None:
            offset = int(arguments.rsplit(",", 1)[1])
            self.ops.append(Data(inode, offset, _plain(string[1])[:count]))

    def _on_read(self, arguments: str, count: int, _: int) -> None:
        fd = self._fd(arguments)[0]
        if self._open.get(fd) is not None:
            self._at[fd] += count

    def _on_lseek(self, arguments: str, position: int, _: int) -> None:
        self._at[self._fd(arguments)[0]] = position

    def _on_ftruncate(self, arguments: str, _: int, __: int) -> None:
        inode = self._inode(arguments)
        if inode is not None:
            self.ops.append(Size(inode, int(arguments.rsplit(",", 1)[1])))

    def _on_fchmod(self, arguments: str, _: int, __: int) -> None:
        inode = self._inode(arguments)
        if inode is not None:
            self.ops.append(Mode(inode, int(arguments.rsplit(",", 1)[1], 8)))

    def _on_fchmodat(self, arguments: str, _: int, __: int) -> None:
        (path,) = self._paths(arguments)
        if path is not None:
            mode = _split(arguments)[2]
            self.ops.append(Mode(self._inodes[path], int(mode, 8)))

    def _on_copy_file_range(self, arguments: str, count: int, _: int) -> None:
        """What is copied is what the recording knows of the source by now."""
        parts = _split(arguments)
        source, target = self._inode(parts[0]), self._inode(parts[2])
        if target is None or not count:
            return
        if source is None or parts[1] != "NULL" or parts[3] != "NULL":
            raise NotImplementedError(f"a copy that the model does not know: {arguments[:200]}")
        read, wrote = self._fd(parts[0])[0], self._fd(parts[2])[0]
        data = self._contents(source)[self._at[read] : self._at[read] + count]
        self.ops.append(Data(target, self._at[wrote], data))
        self._at[read] += count
        self._at[wrote] += count

    def _contents(self, inode: int) -> bytes:
        made = bytearray(self.base_data.get(inode, (b"", 0))[0])
        for op in self.ops:
            if isinstance(op, Data) and op.inode == inode:
                made.extend(bytes(max(0, op.offset - len(made))))
                made[op.offset : op.offset + len(op.data)] = op.data
            elif isinstance(op, Size) and op.inode == inode:
                del made[op.size :]
                made.extend(bytes(op.size - len(made)))
        return bytes(made)

    def _on_fallocate(self, arguments: str, _: int, __: int) -> None:
        """Blocks of zeros behind the file's end."""
        inode = self._inode(arguments)
        if inode is not None:
            offset, size = map(int, _split(arguments)[2:])
            self.ops.append(Size(inode, max(len(self._contents(inode)), offset + size)))

    def _on_mkdirat(self, arguments: str, _: int, __: int) -> None:
        (path,) = self._paths(arguments)
        if path is not None and path != self._root:
            inode = self._inodes[path] = self._new()
            self.ops.append(Make(*self._place(path), inode, is_folder=True))

    def _on_linkat(self, arguments: str, _: int, __: int) -> None:
        source, path = self._paths(arguments)
        if path is None:
            return
        if source is not None and source.startswith("/proc/self/fd/"):
            inode = self._open[int(source.rpartition("/")[2])]
        else:
            inode = self._inodes.get(source or "")
        if inode is None:
            raise NotImplementedError("a link from outside of the root")
        self._inodes[path] = inode
        self.ops.append(Make(*self._place(path), inode, is_folder=False))

    def _on_renameat(self, arguments: str, _: int, __: int) -> None:
        source, path = self._paths(arguments)
        if source is None or path is None:
            return
        inode = self._inodes[source]
        self.ops.append(Move(*self._place(source), *self._place(path), inode))
        for known in [name for name in self._inodes if f"{name}/".startswith(f"{source}/")]:
            self._inodes[path + known[len(source) :]] = self._inodes.pop(known)

    def _on_unlinkat(self, arguments: str, _: int, __: int) -> None:
        (path,) = self._paths(arguments)
        if path is not None:
            self.ops.append(Drop(*self._place(path)))
            self._inodes.pop(path, None)

    def _on_fsync(self, arguments: str, _: int, began: int) -> None:
        inode = self._inode(arguments)
        if inode is not None:
            self.ops.append(Sync(inode, began))

    def _on_syncfs(self, _: str, __: int, began: int) -> None:
        self.ops.append(Sync(None, began))

    _on_open = _on_creat = _on_openat
    _on_readv = _on_read
    _on_dup2 = _on_dup3 = _on_dup
    _on_mkdir = _on_mkdirat
    _on_link = _on_linkat
    _on_rename = _on_renameat2 = _on_renameat
    _on_unlink = _on_rmdir = _on_unlinkat
    _on_fdatasync = _on_fsync
    _on_sync = _on_syncfs


def _hex_parts(text: str) -> list[str]:
    return re.findall(r'["<]((?:\\x[0-9a-f]{2})*)[">]', text)


def _split(arguments: str) -> list[str]:
    return arguments.split(", ")


def record(scenario: str, tree: Tree, place: Path, *, mutant: str | None = None) -> Recorder:
    """Run a scenario on a copy of a tree under strace.

    Raises:
        UnavailableError: There is no strace, or it may not trace here.
    """
    strace = shutil.which("strace")
    if strace is None:
        raise UnavailableError("needs strace; .ci/run installs it")
    root, ledger, output = place / "store", place / "ledger", place / "strace"
    tree.put(root)
    with company(root):
        recorder = Recorder(root, ledger, Tree.of(root))
        _run(strace, scenario, root, (ledger, output), mutant)
    with output.open() as lines:
        for line in lines:
            recorder.feed(line.rstrip("\n"))
    ledger.unlink(missing_ok=True)
    output.unlink()
    return recorder


def _run(
    strace: str, scenario: str, root: Path, written: tuple[Path, Path], mutant: str | None
) -> None:
    ledger, output = written
    command = [sys.executable, "-m", "tests.crash.record", scenario, str(root), str(ledger), "wait"]
    environment = os.environ | ({"CRASH_MUTANT": mutant} if mutant else {})
    with subprocess.Popen(
        command,
        cwd=_CHECKOUT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as recorded:
        assert recorded.stdin is not None
        assert recorded.stdout is not None
        if recorded.stdout.readline() != "ready\n":
            raise RuntimeError(f"the recording of {scenario} did not begin")
        with _watching(strace, recorded.pid, output):
            recorded.stdin.write("go\n")
            recorded.stdin.flush()
            recorded.wait()


@contextlib.contextmanager
def _watching(strace: str, process: int, output: Path) -> Iterator[None]:
    command = [strace, "-f", "-y", "-xx", "-s", "1000000", "-o", str(output), "-p", str(process)]
    command += ["-e", f"trace={_CALLS}", "-e", "signal=none"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stderr is not None
        said = watcher.stderr.readline()
        if "attached" not in said:
            watcher.terminate()
            raise UnavailableError(f"strace may not trace here: {said.strip()[:100]}")
        yield
