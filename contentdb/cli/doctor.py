"""``contentdb doctor``: is this place fit for a store?"""

from __future__ import annotations

import click

from contentdb.cli.session import json_option, quiet_option, root_of, set_exit_code
from contentdb.cli.show import escaped, json_line, line

__all__ = ["doctor"]


@click.command(short_help="Try whether this place is fit for a store.")
@json_option
@quiet_option
@click.pass_context
def doctor(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Try what the store's promises stand on; exit 1 if something fails. -q failures alone."""
    from contentdb.doctor import examine

    for check in examine(root_of(context)):
        if check.verdict == "fail":
            set_exit_code(context, 1)
        if as_json:
            json_line(check._asdict())
        elif not quiet or check.verdict == "fail":
            line(f"{check.verdict:<4}  {check.name:<14}  {escaped(check.detail)}")
