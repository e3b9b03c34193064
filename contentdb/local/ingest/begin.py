"""How an ingest begins, starts over or is resumed: its lock, its row, and a file fit for writing.

Three things hold an ingest: the flock on its file shows that its writer lives, its row says what
is known of it, and the row's token, new for every writer, fences off a writer that lost the ref.
The flock is taken first and freed last.
"""

from __future__ import annotations

import os
import time

from contentdb import files
from contentdb.declared import Takeover
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    FailedPreconditionError,
    RefLockedError,
)
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local import locks
from contentdb.local.commit.stored import find_stored
from contentdb.local.index import IngestRow
from contentdb.local.layout import ingest_name
from contentdb.local.reservation import Reservation
from contentdb.refs import check_ref

if TYPE_CHECKING:
    from contentdb.declared import Declared
    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["begin", "forget_beyond", "ref_locked_error"]


def ref_locked_error(parts: Parts, ref: str) -> RefLockedError:
    """Return the error for a held ref: its holder and for how long, as far as the index knows."""
    row = parts.index.ingest(ref)
    if row is None:
        return RefLockedError(ref)
    held_s = max(0.0, (time.time_ns() - row.held_since_ns) / 1e9)
    return RefLockedError(ref, held_s=held_s, holder=row.holder)


def begin(
    parts: Parts, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
) -> tuple[IngestRow, int, int, Reservation]:
    """Begin the ingest of a ref, or take it over.

    Return its row, its locked file, the size of that, and the room that is reserved for it.

    Raises:
        AlreadyExistsError: The expected content is stored; no ingest was made or changed.
        RefLockedError: Another writer still holds the ref after ``wait``.
        FailedPreconditionError: A declaration contradicts the stored one; nothing changed.
        QuotaExceededError: The namespace has no room for it; nothing changed.
    """
    name = ingest_name(parts.namespace, check_ref(ref))
    _refuse_stored(parts, declared.expected)
    fd = _lock(parts, name, ref, wait=wait)
    room = Reservation(parts, name)
    try:
        path = parts.ingest.child(name)
        _refuse_stored(parts, declared.expected)  # another writer may have stored it meanwhile
        if parts.sharing.bounded:
            kept = 0 if takeover is Takeover.ANEW else files.stat_open(fd, path).st_size
            room.begin(max(declared.total or 0, kept))  # before an earlier try is emptied
        if takeover is Takeover.ANEW:
            fd = _empty(parts, name, ref, fd)
        else:
            fd = _prepare(parts, name, ref, fd)
        size = files.stat_open(fd, path).st_size
        if takeover is Takeover.AGREE:
            _check_room(parts, ref, declared, size)
        row = parts.index.begin(_new_row(ref, name, declared), takeover)
        room.cover(row.total or 0)  # which an earlier try may have declared
        return forget_beyond(parts, row, size), fd, size, room
    except BaseException:
        try:
            size = files.stat_open(fd, name).st_size
            room.keep(size)
            if not size or parts.index.ingest_of(name) is None:
                files.unlink(parts.ingest, name)
        finally:
            locks.release(fd)
        raise


def _lock(parts: Parts, name: str, ref: str, *, wait: float | bool) -> int:
    """Open and lock the file of a ref; after an exception, remove it again if it has no row."""
    try:
        fd = locks.acquire(parts.ingest, name, wait=wait)
    except ContentDBError:
        raise
    except BaseException:  # from a signal handler, perhaps just after the file was made
        locks.remove_dead(parts.ingest, name, lambda: parts.index.ingest_of(name) is not None)
        raise
    if fd is None:
        raise ref_locked_error(parts, ref)
    return fd


def _new_row(ref: str, name: str, declared: Declared) -> IngestRow:
    now_ns = time.time_ns()
    token = locks.boot() + os.urandom(8).hex()
    total, expected, metadata = declared
    return IngestRow(
        ref, name, token, total, expected, 0, now_ns, now_ns, locks.holder(), now_ns, metadata
    )


def _check_room(parts: Parts, ref: str, declared: Declared, held: int) -> None:
    if declared.total is None or declared.total >= held:
        return
    row = parts.index.ingest(ref)
    if row is not None:
        row.declared.check_room(ref, declared, held)


