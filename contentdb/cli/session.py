"""Shared parts of commands: opening the store, output options, acting on several names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, cast

import click
from click.core import ParameterSource

from contentdb.cli.failures import exit_code_of, tell
from contentdb.digest import Digest
from contentdb.engine import Capability
from contentdb.errors import (
    AmbiguousDigestError,
    ContentDBError,
    InvalidDigestError,
    InvalidTagError,
    NotFoundError,
)
from contentdb.store_folder import is_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from contentdb import Store
    from contentdb.remote.channel import Credentials

__all__ = [
    "any_root_of",
    "cache_of",
    "digest_of",
    "dry_run_option",
    "each",
    "invocation",
    "json_option",
    "open_store",
    "quiet_option",
    "resolve",
    "root_of",
    "set_exit_code",
    "store_of",
    "tell_and_go_on",
]

leave_open = False
"""Whether to leave stores open, since the process ends with its command."""

T = TypeVar("T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only what a pipe needs.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Change nothing, only print.")


def invocation() -> str:
    """Return the command line up to the command: ``contentdb`` and the options for the store."""
    from shlex import quote

    context = click.get_current_context().find_root()
    words = ["contentdb"]
    for name in ("root", "address", "namespace"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            words += [f"--{name}", quote(context.params[name])]
    return " ".join(words)


def root_of(context: click.Context) -> str:
    """Return the store's directory as the user gave it; fail for a served store."""
    if _address_of(context) is not None:
        raise _needs_files(context)
    root: str = context.find_root().params["root"]
    if not root:
        raise click.UsageError("--root is empty; name the store's directory", context)
    if is_database(root):
        raise _needs_files(context)
    try:
        Path(root).absolute()
    except OSError as error:
        raise click.ClickException(
            f"the current directory: {error.strerror}; go to another, or name --root from /"
        ) from error
    return root


def any_root_of(context: click.Context) -> str:
    """Return the store's directory or database as the user gave it; fail for a served store."""
    return database_of(context) or root_of(context)


def database_of(context: click.Context) -> str | None:
    """Return the database that holds the store; None for a store on files or behind a server."""
    root: str = context.find_root().params["root"]
    return root if is_database(root) and _address_of(context) is None else None


def cache_of(context: click.Context) -> str | None:
    """Return the directory of the cache of a store in a database; fail where none can be."""
    top = context.find_root()
    cache: str = top.params["cache"] or ""
    given = top.get_parameter_source("cache") is ParameterSource.COMMANDLINE
    if given and not (cache and database_of(context)):
        raise click.UsageError("--cache names a directory, for --root postgresql://…", top)
    return cache or None


def _address_of(context: click.Context) -> str | None:
    """Return the address of a served store, or None; the command line overrides the environment."""
    top = context.find_root()
    address: str | None = top.params["address"]
    if address == "":  # on the command line; click reads an empty variable as None
        raise click.UsageError("--address is empty; leave it out to use the store at --root", top)
    if not address or top.get_parameter_source("root") is not ParameterSource.COMMANDLINE:
        return address
    if top.get_parameter_source("address") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--root and --address exclude each other", top)
    return None


def store_of(
    context: click.Context,
    *,
    create: bool = False,
    reads: bool = False,
    shared: Literal["group"] | None = None,
    pack_below: int | None = None,
    needs: Capability | None = None,
) -> Store:
    """Open the store that the command line names; the caller closes it.

    Args:
        context: The command's context.
        create: Make a store on files if there is none.
        reads: The command changes nothing: it needs no permission to write to the store.
        shared: With ``"group"``, a new store is for all members of its directory's group.
        pack_below: A new store packs blobs of fewer bytes.
        needs: A capability that the command needs; only a store on files has it.
    """
    import contentdb
    from contentdb.local.owner import may_only_read

    options = context.find_root().params
    namespace = options["namespace"]
    address = _address_of(context)
    cache = cache_of(context)
    if (database := database_of(context)) is not None:
        store = contentdb.open(database, namespace=namespace, cache=cache)
    elif address is None:
        root = root_of(context)
        mode: Literal["rw", "r"] = "r" if reads and may_only_read(root) else "rw"
        store = contentdb.open(
            root,
            create=create,
            namespace=namespace,
            mode=mode,
            shared=shared,
            pack_below=pack_below,
        )
    else:
        store = contentdb.connect(address, namespace=namespace, credentials=_credentials(context))
    if needs is not None and needs not in store.capabilities:
        store.close()
        raise _needs_files(context)
    return store


