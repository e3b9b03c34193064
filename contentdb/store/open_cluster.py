"""Opening a store in a database, with its bytes in an object store."""

from __future__ import annotations

from functools import partial

from contentdb.errors import InvalidArgumentError, MissingExtraError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.refs import check_namespace
from contentdb.store import Store
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    import os
    from pathlib import Path
    from typing import Final

    from contentdb.cluster.engine import ClusterEngine

__all__ = ["CACHE_BYTES", "open_cluster"]

CACHE_BYTES: Final = 10 << 30
"""The bound of a new cache."""


def open_cluster(
    url: str,
    *,
    namespace: str,
    objects: str | None = None,
    endpoint: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Store:
    """Open the store in a database; with ``objects`` make it if there is none.

    Raises:
        MissingExtraError: The packages that it needs are not installed.
    """
    check_namespace(namespace)
    try:
        from contentdb.cluster.engine import open_engine
    except ImportError as error:
        raise MissingExtraError("a store in a database", "cluster", error) from error
    files = None if cache is None else _open_cache(cache)
    try:
        engine = open_engine(url, namespace, objects=objects, endpoint=endpoint, cache=files)
    except BaseException:
        if files is not None:
            files.close()
        raise
    return Store(engine, partial(_reduce, engine, None if files is None else files.root))


def _open_cache(root: str | os.PathLike[str]) -> Store:
    """Open a store on files as a cache; a new one gets a bound.

    Raises:
        InvalidArgumentError: It has blobs and no bound: programs store there.
    """
    from contentdb.store.open import open_store

    if is_database(root):
        raise InvalidArgumentError("cache is a directory of this host, not a database")
    files = open_store(root, durability="process")
    try:
        _bound(files)
    except BaseException:
        files.close()
        raise
    return files


def _bound(files: Store) -> None:
    """Make sure that a cache has a bound."""
    from datetime import timedelta

    policy = files.policy()
    if policy is not None and policy.max_bytes is not None:
        return
    if policy is not None or files.usage().blobs:
        raise InvalidArgumentError(
            f"{files.root} has no bound, and would grow for ever: name another directory, "
            f"or run contentdb --root {files.root} policy set --max-bytes SIZE --grace 0"
        )
    files.set_policy(max_bytes=CACHE_BYTES, grace=timedelta(0))


def _reduce(engine: ClusterEngine, cache: Path | None) -> tuple[object, ...]:
    return _open_again, (engine.url, engine.namespace, cache)


def _open_again(url: str, namespace: str, cache: Path | None) -> Store:
    return open_cluster(url, namespace=namespace, cache=cache)