def forget_beyond(parts: Parts, row: IngestRow, size: int) -> IngestRow:
    """Lower the row's offset to the size of its file, which may be a new file.

    Durable, before other bytes are written there: after a power cut the row would vouch for
    those, see `_keep_trusted`.
    """
    if row.offset <= size:
        return row
    parts.index.pause(row.ref, row.token, size, row.updated_ns, durable=True)
    return row._replace(offset=size)


def _refuse_stored(parts: Parts, wanted: Digest | None) -> None:
    if wanted is not None and find_stored(parts, wanted) is not None:
        raise AlreadyExistsError(wanted)


def _is_known(parts: Parts, name: str, ref: str) -> bool:
    """Return whether the ingest exists; raise if another ref has the same file name."""
    found = parts.index.ingest_of(name)
    if found is not None and found != (parts.namespace, ref):
        raise FailedPreconditionError(
            f"ref {ref!r} and ref {found[1]!r} have one hash; choose another ref"
        )
    return found is not None


def _empty(parts: Parts, name: str, ref: str, fd: int) -> int:
    """Make a locked file fit for an ingest that starts over; return the file that has the lock.

    The bytes are removed before the row is replaced: a row with new declarations over the bytes of
    an earlier try would be resumed as one ingest. Before that, the old row's offset becomes 0.
    """
    path = parts.ingest.child(name)
    ours = locks.is_ours_to_write(fd, path)
    if ours and not files.stat_open(fd, path).st_size:
        return fd
    if _is_known(parts, name, ref) and (row := parts.index.ingest(ref)) is not None:
        if parts.durable:
            parts.index.sync()  # a process that was killed may have lowered the offset just before
        forget_beyond(parts, row, 0)
    if ours:
        files.truncate(fd, 0, path)
        return fd
    return _replace(parts, name, ref, fd, keep=False)


def _prepare(parts: Parts, name: str, ref: str, fd: int) -> int:
    """Make a locked file fit for appending; return the file that has the lock, perhaps a new one.

    Bytes without a row are removed. A file that an interrupted commit had named already is a
    blob and must not be written: if the ingest has a row, it goes on with a copy.
    """
    path = parts.ingest.child(name)
    ours = locks.is_ours_to_write(fd, path)
    if ours and not files.stat_open(fd, path).st_size:
        return fd
    known = _is_known(parts, name, ref)
    if not ours:
        return _replace(parts, name, ref, fd, keep=known)
    if known:
        _keep_trusted(parts, name, ref, fd)
    else:
        files.truncate(fd, 0, path)
    return fd


def _replace(parts: Parts, name: str, ref: str, fd: int, *, keep: bool) -> int:
    """Replace a file that must not be written by a new one; return the new one, locked."""
    path = parts.ingest.child(name)
    fresh = f".{os.urandom(16).hex()}"
    made = locks.create(parts.ingest, fresh)
    try:
        if keep:
            files.copy(fd, made, parts.ingest.child(fresh))
            # A file that has become a blob was synced before.
            if files.stat_open(fd, path).st_nlink == 1:
                _keep_trusted(parts, fresh, ref, made)
            if parts.durable:  # the row vouches for the copy as it did for the file
                files.sync(made, parts.ingest.child(fresh))
        files.rename(parts.ingest, fresh, parts.ingest, name)
    except BaseException:
        try:
            files.unlink(parts.ingest, fresh)
        finally:
            locks.release(made)
        raise
    locks.release(fd)
    return made


def _keep_trusted(parts: Parts, name: str, ref: str, fd: int) -> None:
    """Truncate the file to the bytes that can be trusted.

    While the machine runs, every byte is as it was written, even if processes were killed. After
    a restart of the machine, that holds only for the bytes that a writer synced when it closed:
    behind them, a power cut leaves zeros under the right length.
    """
    row = parts.index.ingest(ref)
    if row is None or row.token.startswith(locks.boot()):
        return
    trusted = row.offset if parts.durable and not parts.sharing.unsynced else 0
    path = parts.ingest.child(name)
    if files.stat_open(fd, path).st_size > trusted:
        files.truncate(fd, trusted, path)
