"""Arguments and options with their own syntax: digests, refs, and labels as ``k=v``."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from contentdb.cli.session import store_of
from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb import Store

__all__ = [
    "LIMIT",
    "Age",
    "Seconds",
    "Size",
    "complete_digest",
    "complete_ref",
    "complete_tag",
    "digest_argument",
    "digests_argument",
    "filters_option",
    "labels_option",
    "read_labels",
    "refs_argument",
]

LIMIT = click.IntRange(0, 2**63 - 1)
"""A count of results."""
_EVER_S = 1e9


class Seconds(click.FloatRange):
    """A finite time in seconds, neither infinite nor NaN."""

    name = "seconds"

    def __init__(self, least: float = 0.0) -> None:
        super().__init__(least, _EVER_S)

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Parse the seconds; fail for NaN."""
        seconds: float = super().convert(value, param, ctx)
        if seconds != seconds:  # NaN, which click's range accepts  # noqa: PLR0124
            self.fail(f"{value!r} is not a number", param, ctx)
        return seconds


class Age(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A time from now, as in ``90s``, ``2h`` or ``7d``; ``0`` is none at all."""

    name = "age"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        """Parse the time, to a microsecond."""
        from contentdb.units import age_ns

        try:
            return timedelta(microseconds=0 if value == "0" else age_ns(value) // 1000)
        except (ValueError, OverflowError) as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType):  # type: ignore[type-arg]  # as above
    """A number of bytes, as in ``10MB`` or ``4KiB``."""

    name = "size"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Parse the bytes."""
        from contentdb.units import size_bytes

        try:
            return size_bytes(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_MOST_SHOWN = 100
"""Limit of completions; a longer list is of no use."""


def complete_digest(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Complete a digest, without an algorithm if the user wrote none, or the name of a tag."""
    try:
        with store_of(context, reads=True) as store:
            found = list(islice(_find_by_prefix(store, incomplete), _MOST_SHOWN))
        return found + complete_tag(context, parameter, incomplete)[: _MOST_SHOWN - len(found)]
    except (ContentDBError, click.ClickException):
        return []


def _find_by_prefix(store: Store, text: str) -> Iterator[str]:
    from contentdb.digest import ALGORITHMS

    named, colon, begun = text.rpartition(":")
    for algorithm in (named,) if colon else ALGORITHMS:
        # The walk begins behind the lowest digest with this prefix, which no content has.
        lowest = f"{algorithm}:{begun.ljust(ALGORITHMS.get(algorithm, 0), '0')}"
        for info in store.walk(after=lowest, limit=_MOST_SHOWN):
            if not info.digest.startswith(f"{algorithm}:{begun}"):
                break
            yield info.digest if colon else info.digest.encoded


def complete_ref(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete a ref, from refs that a shell can show."""
    del parameter
    return _complete(context, incomplete, lambda store: (one.ref for one in store.statuses()))


def complete_tag(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a tag, from names that a shell can show."""
    del parameter
    return _complete(context, incomplete, lambda store: (tag.name for tag in store.tags()))


def _complete(
    context: click.Context, incomplete: str, names_of: Callable[[Store], Iterator[str]]
) -> list[str]:
    try:
        with store_of(context, reads=True) as store:
            names = names_of(store)
            shown = (name for name in names if name.startswith(incomplete) and name.isprintable())
            return list(islice(shown, _MOST_SHOWN))
    except (ContentDBError, click.ClickException):
        return []


digest_argument = click.argument("digest", shell_complete=complete_digest)
digests_argument = click.argument(
    "digests", metavar="DIGEST…", nargs=-1, required=True, shell_complete=complete_digest
)
refs_argument = click.argument(
    "refs", metavar="REF…", nargs=-1, required=True, shell_complete=complete_ref
)


def read_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Parse ``k=v``, ``k=`` and ``k-``; the last two mean removal and give an empty value."""
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals and text.endswith("-"):
            key = text[:-1]
        elif not equals:
            raise click.UsageError(f"label {text!r} is not k=v", click.get_current_context())
        if not key:
            raise click.UsageError(f"label {text!r} has no key", click.get_current_context())
        labels[key] = value
    return labels


def _read(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str] | None:
    del context, parameter
    return read_labels(texts) or None


labels_option = click.option(
    "--label",
    "labels",
    metavar="K=V",
    multiple=True,
    callback=_read,
    help="Set a label; may be repeated.",
)


def _not_empty(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    if not all(text.strip() for text in texts):
        raise click.BadParameter("it is empty; leave it out to list everything", context, parameter)
    return texts


filters_option = click.option(
    "--filter",
    "filters",
    metavar="FILTER",
    multiple=True,
    callback=_not_empty,
    help="Only what this selects; may be repeated, then any of them.",
)
"""Empty text is refused: it would select everything, and comes from an unset shell variable."""
