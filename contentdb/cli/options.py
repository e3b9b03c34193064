"""Options with a syntax of their own: labels, as ``k=v``."""

from __future__ import annotations

import click

__all__ = ["labels_option", "read_labels"]


def read_labels(texts: tuple[str, ...]) -> dict[str, str]:
    """Read ``k=v``, ``k=`` and ``k-``; the last two mean removal and give an empty value."""
    labels = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals and text.endswith("-"):
            key = text[:-1]
        elif not equals:
            raise click.BadParameter(f"{text!r} is not k=v")
        if not key:
            raise click.BadParameter(f"{text!r} has no key")
        labels[key] = value
    return labels


def _read(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, str] | None:
    del context, parameter
    return read_labels(texts) or None


labels_option = click.option(
    "--label", "labels", metavar="K=V", multiple=True, callback=_read, help="Hang a label on it."
)
