"""Opening a store in a database, with its bytes in an object store."""

from __future__ import annotations

from functools import partial

from contentdb.errors import MissingExtraError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.refs import check_namespace
from contentdb.store import Store

if TYPE_CHECKING:
    from contentdb.cluster.engine import ClusterEngine

__all__ = ["open_cluster"]


def open_cluster(
    url: str, *, namespace: str, objects: str | None = None, endpoint: str | None = None
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
    engine = open_engine(url, namespace, objects=objects, endpoint=endpoint)
    return Store(engine, partial(_reduce, engine))


def _reduce(engine: ClusterEngine) -> tuple[object, ...]:
    return _open_again, (engine.url, engine.namespace)


def _open_again(url: str, namespace: str) -> Store:
    return open_cluster(url, namespace=namespace)
