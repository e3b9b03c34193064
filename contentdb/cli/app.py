"""The command ``contentdb``: its options, and the table of commands, each imported at its use."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from contentdb.cli.failures import conclude
from contentdb.cli.remote_options import remote_options
from contentdb.cli.show import flush, let_stdout_print_any
from contentdb.store_folder import DEFAULT_ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "contentdb"]

# The value is the command's module. It is imported when the command runs, to start fast.
_SECTIONS: Final = {
    "What comes in": {
        "ingest": "ingest",
        "add": "add",
        "active": "active",
        "abort": "active",
    },
    "What is there": {
        "ls": "ls",
        "info": "info",
        "path": "path",
        "url": "url",
        "cat": "cat",
        "export": "cat",
        "label": "info",
        "rm": "rm",
        "du": "ls",
    },
    "Names of blobs": {
        "tags": "tag",
        "tag": "tag",
        "untag": "tag",
    },
    "What stays": {
        "lease": "lease",
        "why": "gc",
        "gc": "gc",
        "policy": "policy",
    },
    "The store itself": {
        "init": "init",
        "verify": "verify",
        "repair": "verify",
        "reindex": "verify",
        "prune": "prune",
        "pack": "pack",
        "unpack": "pack",
        "repack": "pack",
        "migrate": "init",
        "doctor": "doctor",
        "serve": "serve",
    },
    "Registries and image layouts": {
        "pull": "pull",
        "push": "push",
        "copy": "remote_copy",
        "fetch": "fetch",
        "referrers": "remote_lists",
        "remote-tags": "remote_lists",
        "import-oci": "oci_layout",
        "export-oci": "oci_layout",
    },
}

_RENAMED: Final = {"sweep": ["prune"]}
"""Today's names of renamed commands, by their former names."""

COMMANDS: Final = {
    name: module for section in _SECTIONS.values() for name, module in section.items()
}


class _LazyGroup(click.Group):
    """A group that imports a command when it is named, and handles the errors of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"contentdb.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        close = _RENAMED.get(name) or get_close_matches(name, COMMANDS, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise click.UsageError(f"no such command {name!r}{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, self._summary(ctx, name)) for name in section])

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str(limit=100)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT002 - click's signature
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> Any:  # noqa: ANN401 - click's signature
        """Run one command line and exit by `EXIT_CODES`; shell completion is left to click."""
        if not standalone_mode or "_CONTENTDB_COMPLETE" in os.environ:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        sys.exit(self._run(list(sys.argv[1:] if args is None else args), extra))

    def _run(self, args: list[str], extra: dict[str, Any]) -> int:
        _check_streams()
        try:
            with self.make_context("contentdb", args, **extra) as context:
                self.invoke(context)
                code: int = context.meta.get("contentdb.exit_code", 0)
            flush()
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - `tell` raises unknown ones
            return conclude(error)
        return code


def _check_streams() -> None:
    """Open streams that the parent process closed, and let stdout print any text.

    Else the next file that is opened would get the number of a closed stream.
    """
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Opened read-only, so that printing to a closed stdout fails instead of losing text.
            os.open(os.devnull, os.O_RDONLY if fd == 1 else os.O_RDWR)
            if fd:
                setattr(sys, name, open(fd, "w", closefd=False))  # noqa: SIM115 - stays open
    let_stdout_print_any()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    envvar="CONTENTDB_ROOT",
    default=DEFAULT_ROOT,
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    type=click.Path(readable=False),
    help="The store's directory.",
)
@remote_options
@click.option(
    "--cache",
    envvar="CONTENTDB_CACHE",
    metavar="DIR",
    type=click.Path(readable=False),
    help="For --root postgresql://…: read through a store on files here [env: CONTENTDB_CACHE].",
)
@click.option(
    "--lease",
    envvar="CONTENTDB_LEASE",
    metavar="ID",
    help="A lease that keeps what the command stores [env: CONTENTDB_LEASE].",
)
@click.option(
    "-v",
    "--verbose",
    "log_level",
    flag_value="info",
    default=None,
    help="Tell on standard error what is waited for, tried again, left undone or found damaged.",
)
@click.version_option(package_name="contentdb", prog_name="contentdb")
def contentdb(log_level: str | None, **_options: str | None) -> None:
    """Store content under its digest: verified, read-only, in files.

    Exit codes: 0 done, 1 failed, 2 usage, 3 verify found something, 4 not found, 5 ref locked.
    """
    level = log_level or os.environ.get("CONTENTDB_LOG")
    if level:
        _log(level)


def _log(level: str) -> None:
    from contentdb.cli.logs import LEVELS, log_to_stderr

    if level not in LEVELS:
        raise click.UsageError(f"CONTENTDB_LOG is one of {', '.join(LEVELS)}, not {level!r}")
    log_to_stderr(level=level, as_json=False)
