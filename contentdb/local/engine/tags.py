"""The tags of a store, which its index keeps."""

from __future__ import annotations

import time
from itertools import islice

from contentdb.errors import NotFoundError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.disk_reserve import make_room
from contentdb.local.engine.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from contentdb.content import Anything, Tag
    from contentdb.digest import Digest
    from contentdb.engine import TagChange
    from contentdb.filters import Filter

__all__ = ["Tags"]

_PAGE_ROWS: Final = 100


class Tags(Lifecycle):
    """The engine's part in `contentdb.content.Tagger`."""

    def tag(self, change: TagChange) -> Tag:
        """Let a name stand for a live blob."""
        with self._gate:
            return self._parts.index.set_tag(change, time.time_ns())

    def untag(self, name: str, if_is: Digest | Anything) -> None:
        """Remove a name; the disk's reserve makes room for that on a full disk."""
        with self._gate:
            make_room(self._parts.root)
            self._parts.index.drop_tag(name, if_is)

    def tagged(self, name: str) -> Tag:
        """Return a tag."""
        with self._gate:
            found = self._parts.index.tag(name)
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
        with self._gate:
            found = self._parts.index.tags(of)
        return self._select_tags(found, chosen)

    def _select_tags(self, found: Iterator[Tag], chosen: Filter | None) -> Iterator[Tag]:
        is_chosen = _chooser(chosen)
        while True:
            with self._gate:
                page = list(islice(found, _PAGE_ROWS))
            if not page:
                return
            yield from filter(is_chosen, page)


def _chooser(chosen: Filter | None) -> Callable[[Tag], bool]:
    if chosen is None:
        return lambda _tag: True
    from contentdb.filters.items import fields_of_tag  # as in `contentdb.store.tags`

    return lambda tag: chosen.matches(fields_of_tag(tag))
