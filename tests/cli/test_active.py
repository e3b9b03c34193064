"""`contentdb active` and `abort`: what is coming in, and dropping it."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import call, only_line, records, start, stored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(root: Path) -> Path:
    """A store with three ingests; nobody holds them."""
    with contentdb.open(root) as store:
        for ref, written, total in (("a", 5, 10), ("b\n", 3, None), ("c", 9, 9)):
            with store.writer(ref, total=total) as writer:
                writer.write(b"x" * written)
    return root


def refs(root: Path, *args: object) -> list[str]:
    """The refs that are listed, in order."""
    return [record["ref"] for record in records(call(root, "active", "--json", *args).stdout)]


def test_the_table_tells_how_far_each_is_and_who_is_at_it(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("a", resume=True):
        head, *rows = call(root, "active").stdout.splitlines()
    assert head.split() == ["REF", "OFFSET", "TOTAL", "DONE", "STARTED", "HELD"]
    assert [row.split()[:5] for row in rows] == [
        ["a", "5", "B", "10", "B"],
        [r"b\n", "3", "B", "?", "?"],
        ["c", "9", "B", "9", "B"],
    ]
    assert "50%" in rows[0]
    assert [row.split()[-1] for row in rows] == ["yes", "no", "no"]


def test_json_has_exact_values(root: Path) -> None:
    first, second, _ = records(call(root, "active", "--json").stdout)
    assert (first["offset"], first["total"], first["held"]) == (5, 10, False)
    assert (second["ref"], second["total"], second["expected"]) == ("b\n", None, None)


def test_quiet_prints_refs_and_with_null_exact_ones(root: Path) -> None:
    assert call(root, "active", "-q").stdout == "a\nb\\n\nc\n"
    assert call(root, "active", "-q0").stdout == "a\0b\n\0c\0"


def test_lists_are_filtered_sorted_and_limited(root: Path) -> None:
    assert refs(root, "--filter", "offset>4") == ["a", "c"]
    assert refs(root, "--filter", "ref==c", "--filter", "total==10") == ["a", "c"]
    assert refs(root, "--sort=-offset") == ["c", "a", "b\n"]
    assert refs(root, "--sort", "offset", "--limit", 2) == ["b\n", "a"]


def test_a_filter_that_does_not_parse_is_shown_with_a_caret(root: Path) -> None:
    result = call(root, "active", "--filter", "offset>>4")
    assert (result.exit_code, result.stdout) == (2, "")
    *_, text, caret = result.stderr.splitlines()
    assert text[caret.index("^")] == ">"


def test_watching_goes_on_until_it_is_interrupted(root: Path) -> None:
    with start(root, "active", "--watch", "--interval", 0.05, "-q") as process:
        assert process.stdout is not None
        for _ in range(4):
            assert [process.stdout.readline() for _ in "abc"] == [b"a\n", b"b\\n\n", b"c\n"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        assert out.replace(b"a\nb\\n\nc\n", b"") in {b"", b"a\n", b"a\nb\\n\n"}


def test_watching_shows_what_comes_in_meanwhile(root: Path) -> None:
    with start(root, "active", "--watch", "--interval", 0.05, "--json") as process:
        out = process.stdout
        assert out is not None
        assert b'"a"' in out.readline()
        with contentdb.open(root) as store, store.writer("new"):
            assert any(b'"new"' in line for line in out)
        process.kill()


# -- abort -------------------------------------------------------------------------------------


def test_each_is_dropped_and_the_bad_ones_are_told(root: Path) -> None:
    result = call(root, "abort", "a", "nix", "b\n")
    assert result.exit_code == 4
    assert result.stdout == "a\nb\\n\n"
    assert "no ingest with ref 'nix'; `contentdb active`" in only_line(result.stderr)
    assert refs(root) == ["c"]


def test_one_that_is_held_is_exit_5(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("a"):
        result = call(root, "abort", "a")
    assert result.exit_code == 5
    assert "'a' is held" in only_line(result.stderr)
    assert "a" in refs(root)


def test_a_dry_run_drops_nothing(root: Path) -> None:
    result = call(root, "abort", "--dry-run", "a", "nix")
    assert (result.exit_code, result.stdout) == (4, "would abort a\n")
    assert records(call(root, "abort", "--dry-run", "--json", "a").stdout) == [
        {"ref": "a", "aborted": False}
    ]
    assert refs(root) == ["a", "b\n", "c"]


def test_quiet_says_nothing(root: Path) -> None:
    assert call(root, "abort", "-q", "a", "c").stdout == ""
    assert refs(root) == ["b\n"]


def test_a_dry_run_foretells_that_a_ref_is_held(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("r"):
        assert call(root, "abort", "--dry-run", "r").exit_code == 5


@pytest.mark.parametrize(
    "words", [["--interval", "nan"], ["--interval", "inf"], ["--limit", str(2**63)]]
)
def test_numbers_that_no_clock_and_no_database_have_are_usage(root: Path, words: list[str]) -> None:
    stored(root, b"hello")
    result = call(root, "active", *words)
    assert result.exit_code == 2
    only_line(result.stderr)


def test_more_than_a_page_has_one_head(root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / "index.sqlite")) as db:
        for number in range(2500):
            db.execute(
                "INSERT INTO ingests"
                " VALUES ('default', ?, ?, 't', NULL, NULL, 0, 1, 1, 'me', 1, NULL)",
                (f"many {number:04d}", f"name {number}"),
            )
        db.commit()
    head, *rows = call(root, "active").stdout.splitlines()
    assert head.startswith("REF")
    assert len(rows) == 2503
    assert not [row for row in rows if row.startswith("REF")]
    assert refs(root) == ["a", "b\n", "c", *(f"many {number:04d}" for number in range(2500))]
    assert refs(root, "--sort=-ref", "--limit", 2) == ["many 2499", "many 2498"]
    assert refs(root, "--limit", 2) == ["a", "b\n"]
    assert refs(root, "--sort=-ref")[-3:] == ["c", "b\n", "a"]
