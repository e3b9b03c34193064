"""What holds for every command, whatever the store."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from contentdb import errors
from contentdb.cli.app import COMMANDS, contentdb
from contentdb.cli.failures import Terminated, exit_code_of

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = ("sqlalchemy", "alembic", "rich", "grpc", "urllib3", "asyncio", "re2")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_is_found_explains_itself_and_is_in_the_docs(name: str) -> None:
    result = CliRunner().invoke(contentdb, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage: contentdb" in result.output
    assert f"`{name}" in DOCS.read_text()


@pytest.mark.parametrize("name", ["path", "ingest", "ls"])
def test_fast_commands_import_nothing_heavy(name: str) -> None:
    code = (
        "import sys, importlib; from contentdb.cli.app import COMMANDS;"
        f"importlib.import_module('contentdb.cli.' + COMMANDS['{name}']);"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_unknown_command_is_one_line_and_exit_2() -> None:
    result = CliRunner().invoke(contentdb, ["nope"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("contentdb: no such command")


def test_ingest_needs_a_ref_or_a_digest() -> None:
    result = CliRunner().invoke(contentdb, ["ingest"])
    assert result.exit_code == 2
    assert "give a REF, or --expected-digest" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NotFoundError(ref="r"), 4),
        (errors.StoreNotFoundError("/r", "no store"), 4),
        (errors.RefLockedError("r"), 5),
        (errors.InvalidRefError("", "it is empty"), 2),
        (errors.InvalidFilterError("a", 0, "no"), 2),
        (errors.SizeMismatchError(expected=1, actual=2), 1),
        (click.UsageError("no"), 2),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
        (BrokenPipeError(), 141),
        (PermissionError(), 1),
    ],
)
def test_the_class_of_an_error_decides_the_exit_code(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


def test_doctor_passes_here_and_leaves_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(contentdb, ["--root", str(tmp_path), "doctor"])
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == []
