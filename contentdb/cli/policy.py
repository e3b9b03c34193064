"""``contentdb policy``: what a namespace keeps of content that nothing refers to."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final

import click

from contentdb.cli.options import Age, Size, filters_option
from contentdb.cli.session import json_option, open_store, quiet_option, set_exit_code
from contentdb.cli.show import json_line, line, size, span
from contentdb.engine import Capability

if TYPE_CHECKING:
    from datetime import timedelta

    from contentdb import Store
    from contentdb.content import Policy

__all__ = ["policy"]

_PART: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,20})?)%?")
_MOST_DIGITS: Final = 18
"""Behind the point of a percentage: enough for a byte of any bound."""


class _Part(click.ParamType):  # type: ignore[type-arg]  # not generic in click 8.2
    """A part of a whole, as in ``90%`` or ``33.4%``."""

    name = "part"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - click's signature
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Parse a number of per cent."""
        form = _PART.fullmatch(str(value))
        part = float(f"{form[1]}e-2") if form else 2
        if part > 1:
            self.fail(f"{value!r} is not a part of the bound; write 0% to 100%", param, ctx)
        return part


@click.group(
    short_help="The bound of a namespace, and what goes first: set, clear.",
    invoke_without_command=True,
)
@json_option
@quiet_option
@click.pass_context
def policy(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Print the policy of the namespace; exit 1 if it has none.

    Every process goes by it. With a bound the namespace is a cache: new content never exceeds the
    bound, and what was not used for longest makes room.
    """
    if context.invoked_subcommand is not None:
        return
    store = open_store(context, reads=True, needs=Capability.POLICIES)
    found = store.policy()
    if found is None:
        set_exit_code(context, 1)
        _tell_none(as_json=as_json, quiet=quiet)
        return
    _tell(store, found, as_json=as_json, quiet=quiet)


@policy.command("set", short_help="Set the policy, in place of an earlier one.")
@click.option("--grace", type=Age(), metavar="AGE", help="Leave what is younger than AGE (1d).")
@click.option("--max-bytes", type=Size(), metavar="SIZE", help="Never hold more than SIZE.")
@click.option("--low", type=_Part(), metavar="N%", help="Make room down to N% of that (90%).")
@click.option("--unused-for", type=Age(), metavar="AGE", help="Let go what was unused for AGE.")
@filters_option
@json_option
@quiet_option
@click.pass_context
def set_(
    context: click.Context,
    grace: timedelta | None,
    max_bytes: int | None,
    low: float | None,
    unused_for: timedelta | None,
    filters: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Set the policy of the namespace, durably, in place of an earlier one.

    Nothing is taken at once: run `contentdb gc` where there is more than the bound already.
    """
    if grace is None and max_bytes is None and unused_for is None and not filters:
        raise click.UsageError("give --grace, --max-bytes, --unused-for or --filter", context)
    if low is not None and max_bytes is None:
        raise click.UsageError("--low is a part of --max-bytes; give that too", context)
    store = open_store(context, needs=Capability.POLICIES)
    made = store.set_policy(
        grace=grace,
        max_bytes=max_bytes,
        **({} if low is None else {"low": low}),
        unused_for=unused_for,
        filters=filters,
    )
    if as_json or not quiet:
        _tell(store, made, as_json=as_json, quiet=False)


@policy.command(short_help="Remove the policy.")
@json_option
@quiet_option
@click.pass_context
def clear(context: click.Context, as_json: bool, quiet: bool) -> None:
    """Remove the policy of the namespace, durably; nothing happens if there is none."""
    open_store(context, needs=Capability.POLICIES).clear_policy()
    _tell_none(as_json=as_json, quiet=quiet)


def _tell_none(*, as_json: bool, quiet: bool) -> None:
    if as_json:
        json_line({"policy": None})
    elif not quiet:
        line("no policy")


def _tell(store: Store, found: Policy, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        status = store.queue_status()
        spans = {"grace_s": found.grace, "unused_for_s": found.unused_for}
        record: dict[str, Any] = {
            name: None if one is None else one.total_seconds() for name, one in spans.items()
        }
        record |= {"max_bytes": found.max_bytes, "low_bytes": found.low_bytes}
        record |= {"filters": list(found.filters)}
        json_line(record | {"bytes": status.bytes, "reserved": status.reserved})
        return
    line(" ".join(_options(found)))
    if not quiet and found.max_bytes is not None:
        status = store.queue_status()
        held, reserved = status.bytes or 0, status.reserved or 0
        line(f"holds {size(held)} of {size(found.max_bytes)}, {size(reserved)} reserved")


def _options(found: Policy) -> list[str]:
    """Return the options of `policy set` that make this policy."""
    options = []
    if found.grace is not None:
        options.append(f"--grace {span(found.grace)}")
    if found.max_bytes is not None:
        options.append(f"--max-bytes {found.max_bytes}")
        options.append(f"--low {_per_cent(found.low_bytes or 0, found.max_bytes)}%")
    if found.unused_for is not None:
        options.append(f"--unused-for {span(found.unused_for)}")
    return options + [f"--filter {_quote(one)}" for one in found.filters]


def _per_cent(low: int, most: int) -> str:
    """Return which part of a bound makes so many bytes, with as few digits as do."""
    from contentdb.store.collecting import low_bytes

    text = "0"
    for digits in range(_MOST_DIGITS + 1):
        units = -(low * 100 * 10**digits // -max(most, 1))  # rounded up: `low_bytes` rounds down
        for each in (units, units + 1):
            whole, behind = divmod(each, 10**digits)
            text = f"{whole}.{behind:0{digits}}" if digits else str(whole)
            if (part := float(f"{text}e-2")) <= 1 and low_bytes(most, part) == low:
                return text
    return text


def _quote(text: str) -> str:
    """Quote a text for a shell; what is unprintable as its ``$'…'`` does, for a terminal."""
    if text.isprintable():
        return shlex.quote(text)
    escaped = text.replace("\\", r"\\").replace("'", r"\'")
    return "$'" + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + "'"
