"""Bring the index of an older store up to this library's revision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contentdb import files, forks
from contentdb.errors import IndexBusyError, StoreNotFoundError
from contentdb.local.create import MAKING_S, MISSING, open_root
from contentdb.local.index import revision
from contentdb.local.index.connect import not_forking
from contentdb.local.layout import INDEX, root_path
from contentdb.local.owner import check_owner

if TYPE_CHECKING:
    import os

__all__ = ["migrate"]


def migrate(root: str | os.PathLike[str]) -> str:
    """Bring an older store's index up to this library's revision, and return that revision.

    Durable when it returns; may be repeated. No other process can use the index meanwhile.

    Raises:
        StoreNotFoundError, NotAStoreError, NewerStoreError: There is nothing to migrate.
    """
    forks.check()
    with not_forking:
        return _migrate(Path(root_path(root)))


def _migrate(path: Path) -> str:
    directory = open_root(path, create=False)
    try:
        check_owner(directory, str(path))
        if files.stat_name(directory, INDEX) is None:
            raise StoreNotFoundError(str(path), MISSING)
        if not files.lock(directory.fd, str(path), wait=MAKING_S):
            raise IndexBusyError(str(path / INDEX), "it is in use; try again")
        name = revision.revision_of(str(path / INDEX), str(path))
        if name is None:
            raise StoreNotFoundError(str(path), MISSING)
        if name != revision.HEAD and name in revision.REVISIONS:
            from contentdb.local.index.migrate import upgrade  # alembic: 0.3 s

            upgrade(directory.child(INDEX), revision.HEAD)
        revision.check(revision.revision_of(str(path / INDEX), str(path)) or name, str(path))
    finally:
        directory.close()
    return revision.HEAD
