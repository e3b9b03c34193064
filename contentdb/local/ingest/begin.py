"""How an ingest begins, starts over or is resumed: its lock, its row, and a file fit for writing.

Three things hold an ingest: the flock on its file says that its writer lives, its row says what
is known of it, and the row's token, new for every writer, fences off whoever lost it. The flock
comes first and goes last.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from contentdb import files
from contentdb.declared import Takeover
from contentdb.errors import (
    AlreadyExistsError,
    ContentDBError,
    FailedPreconditionError,
    RefLockedError,
)
from contentdb.local import locks
from contentdb.local.commit.publish import stored
from contentdb.local.index import IngestRow
from contentdb.local.layout import ingest_name
from contentdb.refs import check_ref

if TYPE_CHECKING:
    from contentdb.declared import Declared
    from contentdb.digest import Digest
    from contentdb.local.resources import Parts

__all__ = ["begin", "forget_beyond", "ref_locked"]


def ref_locked(parts: Parts, ref: str) -> RefLockedError:
    """Say who holds a ref, and for how long, as far as the index knows."""
    row = parts.index.ingest(ref)
    if row is None:
        return RefLockedError(ref)
    held_s = max(0.0, (time.time_ns() - row.held_since_ns) / 1e9)
    return RefLockedError(ref, held_s=held_s, holder=row.holder)


def begin(
    parts: Parts, ref: str, declared: Declared, takeover: Takeover, *, wait: float | bool
) -> tuple[IngestRow, int, int]:
    """Begin the ingest of a ref, or take it over; gives row, file, open and locked, and its size.

    Raises:
        AlreadyExistsError: The expected content is stored; no ingest was made or changed.
        RefLockedError: Another writer holds the ref, and went on holding it for ``wait``.
        FailedPreconditionError: A declaration contradicts the stored one; nothing changed.
    """
    name = ingest_name(parts.namespace, check_ref(ref))
    _refuse_stored(parts, declared.expected)
    fd = _locked(parts, name, ref, wait=wait)
    try:
        path = parts.ingest.child(name)
        _refuse_stored(parts, declared.expected)  # it may have come while we waited
        if takeover is Takeover.ANEW:
            fd = _emptied(parts, name, ref, fd)
        else:
            fd = _prepared(parts, name, ref, fd)
        size = files.stat_open(fd, path).st_size
        if takeover is Takeover.AGREE:
            _check_room(parts, ref, declared.total, size)
        row = parts.index.begin(_new_row(ref, name, declared), takeover)
        return forget_beyond(parts, row, size), fd, size
    except BaseException:
        try:
            if not files.stat_open(fd, name).st_size or parts.index.ingest_of(name) is None:
                files.unlink(parts.ingest, name)
        finally:
            locks.release(fd)
        raise


def _locked(parts: Parts, name: str, ref: str, *, wait: float | bool) -> int:
    """Open and lock the file of a ref; one that was made for it does not outlive an exception."""
    try:
        fd = locks.acquire(parts.ingest, name, wait=wait)
    except ContentDBError:
        raise
    except BaseException:  # out of a handler, perhaps as soon as the file was made
        locks.remove_dead(parts.ingest, name, lambda: parts.index.ingest_of(name) is not None)
        raise
    if fd is None:
        raise ref_locked(parts, ref)
    return fd


def _new_row(ref: str, name: str, declared: Declared) -> IngestRow:
    now_ns = time.time_ns()
    token = locks.boot() + os.urandom(8).hex()
    total, expected, metadata = declared
    return IngestRow(
        ref, name, token, total, expected, 0, now_ns, now_ns, locks.holder(), now_ns, metadata
    )


def _check_room(parts: Parts, ref: str, total: int | None, held: int) -> None:
    """Refuse a first declaration that what is there contradicts: it would stay."""
    if total is None or total >= held:
        return
    row = parts.index.ingest(ref)
    if row is not None and row.total is None:
        raise FailedPreconditionError(
            f"ref {ref!r:.80} has {held} bytes already, more than a total of {total}; "
            "give the right total, or resume=False starts over and abort() drops it"
        )


def forget_beyond(parts: Parts, row: IngestRow, size: int) -> IngestRow:
    """Let a row vouch for no more bytes than its file has, which may be another by now.

    Durable, before others are written in their place: a power cut would have the row vouch for
    those, see `_keep_trusted`.
    """
    if row.offset <= size:
        return row
    parts.index.pause(row.ref, row.token, size, row.updated_ns, durable=True)
    return row._replace(offset=size)


def _refuse_stored(parts: Parts, wanted: Digest | None) -> None:
    if wanted is not None and stored(parts, wanted) is not None:
        raise AlreadyExistsError(wanted)


def _is_known(parts: Parts, name: str, ref: str) -> bool:
    """Whether there is such an ingest; one of another ref under the same name is an error."""
    found = parts.index.ingest_of(name)
    if found is not None and found != (parts.namespace, ref):
        raise FailedPreconditionError(
            f"ref {ref!r} and ref {found[1]!r} have one hash; choose another ref"
        )
    return found is not None


def _emptied(parts: Parts, name: str, ref: str, fd: int) -> int:
    """Make a locked file fit for an ingest that starts over; gives the lock to hold.

    The bytes go before the row is the new ingest's: a row with new declarations over the bytes of
    an earlier try would be resumed as one ingest. And the old row vouches for none of them before
    they go.
    """
    path = parts.ingest.child(name)
    ours = locks.is_ours_to_write(fd, path)
    if ours and not files.stat_open(fd, path).st_size:
        return fd
    if _is_known(parts, name, ref) and (row := parts.index.ingest(ref)) is not None:
        forget_beyond(parts, row, 0)
    if ours:
        files.truncate(fd, 0, path)
        return fd
    return _replaced(parts, name, ref, fd, keep=False)


def _prepared(parts: Parts, name: str, ref: str, fd: int) -> int:
    """Make a locked file fit for going on with it; gives the lock to hold, perhaps a new file's.

    Bytes without a row are nobody's and go. A file that a commit had named already, before it
    was cut off, is a blob for ever and must not be written: what is known of it is copied.
    """
    path = parts.ingest.child(name)
    ours = locks.is_ours_to_write(fd, path)
    if ours and not files.stat_open(fd, path).st_size:
        return fd
    known = _is_known(parts, name, ref)
    if not ours:
        return _replaced(parts, name, ref, fd, keep=known)
    if known:
        _keep_trusted(parts, name, ref, fd)
    else:
        files.truncate(fd, 0, path)
    return fd


def _replaced(parts: Parts, name: str, ref: str, fd: int, *, keep: bool) -> int:
    """Put a new file in the place of one that must not be written; gives its lock."""
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
    """Cut off what must not be gone on with.

    Every byte is as it was written as long as the machine runs, whoever was killed. When it was
    started anew meanwhile, only what a writer had synced when it was closed is: behind that,
    a power cut leaves zeros under the right length.
    """
    row = parts.index.ingest(ref)
    if row is None or row.token.startswith(locks.boot()):
        return
    trusted = row.offset if parts.durable and not parts.sharing.unsynced else 0
    path = parts.ingest.child(name)
    if files.stat_open(fd, path).st_size > trusted:
        files.truncate(fd, trusted, path)
