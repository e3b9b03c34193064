"""A remote blob's bytes into a file here."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from contentdb.streams.export import cat_advice, draft

if TYPE_CHECKING:
    from contentdb.content import Reader

__all__ = ["save"]

_PIECE_BYTES: Final = 1024 * 1024


def save(reader: Reader, target: Path) -> Path:
    """Write all that a reader gives into a file that gets its name once it is verified.

    Raises:
        StorageError: The target cannot be written, or `draft` does not replace what is there.
    """
    with draft(target, advice=cat_advice(reader.digest)) as new, Path(new.path).open("xb") as file:
        shutil.copyfileobj(reader, file, _PIECE_BYTES)
    return target
