"""`contentdb ls` and `du`: what is there, and how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import call, digest_of, only_line, records, run

if TYPE_CHECKING:
    from pathlib import Path

SIZES = {digest_of(b"x" * size): size for size in (1, 2000, 300_000)}


@pytest.fixture
def root(root: Path) -> Path:
    """A store with three blobs, the largest of them labelled."""
    with contentdb.open(root) as store:
        for size in SIZES.values():
            labels = {"kind": "big\x1b[2J"} if size == 300_000 else None
            store.add(b"x" * size, labels=labels)
    return root


def sizes(root: Path, *args: object) -> list[int]:
    """The sizes that are listed, in order."""
    return [record["size"] for record in records(call(root, "ls", "--json", *args).stdout)]


def test_the_table_is_in_digest_order_with_size_age_and_labels(root: Path) -> None:
    head, *rows = call(root, "ls").stdout.splitlines()
    assert head.split() == ["DIGEST", "SIZE", "AGE", "LABELS"]
    assert [row.split()[0] for row in rows] == sorted(SIZES)
    (big,) = [row for row in rows if "293.0 KiB" in row]
    assert big.endswith(r"kind=big\x1b[2J")
    assert len({row.index("iB") for row in rows if "iB" in row}) == 1


def test_quiet_prints_digests_for_xargs(root: Path) -> None:
    assert call(root, "ls", "-q").stdout.split() == sorted(SIZES)


def test_json_has_exact_values(root: Path) -> None:
    (record,) = records(call(root, "ls", "--json", "--filter", "labels.kind").stdout)
    assert record["digest"] == digest_of(b"x" * 300_000)
    assert record["labels"] == {"kind": "big\x1b[2J"}
    assert record["created_at"] == record["updated_at"]
    assert record["created_at"].endswith("+00:00")


def test_lists_are_filtered_sorted_and_limited(root: Path) -> None:
    assert sizes(root, "--sort", "size") == [1, 2000, 300_000]
    assert sizes(root, "--sort=-size", "--limit", 2) == [300_000, 2000]
    assert sizes(root, "--limit", 0) == []
    assert sizes(root, "--filter", "size>1kB,size<1MB", "--sort", "size") == [2000, 300_000]
    assert sizes(root, "--filter", "size==1", "--filter", "labels.kind", "--sort", "size") == [
        1,
        300_000,
    ]


def test_a_filter_that_does_not_parse_is_shown_with_a_caret(root: Path) -> None:
    result = call(root, "ls", "--filter", "size>>1")
    assert (result.exit_code, result.stdout) == (2, "")
    *_, text, caret = result.stderr.splitlines()
    assert text[caret.index("^")] == ">"


def test_a_filter_full_of_sql_finds_nothing_and_does_nothing(root: Path) -> None:
    for text in ('labels.kind=="\'); DROP TABLE blobs; --"', 'labels."k\' OR 1=1 --"==x'):
        assert sizes(root, "--filter", text) == []
    assert sorted(sizes(root)) == [1, 2000, 300_000]


@pytest.mark.parametrize("options", [["--sort", "nix"], ["--limit", "-1"], ["--limit", "x"]])
def test_options_that_cannot_be_are_usage(root: Path, options: list[str]) -> None:
    result = call(root, "ls", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    only_line(result.stderr)


def test_an_empty_store_lists_nothing(tmp_path: Path) -> None:
    call(tmp_path / "new", "init")
    result = call(tmp_path / "new", "ls")
    assert (result.exit_code, result.stdout) == (0, "")


def test_no_store_is_exit_4_and_none_is_made(tmp_path: Path) -> None:
    result = call(tmp_path / "new", "ls")
    assert result.exit_code == 4
    assert "contentdb init" in only_line(result.stderr)
    assert not (tmp_path / "new").exists()


def test_the_root_comes_from_the_environment_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTENTDB_ROOT", str(root))
    assert run(root.parent / "nix", "ls").returncode == 4
    monkeypatch.chdir(root.parent)
    from click.testing import CliRunner

    from contentdb.cli.app import contentdb as command

    assert CliRunner().invoke(command, ["ls", "-q"]).stdout.split() == sorted(SIZES)


# -- du ----------------------------------------------------------------------------------------


def test_du_counts_blobs_ingests_and_bytes(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("r") as writer:
        writer.write(b"12345")
    total = sum(SIZES.values())
    assert records(call(root, "du", "--json").stdout) == [
        {"blobs": 3, "blob_bytes": total, "ingests": 1, "ingest_bytes": 5}
    ]
    assert call(root, "du", "-q").stdout == f"{total}\n"
    assert [row.split() for row in call(root, "du").stdout.splitlines()] == [
        ["KIND", "COUNT", "SIZE"],
        ["blobs", "3", "294.9", "KiB"],
        ["ingests", "1", "5", "B"],
    ]
