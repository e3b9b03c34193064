"""What all roles of the front stand on: the engine below, and what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.errors import FailedPreconditionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.engine import Capability, Engine

    Reopen = Callable[[], tuple[object, ...]]
    """Gives a function and its arguments, as `object.__reduce__` does."""

__all__ = ["Front"]


class Front:
    """Has an engine, and knows how to open another like it."""

    def __init__(self, engine: Engine, reopen: Reopen) -> None:
        self._engine = engine
        self._reopen = reopen

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled or copied it is another store, opened anew; a closed one has no copies."""
        return self._reopen()

    @property
    def namespace(self) -> str:
        """Whose blobs and ingests are seen."""
        return self._engine.namespace

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What can be done beyond the contract's roles."""
        return self._engine.capabilities

    def _require(self, capability: Capability, what: str) -> None:
        """Raise `FailedPreconditionError` if the engine cannot do it."""
        if capability not in self._engine.capabilities:
            raise FailedPreconditionError(
                f"{what} works on a store's own files, and this one is at {self._engine.place}: "
                "open it where its files are"
            )
