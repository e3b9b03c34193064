"""Reads lists that a registry gives a page at a time, within bounds.

Each page's Link names the next one: https://github.com/opencontainers/distribution-spec, "Content
Discovery". It must lead to the registry itself, and not to a page that was read already.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin

from contentdb.oci.documents.manifest import MANIFEST_BYTES
from contentdb.oci.documents.media_types import bare
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import InvalidManifestError
from contentdb.oci.reference import is_tag
from contentdb.oci.registry.url import target_of
from contentdb.oci.registry.whole import get_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.oci.registry.answer import Answer
    from contentdb.oci.registry.session import Session

__all__ = ["Page", "pages", "tags_of"]

_MOST_PAGES: Final = 10_000
_MOST_BYTES: Final = 256 * 1024 * 1024
"""Limit for all pages of one list."""
_PAGE_TAGS: Final = 1000
"""Asked for; a registry may give fewer or more."""
_LINK: Final = re.compile(r"<([^<>]*)>((?:[^,\"<]|\"[^\"]*\")*)")
_NEXT: Final = re.compile(r";\s*rel\s*=\s*(?:\"next\"|next)\s*(?:;|$)", re.IGNORECASE)


class Page(NamedTuple):
    """One page of a list, not parsed yet."""

    data: bytes
    media_type: str | None
    """The Content-Type, without parameters."""


def pages(session: Session, path: str, thing: str, *, scope: str, accept: str) -> Iterator[Page]:
    """Yield the pages of a list.

    Args:
        session: Sends the requests.
        path: The first page, below ``/v2/``.
        thing: What is listed, for messages.
        scope: What the requests do.
        accept: The media type to ask for.

    Raises:
        HostileRegistryError: The list is over a limit, comes back to one of its pages, or leads to
            another server.
    """
    url = f"{session.home.place}{session.place.path(path)}"
    read: set[str] = set()
    left = _MOST_BYTES
    while url:
        if url in read or len(read) == _MOST_PAGES:
            session.refuse(thing, "its list has no end", "ask for less, or another registry")
        read.add(url)
        answer, data = get_whole(
            session,
            url,
            thing,
            scope=scope,
            headers={"Accept": accept},
            most_bytes=min(MANIFEST_BYTES, left),
        )
        left -= len(data)
        yield Page(data, bare(answer.headers.get("Content-Type")))
        url = _next(session, answer, url, thing)


def tags_of(session: Session, repository: str) -> Iterator[str]:
    """Yield the tags of a repository; see `contentdb.oci.registry.registry.Registry.tags`."""
    found = pages(
        session,
        f"{repository}/tags/list?n={_PAGE_TAGS}",
        repository,
        scope=f"repository:{repository}:pull",
        accept="application/json",
    )
    for page in found:
        try:
            tags = parse_object(page.data, most_bytes=MANIFEST_BYTES).get("tags")
        except InvalidManifestError:
            session.refuse(repository, "its list of tags is no JSON object")
        if not isinstance(tags, list | None):
            session.refuse(repository, "its list of tags is none")
        for tag in tags or ():
            if not isinstance(tag, str) or not is_tag(tag):
                session.refuse(repository, "its list of tags has an entry that is no tag")
            yield tag


def _next(session: Session, answer: Answer, url: str, thing: str) -> str:
    """Return the URL of the next page; empty at the end."""
    for header in answer.headers.getlist("Link"):
        for link in _LINK.finditer(header):
            if _NEXT.search(link[2]):
                return _checked(session, url, str(link[1]), thing)
    return ""


def _checked(session: Session, url: str, link: str, thing: str) -> str:
    """Return a link's URL, if it leads to the registry itself."""
    try:
        found = urljoin(url, link)
        if target_of(found).origin == session.home.origin:
            return found
    except ValueError:
        pass  # refused below
    return session.refuse(thing, "its list goes on at another server, or nowhere")
