"""Guards calls into gRPC, and the streams of answers that some calls return.

gRPC takes locks that a thread must not take twice. CPython runs a signal's handler in the middle
of gRPC's own Python code, so a call from the handler would wait for its own thread for ever. And
gRPC does not work in the child of a process that has used it. Both calls are refused up front.
"""

from __future__ import annotations

import ctypes
from threading import Condition, RLock
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import grpc

from contentdb.errors import ReentrantCallError, StoreError, UnsafeForkError
from contentdb.presence import Presence
from contentdb.wire.grpc_use import is_forked_from_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Entrance", "Stream", "free_locks", "keep", "let_go", "unkeep"]

T_co = TypeVar("T_co", covariant=True)

_RLock: Final = type(RLock())

_inside: Final = Presence()
"""Shared by all connections: gRPC holds some of its locks once per process."""


class Entrance:
    """A context manager around each call into gRPC.

    Its special methods are those of a lock written in C, as in `contentdb.call_guard`: no
    handler can raise between them and the block, so the thread holds the lock only in the block.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def check(self) -> None:
        """Raise unless this thread may call gRPC now.

        Raises:
            UnsafeForkError: This process is a child of one that has used gRPC.
            ReentrantCallError: The caller is a signal's handler whose thread is inside gRPC.
        """
        self.check_fork()
        if _inside.is_inside:
            raise ReentrantCallError(self._address, served=True)

    def check_fork(self) -> None:
        """Raise `UnsafeForkError` in a child of a process that has used gRPC."""
        if is_forked_from_user():
            raise UnsafeForkError(self._address, served=True)

    @property
    def __enter__(self) -> Callable[[], object]:
        self.check()
        return _inside.mine().__enter__

    @property
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - it returns the method
        return _inside.mine().__exit__


class _Answers(Protocol[T_co]):
    """What gRPC returns for a call whose answers are a stream."""

    def __next__(self) -> T_co: ...

    def cancel(self) -> object: ...


class Stream(Generic[T_co]):
    """A server's answers as they come. Waiting for one may raise `grpc.RpcError`.

    When a signal's handler raises while gRPC waits, an answer may be lost. The stream then ends,
    and every later wait raises `StoreError`.
    """

    def __init__(
        self, answers: _Answers[T_co], entrance: Entrance, on_interrupt: Callable[[], None]
    ) -> None:
        """Wrap gRPC's iterator; call ``on_interrupt`` when a handler's exception interrupts it."""
        self._answers = answers
        self._entrance = entrance
        self._on_interrupt = on_interrupt
        self._over = False

    def __iter__(self) -> Iterator[T_co]:
        return self

    def __next__(self) -> T_co:
        """Wait for the next answer."""
        if self._over:
            raise StoreError("remote store", "an exception has cut the answers off; ask again")
        with self._entrance:
            try:
                return next(self._answers)
            except (grpc.RpcError, StopIteration):
                raise
            except BaseException as error:
                self._over = True
                self._on_interrupt()
                try:
                    free_locks(error)
                finally:
                    self._answers.cancel()
                raise

    def cancel(self) -> None:
        """Tell the server to stop; do nothing in the child of a fork: the stream is the parent's.

        It does not block, so a signal's handler or the garbage collector may call it at any time.
        """
        if not is_forked_from_user():
            with _inside.mine():
                try:
                    self._answers.cancel()
                except BaseException as error:
                    free_locks(error)
                    raise

    def __del__(self) -> None:
        let_go(vars(self), "_answers")


def free_locks(error: BaseException) -> None:
    """Free the locks of gRPC that a handler's exception left locked in this thread.

    The methods of `threading.Condition` are Python code: a handler may raise in ``__enter__`` after
    the lock was taken, or in ``__exit__`` before it is freed. gRPC's own threads then wait for it
    for ever, even one of another connection, if the garbage collector finalizes the call there.
    """
    for frame, _ in walk_tb(error.__traceback__):
        room = frame.f_globals.get("__name__", "").partition(".")[0]
        if room not in {"contentdb", "grpc", "threading"}:
            return  # the handler's own frames, and locks that are not gRPC's
        for local in frame.f_locals.values() if room != "contentdb" else ():
            for condition in (local, _find(local, "condition"), _find_of_call(local)):
                if isinstance(condition, Condition):
                    _free(_find(condition, "_lock"))


def _find_of_call(local: object) -> object:
    return _find(_find(local, "_state"), "condition")


def _find(thing: object, name: str) -> object:
    """Return an attribute as it is stored, without running any code of the object's class."""
    try:
        return vars(thing).get(name)
    except TypeError:  # it has none
        return None


def _free(lock: object) -> None:
    while isinstance(lock, _RLock) and lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as `Condition` asks
        lock.release()


def let_go(held: dict[str, Any], name: str) -> None:
    """Drop a gRPC object; its finalizer calls gRPC and ends the call or connection.

    In the child of a fork that would end the parent's call, over the parent's connection. So
    there the object is never finalized, not even when the process ends.
    """
    if is_forked_from_user():
        keep(held.get(name))
    else:
        with _inside.mine():
            held.pop(name, None)


def keep(thing: object) -> None:
    """Prevent finalization until `unkeep`; a set here would be cleared when the process ends."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def unkeep(thing: object) -> None:
    """Undo one `keep`."""
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(thing))
