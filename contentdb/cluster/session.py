"""What tells other processes that this one lives: an advisory lock on a connection of its own.

One session serves all refs that a process holds. It never makes a change safe, tokens and fences
do: a process that has lost its connection may believe for seconds that it still holds a ref.
The same connection hears when a ref becomes free.
"""

from __future__ import annotations

import hashlib
import os
import select
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from contentdb.cluster.ending import Ending
from contentdb.cluster.schema import HEAD
from contentdb.cluster.sql import socket_of, take_notices
from contentdb.errors import ContentDBError, IndexFailedError, StoreError
from contentdb.logs import inform, warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contentdb.cluster.sql import Connection, Database

__all__ = ["LIVES", "Session", "free_notice", "holder"]

_BEGIN: Final = (
    "INSERT INTO sessions (id, holder, revision) VALUES (%(id)s, %(holder)s, %(revision)s)"
)
_LOCK: Final = "SELECT pg_try_advisory_lock(%(id)s), pg_backend_pid()"
_TRY: Final = "SELECT pg_try_advisory_xact_lock(%(id)s)"
_FENCED: Final = "SELECT fenced FROM sessions WHERE id = %(id)s"
_UNLOCK: Final = "SELECT pg_advisory_unlock(%(id)s)"
_END: Final = "DELETE FROM sessions WHERE id = %(id)s"
LIVES: Final = """EXISTS (SELECT 1 FROM pg_locks k WHERE k.locktype = 'advisory' AND k.granted
AND k.objsubid = 1 AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND (k.classid::bigint << 32) | k.objid::bigint = {session})"""
"""SQL for whether a session's process lives, as far as the server knows."""
_RETRY_S: Final = 0.5
_TRIES: Final = 5
"""How often a session may be fenced while it begins, as one that has no lock yet is."""


def holder() -> str:
    """Describe this process for messages; whether it lives is never judged by this."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def free_notice(namespace: str, ref: str) -> str:
    """Return what is sent when a ref becomes free: a ref may be longer than a notice."""
    return hashlib.sha256(f"{namespace}\0{ref}".encode()).hexdigest()


class Session:
    """The session of a process at one store; begun by its first use."""

    def __init__(self, database: Database, channel: str) -> None:
        self.channel = channel
        self.tokens: set[str] = set()
        """Of the ingests whose refs live writers of this process hold."""
        self._database = database
        self._lock = threading.Lock()
        self._number = 0
        self._id: int | None = None
        self._thread: threading.Thread | None = None
        self._waiting: dict[str, set[threading.Event]] = {}
        self._ending: Ending | None = None

    # -- what it is for -------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The session's number, which is in the keys of its objects."""
        with self._lock:
            if self._id is None:
                self._start()
            assert self._id is not None  # noqa: S101 - it was set, or an error raised
            return self._id

    def is_mine(self, id_: int) -> bool:
        """Return whether a session is this one, which may not have begun."""
        return self._id == id_

    def new_key(self) -> str:
        """Return ``session.number``, which no other key of the store ever had or will have."""
        id_ = self.id
        with self._lock:
            self._number += 1
            return f"{id_}.{self._number}"

    def renew(self, id_: int) -> bool:
        """Begin another session in place of this one if it is fenced; return whether it is."""
        fenced = self._is_fenced(self._database.rows(_FENCED, {"id": id_}))
        with self._lock:
            if fenced and self._forget(id_):
                self._stop()
        return fenced

    def _forget(self, id_: int) -> bool:
        """Let the next use begin another session, and the refs of this one be taken.

        The lock is held. Return False if another one has begun.
        """
        if self._id != id_:
            return False
        self._id = None
        self.tokens.clear()
        return True

    @staticmethod
    def _is_fenced(rows: Sequence[tuple[object, ...]]) -> bool:
        return not rows or bool(rows[0][0])

    @contextmanager
    def hearing(self, notice: str) -> Iterator[threading.Event]:
        """Give the block an event that is set when the notice comes."""
        self.id  # noqa: B018 - it begins the session
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(notice, set()).add(event)
        try:
            yield event
        finally:
            with self._lock:
                self._waiting[notice].discard(event)
                if not self._waiting[notice]:
                    del self._waiting[notice]

    # -- its life -------------------------------------------------------------------------------

    def _start(self) -> None:
        id_ = 0

        def begin(connection: Connection[tuple[object, ...]]) -> None:
            nonlocal id_  # another for each try: the server may not know yet that one is over
            for _ in range(_TRIES):
                id_ = int.from_bytes(os.urandom(8)) >> 1 or 1
                values = {"id": id_, "holder": holder(), "revision": HEAD}
                connection.execute(_BEGIN, values)
                if self._take_lock(connection, id_):
                    return
            raise StoreError(
                self._database.place,
                f"prunes took {_TRIES} sessions of this process for dead while they began; "
                "do the same again",
            )

        with ExitStack() as undo:
            ending = Ending()
            undo.callback(ending.close)
            connection = self._database.prepare(begin)
            undo.callback(connection.close)
            given = (connection, id_, ending)
            thread = threading.Thread(
                target=self._listen, args=given, name="contentdb-session", daemon=True
            )
            thread.start()
            undo.pop_all()  # they are the thread's
        self._id, self._thread, self._ending = id_, thread, ending

    def _take_lock(self, connection: Connection[tuple[object, ...]], id_: int) -> bool:
        """Take the lock and listen; prove that both belong to this connection alone.

        Return False if another has the lock, or had it and has fenced the session.

        Raises:
            StoreError: A pooler lends server connections to several clients.
        """
        found = connection.execute(_LOCK, {"id": id_}).fetchone()
        if found is None or not found[0]:
            return False
        with self._database.connect() as other:
            taken = other.execute(_TRY, {"id": id_}).fetchone()
        if found[1] != connection.info.backend_pid or taken is None or taken[0]:
            raise StoreError(
                self._database.place,
                "a pooler is between this process and the database, and would keep the lock of "
                "a dead process: give the address of the server itself",
            )
        if self._is_fenced(connection.execute(_FENCED, {"id": id_}).fetchall()):
            connection.execute(_UNLOCK, {"id": id_})
            return False
        connection.execute(f'LISTEN "{self.channel}"')
        return True

    def _listen(self, connection: Connection[tuple[object, ...]], id_: int, ending: Ending) -> None:
        poll = select.poll()
        poll.register(ending.read, select.POLLIN)
        watched = socket_of(connection)
        poll.register(watched, select.POLLIN)
        try:
            while True:
                poll.poll()
                if ending.begun.is_set():
                    return
                try:
                    for notice in take_notices(connection):
                        self._tell(notice)
                except IndexFailedError as error:
                    warn("cluster.session", "the session's connection broke", error=error)
                    poll.unregister(watched)
                    connection.close()
                    again = self._come_back(id_, ending.begun)
                    if again is None:
                        return
                    connection, watched = again, socket_of(again)
                    poll.register(watched, select.POLLIN)
                    self._tell_all()
        finally:
            connection.close()
            ending.close()

    def _come_back(
        self, id_: int, ending: threading.Event
    ) -> Connection[tuple[object, ...]] | None:
        """Connect again and take the session's own lock before anything else can be done with it.

        Return None if the session is fenced or ended: the next use begins another.
        """
        while not ending.is_set():
            try:
                connection = self._database.connect()
            except ContentDBError:
                ending.wait(_RETRY_S)
                continue
            with suppress(Exception):
                if self._take_lock(connection, id_):
                    inform("cluster.session", "the session has its connection again", session=id_)
                    return connection
                if self._is_fenced(connection.execute(_FENCED, {"id": id_}).fetchall()):
                    connection.close()
                    break
            connection.close()
            ending.wait(_RETRY_S)
        with self._lock:
            self._forget(id_)
        return None

    def _tell(self, notice: str) -> None:
        with self._lock:
            for event in self._waiting.get(notice, ()):
                event.set()

    def _tell_all(self) -> None:
        """Let all who wait look again: notices may have been missed."""
        with self._lock:
            for events in self._waiting.values():
                for event in events:
                    event.set()

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        ending, self._ending = self._ending, None
        if thread is None or ending is None:
            return
        ending.begin()
        if thread is not threading.current_thread():
            self._lock.release()  # the thread may want it for a notice
            try:
                thread.join()
            finally:
                self._lock.acquire()

    def close(self) -> None:
        """End the session: its lock is free.

        Its row stays if it has named objects: what a prune does not know it never removes, and a
        request that was cut off may still bring an object.
        """
        with self._lock:
            id_, self._id = self._id, None
            self._stop()
        if id_ is not None and not self._number:
            with suppress(ContentDBError):
                self._database.change(_END, {"id": id_})
