"""`contentdb policy`, and what `gc` and `doctor` make of it."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from tests.cli.shell import call, records, stored

if TYPE_CHECKING:
    from pathlib import Path

SET = ("policy", "set", "--grace", "0", "--max-bytes", "100KB", "--low", "50%")


def test_it_is_set_told_and_cleared(root: Path) -> None:
    stored(root, b"hello")
    found = call(root, "policy")
    assert (found.exit_code, found.stdout) == (1, "no policy\n")
    line = "--grace 0s --max-bytes 100000 --low 50% --unused-for 30d --filter labels.a"
    made = call(root, *SET, "--unused-for", "30d", "--filter", "labels.a").stdout.splitlines()
    assert made == [line, "holds 5 B of 97.7 KiB, 0 B reserved"]
    assert call(root, "policy", "-q").stdout == f"{line}\n"
    (record,) = records(call(root, "policy", "--json").stdout)
    assert record == {
        "grace_s": 0, "unused_for_s": 2592000, "max_bytes": 100000, "low_bytes": 50000,
        "filters": ["labels.a"], "bytes": 5, "reserved": 0,
    }  # fmt: skip
    assert call(root, "policy", "clear").stdout == "no policy\n"
    assert call(root, "policy", "-q").exit_code == 1


def test_no_policy_is_a_record_too(root: Path) -> None:
    stored(root, b"hello")
    found = call(root, "policy", "--json")
    assert (found.exit_code, records(found.stdout)) == (1, [{"policy": None}])
    call(root, *SET)
    cleared = call(root, "policy", "clear", "--json")
    assert (cleared.exit_code, records(cleared.stdout)) == (0, [{"policy": None}])
    assert call(root, "policy", "clear", "-q").stdout == ""


def test_the_queue_is_counted_only_for_what_is_printed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(root, b"hello")
    call(root, *SET)
    monkeypatch.setattr(contentdb.Store, "queue_status", None)
    assert call(root, "policy", "-q").exit_code == 0
    call(root, "policy", "clear")
    assert call(root, "policy", "set", "--unused-for", "30d").stdout == "--unused-for 30d\n"


@pytest.mark.parametrize(
    "terms",
    [
        {"max_bytes": 3, "low": 1 / 3},
        {"max_bytes": 100, "low": 0.29},
        {"max_bytes": 10**12 + 7, "low": 1 / 7},
        {"max_bytes": 2**50 - 1, "low": 0.123456789},
        {"max_bytes": 2**63 - 1, "low": 1.0},
        {"max_bytes": 0},
        {"filters": ['labels."it\'s"=="$(a)"', 'labels.a=="\\u202e\\u0085"', "size>3"]},
    ],
)
def test_what_it_prints_makes_the_same_policy(root: Path, terms: dict[str, Any]) -> None:
    """In a shell, whatever the filters have, and to a byte."""
    with contentdb.open(root) as store:
        made = store.set_policy(**terms)
        line = call(root, "policy", "-q").stdout
        assert line.strip().isprintable()
        store.clear_policy()
        script = f"printf '%s\\0' {line}"
        output = subprocess.run(["bash", "-c", script], check=True, capture_output=True).stdout
        call(root, "policy", "set", *output.decode().split("\0")[:-1])
        assert store.policy() == made


def test_a_bad_policy_is_a_usage_error(root: Path) -> None:
    stored(root, b"hello")
    for wrong in (
        (),
        ("--low", "50%"),
        ("--max-bytes", "much"),
        ("--max-bytes", "1KB", "--low", "101%"),
        ("--max-bytes", "1KB", "--low", "100.1%"),
        ("--max-bytes", "1KB", "--low", "nan"),
        ("--unused-for", "long"),
        ("--filter", "size>"),
    ):
        assert call(root, "policy", "set", *wrong).exit_code == 2, wrong
    assert call(root, "policy").exit_code == 1


def test_gc_goes_by_it_and_by_its_options(root: Path) -> None:
    for number in range(3):
        stored(root, b"%d" % number * 30_000)
    call(root, *SET)
    told = call(root, "gc", "--dry-run", "--max-bytes", "80KB").stdout
    assert told.splitlines()[-1].startswith("would collect 1 blobs")
    assert call(root, "gc", "--max-bytes", "80KB", "-q").stdout.count("sha256:") == 1
    assert call(root, "gc", "-q").stdout == ""
    assert "holds 58.6 KiB, 0 B reserved" in call(root, "gc", "--status").stdout
    assert call(root, "gc", "--unused-for", "1h", "-q").stdout == ""
    assert call(root, "gc", "--filter", "size>100KB", "-q", "--no-roots").stdout == ""
    assert call(root, "gc", "--filter", "size>1KB", "-q", "--no-roots").stdout.count("sha256:") == 2


def test_what_does_not_fit_is_exit_1(root: Path) -> None:
    stored(root, b"hello")
    call(root, *SET)
    source = root.parent / "source"
    source.write_bytes(bytes(100_001))
    found = call(root, "add", str(source))
    assert found.exit_code == 1
    assert "may hold 100000 bytes" in found.stderr


def test_doctor_counts_what_is_within_a_bound(root: Path) -> None:
    stored(root, b"hello")
    assert "totals" not in call(root, "doctor").stdout
    call(root, *SET)
    assert "totals" in call(root, "doctor").stdout
    with contextlib.closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as db:
        db.execute("UPDATE totals SET bytes = 7")
    found = call(root, "doctor", "-q")
    assert found.exit_code == 1
    assert "policy set" in found.stdout
    call(root, *SET)
    assert call(root, "doctor", "-q").exit_code == 0


def test_a_store_that_is_only_read_keeps_its_policy(root: Path) -> None:
    stored(root, b"hello")
    call(root, *SET)
    with contentdb.open(root, mode="r") as store:
        found = store.policy()
        assert found is not None
        assert found.max_bytes == 100_000
        assert store.read(contentdb.Digest.of(b"hello")) == b"hello"
        with contextlib.suppress(contentdb.StoreReadOnlyError):
            store.set_policy(max_bytes=1)
            raise AssertionError
