"""What holds for every command, whatever the store."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import contentdb as library
from contentdb import errors
from contentdb.cli.app import COMMANDS, contentdb
from contentdb.cli.failures import exit_code_of
from contentdb.cli.stopping import Terminated
from tests.cli.shell import PROGRAM, call, only_line, run, stored

HEAVY = ("sqlalchemy", "alembic", "rich", "grpc", "urllib3", "asyncio", "re2")


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_a_command_is_found_and_explains_itself(name: str, option: str) -> None:
    result = CliRunner().invoke(contentdb, [name, option])
    assert result.exit_code == 0, result.output
    assert f"Usage: contentdb {name}" in result.output


def test_help_has_a_whole_line_for_each_command() -> None:
    result = CliRunner().invoke(contentdb, ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in result.stdout
    assert "..." not in result.stdout.partition("What comes in")[2]


def test_without_a_command_the_help_is_told_and_it_is_exit_2() -> None:
    result = CliRunner().invoke(contentdb, [])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: contentdb")


@pytest.mark.parametrize("name", ["path", "ingest", "ls"])
def test_fast_commands_import_nothing_heavy(name: str) -> None:
    code = (
        "import sys, importlib; from contentdb.cli.app import COMMANDS;"
        f"importlib.import_module('contentdb.cli.' + COMMANDS['{name}']);"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["lss"], "no such command 'lss'; did you mean ls?"),
        (["lss", "-h"], "no such command 'lss'; did you mean ls?"),
        (["ingst", "x"], "did you mean ingest or init?"),
        (["sweep"], "did you mean prune?"),
        (["xyzzy"], "no such command 'xyzzy' (see contentdb --help)"),
        (["ls", "--fliter", "x"], "--filter"),
        (["--rot", "x", "ls"], "--root"),
        (["path"], "(see contentdb path --help)"),
        (["du", "more"], "(see contentdb du --help)"),
    ],
)
def test_a_wrong_word_is_one_line_with_advice_and_exit_2(words: list[str], advice: str) -> None:
    result = CliRunner().invoke(contentdb, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert only_line(result.stderr).startswith("contentdb: ")
    assert advice in result.stderr


def test_the_version_is_the_library_s() -> None:
    result = CliRunner().invoke(contentdb, ["--version"])
    assert only_line(result.stdout).endswith(library.__version__)


def test_the_script_and_the_module_are_the_same(root: Path) -> None:
    (digest,) = stored(root, b"hello")
    script = Path(sys.executable).with_name("contentdb")
    words = [str(script), "--root", str(root), "path", digest]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.stdout == run(root, "path", digest).stdout
    usage = subprocess.run([*PROGRAM, "-h"], capture_output=True, text=True, check=True).stdout
    assert usage.startswith("Usage: contentdb ")


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ls", "--root", "x"], "--root goes before the command: contentdb --root … ls …"),
        (["--json", "ls"], "--json goes behind the command"),
    ],
)
def test_an_option_on_the_wrong_side_of_the_command_is_told(
    root: Path, words: list[str], told: str
) -> None:
    result = call(root, *words)
    assert result.exit_code == 2
    assert told in only_line(result.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["--root", "", "add", __file__],
        ["--address", "", "ls"],
        ["ls", "--filter", ""],
        ["active", "--filter", " "],
    ],
)
def test_what_is_empty_by_a_slip_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A variable that is not set would mean the current directory, another store, or everything."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(contentdb, words)
    assert result.exit_code == 2
    assert "empty" in only_line(result.stderr)
    assert not list(tmp_path.iterdir())


def test_variables_that_are_empty_count_as_not_set(root: Path) -> None:
    stored(root, b"hello")
    environment = {"CONTENTDB_ROOT": str(root), "CONTENTDB_ADDRESS": "", "CONTENTDB_NAMESPACE": ""}
    words = [*PROGRAM, "ls", "-q"]
    done = subprocess.run(words, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)


def test_half_of_mutual_tls_is_refused() -> None:
    words = ["--address", "localhost:7", "--client-key", __file__, "ls"]
    result = CliRunner().invoke(contentdb, words)
    assert result.exit_code == 2
    assert "--client-key, --client-cert and --server-ca go together" in only_line(result.stderr)


def test_a_current_directory_that_is_gone_is_told(tmp_path: Path, root: Path) -> None:
    stored(root, b"hello")
    line = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    for words, code in ((["ls"], 1), (["--root", str(root), "ls", "-q"], 0)):
        command = ["sh", "-c", line, "sh", *PROGRAM, *words]
        done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
        assert done.returncode == code
        assert not done.stderr or b"the current directory: No such file" in done.stderr
