"""The store: one front over every engine. It checks and converts arguments, then calls the engine.

`contentdb.open` makes a store over the engine on files and SQLite, `contentdb.connect` over the
one that asks a server. What an engine must do is in `contentdb.engine`.
"""

from __future__ import annotations

from contentdb.light_typing import TYPE_CHECKING
from contentdb.store.collecting import Collecting
from contentdb.store.leases import Leases
from contentdb.store.local import Local
from contentdb.store.manage import Manage
from contentdb.store.read import Read
from contentdb.store.tags import Tags
from contentdb.store.write import Write

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Store"]


class Store(Read, Write, Manage, Tags, Leases, Collecting, Local):
    """A content store; made by `contentdb.open` or `contentdb.connect`.

    Many threads may share one store, and many processes may have one root open. After a fork
    parent and child may both use a store on files, but its writers stay with the parent. A child
    must not use a store behind a server. Every method of a closed store on files raises
    `StoreClosedError`.

    Pickle and copy carry the root or address and the options. They open another store with these,
    and make none if the root is gone.
    """

    def close(self) -> None:
        """Wait for calls of other threads, then free everything; a second call does nothing.

        Writers are closed: their ingests stay and their refs are free. Open readers and walks can
        still be used.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        """Return the store, which the end of the block closes."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show the root or address."""
        return f"<{type(self).__name__} {self._engine.place!r}>"
