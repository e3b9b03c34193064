"""The base of the front's roles: it has the engine, and asks what the engine can do."""

from __future__ import annotations

from contentdb.engine import Capability
from contentdb.errors import FailedPreconditionError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from contentdb.engine import Engine

    Reopen = Callable[[], tuple[object, ...]]
    """Returns a function and its arguments, as `object.__reduce__` does."""

__all__ = ["Front"]

_NOT_ON_FILES: Final = {
    Capability.ADOPT: "a store in a database",
    Capability.URLS: "a store in a database whose objects are at s3://",
}
"""What only a store in a database has, and which."""


class Front:
    """An engine, and a function that tells pickle how to open another one like it."""

    def __init__(self, engine: Engine, reopen: Reopen) -> None:
        self._engine = engine
        self._reopen = reopen

    def __reduce__(self) -> tuple[object, ...]:
        """Let pickle and copy open another store; raise `StoreClosedError` if this is closed."""
        return self._reopen()

    @property
    def place(self) -> str:
        """Where the store is: its root, its database without a secret, or its server's address."""
        return self._engine.place

    @property
    def namespace(self) -> str:
        """The namespace whose blobs and ingests this store sees."""
        return self._engine.namespace

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this store can do beyond the contract's roles."""
        return self._engine.capabilities

    def _require(self, capability: Capability, what: str) -> None:
        """Raise `FailedPreconditionError` if the engine lacks a capability."""
        if capability not in self._engine.capabilities:
            if capability in _NOT_ON_FILES:
                raise FailedPreconditionError(
                    f"{what} is for {_NOT_ON_FILES[capability]}, "
                    f"and this one is at {self._engine.place}"
                )
            if is_database(self._engine.place):
                if capability is Capability.PATHS:
                    raise FailedPreconditionError(
                        f"a store in a database, as {self._engine.place} is, has no {what} without "
                        "a cache: open it with cache=DIRECTORY, or contentdb --cache DIRECTORY"
                    )
                raise FailedPreconditionError(
                    f"a store in a database, as {self._engine.place} is, has no {what} yet: "
                    "only stores on files have it"
                )
            raise FailedPreconditionError(
                f"{what} works on a store's own files, and this one is at {self._engine.place}: "
                "open it where its files are"
            )
