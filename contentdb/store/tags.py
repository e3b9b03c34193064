"""Tags: names for digests, which may move."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.engine import Capability, TagChange, TagEngine
from contentdb.labels import check_labels
from contentdb.light_typing import TYPE_CHECKING, cast
from contentdb.refs import check_media_type, check_tag
from contentdb.store.front import Front
from contentdb.values import ANY, Anything

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contentdb.content import Tag

__all__ = ["Tags"]


class Tags(Front):
    """Implements `contentdb.content.Tagger`.

    At a containerd, which has images for tags, `tag` and `untag` with ``if_is`` raise
    `FailedPreconditionError`, except `tag` with ``if_is=None``.
    """

    def _tagger(self, what: str) -> TagEngine:
        self._require(Capability.TAGS, what)
        return cast("TagEngine", self._engine)

    def tag(
        self,
        name: str,
        digest: str,
        *,
        media_type: str | None = None,
        labels: Mapping[str, str] | None = None,
        if_is: str | Anything | None = ANY,
    ) -> Tag:
        """Let a name stand for a stored blob; a name that is there moves. Durable when it returns.

        Args:
            name: Any text of 1 to 4096 bytes of UTF-8 without NUL.
            digest: The blob; that it is stored is asked in the same transaction.
            media_type: Of the blob. A tag that does not move keeps its own if none is given.
            labels: Of the tag, in place of those that it had; None keeps them.
            if_is: Only if the name stands for this digest now; None: only if there is no such tag.

        Raises:
            NotFoundError: There is no such blob.
            ConflictError: The name stands for something else than ``if_is``; nothing changed.
            InvalidTagError: The name or the media type cannot be stored.
        """
        change = TagChange(
            check_tag(name),
            Digest(digest),
            check_media_type(name, media_type),
            None if labels is None else check_labels(labels),
            if_is if if_is is None or isinstance(if_is, Anything) else Digest(if_is),
        )
        return self._tagger("tag").tag(change)

    def untag(self, name: str, *, if_is: str | Anything = ANY) -> None:
        """Remove a name; the blob stays. Durable when it returns.

        Raises:
            NotFoundError: There is no such tag.
            ConflictError: It stands for another digest than ``if_is``; nothing changed.
        """
        wanted = if_is if isinstance(if_is, Anything) else Digest(if_is)
        self._tagger("untag").untag(check_tag(name), wanted)

    def tagged(self, name: str) -> Tag:
        """Return what a name stands for. That the blob is still stored is not checked.

        Raises:
            NotFoundError: There is no such tag.
        """
        return self._tagger("tagged").tagged(check_tag(name))

    def tags(self, *filters: str, of: str | None = None) -> Iterator[Tag]:
        """Stream the tags that any of the filters selects, by name; without filters all.

        They are read in pages, in bounded memory: a tag that comes or goes during the call may be
        listed or not.

        Args:
            *filters: See `contentdb.filters`; the fields are ``name``, ``digest``, ``media_type``,
                ``size``, ``labels``, ``created_at`` and ``updated_at``.
            of: Only the tags of this digest.

        Raises:
            InvalidFilterError: A filter does not parse.
        """
        wanted = None if of is None else Digest(of)
        chosen = None
        if filters:
            from contentdb.filters import TAG_FIELDS, parse  # 2 ms that others need not spend

            chosen = parse(*filters, fields=TAG_FIELDS)
        return self._tagger("tags").tags(wanted, chosen, filters)
