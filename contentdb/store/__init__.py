"""The store: one front over every engine. What callers hand in is checked and converted here.

`contentdb.open` puts it over the engine on files and SQLite, `contentdb.connect` over a server.
An engine is one call below: what it must do is `contentdb.engine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from contentdb.store.local import Local
from contentdb.store.manage import Manage
from contentdb.store.read import Read
from contentdb.store.write import Write

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Store"]


class Store(Read, Write, Manage, Local):
    """A content store; made by `contentdb.open` or `contentdb.connect`.

    One store may be shared by many threads, and many processes may have one root open. After a
    fork both sides may go on using a store on files: only the writers stay with the parent. One
    behind a server is refused in a child. Every method raises `StoreClosedError` once a store
    on files was closed.

    Pickled or copied it is another store at the same root or address, opened anew where it
    arrives, with the same options; nothing is made there if the root is gone.
    """

    def close(self) -> None:
        """Free all that the store holds; twice is harmless.

        Calls of other threads are waited for. Writers are closed: their ingests are kept and
        their refs are free. Readers and walks that were begun go on.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
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
        """Show which store it is."""
        return f"<{type(self).__name__} {self._engine.place!r}>"
