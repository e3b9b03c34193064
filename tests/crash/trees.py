"""A directory tree held in memory, to be put down again and again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple, Self

__all__ = ["Place", "Tree", "scratch"]


class Tree(NamedTuple):
    """Directories, parents first, and files with their bytes and modes, relative to the root."""

    folders: list[str]
    files: list[tuple[str, bytes, int]]

    @classmethod
    def of(cls, root: Path) -> Self:
        """Read a tree. No process may have a database in it open."""
        folders: list[str] = []
        files: list[tuple[str, bytes, int]] = []
        for folder, _, names in os.walk(root):
            relative = os.path.relpath(folder, root)
            if relative != ".":
                folders.append(relative)
            for name in names:
                if name.endswith("-shm"):
                    continue  # never part of what is kept: it is made anew
                path = Path(folder, name)
                mode = path.stat().st_mode & 0o7777
                # Nobody reads the reserve, it only takes up room.
                data = b"" if name.endswith("-reserve") else path.read_bytes()
                files.append((os.path.relpath(path, root), data, mode))
        return cls(folders, files)

    def put(self, root: Path) -> None:
        """Make the tree at a place, of which nothing else is left."""
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700)
        for folder in self.folders:
            os.mkdir(f"{root}/{folder}", 0o700)
        for name, data, mode in self.files:
            _write(f"{root}/{name}", data, mode)


def _write(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(fd, data)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)


class Place:
    """A directory in which the same tree is put again and again, at little cost.

    A store has hundreds of directories of which a scenario touches few: those that still look
    as they were left are left. Files are always made anew.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tree: Tree | None = None
        self._looks: dict[str, tuple[int, int, int]] = {}

    def put(self, tree: Tree) -> None:
        """Make the tree, of which nothing else is left."""
        if self._tree is tree:
            self._restore(tree)
        else:
            tree.put(self.root)
            self._tree = tree
        self._looks = {name: self._look(name) for name in ("", *tree.folders)}

    def _look(self, folder: str) -> tuple[int, int, int]:
        try:
            found = os.stat(f"{self.root}/{folder}")
        except FileNotFoundError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_size, found.st_nlink)

    def _restore(self, tree: Tree) -> None:
        known = set(tree.folders)
        for folder in ("", *tree.folders):
            if self._look(folder) != self._looks[folder]:
                self._clear(folder, known)
        for name, data, mode in tree.files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.root}/{name}")
            _write(f"{self.root}/{name}", data, mode)

    def _clear(self, folder: str, known: set[str]) -> None:
        path = f"{self.root}/{folder}"
        os.makedirs(path, 0o700, exist_ok=True)
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                elif f"{folder}/{entry.name}".lstrip("/") not in known:
                    shutil.rmtree(entry.path)


def scratch() -> Path:
    """Where trees are put: in memory if possible, since a sync costs nothing there."""
    chosen = os.environ.get("CRASH_SCRATCH")
    if chosen is not None:
        return Path(chosen)
    memory = Path("/dev/shm")  # noqa: S108 - each run makes a private directory in it
    return memory if os.access(memory, os.W_OK) else Path("/tmp")  # noqa: S108
