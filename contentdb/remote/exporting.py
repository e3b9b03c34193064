"""Writes a remote blob into a local file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from contentdb.streams.export import cat_advice, draft
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    from contentdb.content import Reader

__all__ = ["save"]


def save(reader: Reader, target: Path) -> Path:
    """Copy a reader to a file, which gets its name only after the reader has verified all bytes.

    Raises:
        StorageError: The target cannot be written, or `draft` refuses to replace it.
    """
    with draft(target, advice=cat_advice(reader.digest)) as new, Path(new.path).open("xb") as file:
        shutil.copyfileobj(reader, file, PIECE_BYTES)
    return target
