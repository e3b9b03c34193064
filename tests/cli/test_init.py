"""`contentdb init`, `migrate`, and roots that are no store."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

from click.testing import CliRunner

from contentdb.cli import app
from contentdb.local.index.revision import HEAD
from tests.cli.shell import PROGRAM, call, only_line, records, stored
from tests.fixtures import tree
from tests.upgrade.older import take_back

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_init_makes_a_store_and_leaves_one_as_it_is(root: Path) -> None:
    assert only_line(call(root, "init").stdout) == f"store at {root}"
    stored(root, b"hello")
    before = tree(root)
    assert records(call(root, "init", "--json").stdout) == [{"root": str(root)}]
    assert call(root, "init", "-q").stdout == ""
    assert tree(root) == before


def test_a_root_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    result = call(tmp_path / "file", "init")
    assert result.exit_code == 1
    assert f"{tmp_path / 'file'}: it is a file, not a directory" in only_line(result.stderr)
    assert tree(tmp_path) == {"file": b"mine"}


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    result = call(tmp_path, "init")
    assert result.exit_code == 1
    assert "it holds 'letters'" in only_line(result.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_a_store_of_a_newer_revision_is_refused(root: Path) -> None:
    stored(root, b"hello")
    with closing(sqlite3.connect(root / "index.sqlite")) as index:
        index.execute("UPDATE alembic_version SET version_num = '9999'")
        index.commit()
    for command in ("ls", "migrate"):
        result = call(root, command)
        assert result.exit_code == 1
        assert "revision 9999" in only_line(result.stderr)


def test_a_root_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    as_others = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_others, *PROGRAM, "--root", str(tmp_path / "new"), "init"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Permission denied" in only_line(done.stderr)


def test_migrate_of_a_current_store_changes_nothing(root: Path) -> None:
    stored(root, b"hello")
    before = tree(root)
    assert only_line(call(root, "migrate").stdout) == f"index at revision {HEAD}"
    assert records(call(root, "migrate", "--json").stdout) == [{"revision": HEAD}]
    assert only_line(call(root, "migrate", "--dry-run").stdout) == "the index is up to date"
    assert records(call(root, "migrate", "--dry-run", "--json").stdout) == [{"needed": False}]
    assert tree(root) == before


def test_an_older_store_is_refused_until_it_is_migrated(root: Path) -> None:
    """Each command says what to do; afterwards all is there that was there before."""
    stored(root, b"hello")
    before = call(root, "ls", "--json").stdout
    take_back(root)
    for command in (["init"], ["ls"], ["active"], ["prune", "--older-than", "1h"]):
        result = call(root, *command)
        assert result.exit_code == 1
        assert f"revision 0001, not {HEAD}; run `contentdb migrate`" in only_line(result.stderr)
    assert only_line(call(root, "migrate", "--dry-run").stdout) == "would migrate the index"
    assert only_line(call(root, "migrate").stdout) == f"index at revision {HEAD}"
    assert call(root, "ls", "--json").stdout == before
    assert call(root, "init").exit_code == 0


def test_migrate_of_no_store_is_exit_4(root: Path) -> None:
    assert call(root, "migrate").exit_code == 4
    assert not root.exists()


def test_a_served_store_is_meant_though_a_database_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for other commands, the address of the environment comes before its root."""
    monkeypatch.setenv("CONTENTDB_ROOT", "postgresql://nowhere/store")
    monkeypatch.setenv("CONTENTDB_ADDRESS", f"unix://{tmp_path}/nothing listens here")
    result = CliRunner().invoke(app.contentdb, ["init"])
    assert result.exit_code != 0
    assert "--objects" not in result.output
