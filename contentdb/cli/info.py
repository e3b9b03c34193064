"""``contentdb info`` and ``contentdb label``: show records of blobs, and set their labels."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

import click

from contentdb.cli.listing import print_info
from contentdb.cli.names import null_option, read_names, require_names
from contentdb.cli.options import complete_digest, digests_argument, read_labels
from contentdb.cli.session import (
    each,
    json_option,
    open_store,
    quiet_option,
    resolve,
    tell_and_go_on,
)
from contentdb.cli.show import escape, info_record, json_line, labels_text, line
from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb import Info, Store

__all__ = ["info", "label"]

_GROUP_COUNT: Final = 500
_THREADS: Final = 16


@click.command(short_help="Print the records of blobs.")
@digests_argument
@json_option
@quiet_option
@click.pass_context
def info(context: click.Context, digests: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Print size, times and labels of each blob. -q prints only its whole digest."""
    store = open_store(context, reads=True)

    def show(prefix: str) -> None:
        found = store.info(resolve(store, prefix))
        if as_json:
            json_line(info_record(found))
            return
        print_info(found, quiet=quiet)

    each(context, digests, show)


@click.command(short_help="Set or remove labels of blobs.")
@click.argument("words", metavar="DIGEST… K=V…", nargs=-1, shell_complete=complete_digest)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the digests, one a line.")
@null_option
@json_option
@quiet_option
@click.pass_context
def label(
    context: click.Context,
    words: tuple[str, ...],
    from_stdin: bool,
    null: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Set labels of each blob: k=v sets one, k= and k- remove one; the others stay.

    Many blobs share the cost of durability.
    """
    digests = tuple(takewhile(lambda word: "=" not in word and not word.endswith("-"), words))
    require_names(context, digests, "DIGEST…", option="--stdin", from_stdin=from_stdin, null=null)
    labels = read_labels(words[len(digests) :])
    if not labels:
        raise click.UsageError("Missing argument 'K=V…'", context)
    store = open_store(context)
    names = read_names(context, null=null) if from_stdin else iter(digests)
    for changed in _label_all(store, names, labels):
        if isinstance(changed, ContentDBError):
            tell_and_go_on(context, changed)
        elif as_json:
            json_line(info_record(changed))
        elif not quiet and len(digests) == 1:
            for key, value in sorted(changed.labels.items()):
                line(f"{escape(key)}={escape(value)}")
        elif not quiet:
            line(f"{changed.digest} {labels_text(changed)}")


def _label_all(
    store: Store, names: Iterator[str], labels: dict[str, str]
) -> Iterator[Info | ContentDBError]:
    """Label blobs in several threads, which share transactions and syncs; keep the order."""
    fields = [f"labels.{key}" for key in labels]

    def change(prefix: str) -> Info | ContentDBError:
        try:
            return store.update(resolve(store, prefix), labels, fields=fields)
        except ContentDBError as error:
            return error

    group = list(islice(names, _GROUP_COUNT))
    if len(group) == 1:
        yield change(group[0])
        group = list(islice(names, _GROUP_COUNT))
    if not group:
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_THREADS) as threads:
        while group:
            yield from threads.map(change, group)
            group = list(islice(names, _GROUP_COUNT))
