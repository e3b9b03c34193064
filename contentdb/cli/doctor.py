"""``contentdb doctor``: check whether a directory, or a database, is fit for a store."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

import contentdb
from contentdb.cli.session import any_root_of, json_option, quiet_option, set_exit_code
from contentdb.cli.show import escape, json_line, line
from contentdb.errors import ContentDBError
from contentdb.findings import Check
from contentdb.local.layout import BLOBS, INDEX
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["doctor"]


@click.command(short_help="Check what the store stands on.")
@json_option
@quiet_option
@click.pass_context
def doctor(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Test everything that the store's promises need; exit 1 if something fails.

    -q prints only failures.
    """
    from contentdb.store.doctor import examine

    root = any_root_of(context)
    for check in chain(examine(root), _check_opening(root)):
        if check.verdict == "fail":
            set_exit_code(context, 1)
        if as_json:
            json_line(check._asdict())
        elif not quiet or check.verdict == "fail":
            line(f"{check.verdict:<4}  {check.name:<14}  {escape(check.detail)}")


def _check_opening(root: str) -> Iterator[Check]:
    """Try to open the store, if there is one, as other commands do."""
    if is_database(root):
        return
    if not any((Path(root) / name).exists() for name in (INDEX, BLOBS)):
        return
    try:
        contentdb.open(root, create=False).close()
    except ContentDBError as error:
        yield Check("store", "fail", str(error))
    else:
        yield Check("store", "ok", "it opens")