def _needs_files(context: click.Context) -> click.UsageError:
    if database_of(context) is not None:
        name = context.command_path.partition(" ")[2]
        reason = f"a store in a database has no {name} yet: only stores on files have it"
        return click.UsageError(reason, context)
    return click.UsageError(
        f"{context.info_name} works on a store's own files: run it where they are, with --root",
        context,
    )


def _credentials(context: click.Context) -> Credentials | None:
    options = context.find_root().params
    files = [options[name] for name in ("client_key", "client_cert", "server_ca")]
    if None in files and any(files):
        raise click.UsageError("--client-key, --client-cert and --server-ca go together", context)
    from contentdb.remote.channel import Credentials

    return Credentials(*files) if None not in files else None


def open_store(
    context: click.Context,
    *,
    create: bool = False,
    reads: bool = False,
    shared: Literal["group"] | None = None,
    pack_below: int | None = None,
    needs: Capability | None = None,
    joins: bool = False,
) -> Store:
    """Open the store that the command line names, and close it when the command ends.

    With ``joins`` the lease that the command line or the environment names gets what is stored.
    """
    store = store_of(
        context, create=create, reads=reads, shared=shared, pack_below=pack_below, needs=needs
    )
    if leave_open:
        context.meta["contentdb.store"] = store  # stays open until the process ends
    else:
        context.with_resource(store)
    lease = context.find_root().params.get("lease")
    # It has what such a command uses of a store.
    return cast("Store", store.use_lease(lease)) if joins and lease else store


def digest_of(store: Store, text: str) -> Digest:
    """Return a whole digest as it is, and that of the one stored blob for a shortened one.

    The read of the blob then finds out whether it is there: for that the file alone counts.
    """
    try:
        return Digest(text)
    except InvalidDigestError:
        return resolve(store, text)


def resolve(store: Store, text: str) -> Digest:
    """Return the digest of the one stored blob that a digest, its beginning, or a tag names.

    Where a digest begins so, that is meant, not the tag; a whole digest is never a tag, or the name
    of a stranger's image could stand for other content. The blob of a tag may be gone.
    """
    try:
        return store.resolve(text)
    except AmbiguousDigestError:
        raise
    except (InvalidDigestError, NotFoundError) as error:
        if Capability.TAGS not in store.capabilities or _is_whole(text):
            raise
        try:
            return store.tagged(text).digest
        except NotFoundError:
            if isinstance(error, NotFoundError):
                raise error from None
            reason = f"there is no tag of that name, and {error.reason}"
            raise type(error)(text, reason) from None
        except InvalidTagError:
            raise error from None


def _is_whole(text: str) -> bool:
    """Return whether a text is a digest, not only the beginning of one."""
    try:
        Digest(text)
    except InvalidDigestError:
        return False
    return True


def set_exit_code(context: click.Context, code: int) -> None:
    """Set the exit code of a command that returns; the first call wins."""
    context.meta.setdefault("contentdb.exit_code", code)


def tell_and_go_on(context: click.Context, error: Exception) -> None:
    """Print the error of one of several names; the exit code is that of the first error."""
    tell(error)
    set_exit_code(context, exit_code_of(error))


def each(context: click.Context, names: Iterable[T], act: Callable[[T], object]) -> None:
    """Act on every name, and go on after an error of one."""
    for name in names:
        try:
            act(name)
        except ContentDBError as error:
            tell_and_go_on(context, error)
