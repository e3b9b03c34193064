"""A store for a test, children that run beside it, and a look at all that lies on disk."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Self

import pytest

import contentdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

__all__ = ["Child", "blob_files", "tree"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store is, or will be."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[contentdb.Store]:
    """A fresh, empty store."""
    with contentdb.open(root) as store:
        yield store


@pytest.fixture
def second(root: Path, store: contentdb.Store) -> Iterator[contentdb.Store]:
    """Another handle on the same store."""
    with contentdb.open(root, create=False) as second:
        yield second


def tree(root: Path) -> dict[str, bytes]:
    """All files below a directory with their bytes, but for the index, which is SQLite's."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith("index.sqlite")
    }


def blob_files(root: Path) -> dict[str, bytes]:
    """The committed files by digest."""
    return {
        f"{path.parent.parent.name}:{path.name}": path.read_bytes()
        for path in root.glob("blobs/*/??/*")
    }


class Child:
    """Another process that runs a script with the root, and is spoken to line by line.

    Lines are how the two meet: nothing here waits for a time to pass.
    """

    def __init__(self, script: str, *arguments: object) -> None:
        text = "import sys, contentdb\nroot, *args = sys.argv[1:]\n" + script
        self._process = subprocess.Popen(
            [sys.executable, "-c", text, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def heard(self) -> str:
        """The child's next line; empty when it has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def say(self, line: str = "go") -> None:
        """Let it read a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it has ended."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Wait for its end and give its exit status."""
        return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process:  # closes the pipes and waits
            if kind is not None:
                self._process.kill()
