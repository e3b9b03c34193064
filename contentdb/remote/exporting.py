"""A remote blob's bytes into a file here."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from contentdb.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.content import Reader

__all__ = ["save"]

_PIECE_BYTES: Final = 1024 * 1024


def save(reader: Reader, target: Path) -> Path:
    """Write all that a reader gives under a hidden name, and rename it once it is verified."""
    hidden = target.parent / f".{target.name[:64]}.{os.urandom(8).hex()}"
    try:
        with hidden.open("xb") as file:
            shutil.copyfileobj(reader, file, _PIECE_BYTES)
        hidden.replace(target)
    except BaseException as error:
        with suppress(OSError):
            hidden.unlink()
        if isinstance(error, OSError):
            raise StorageError.of("write", target, error) from error
        raise
    return target
