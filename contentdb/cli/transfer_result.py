"""How the commands that transfer images tell what they did, and the options for it."""

from __future__ import annotations

import os
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from contentdb.cli.show import escape, json_line, line
from contentdb.cli.transfer_bars import transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from contentdb.cli.transfer_bars import Progress, Transfer
    from contentdb.oci.transfer.pull import Pulled
    from contentdb.oci.transfer.push import Pushed
    from contentdb.oci.transfer.relay import Copied

__all__ = ["Telling", "result_options", "tell_warnings"]


class Telling(NamedTuple):
    """What the options say of how to tell."""

    digest_file: Path | None
    progress: Progress
    as_json: bool
    quiet: bool

    def transfer(self) -> AbstractContextManager[Transfer]:
        """Return a block that shows a transfer."""
        return transfer(quiet=self.quiet or self.as_json, progress=self.progress)

    def tell(
        self,
        result: Pulled | Pushed | Copied,
        watch: Transfer,
        what: str,
        *,
        moved: str,
        counts: tuple[str, ...],
        details: tuple[str, ...] = (),
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Print what was done.

        Args:
            result: What a pull, a push or a copy returned.
            watch: What counted it.
            what: What was done, as ``pulled a/b:v1``.
            moved: As in `Transfer.summarize`.
            counts: Which of `Transfer.fields` the JSON has too.
            details: Further lines of the summary, before those of the platforms.
            more: Further fields of the JSON.
        """
        _write_digest(self.digest_file, result.digest)
        tell_warnings(result.warnings)
        chosen = getattr(result, "chosen", ())
        if self.as_json:
            fields = watch.fields()
            told = result._asdict()
            if "chosen" in told:
                told["chosen"] = [one._asdict() for one in chosen]
            json_line(told | {name: fields[name] for name in counts} | dict(more))
            return
        line(result.digest)
        if not self.quiet and self.progress == "auto":
            platforms = [f"{one.platform}: {one.digest}" for one in chosen if one.platform]
            watch.summarize(what, moved=moved, details=(*details, *platforms))


def _check_folder(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that could not be written, before anything is transferred."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory {escape(str(path.parent))}")
    return path


_OPTIONS = (
    click.option(
        "--digest-file",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_check_folder,
        help="Write the digest into this file too, once everything is done.",
    ),
    click.option(
        "--progress",
        type=click.Choice(["auto", "json", "none"]),
        default="auto",
        show_default=True,
        help="On standard error: bars on a terminal, one JSON object an event, or nothing.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One object on one line."),
    click.option("--quiet", "-q", is_flag=True, help="No bars, no summary; print only the digest."),
)


def result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, which gets them as one keyword, ``telling``."""

    @wraps(command)
    def gathered(
        *words: Any,  # noqa: ANN401 - click's
        digest_file: Path | None,
        progress: Progress,
        as_json: bool,
        quiet: bool,
        **options: Any,  # noqa: ANN401 - click's
    ) -> None:
        command(*words, telling=Telling(digest_file, progress, as_json, quiet), **options)

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _write_digest(path: Path | None, digest: str) -> None:
    """Write a digest into a file, without a newline, as podman and skopeo do; None is no file.

    A regular file is replaced at once, so that no reader sees half of it.
    """
    if path is None:
        return
    if path.exists() and not path.is_file():  # a pipe, or /dev/stderr
        path.write_text(digest, encoding="ascii")
        return
    fresh = path.resolve().with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with fresh.open("x", encoding="ascii") as file:
            file.write(digest)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path.resolve())
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def tell_warnings(warnings: Iterable[str]) -> None:
    """Print what was left out or could not be made sure of to standard error, a line each."""
    for warning in warnings:
        click.echo(escape(f"contentdb: warning: {warning}"), err=True)
