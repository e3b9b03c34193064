"""The commands at a store in a database."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from contentdb.errors import FailedPreconditionError

if TYPE_CHECKING:
    from pathlib import Path

    import contentdb


def run(*words: object, code: int = 0) -> str:
    command = [sys.executable, "-m", "contentdb", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_whole_life_of_a_store(database: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content" * 2000)
    assert "contentdb init" in run("--root", database, "ls", code=4)
    assert "--objects is missing" in run("--root", database, "init", code=2)
    assert run("--root", database, "init", "--objects", f"file://{tmp_path}/objects").startswith(
        "store at postgresql://"
    )
    digest = run("--root", database, "add", "-q", file).split()[0]
    assert digest in run("--root", database, "ls")
    assert run("--root", database, "cat", digest) == "content" * 2000
    run("--root", database, "tag", digest, "name")
    run("--root", database, "export", "name", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == file.read_bytes()
    assert "tag name" in run("--root", database, "why", digest)
    lease = ["lease", "run", "--", sys.executable, "-m", "contentdb"]
    run("--root", database, *lease, "lease", "ls")
    assert run("--root", database, "lease", "ls") == ""
    run("--root", database, "untag", "name")
    gone = run("--root", database, "gc", "--grace", "0", "--no-roots", "-q")
    assert gone.split() == [digest]
    assert "queued 0" in run("--root", database, "gc", "--status")
    told = json.loads(run("--root", database, "prune", "--older-than", "0", "--json"))
    assert (told["kind"], told["removed"]) == ("trash", True)
    assert json.loads(run("--root", database, "reindex", "--json")) == {"adopted": 0, "damaged": 0}
    assert run("--root", database, "migrate").startswith("index at revision")
    assert json.loads(run("--root", database, "migrate", "--dry-run", "--json")) == {
        "needed": False
    }


@pytest.mark.parametrize("words", ["pack", "policy"])
def test_what_only_stores_on_files_have(place: str, words: str) -> None:
    """There are no files to run it at, so the message must not send anyone there."""
    said = run("--root", place, *words.split(), code=2)
    assert f"a store in a database has no {words} yet" in said
    assert "where" not in said


def test_a_method_that_only_stores_on_files_have(store: contentdb.Store) -> None:
    digest = store.add(b"content").digest
    with pytest.raises(FailedPreconditionError, match="has no path"):
        store.path(digest)


def test_options_of_the_other_kind_are_refused(database: str, tmp_path: Path) -> None:
    assert "store on files" in run(
        "--root", database, "init", "--objects", "memory://x", "--pack-below", "1KiB", code=2
    )
    assert "postgresql://" in run(
        "--root", tmp_path / "store", "init", "--objects", "memory://x", code=2
    )
