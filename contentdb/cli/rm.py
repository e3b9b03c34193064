"""``contentdb rm``: remove blobs."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from contentdb.cli.names import null_option, read_names, require_names
from contentdb.cli.options import complete_digest
from contentdb.cli.session import (
    dry_run_option,
    json_option,
    open_store,
    quiet_option,
    resolve,
    tell_and_go_on,
)
from contentdb.cli.show import escape, json_line, line
from contentdb.digest import Digest
from contentdb.engine import Capability
from contentdb.errors import (
    ConflictError,
    ContentDBError,
    FailedPreconditionError,
    NotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb import Store

__all__ = ["rm"]

_GROUP_COUNT: Final = 500
"""As many as `delete_many` removes in one transaction: then all of a group, or none."""


@click.command(short_help="Remove blobs.")
@click.argument("digests", metavar="DIGEST…", nargs=-1, shell_complete=complete_digest)
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the digests, one a line.")
@null_option
@click.option("--force", is_flag=True, help="Blobs with tags too; their tags go with them.")
@dry_run_option
@json_option
@quiet_option
@click.pass_context
def rm(
    context: click.Context,
    digests: tuple[str, ...],
    from_stdin: bool,
    null: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Remove each blob, durably, and print its digest. Many share the cost of durability.

    A blob that has a tag stays, unless --force is given.
    """
    require_names(context, digests, "DIGEST…", option="--stdin", from_stdin=from_stdin, null=null)
    store = open_store(context)
    names = iter(read_names(context, null=null) if from_stdin else digests)
    while prefixes := list(islice(names, _GROUP_COUNT)):
        found = list(_resolve(context, store, prefixes))
        found = list(_free(context, store, found, force=force, dry_run=dry_run))
        for digest in found if dry_run else _delete(context, store, found):
            if as_json:
                json_line({"digest": digest, "removed": not dry_run})
            elif not quiet:
                line(f"would remove {digest}" if dry_run else digest)


def _resolve(context: click.Context, store: Store, prefixes: list[str]) -> Iterator[Digest]:
    """Yield the digest of each blob once; tell which there are not."""
    seen: set[Digest] = set()
    for prefix in prefixes:
        try:
            digest = resolve(store, prefix)
            if digest in seen:
                raise NotFoundError(digest=digest)
        except ContentDBError as error:
            tell_and_go_on(context, error)
        else:
            seen.add(digest)
            yield digest


def _free(
    context: click.Context, store: Store, digests: list[Digest], *, force: bool, dry_run: bool
) -> Iterator[Digest]:
    """Yield the blobs that have no tag, with ``force`` also the others, whose tags are removed."""
    if Capability.TAGS not in store.capabilities:
        yield from digests
        return
    for digest in digests:
        names = [tag.name for tag in store.tags(of=digest)]
        if names and not force:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            reason = (
                f"{digest} has the tag {escape(repr(names[0]))}{more}; untag it, or use --force"
            )
            tell_and_go_on(context, FailedPreconditionError(reason))
            continue
        try:
            for name in names if not dry_run else ():
                with suppress(NotFoundError, ConflictError):  # it was moved or removed meanwhile
                    store.untag(name, if_is=digest)
        except FailedPreconditionError as error:  # a server that cannot compare and swap
            tell_and_go_on(context, error)
        else:
            yield digest


def _delete(context: click.Context, store: Store, digests: list[Digest]) -> Iterator[Digest]:
    """Remove blobs together; yield those that were removed, and tell of the others."""
    while digests:
        try:
            store.delete_many(digests)
        except NotFoundError as error:  # another process removed it meanwhile
            place = digests.index(Digest(error.digest or ""))
            yield from digests[:place]
            tell_and_go_on(context, error)
            digests = digests[place + 1 :]
        else:
            yield from digests
            return
