"""Which tags an image gets that ``pull`` or ``import-oci`` brings: the rule, and its options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import click

from contentdb.digest import ALGORITHMS
from contentdb.engine import Capability
from contentdb.errors import InvalidTagError, NotFoundError
from contentdb.refs import check_tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb import Store
    from contentdb.digest import Digest

__all__ = ["Given", "ImageTags", "is_fit", "tag_options"]

_LIKE_A_DIGEST: Final = re.compile(rf"(?:{'|'.join(ALGORITHMS)}):.*|[0-9a-f]{{64,}}", re.DOTALL)


class Given(NamedTuple):
    """A tag that stands for an image now."""

    name: str
    was: Digest | None
    """Another digest that it stood for until now."""

    def sentence(self) -> str:
        """Tell of the move."""
        return f"the tag {self.name} moved from {self.was}"


class ImageTags(NamedTuple):
    """What the options say: names in place of an image's own, or none at all."""

    names: tuple[str, ...]
    wanted: bool

    @classmethod
    def of(cls, store: Store, names: tuple[str, ...], *, no_tag: bool) -> Self:
        """Read the options; refuse, before anything is stored, names that the store cannot keep."""
        if names and no_tag:
            raise click.UsageError("--tag and --no-tag exclude each other")
        if names and Capability.TAGS not in store.capabilities:
            raise click.UsageError("--tag: the store at --address keeps no tags")
        return cls(tuple(check_tag(name) for name in names), not no_tag)

    def give(
        self, store: Store, digest: Digest, media_type: str, own: str | None
    ) -> tuple[Given, ...]:
        """Let the names stand for a stored image, durably; those that are there move.

        A store without tags gets none; `of` has refused names for it that were asked for.

        Args:
            store: The store.
            digest: The image's index or manifest.
            media_type: Its media type.
            own: The name that the image has if the options say nothing, as `is_fit` wants it.
        """
        if not self.wanted or Capability.TAGS not in store.capabilities:
            return ()
        names = self.names or (() if own is None else (own,))
        return tuple(_give(store, name, digest, media_type) for name in dict.fromkeys(names))


def _give(store: Store, name: str, digest: Digest, media_type: str) -> Given:
    try:
        old = store.tagged(name)
    except NotFoundError:
        old = None
    if old is None or (old.digest, old.media_type) != (digest, media_type):
        store.tag(name, digest, media_type=media_type)
    return Given(name, None if old is None or old.digest == digest else old.digest)


def is_fit(name: str) -> bool:
    """Return whether a name that a stranger wrote may be a tag.

    One that reads as a digest may not: a user who types a digest must not get something else.
    """
    try:
        check_tag(name)
    except InvalidTagError:
        return False
    return name.isprintable() and _LIKE_A_DIGEST.fullmatch(name) is None


_OPTIONS = (
    click.option(
        "--tag",
        "-t",
        "tags",
        metavar="NAME",
        multiple=True,
        help="Tag the image with this name instead of its own; may be repeated.",
    ),
    click.option("--no-tag", is_flag=True, help="Give it no tag."),
)


def tag_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, which give the arguments ``tags`` and ``no_tag``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
