"""What this package needs of a store: the contract's roles, so that any implementation will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from contentdb.content import Ingester, IngestManager, Manager, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike
    from pathlib import Path

    from contentdb.content import Info

__all__ = ["Content", "ExportingContent", "LinkingContent"]


class Content(Provider, Ingester, IngestManager, Manager, Protocol):
    """All four roles of the contract."""


class ExportingContent(Content, Protocol):
    """A store on this machine's disk, which can hand a file out without rewriting it."""

    def export(self, digest: str, path: str | PathLike[str], *, link: str = "copy") -> Path:
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
        link: str = "copy",
    ) -> Info:
        """Store a file, verified."""
        ...
