"""`contentdb doctor`: is this place fit?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb.local.index.revision import HEAD
from tests.cli.shell import call, records, stored
from tests.fixtures import tree

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["filesystem", "rename", "link", "fsync", "flock", "O_TMPFILE", "reflink", "one device",
         "directories", "free space", "SQLite", "revision"]  # fmt: skip


def test_all_is_tried_where_a_store_will_be_and_nothing_left(tmp_path: Path) -> None:
    result = call(tmp_path / "not" / "yet", "doctor")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == len(NAMES)
    assert list(tmp_path.iterdir()) == []


def test_json_names_each_check(root: Path) -> None:
    stored(root, b"hello")
    before = tree(root)
    found = records(call(root, "doctor", "--json").stdout)
    assert [check["name"] for check in found] == [*NAMES, "store"]
    assert {check["verdict"] for check in found} <= {"ok", "warn"}
    assert found[-2]["detail"] == HEAD
    assert tree(root) == before


def test_a_failure_is_exit_1_and_all_that_quiet_prints(root: Path) -> None:
    stored(root, b"hello")
    for suffix in ("-wal", "-shm"):
        (root / f"index.sqlite{suffix}").unlink(missing_ok=True)
    (root / "index.sqlite").write_bytes(b"no database at all" * 500)
    result = call(root, "doctor", "-q")
    assert result.exit_code == 1
    assert result.stdout.startswith("fail  revision")
    assert "contentdb reindex" in result.stdout


@pytest.mark.parametrize("name", ["index.sqlite", "blobs"])
def test_a_store_that_no_command_opens_is_a_failure(root: Path, name: str) -> None:
    stored(root, b"hello")
    (root / name).rename(root.parent / name)
    result = call(root, "doctor", "-q")
    assert result.exit_code == 1
    assert "fail  store" in result.stdout
