"""Finds the namespace that a call names, and keeps one open store for each in use."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

import grpc

from contentdb.errors import InvalidArgumentError
from contentdb.refs import DEFAULT_NAMESPACE, check_namespace
from contentdb.wire import headers
from contentdb.wire.statuses import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentdb.store import Store

__all__ = ["Namespaces", "check_name"]

_RULE: Final = "^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$"
_CHARS: Final = 76


class _Use:
    """One namespace's store, and how many calls use it."""

    __slots__ = ("calls", "store")

    def __init__(self, store: Store) -> None:
        self.store = store
        self.calls = 0


class Namespaces:
    """Opens a namespace's store at its first call; past a limit closes the longest idle one."""

    def __init__(
        self, open_store: Callable[[str], Store], *, default: str | None, limit: int
    ) -> None:
        """Use ``default`` for calls that name no namespace; None refuses them."""
        self._open_store = open_store
        self._default = default
        self._limit = limit
        self._uses: OrderedDict[str, _Use] = OrderedDict()
        self._lock = Lock()

    def find_name(self, metadata: Iterable[tuple[str, str | bytes]], *, needed: bool = True) -> str:
        """Return the namespace in a call's headers, or the default; else raise `Refusal`.

        A call that is about no namespace gets some valid one: it is not ``needed``.
        """
        try:
            return self._find_name(metadata)
        except Refusal:
            if needed:
                raise
            return self._default or DEFAULT_NAMESPACE

    def _find_name(self, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        name: str | bytes | None = None
        for key, value in metadata:  # a loop is fast: `ctr` makes a call for every 32 KiB
            if key == headers.NAMESPACE:
                name = value
                break
        name = name or self._default
        if not name:
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "namespace is required")
        text = name if isinstance(name, str) else name.decode(errors="replace")
        return text if text in self._uses else check_name(text, of_call=True)

    def enter(self, name: str) -> Store:
        """Return the namespace's open store; call `leave` after use."""
        with self._lock:
            use = self._uses.get(name)
            if use is None:
                self._make_room()
                use = self._uses[name] = _Use(self._open_store(name))
            use.calls += 1
            self._uses.move_to_end(name)
            return use.store

    def leave(self, name: str) -> None:
        """End one use of the namespace's store."""
        with self._lock:
            self._uses[name].calls -= 1

    def _make_room(self) -> None:
        """Close the longest idle store at the limit; `Places` limits the ones in use."""
        if len(self._uses) >= self._limit:
            idle = next((name for name, use in self._uses.items() if not use.calls), None)
            if idle is not None:
                self._uses.pop(idle).store.close()

    def close(self) -> None:
        """Close all stores; no call may be under way."""
        with self._lock:
            while self._uses:
                self._uses.popitem()[1].store.close()


def check_name(name: str, *, of_call: bool = False) -> str:
    """Return the name of a namespace; raise `Refusal` if it is none, in containerd's words.

    Args:
        name: Of the namespace.
        of_call: Whether it comes from a call's header.
    """
    try:
        return check_namespace(name)
    except InvalidArgumentError as error:
        reason = f"{'namespace validation: ' if of_call else ''}{_explain(name)}"
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason) from error


def _explain(name: str) -> str:
    if len(name) > _CHARS:
        reason = f"greater than maximum length ({_CHARS} characters)"
    else:
        reason = f"must match {_RULE}"
    return f'identifier "{name}" {reason}'
