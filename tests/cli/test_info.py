"""`contentdb info` and `label`: what is known of a blob, and its labels."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import files
from tests.cli.shell import call, digest_of, only_line, records, stored

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = digest_of(b"hello")


@pytest.fixture
def root(root: Path) -> Path:
    """A store with one blob that has one label."""
    stored(root, b"hello", kind="greeting")
    return root


def labels(root: Path) -> dict[str, str]:
    """The blob's labels."""
    (record,) = records(call(root, "info", "--json", DIGEST).stdout)
    found: dict[str, str] = record["labels"]
    return found


def test_info_tells_all_there_is(root: Path) -> None:
    digest, *rest = call(root, "info", "2cf2").stdout.splitlines()
    assert digest == DIGEST
    assert [line.split()[0] for line in rest] == ["size", "created", "updated", "label"]
    assert "(5 bytes)" in rest[0]
    assert rest[3].split()[1] == "kind=greeting"


def test_info_of_several_tells_the_bad_ones(root: Path) -> None:
    result = call(root, "info", "-q", "ffff", "2cf2")
    assert (result.exit_code, result.stdout) == (4, f"{DIGEST}\n")
    only_line(result.stderr)


def test_a_label_is_set_replaced_or_removed_and_the_others_stay(root: Path) -> None:
    assert call(root, "label", DIGEST, "a=1", "b=x=y").stdout == "a=1\nb=x=y\nkind=greeting\n"
    call(root, "label", DIGEST, "a=2", "b=")
    assert labels(root) == {"a": "2", "kind": "greeting"}
    call(root, "label", DIGEST, "a-")
    assert labels(root) == {"kind": "greeting"}


def test_json_gives_the_blob_and_quiet_nothing(root: Path) -> None:
    (record,) = records(call(root, "label", "--json", DIGEST, "a=1").stdout)
    assert (record["digest"], record["labels"]) == (DIGEST, {"a": "1", "kind": "greeting"})
    assert call(root, "label", "-q", DIGEST, "a=1").stdout == ""


@pytest.mark.parametrize("change", ["a", "=a", "-", "a=" + "x" * 4096, "x" * 4096 + "=a"])
def test_a_label_that_cannot_be_is_refused_and_nothing_changes(root: Path, change: str) -> None:
    result = call(root, "label", DIGEST, "good=1", "--", change)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "label" in only_line(result.stderr)
    assert labels(root) == {"kind": "greeting"}


def test_a_label_of_what_is_not_there_is_exit_4(root: Path) -> None:
    assert call(root, "label", "ffff", "a=1").exit_code == 4


def test_many_are_labelled_in_their_order_and_an_error_stops_none(root: Path) -> None:
    with contentdb.open(root) as store:
        digests = [store.add(b"%d" % number).digest for number in range(40)]
    words = [*digests[:20], "ffff", *digests[20:]]
    result = call(root, "label", *words, "a=1", "b=")
    assert result.exit_code == 4
    assert result.stdout.splitlines() == [f"{digest} a=1" for digest in digests]
    only_line(result.stderr)
    lines = "\n".join(reversed(digests))
    result = call(root, "label", "--json", "--stdin", "a=2", stdin=lines.encode())
    assert [record["digest"] for record in records(result.stdout)] == digests[::-1]
    result = call(root, "label", "-q", "--stdin", "-0", "a-", stdin="\0".join(digests).encode())
    assert (result.exit_code, result.stdout) == (0, "")
    with contentdb.open(root) as store:
        assert [info.labels for info in map(store.info, digests)] == [{}] * 40


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "Missing argument 'DIGEST…'"),
        (["a=1"], "Missing argument 'DIGEST…'"),
        ([DIGEST], "Missing argument 'K=V…'"),
        (["--stdin"], "Missing argument 'K=V…'"),
        (["--stdin", DIGEST, "a=1"], "not both"),
        (["-0", DIGEST, "a=1"], "-0 goes with --stdin"),
        ([DIGEST, "a=1", DIGEST], "is not k=v"),
    ],
)
def test_words_that_are_missing_or_misplaced_are_named(
    root: Path, words: list[str], told: str
) -> None:
    result = call(root, "label", *words)
    assert result.exit_code == 2
    assert told in only_line(result.stderr)
    assert labels(root) == {"kind": "greeting"}


def test_threads_that_label_share_syncs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = files.sync_data

    def note(fd: int, path: str) -> None:
        time.sleep(0.01)  # as a disk: meanwhile others commit
        synced.append(path)
        sync(fd, path)

    with contentdb.open(root) as store:
        digests = [store.add(b"%d" % number).digest for number in range(200)]
    monkeypatch.setattr(files, "sync_data", note)
    call(root, "label", *digests, "a=1")
    assert len(synced) < 100
