"""The command ``contentdb``: its options, and the table of commands, each loaded when asked for."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from contentdb.cli.failures import exit_code_of, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "contentdb"]

# Start-up counts: a command's module is imported when it runs. Value: the module in this package.
COMMANDS: Final = {
    "abort": "active",
    "active": "active",
    "add": "add",
    "cat": "cat",
    "doctor": "doctor",
    "du": "ls",
    "export": "cat",
    "export-oci": "oci_layout",
    "fetch": "fetch",
    "import-oci": "oci_layout",
    "info": "info",
    "ingest": "ingest",
    "init": "init",
    "label": "info",
    "ls": "ls",
    "migrate": "init",
    "path": "path",
    "pull": "pull",
    "push": "push",
    "reindex": "verify",
    "repair": "verify",
    "rm": "rm",
    "serve": "serve",
    "sweep": "sweep",
    "verify": "verify",
}


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are named, and one handler for errors."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"contentdb.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT002 - click's signature
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> Any:  # noqa: ANN401 - click's signature
        """Run one command line and exit by `EXIT_CODES`, or as click does when completing."""
        if not standalone_mode or "_CONTENTDB_COMPLETE" in os.environ:
            return super().main(args, prog_name, complete_var, standalone_mode, **extra)
        sys.exit(self._run(list(sys.argv[1:] if args is None else args), extra))

    def _run(self, args: list[str], extra: dict[str, Any]) -> int:
        if isinstance(
            sys.stdout, io.TextIOWrapper
        ):  # a label must not fail where the locale is ASCII
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            with self.make_context("contentdb", args, **extra) as context:
                self.invoke(context)
                code: int = context.meta.get("contentdb.exit_code", 0)
            sys.stdout.flush()
        except click.exceptions.Exit as stop:
            return stop.exit_code
        except BrokenPipeError:
            # What Python flushes at its end must not complain again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return exit_code_of(BrokenPipeError())
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - `tell` raises what is a bug
            tell(error)
            return exit_code_of(error)
        return code


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--root",
    envvar="CONTENTDB_ROOT",
    default=".content",
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    help="The store's directory.",
)
@click.version_option(package_name="contentdb", prog_name="contentdb")
def contentdb(root: str) -> None:
    """Keep content by its digest: verified, read-only, in files.

    Exit codes: 0 done, 1 failed, 2 usage, 3 verify found something, 4 not found, 5 ref locked.
    """
