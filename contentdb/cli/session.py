"""What commands share: the store of the context, options of output, and work on several names."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from contentdb.cli.failures import exit_code_of, tell
from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentdb import Store

__all__ = [
    "dry_run_option",
    "each",
    "json_option",
    "open_store",
    "quiet_option",
    "root_of",
    "set_exit_code",
]

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Only what a pipe needs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, do nothing.")


def root_of(context: click.Context) -> str:
    """The store's directory as the user gave it."""
    root: str = context.find_root().params["root"]
    return root


def open_store(context: click.Context, *, create: bool = False) -> Store:
    """Open the store that the command line names; the one place where commands get it from."""
    import contentdb

    return context.with_resource(contentdb.open(root_of(context), create=create))


def set_exit_code(context: click.Context, code: int) -> None:
    """End with this code although the command returns; the first one set stays."""
    context.meta.setdefault("contentdb.exit_code", code)


def each(context: click.Context, names: Iterable[T], act: Callable[[T], object]) -> None:
    """Act on every name; a bad one is told and the rest done. The exit is the first error's."""
    for name in names:
        try:
            act(name)
        except ContentDBError as error:
            tell(error)
            set_exit_code(context, exit_code_of(error))
