"""The base of all roles of an engine: its parts, the calls inside it, its end, and forks."""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager

from contentdb import files, forks
from contentdb.call_guard import Gate
from contentdb.errors import ContentDBError, CorruptBlobError, NotFoundError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import State
from contentdb.local.index.connect import not_forking
from contentdb.local.index.live import close_inherited
from contentdb.local.layout import quarantine_name
from contentdb.local.upkeep.recovery import recover
from contentdb.logs import swallow, warn
from contentdb.presence import reset_after_fork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Literal, NoReturn

    from contentdb.digest import Digest
    from contentdb.local.commit.batch import Batch
    from contentdb.local.index import Blob
    from contentdb.local.ingest.held import LocalIngest
    from contentdb.local.resources import Parts

__all__ = ["LEFT_THERE", "Lifecycle"]


_UNTIDIED = "what earlier processes left was not all removed; the next opening tries again"
_UNCLOSED = "a store that was forgotten could not be closed"
LEFT_THERE = "a blob was found damaged, and could not be put away; reads still refuse it"


class _Current(threading.local):
    batch: Batch | None = None
    """The batch that this thread is in."""


class Lifecycle:
    """The life of an open engine: its resources, the calls inside it, its end, and forks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._gate = Gate(parts.root)
        self._held: weakref.WeakSet[LocalIngest] = weakref.WeakSet()
        self.current = _Current()
        if not parts.read_only:
            with swallow("local.recovery", _UNTIDIED, ContentDBError, root=parts.root):
                recover(parts)
        _open.add(self)

    @property
    def place(self) -> str:
        """The root, as text."""
        return self._parts.root

    @property
    def root(self) -> Path:
        """The store's directory, absolute and without symbolic links."""
        from pathlib import Path  # slow to import, and few ask

        return Path(self._parts.root)

    @property
    def namespace(self) -> str:
        """The namespace whose rows it sees."""
        return self._parts.namespace

    @property
    def durability(self) -> Literal["full", "process"]:
        """What an acknowledgement is worth; see `contentdb.open`."""
        return "full" if self._parts.durable else "process"

    @property
    def sharing(self) -> Literal["isolated", "shared"]:
        """Whether a digest alone gives content of other namespaces; see `contentdb.open`."""
        return "shared" if self._parts.shares else "isolated"

    @property
    def mode(self) -> Literal["rw", "r"]:
        """Whether it was opened for reading only; see `contentdb.open`."""
        return "r" if self._parts.read_only else "rw"

    @contextmanager
    def parts(self) -> Iterator[Parts]:
        """Lend the store's parts, kept open for the block; for tools of this package."""
        with self._gate:
            yield self._parts

    @property
    def _batch(self) -> Batch | None:
        """The batch that this thread is in, if this process began it."""
        batch = self.current.batch
        return batch if batch is not None and batch.is_ours else None

    # -- shared by several roles --------------------------------------------------------------

    def _find_row(self, digest: Digest) -> Blob:
        """Return the row of a blob that may be served; raise if it is missing or damaged."""
        row = self._parts.index.blob(digest)
        if row is None or row.state == State.TOMBSTONE:
            raise NotFoundError(digest=digest)
        if row.state == State.DAMAGED:
            packs, shards = self._parts.packs, self._parts.shards
            had_file = packs is None and shards.size(digest) is None  # else it had perhaps a record
            reason = "its file is gone" if had_file else "it was found damaged"
            raise CorruptBlobError(digest, shards.path(digest), reason)
        return row

    def _check_missing(self, digest: Digest) -> None:
        """Raise if there is no such blob or its file was lost; else return: the caller looks again.

        A live row without a file proves a loss only under the write lock: without that lock, the
        blob may be stored or deleted between the two looks.
        """
        if self._find_row(digest).location is not None:  # it was packed meanwhile
            return
        shards = self._parts.shards
        try:
            if self._parts.index.mark_damaged(digest, lambda: shards.is_gone(digest)):
                warn("local.damage", "the file of a blob is gone", digest=digest)
        except ContentDBError as error:
            raise CorruptBlobError(digest, shards.path(digest), "its file is gone") from error

    def _report_damage(self, fd: int, digest: Digest, reason: str) -> NoReturn:
        """Move a damaged blob to quarantine, unless it was healed meanwhile, and raise."""
        error = CorruptBlobError(digest, self._parts.shards.path(digest), reason)
        with swallow("local.damage", LEFT_THERE, ContentDBError, digest=digest), self._gate:
            self._parts.index.mark_damaged(digest, lambda: self._take_away(digest, fd))
            warn("local.damage", "a blob was found damaged", digest=digest, reason=reason)
        raise error

    def _take_away(self, digest: Digest, fd: int) -> bool:
        """Move the damaged file to quarantine, if the blob's name still leads to it."""
        files.stamp(fd, time.time_ns(), digest)  # cached Infos must not match it any more
        parts = self._parts
        return self._leads_to(digest, fd) and parts.shards.move(
            digest, parts.quarantine, quarantine_name(digest)
        )

    def _leads_to(self, digest: Digest, fd: int) -> bool:
        now = self._parts.shards.open(digest)
        if now is None:
            return False
        try:
            return os.path.samestat(files.stat_open(now, digest), files.stat_open(fd, digest))
        finally:
            files.let_go(now)

    # -- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Free all that the engine holds; may be repeated.

        It waits for calls of other threads, and closes writers: their ingests are kept and their
        refs are free. Readers and walks that were begun go on.
        """
        self._gate.close()
        with ExitStack() as rest:  # close all, even if one fails; each may be closed again
            rest.callback(self._parts.close)
            for ingest in list(self._held):
                rest.callback(ingest.close)

    def __del__(self) -> None:
        """Close an engine that was forgotten."""
        if hasattr(self, "_gate") and not self._gate.closed:
            with swallow("local.engine", _UNCLOSED, ContentDBError, root=self._parts.root):
                self.close()


_open: weakref.WeakSet[Lifecycle] = weakref.WeakSet()


def _before_fork() -> None:
    forks.hold(not_forking)
    for store in list(_open):
        store._parts.index.before_fork()  # noqa: SLF001 - a function of this class


def _after_fork_in_child(seen: bool) -> None:  # noqa: FBT001 - a hook
    stores = list(_open)
    if not seen:
        for store in stores:
            store._parts.index.look_at_unseen_fork()  # noqa: SLF001 - as above
        close_inherited(opening=not not_forking.acquire(blocking=False))
    for store in stores:
        refusal = store._parts.index.after_fork_in_child()  # noqa: SLF001 - as above
        store._gate.after_fork_in_child(refusal)  # noqa: SLF001
        store._parts.after_fork_in_child()  # noqa: SLF001
    reset_after_fork(not_forking)


forks.register(before=_before_fork, in_child=_after_fork_in_child)
