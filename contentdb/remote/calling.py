"""Calls into gRPC: who may make one, and the streams of answers that some give.

gRPC takes locks that a thread must not take twice. CPython runs a signal's handler in the middle
of gRPC's own Python code, so a handler's call would wait for its own thread for ever; and gRPC
does not work in the child of a process that has used it. Both are refused before gRPC is entered.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import grpc

from contentdb.errors import ReentrantCallError, StoreError, UnsafeForkError
from contentdb.presence import Presence
from contentdb.wire.grpc_use import is_forked_from_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Entrance", "Stream", "keep", "let_go", "unkeep"]

T_co = TypeVar("T_co", covariant=True)

_inside: Final = Presence()
"""One for all connections: some of gRPC's locks are the process's."""


class Entrance:
    """A context manager around each call into gRPC.

    It gives the methods of a lock that is code in C, as `contentdb.local.call_guard` does and for
    the same reason: whatever a handler raises, the thread is inside in the block and nowhere else.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def check(self) -> None:
        """Raise unless this thread may call gRPC now.

        Raises:
            UnsafeForkError: This process is a child of one that has used gRPC.
            ReentrantCallError: A signal's handler calls, and its thread is inside gRPC.
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
    def __exit__(self) -> Callable[..., None]:  # noqa: PLE0302, PYI036 - it gives the method
        return _inside.mine().__exit__


class _Answers(Protocol[T_co]):
    """What gRPC gives for a call whose answers are a stream."""

    def __next__(self) -> T_co: ...

    def cancel(self) -> object: ...


class Stream(Generic[T_co]):
    """A server's answers as they come. Waiting for one may raise `grpc.RpcError`.

    An exception of a signal's handler leaves gRPC in the midst of something: then the stream is
    over, and `StoreError` tells so, for an answer may be lost.
    """

    def __init__(
        self, answers: _Answers[T_co], entrance: Entrance, doubt: Callable[[], None]
    ) -> None:
        """``doubt`` is called when such an exception comes."""
        self._answers = answers
        self._entrance = entrance
        self._doubt = doubt
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
            except BaseException:
                self._over = True
                self._doubt()
                self._answers.cancel()
                raise

    def cancel(self) -> None:
        """Tell the server to stop; do nothing in the child of a fork, where it is the parent's.

        It waits for nothing, so it may come from a handler, or from the collector, at any moment.
        """
        if not is_forked_from_user():
            with _inside.mine():
                self._answers.cancel()

    def __del__(self) -> None:
        let_go(vars(self), "_answers")


def let_go(held: dict[str, Any], name: str) -> None:
    """Drop an object of gRPC's whose finalizer calls gRPC: it ends what was begun.

    In the child of a fork it would end the parent's, by the parent's connection: so there nothing
    finalizes it, neither the collector nor the end of the process.
    """
    if is_forked_from_user():
        keep(held.get(name))
    else:
        with _inside.mine():
            held.pop(name, None)


def keep(thing: object) -> None:
    """Let nothing finalize an object until `unkeep`: a set of ours would end with the process."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def unkeep(thing: object) -> None:
    """Take one `keep` back."""
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(thing))
