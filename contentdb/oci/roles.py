"""What this package needs of a store: the contract's roles, so that any implementation will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from contentdb.content import Ingester, IngestManager, Manager, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from pathlib import Path

    from typing_extensions import Buffer

    from contentdb.content import Info

__all__ = ["Content", "ExportLink", "ExportingContent", "Feeding", "ImportLink", "LinkingContent"]

ExportLink = Literal["reflink", "hardlink", "copy"]
"""How a blob's file gets out."""
ImportLink = Literal["reflink", "hardlink", "copy"]
"""How a file gets in. A store can also move one, which is not for a layout that is read."""


class Content(Provider, Ingester, IngestManager, Manager, Protocol):
    """All four roles of the contract."""


class ExportingContent(Content, Protocol):
    """A store on this machine's disk, which can hand a file out without rewriting it."""

    def export(
        self, digest: str, path: str | PathLike[str], *, link: ExportLink = "reflink"
    ) -> Path:
        """Put a blob at a path, atomically."""
        ...


class LinkingContent(Protocol):
    """A store on this machine's disk, which can take a file in without rewriting it."""

    def add(
        self,
        source: PathLike[str],
        *,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        link: ImportLink = "copy",
    ) -> Info:
        """Store a file, verified."""
        ...


@runtime_checkable
class Feeding(Protocol):
    """A writer that hashes a piece in another thread while the next one is being fetched."""

    def feed(self, data: Buffer) -> None:
        """Append a piece, which must stay as it is until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Return when no more than so many pieces are in use."""
        ...
