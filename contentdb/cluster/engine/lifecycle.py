"""The base of all roles of the engine: its resources, the calls inside it, and its end."""

from __future__ import annotations

import threading
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn

from contentdb import forks
from contentdb.call_guard import Gate
from contentdb.cluster.catalog import blobs
from contentdb.cluster.damage import settled
from contentdb.digest import MISMATCH
from contentdb.errors import (
    ContentDBError,
    CorruptBlobError,
    NotFoundError,
    StoreClosedError,
    UnsafeForkError,
)
from contentdb.logs import swallow, warn

if TYPE_CHECKING:
    from contentdb.cluster.batch import Batch
    from contentdb.cluster.cache import Cache
    from contentdb.cluster.extents import Place
    from contentdb.cluster.ingest import ClusterIngest
    from contentdb.cluster.resources import Resources
    from contentdb.digest import Digest

__all__ = ["Current", "Lifecycle"]

_UNNOTED = "a blob was found damaged, and that could not be noted; a later read finds it again"
_UNCLOSED = "a store that was forgotten could not be closed"


class Current(threading.local):
    """What a thread is in the midst of."""

    batch: Batch | None = None


class Lifecycle:
    """The life of an open engine."""

    def __init__(self, resources: Resources, namespace: str, cache: Cache | None = None) -> None:
        self._resources = resources
        self._cache = cache
        self._current = Current()
        self._namespace = namespace
        self._gate = Gate(resources.database.place)
        self._held: weakref.WeakSet[ClusterIngest] = weakref.WeakSet()
        _open.add(self)

    @property
    def place(self) -> str:
        """The address of the database, without anything secret."""
        return self._resources.database.place

    @property
    def url(self) -> str:
        """The address as it was given, to open the store again."""
        with self._gate:
            return self._resources.database.url

    @property
    def namespace(self) -> str:
        """The namespace whose rows it sees."""
        return self._namespace

    # -- shared by several roles --------------------------------------------------------------

    def _find(self, digest: Digest, *, look: bool = False) -> blobs.Stored:
        """Return a blob that may be served; raise if it is missing or damaged.

        With ``look``, one that was marked as damaged is read: the mark goes if it is whole.
        """
        found = blobs.find(self._resources.database, self._namespace, digest)
        if found is None:
            raise NotFoundError(digest=digest)
        if found.damaged and look:
            (found,) = settled(self._resources, found)
        if found.damaged:
            raise CorruptBlobError(digest, found.place.about, "it was found damaged")
        return found

    def _report_damage(self, digest: Digest, place: Place, reason: str) -> NoReturn:
        """Note the damage, unless the blob was healed or deleted meanwhile, and raise.

        What a prune took after a delete is not damaged: it is not there.
        """
        error: ContentDBError = CorruptBlobError(digest, place.about, reason)
        with swallow("cluster.damage", _UNNOTED, ContentDBError, StoreClosedError, digest=digest):
            with self._gate:
                database = self._resources.database
                noted = blobs.mark_damaged(database, digest, place)
                if not noted and reason != MISMATCH and blobs.find_object(database, digest) is None:
                    error = NotFoundError(digest=digest)
            if isinstance(error, CorruptBlobError):
                warn("cluster.damage", "a blob was found damaged", digest=digest, reason=reason)
        raise error

    def flush_batch(self) -> None:
        """Make durable what waits in this thread's batch, before what may depend on it."""
        if self._current.batch is not None:
            self._current.batch.flush()

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Free all that the engine holds; may be repeated.

        It waits for calls of other threads, and closes writers: their ingests are kept and their
        refs are free.
        """
        if self._gate.closed:
            return
        self._gate.close()
        with ExitStack() as rest:  # close all, even if one fails
            rest.callback(self._resources.close)
            if self._cache is not None:
                rest.callback(self._cache.close)
            for ingest in list(self._held):
                rest.callback(ingest.close)

    def __del__(self) -> None:
        """Close an engine that was forgotten."""
        if hasattr(self, "_gate") and not self._gate.closed:
            with swallow("cluster.engine", _UNCLOSED, ContentDBError):
                self.close()


_open: weakref.WeakSet[Lifecycle] = weakref.WeakSet()


def _refuse_in_child(seen: bool) -> None:  # noqa: ARG001, FBT001 - a hook
    """Let no call of a fork's child use the parent's connections, nor its session."""
    for engine in list(_open):
        refusal = UnsafeForkError(engine.place, served=True, client="obstore")
        engine._gate.after_fork_in_child(refusal)  # noqa: SLF001 - a function of this class


forks.register(before=lambda: None, in_child=_refuse_in_child)
