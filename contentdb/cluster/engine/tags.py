"""The tags of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.cluster.catalog import tags
from contentdb.cluster.engine.lifecycle import Lifecycle
from contentdb.errors import NotFoundError
from contentdb.filters.items import fields_of_tag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import Anything, Tag
    from contentdb.digest import Digest
    from contentdb.engine import TagChange
    from contentdb.filters import Filter

__all__ = ["Tags"]


class Tags(Lifecycle):
    """The engine's part in `contentdb.content.Tagger`."""

    def tag(self, change: TagChange) -> Tag:
        """Let a name stand for a live blob."""
        with self._gate:
            return tags.set_tag(self._resources.database, self._namespace, change)

    def untag(self, name: str, if_is: Digest | Anything) -> None:
        """Remove a name."""
        with self._gate:
            tags.drop_tag(self._resources.database, self._namespace, name, if_is)

    def tagged(self, name: str) -> Tag:
        """Return a tag."""
        with self._gate:
            found = tags.find_tag(self._resources.database, self._namespace, name)
        if found is None:
            raise NotFoundError(tag=name)
        return found

    def tags(
        self,
        of: Digest | None,
        chosen: Filter | None,
        texts: tuple[str, ...],  # noqa: ARG002 - they are parsed already
    ) -> Iterator[Tag]:
        """Yield tags, read in pages."""
        pages = tags.tags(self._resources.database, self._namespace, of)
        while True:
            with self._gate:
                page = next(pages, None)
            if page is None:
                return
            for tag in page:
                if chosen is None or chosen.matches(fields_of_tag(tag)):
                    yield tag
