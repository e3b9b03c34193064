"""What an open store consists of; opening makes it, and everything above works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

from contentdb.errors import StoreReadOnlyError
from contentdb.known import Known

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from contentdb.files import Directory
    from contentdb.index import Index
    from contentdb.shards import Shards
    from contentdb.sharing import Sharing

__all__ = ["HasParts", "Parts"]


class Parts:
    """The index, the open directories, and how durable an acknowledgement is."""

    __slots__ = ("durable", "index", "ingest", "known", "namespace", "quarantine", "read_only",
                 "root", "shards", "sharing", "trash")  # fmt: skip

    def __init__(  # noqa: PLR0913 - it is the list of what there is
        self,
        root: Path,
        *,
        namespace: str,
        durable: bool,
        read_only: bool,
        index: Index,
        sharing: Sharing,
        shards: Shards,
        ingest: Directory,
        trash: Directory,
        quarantine: Directory,
    ) -> None:
        self.root = root
        self.namespace = namespace
        self.durable = durable
        self.read_only = read_only
        self.index = index
        self.sharing = sharing
        self.known = Known()
        self.shards = shards
        self.ingest = ingest
        self.trash = trash
        self.quarantine = quarantine

    def refuse_writing(self) -> NoReturn:
        """Say why a store that was opened for reading is not changed."""
        raise StoreReadOnlyError(str(self.root), "it was opened for reading, with mode='r'")

    def close(self) -> None:
        """Free all that is open."""
        self.index.close()
        self.sharing.close()
        self.shards.close()
        for directory in (self.ingest, self.trash, self.quarantine):
            directory.close()


class HasParts(Protocol):
    """An open store, to the tools that work on what it consists of."""

    def parts(self) -> AbstractContextManager[Parts]:
        """Lend the parts, kept open for the block."""
        ...
