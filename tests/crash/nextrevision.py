"""A revision after the last, which makes a table anew: the hardest that a migration may do.

It is the library's newest within `known`, and only there; a new store is not of it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from alembic.script import ScriptDirectory

from contentdb.local.index import migrate, revision

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["known"]

_NAME: Final = "next"
_FOLDER: Final = Path(__file__).with_name("revisions")


@contextlib.contextmanager
def known() -> Iterator[None]:
    """Speak the next revision."""
    settings = migrate.config()
    shipped = ScriptDirectory.from_config(settings).versions
    settings.set_main_option("version_locations", f"{shipped}:{_FOLDER}".replace("%", "%%"))
    revisions = (*revision.REVISIONS, _NAME)
    with (
        patch.object(migrate, "config", lambda: settings),
        patch.multiple(revision, HEAD=_NAME, REVISIONS=revisions),
    ):
        yield
