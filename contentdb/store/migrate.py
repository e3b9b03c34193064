"""Bringing an older store up to date: one on files, or one in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.errors import MissingExtraError
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    import os

__all__ = ["migrate"]


def migrate(root: str | os.PathLike[str]) -> str:
    """Bring an older store's index up to this library's revision, and return that revision.

    Durable when it returns; may be repeated. No other process can use the index of a store on files
    meanwhile; at a database others go on.

    Raises:
        StoreNotFoundError, NotAStoreError, NewerStoreError: There is nothing to migrate.
    """
    if not is_database(root):
        from contentdb.local.upkeep import migrate as of_files

        return of_files.migrate(root)
    try:
        from contentdb.cluster.migrate import migrate as of_database
    except ImportError as error:
        raise MissingExtraError("a store in a database", "cluster", error) from error
    return of_database(root)
