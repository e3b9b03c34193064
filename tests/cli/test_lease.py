"""`contentdb lease`: leases for scripts, and commands that join them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import contentdb
from contentdb.digest import Digest
from tests.cli.shell import call, records, stored

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_CONTENTDB = f"{sys.executable} -m contentdb"


def kept(root: Path, lease: str) -> set[str]:
    with contentdb.open(root) as store:
        return {item.name for item in store.use_lease(lease).items()}


def test_a_lease_is_begun_listed_and_ended(root: Path) -> None:
    contentdb.open(root).close()
    made = call(root, "lease", "create", "--id", "l", "--expires", "1h", "--label", "k=v")
    assert made.stdout == "l\n"
    (other,) = records(call(root, "lease", "create", "--flat", "--json").stdout)
    assert (other["flat"], other["expires_at"], other["holder"]) == (True, None, None)
    found = records(call(root, "lease", "ls", "--json").stdout)
    assert [info["id"] for info in found] == sorted(["l", other["id"]])
    assert call(root, "lease", "ls", "-q", "--filter", "labels.k==v").stdout == "l\n"
    lines = call(root, "lease", "ls").stdout.splitlines()
    assert lines[0].split() == ["ID", "AGE", "ENDS", "HELD", "BY"]
    assert any(text.split()[0] == other["id"] and "never" in text for text in lines)
    again = call(root, "lease", "create", "--id", "l")
    assert again.exit_code == 1
    assert "choose another id" in again.stderr
    ended = call(root, "lease", "end", "l", "m", other["id"])
    assert (ended.exit_code, ended.stdout.split()) == (4, ["l", other["id"]])
    assert call(root, "lease", "ls").stdout == ""


def test_a_bad_time_is_refused(root: Path) -> None:
    contentdb.open(root).close()
    assert call(root, "lease", "create", "--expires", "soon").exit_code == 2


def test_what_is_added_joins_the_lease_that_is_named(root: Path, tmp_path: Path) -> None:
    (known,) = stored(root, b"known")
    call(root, "lease", "create", "--id", "l")
    for name in ("new", "known"):
        (tmp_path / name).write_bytes(name.encode())
    added = call(root, "--lease", "l", "add", str(tmp_path / "new"), str(tmp_path / "known"))
    assert added.exit_code == 0
    ingested = call(root, "--lease", "l", "ingest", "r", stdin=b"ingested")
    assert ingested.exit_code == 0
    wanted = {known, Digest.of(b"new"), Digest.of(b"ingested")}
    assert kept(root, "l") == wanted
    refused = call(root, "--lease", "m", "add", str(tmp_path / "new"))
    assert (refused.exit_code, refused.stderr) == (4, "contentdb: no lease 'm'\n")


def test_a_command_runs_under_a_lease(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children join it; it ends with the command, whose code is the exit code."""
    contentdb.open(root).close()
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    out = tmp_path / "leases"
    script = (
        f"cd / && printf content | {_CONTENTDB} ingest k && {_CONTENTDB} lease ls --json > {out}"
        f" && {_CONTENTDB} lease create --id mine -q && exit 7"
    )
    result = call(root.relative_to(root.parent), "lease", "run", "--", "sh", "-c", script)
    assert result.exit_code == 7, result.stderr
    (info,) = records(out.read_text())
    assert info["holder"].startswith(f"process {os.getpid()} ")
    assert info["labels"]["command"].startswith("sh -c")
    assert call(root, "lease", "ls", "-q").stdout == "mine\n"
    with contentdb.open(root) as store:
        assert store.exists(Digest.of(b"content"))


def test_a_command_does_not_go_to_a_served_store(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is in the store at --root, so the address of another is not handed on."""
    contentdb.open(root).close()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("CONTENTDB_ADDRESS", str(root / "nothing listens here"))
    script = f"printf content | {_CONTENTDB} ingest k"
    result = call(root, "lease", "run", "sh", "-c", script)
    assert result.exit_code == 0, result.stderr
    with contentdb.open(root) as store:
        assert store.exists(Digest.of(b"content"))


def test_a_command_that_is_killed_or_not_there(root: Path) -> None:
    contentdb.open(root).close()
    assert call(root, "lease", "run", "sh", "-c", "kill -9 $$").exit_code == 137
    missing = call(root, "lease", "run", "no such command")
    assert missing.exit_code == 1
    assert missing.stderr == "contentdb: no such command: No such file or directory\n"
    assert call(root, "lease", "ls").stdout == ""
