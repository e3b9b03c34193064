"""Checks of what a store stands on: a directory, or a database with its object store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.errors import MissingExtraError
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from contentdb.findings import Check

__all__ = ["examine"]


def examine(root: str | os.PathLike[str]) -> Iterator[Check]:
    """Try what the promises of a store depend on; what is made for it is removed again.

    Raises:
        MissingExtraError: The packages that a store in a database needs are not installed.
    """
    if not is_database(root):
        from contentdb.local.upkeep import doctor as of_files

        return of_files.examine(root)
    try:
        from contentdb.cluster.upkeep import doctor as of_database
    except ImportError as error:
        raise MissingExtraError("a store in a database", "cluster", error) from error
    return of_database.examine(root)
