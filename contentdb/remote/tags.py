"""Tags over a connection: by contentdb's own service, at another server by its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.errors import StoreError
from contentdb.remote import images
from contentdb.remote.believing import as_tag
from contentdb.remote.listing import flatten
from contentdb.remote.own_services import ask_own, note_lack
from contentdb.remote.write import Write
from contentdb.wire import tags_pb2 as wire
from contentdb.wire.tagging import from_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import Anything, Tag
    from contentdb.digest import Digest
    from contentdb.engine import TagChange
    from contentdb.filters import Filter

__all__ = ["Tags"]

_OWN = "Tags"


class Tags(Write):
    """The engine's part of `contentdb.content.Tagger`, over a connection."""

    def tag(self, change: TagChange) -> Tag:
        """Let a name stand for a stored blob."""
        request = wire.TagRequest(
            name=change.name,
            digest=change.digest,
            media_type=change.media_type,
            labels=change.labels or {},
            keep_labels=change.labels is None,
            if_is=from_condition(change.if_is),
        )
        if (answer := ask_own(self._channel, "Tags.Tag", request)) is None:
            return images.tag(self._channel, change)
        return as_tag(answer.tag, asked=change.name)

    def untag(self, name: str, if_is: Digest | Anything) -> None:
        """Remove a name."""
        request = wire.UntagRequest(name=name, if_is=from_condition(if_is))
        if ask_own(self._channel, "Tags.Untag", request) is None:
            images.untag(self._channel, name, if_is)

    def tagged(self, name: str) -> Tag:
        """Return a tag."""
        answer = ask_own(self._channel, "Tags.Get", wire.GetTagRequest(name=name))
        if answer is None:
            return images.tagged(self._channel, name)
        return as_tag(answer.tag, asked=name)

    def tags(
        self, of: Digest | None, chosen: Filter | None, texts: tuple[str, ...]
    ) -> Iterator[Tag]:
        """Stream tags by name. The first have arrived on return."""
        request = wire.ListTagsRequest(filters=texts, of=of)
        if _OWN not in self._channel.lacks:
            try:
                messages = self._channel.stream("Tags.List", request)
                return flatten(self._channel, map(_tags_of, messages))
            except StoreError as error:
                note_lack(self._channel, _OWN, error)
        return images.tags(self._channel, of, chosen)


def _tags_of(message: wire.ListTagsResponse) -> list[Tag]:
    return list(map(as_tag, message.tags))
