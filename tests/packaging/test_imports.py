"""What is slow to import is imported only by those who need it: a command starts once a file.

Modules are counted, not milliseconds: no test depends on timing.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = {
    "alembic",
    "asyncio",
    "google",
    "grpc",
    "prometheus_client",
    "re2",
    "rich",
    "sqlalchemy",
    "urllib3",
}
NEEDLESS = {"asyncio", "email", "inspect", "random", "secrets", "socket", "string", "tempfile"}
"""Of the standard library: 1 to 30 ms each, for what one line can do without, or later."""
BEHIND_TYPING = {"typing", "enum", "re", "pathlib", "datetime", "json", "sqlite3", "signal", "copy"}
"""What takes longer than Python's own start; see `contentdb.light_typing`."""


def imported_by(code: str, *args: str | Path) -> set[str]:
    """The top-level packages of a fresh interpreter that has run `code`."""
    script = f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", script, *args],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store that is up to date, with one blob in it."""
    imported_by("import contentdb, sys\ncontentdb.open(sys.argv[1]).add(b'hello')", tmp_path / "r")
    return tmp_path / "r"


def test_importing_the_library_imports_nothing_slow() -> None:
    assert imported_by("import contentdb") & {*SLOW, *NEEDLESS, "click"} == set()


def test_importing_the_library_imports_none_of_its_modules() -> None:
    """So the command line hears Ctrl-C a millisecond after Python has started."""
    code = """
import sys
before = set(sys.modules)
import contentdb.cli
new = set(sys.modules) - before
assert new <= {"contentdb", "contentdb.cli", "__future__", "types"}, new
"""
    imported_by(code)


def test_importing_the_commands_imports_click_alone() -> None:
    assert imported_by("import contentdb.cli.app") & SLOW == set()


def test_a_store_is_made_without_sqlalchemy_and_alembic(tmp_path: Path) -> None:
    code = (
        "import contentdb, sys\nwith contentdb.open(sys.argv[1]) as store:\n    store.add(b'hello')"
    )
    assert imported_by(code, tmp_path / "r") & {*SLOW, *BEHIND_TYPING, "click"} == set()


def test_a_store_that_is_up_to_date_opens_reads_and_writes_without_sqlalchemy(root: Path) -> None:
    code = """
import contentdb, sys
with contentdb.open(sys.argv[1]) as store:
    info = store.add(b"hello")
    assert store.read(info.digest) == b"hello"
    store.add(b"world")
"""
    assert imported_by(code, root) & {*SLOW, "click"} == set()


RUN = """
import sys
from contentdb.cli.app import contentdb
try:
    contentdb.main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


@pytest.mark.parametrize(
    "command", ["ls", "path 2cf24dba5fb0a30e26e83b2ac5b9e29e", "du", "ingest r", "active"]
)
def test_a_command_of_fixed_statements_imports_nothing_slow(command: str, root: Path) -> None:
    found = imported_by(RUN, "--root", root, *command.split())
    assert found & {*SLOW, *NEEDLESS} == {"inspect"}  # click's


def test_finding_a_path_loads_neither_openssl_nor_the_filters(root: Path) -> None:
    """What the main job asks most often, and what a look at names needs not."""
    code = (
        RUN
        + """
assert not {"hashlib", "_hashlib", "contentdb.filters", "queue"} & set(sys.modules)
"""
    )
    imported_by(code, "--root", root, "path", "2cf24dba")


def test_taking_in_what_is_stored_loads_neither_openssl_nor_the_filters(root: Path) -> None:
    code = (
        RUN
        + """
assert not {"hashlib", "_hashlib", "contentdb.filters", "queue"} & set(sys.modules)
"""
    )
    digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    imported_by(code, "--root", root, "ingest", "--expected-digest", digest)


COUNT = """
import os, sys
def end(code):
    os.write(2, " ".join(sys.modules).encode())
    exit_now(code)
exit_now, os._exit = os._exit, end
from contentdb.cli import main
main()
"""


@pytest.mark.parametrize(
    ("words", "most"),
    [("cat DIGEST", 7), ("info DIGEST", 19), ("ls", 19), ("active", 26), ("add FILE", 115),
     ("ingest ref", 119)],
)  # fmt: skip
def test_a_common_command_imports_few_modules(root: Path, words: str, most: int) -> None:
    """Each takes a hundredth of the time that Python takes to start, even an empty one."""
    digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    line = words.replace("DIGEST", digest).replace("FILE", __file__).split()
    done = subprocess.run(
        [sys.executable, "-I", "-c", COUNT, "--root", root, *line],
        capture_output=True,
        check=True,
        env={name: value for name, value in os.environ.items() if "CONTENTDB_" not in name},
        input=b"given",
    )
    imported = set(done.stderr.decode().split())
    assert imported & {*SLOW, *NEEDLESS, *BEHIND_TYPING, "click"} == set()
    ours = sorted(name for name in imported if name.startswith("contentdb"))
    assert len(ours) <= most, ours
