"""Real files to take in: those of the Python installation that runs the demo."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Item", "choose", "copies", "without_beginning"]

_COUNT = 120
_BYTES = 300_000_000


class Item(NamedTuple):
    """A file, and what `contentdb ingest` is told to expect."""

    path: Path
    size: int
    digest: str


def choose() -> list[Item]:
    """The installation's largest files that are a few hundred MB together, largest first."""
    found = sorted(set(_files()), reverse=True)
    first = 0
    while sum(size for size, _ in found[first : first + _COUNT]) > _BYTES:
        first += 1
    return [_item(path) for _, path in found[first : first + _COUNT]]


def _files() -> Iterator[tuple[int, Path]]:
    for name in ("stdlib", "purelib", "platlib"):
        for folder, _, names in os.walk(os.path.realpath(sysconfig.get_path(name))):
            for path in (Path(folder, name) for name in names):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_size:
                    yield found.st_size, path


def _item(path: Path) -> Item:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Item(path, path.stat().st_size, f"sha256:{digest}")


def copies(items: list[Item], folder: Path) -> list[Item]:
    """Some of the files once more, as a second environment on the same machine has them."""
    folder.mkdir()
    again = []
    for number, item in enumerate(items[8::6]):
        copy = folder / f"{number}-{item.path.name}"
        shutil.copyfile(item.path, copy)
        again.append(item._replace(path=copy))
    return again


def without_beginning(item: Item, offset: int, copy: Path) -> Item:
    """The same file with zeros in place of what lies before an offset."""
    with item.path.open("rb") as source, copy.open("wb") as target:
        source.seek(offset)
        target.seek(offset)
        shutil.copyfileobj(source, target, 1 << 20)
    return item._replace(path=copy)
