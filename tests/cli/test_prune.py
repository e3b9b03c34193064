"""`contentdb prune`: what was abandoned goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import call, only_line, records, stored

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(root: Path) -> Path:
    """A store with a blob and an ingest that nobody holds."""
    stored(root, b"hello")
    with contentdb.open(root) as store, store.writer("r\n") as writer:
        writer.write(b"12345")
    return root


def test_only_what_is_old_goes(root: Path) -> None:
    assert call(root, "prune").stdout == ""
    assert only_line(call(root, "prune", "--older-than", "0s").stdout) == (
        r"removed ingest r\n (5 B)"
    )
    assert call(root, "active", "-q").stdout == ""
    assert call(root, "du", "-q").stdout == "5\n"


def test_a_dry_run_removes_nothing(root: Path) -> None:
    result = call(root, "prune", "--older-than", "0s", "--dry-run")
    assert only_line(result.stdout) == r"would remove ingest r\n (5 B)"
    (record,) = records(call(root, "prune", "--older-than", "0s", "--dry-run", "--json").stdout)
    assert (record["kind"], record["name"], record["removed"]) == ("ingest", "r\n", False)
    assert call(root, "active", "-q").stdout == "r\\n\n"


def test_what_is_held_stays(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("r\n"):
        assert call(root, "prune", "--older-than", "0s", "-q").stdout == ""


@pytest.mark.parametrize("age", ["", "1", "x", "-1s", "1y"])
def test_an_age_that_cannot_be_is_usage(root: Path, age: str) -> None:
    result = call(root, "prune", f"--older-than={age}")
    assert result.exit_code == 2
    assert "--older-than" in only_line(result.stderr)
