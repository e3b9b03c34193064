"""`contentdb verify`, `repair` and `reindex`: files and index compared, and mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import call, digest_of, only_line, records, stored
from tests.fixtures import tree

if TYPE_CHECKING:
    from pathlib import Path

GOOD, ALTERED, MISSING, ORPHAN = (digest_of(b"%d" % number) for number in range(4))


@pytest.fixture
def root(root: Path) -> Path:
    """A store with four blobs, three of them harmed by hand."""
    stored(root, b"0", b"1", b"2", b"3")
    with contentdb.open(root) as store:
        paths = [store.path(digest) for digest in (ALTERED, MISSING, ORPHAN)]
        store.delete(ORPHAN)
    paths[0].chmod(0o644)
    paths[0].write_bytes(b"?")
    paths[1].unlink()
    paths[2].write_bytes(b"3")
    paths[2].chmod(0o444)
    return root


def kinds(text: str) -> dict[str, str]:
    """What was found of which digest."""
    return {record["digest"]: record["kind"] for record in records(text)}


FOUND = {ALTERED: "corrupt", MISSING: "missing", ORPHAN: "orphan"}


@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_verify_tells_what_differs_and_is_exit_3(root: Path, options: list[str]) -> None:
    before = tree(root)
    result = call(root, "verify", *options, "--json")
    assert (result.exit_code, kinds(result.stdout)) == (3, FOUND)
    assert tree(root) == before


def test_verify_ends_with_a_summary_and_quiet_prints_digests(root: Path) -> None:
    *findings, summary = call(root, "verify").stdout.splitlines()
    assert {line.split()[0] for line in findings} == set(FOUND.values())
    assert summary == "3 blobs, 3 B: 3 found"
    assert sorted(call(root, "verify", "-q").stdout.split()) == sorted(FOUND)


def test_verify_of_a_whole_store_is_exit_0(tmp_path: Path) -> None:
    stored(tmp_path / "whole", b"hello")
    result = call(tmp_path / "whole", "verify")
    assert (result.exit_code, only_line(result.stdout)) == (0, "1 blobs, 5 B: nothing found")
    assert call(tmp_path / "whole", "verify", "--json").stdout == ""


def test_repair_mends_what_was_found(root: Path) -> None:
    result = call(root, "repair", "--json")
    assert result.exit_code == 0
    actions = {record["digest"]: record["action"] for record in records(result.stdout)}
    assert actions == {
        ALTERED: "quarantined", MISSING: "marked as missing", ORPHAN: "adopted"
    }  # fmt: skip
    assert call(root, "cat", ORPHAN).stdout == "3"
    stored(root, b"1", b"2")  # heals
    assert call(root, "verify", "-q").exit_code == 0


def test_a_dry_run_of_repair_changes_nothing(root: Path) -> None:
    before = tree(root)
    result = call(root, "repair", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.count("would be ") == 3
    assert tree(root) == before
    assert call(root, "verify", "-q").exit_code == 3


def test_repair_quietly(root: Path) -> None:
    assert call(root, "repair", "-q").stdout == ""


# -- reindex -----------------------------------------------------------------------------------


def test_reindex_brings_the_index_in_line_with_the_files(root: Path) -> None:
    assert records(call(root, "reindex", "--json").stdout) == [
        {"kept": 2, "adopted": 1, "dropped": 1, "quarantined": 0}
    ]
    assert sorted(call(root, "ls", "-q").stdout.split()) == sorted([GOOD, ALTERED, ORPHAN])


def test_an_index_that_is_no_database_is_made_anew(root: Path) -> None:
    for suffix in ("-wal", "-shm"):
        (root / f"index.sqlite{suffix}").unlink(missing_ok=True)
    (root / "index.sqlite").write_bytes(b"no database at all" * 500)
    result = call(root, "ls")
    assert result.exit_code == 1
    assert "`contentdb reindex` rebuilds it" in only_line(result.stderr)
    said = only_line(call(root, "reindex").stdout)
    assert said == "0 kept, 2 adopted, 0 dropped, 1 quarantined"
    assert sorted(call(root, "ls", "-q").stdout.split()) == sorted([GOOD, ORPHAN])


def test_reindex_dry_run_changes_nothing(root: Path) -> None:
    with contentdb.open(root) as store:
        lost = store.add(b"lost").digest
        path = store.path(lost)
    path.unlink()
    wanted = records(call(root, "reindex", "--dry-run", "--json").stdout)
    before = records(call(root, "ls", "--json").stdout)
    assert wanted[0]["dropped"] > 0
    assert records(call(root, "ls", "--json").stdout) == before
    assert records(call(root, "reindex", "--dry-run", "--json").stdout) == wanted
    assert call(root, "reindex", "--dry-run").stdout.startswith("would be: ")
    assert records(call(root, "reindex", "--json").stdout) == wanted


def test_reindex_dry_run_counts_the_files_of_a_store_without_index(root: Path) -> None:
    contentdb.open(root).close()
    for path in root.glob("index.sqlite*"):
        path.unlink()
    before = sorted(path.name for path in root.iterdir())
    [counts] = records(call(root, "reindex", "--dry-run", "--json").stdout)
    assert counts["kept"] == 0
    assert sorted(path.name for path in root.iterdir()) == before


def test_upkeep_is_that_of_the_namespace_that_was_named(root: Path) -> None:
    with contentdb.open(root, namespace="team") as store:
        path = store.path(store.add(b"theirs").digest)
    path.unlink()
    assert call(root, "--namespace", "team", "verify").stdout.startswith("missing sha256:")
    said = only_line(call(root, "--namespace", "team", "reindex").stdout)
    assert said.startswith("0 kept, ")
    assert ", 1 dropped, " in said
    assert path.name not in call(root, "--namespace", "team", "ls", "-q").stdout
