"""``contentdb add``: store files."""

from __future__ import annotations

import os
import sys
from collections import deque
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import click

from contentdb.cli.ingest import standard_input
from contentdb.cli.names import files_below, null_option, read_names, require_names
from contentdb.cli.options import labels_option
from contentdb.cli.progress import bar
from contentdb.cli.session import json_option, open_store, quiet_option, tell_and_go_on
from contentdb.cli.show import escape, info_record, json_line, line, size
from contentdb.errors import ContentDBError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentdb import Store
    from contentdb.content import Info, Link

__all__ = ["add"]


@click.command(short_help="Store files, and print their digests.")
@click.argument("files", metavar="FILE…", nargs=-1, type=click.Path(readable=False))
@click.option("-r", "--recursive", is_flag=True, help="Store all files below a directory.")
@click.option("--stdin-paths", is_flag=True, help="Read the names of the files, one a line.")
@null_option
@click.option(
    "--link",
    type=click.Choice(["copy", "reflink", "hardlink", "move"]),
    default="copy",
    show_default=True,
    help="How a file becomes a blob, if the filesystem allows it.",
)
@labels_option
@json_option
@quiet_option
@click.pass_context
def add(  # noqa: PLR0917 - click passes every option by name
    context: click.Context,
    files: tuple[str, ...],
    recursive: bool,
    stdin_paths: bool,
    null: bool,
    link: str,
    labels: dict[str, str] | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Store each file, and print its digest and name. -q prints only the digest.

    - is standard input. Content already stored is success; the labels are set on it too. Many
    files share the cost of durability: each line is printed once its blob is durable.
    """
    require_names(
        context, files, "FILE…", option="--stdin-paths", from_stdin=stdin_paths, null=null
    )
    if "-" in files and link == "move":
        raise click.UsageError("standard input cannot be moved; name a file", context)
    if files.count("-") > 1:
        raise click.UsageError("standard input can be read once", context)
    stdin = standard_input(context) if "-" in files else None
    done = _Done(context, as_json=as_json, quiet=quiet)
    names: Iterable[str] = read_names(context, null=null) if stdin_paths else files
    if recursive:
        names = files_below(names, tell=done.failed, skip=done.skipped)
    store = open_store(context, create=True)
    total = None if recursive or stdin_paths else _total_bytes(files)
    with nullcontext() if quiet else bar(total, what="adding"):
        for name, answer in _store_all(store, names, stdin, labels, cast("Link", link)):
            done.answered(name, answer)
    if recursive or stdin_paths or len(files) > 1:
        done.sum_up()


def _store_all(
    store: Store,
    names: Iterable[str],
    stdin: BinaryIO | None,
    labels: dict[str, str] | None,
    link: Link,
) -> Iterator[tuple[str, Info | Exception]]:
    """Yield each name with its Info or its error, in order."""
    asked: deque[str] = deque()

    def sources() -> Iterator[BinaryIO | Path]:
        for name in names:
            asked.append(name)
            yield stdin if name == "-" and stdin is not None else Path(name)

    if link == "copy":
        with closing(store.add_many(sources(), labels=labels, errors="yield")) as answers:
            for answer in answers:
                name = asked.popleft()
                yield name, _name_stdin(answer) if name == "-" else answer
        return
    for source in sources():
        try:
            yield asked[0], store.add(source, labels=labels, link=link)
        except ContentDBError as error:
            yield asked[0], error
        asked.popleft()


def _name_stdin(answer: Info | ContentDBError) -> Info | Exception:
    """Return the answer; let an error of reading standard input name it."""
    cause = answer.__cause__ if isinstance(answer, ContentDBError) else None
    if isinstance(cause, OSError) and not isinstance(cause, ContentDBError):
        return OSError(cause.errno, cause.strerror, "standard input")
    return answer


class _Done:
    """Prints each answer, and counts them."""

    def __init__(self, context: click.Context, *, as_json: bool, quiet: bool) -> None:
        self._context = context
        self._as_json = as_json
        self._quiet = quiet
        self._new = self._known = self._bytes = self._failed = self._skipped = 0

    def answered(self, name: str, answer: Info | Exception) -> None:
        """Print the digest of a file, or why it was not stored."""
        if isinstance(answer, Exception):
            self.failed(answer)
            return
        self._new += answer.new
        self._known += not answer.new
        self._bytes += answer.size
        if self._as_json:
            json_line(info_record(answer) | {"file": name})
        else:
            line(answer.digest if self._quiet else f"{answer.digest} {escape(name)}")

    def failed(self, error: Exception) -> None:
        """Print an error; it decides the exit code if it is the first."""
        self._failed += 1
        tell_and_go_on(self._context, error)

    def skipped(self, path: str) -> None:
        """Tell what is no regular file."""
        self._skipped += 1
        if not self._quiet:
            self._say(f"skipped {path}: not a regular file")

    def sum_up(self) -> None:
        """Print how many files there were, on standard error."""
        if self._quiet or self._as_json:
            return
        text = f"{self._new} new, {self._known} already there, {size(self._bytes)}"
        for count, what in ((self._skipped, "skipped"), (self._failed, "failed")):
            text += f", {count} {what}" if count else ""
        self._say(text)

    def _say(self, text: str) -> None:
        with suppress(OSError):  # standard error may be closed
            print(f"contentdb: {text}", file=sys.stderr)  # noqa: T201 - the output of a command line


def _total_bytes(names: tuple[str, ...]) -> int:
    """Return the sizes of all files together, as far as they are known."""
    total = 0
    for name in names:
        with suppress(OSError):
            total += os.stat(name).st_size  # noqa: PTH116 - a Path for each would double the cost
    return total
