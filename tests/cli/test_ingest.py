"""`contentdb ingest`: the main job, and whatever may go wrong with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import contentdb
from tests.cli.shell import call, digest_of, only_line, records, run, start, stored, wait_until
from tests.fixtures import tree

CONTENT = b"all of the content"
DIGEST = digest_of(CONTENT)


def kept(root: Path, ref: str) -> int:
    """How many bytes an ingest has."""
    try:
        with contentdb.open(root, create=False) as store:
            return store.status(ref).offset
    except contentdb.ContentDBError:
        return 0


# -- the main job ------------------------------------------------------------------------------

EACH = f"""
digest=sha256:$(sha256sum < "$0" | cut -c1-64)
size=$(stat -c %s "$0")
contentdb="{sys.executable} -m contentdb"
exec $contentdb ingest --expected-digest $digest --expected-size $size $digest < "$0"
"""


def test_the_main_job_ten_at_a_time(root: Path) -> None:
    """Real files by many processes, some content twice; a second run changes nothing."""
    files = sorted(Path(os.__file__).parent.glob("[a-c]*.py"))[:16]
    names = b"\0".join(os.fsencode(path) for path in [*files, files[0], files[1]])
    wanted = sorted({digest_of(path.read_bytes()) for path in files})
    states = []
    for _ in range(2):
        job = subprocess.run(
            ["xargs", "-0", "-P10", "-n1", "sh", "-c", EACH],
            input=names,
            capture_output=True,
            check=False,
            env=os.environ | {"CONTENTDB_ROOT": str(root)},
        )
        assert (job.returncode, job.stderr) == (0, b"")
        assert call(root, "ls", "-q").stdout.split() == wanted
        assert call(root, "active", "-q").stdout == ""
        states.append(tree(root))
    assert states[0] == states[1]
    assert call(root, "verify", "-q").exit_code == 0


def test_what_is_stored_is_not_read(root: Path) -> None:
    """Standard input is a pipe that nobody ever writes to or closes."""
    stored(root, CONTENT)
    with start(root, "ingest", "--expected-digest", DIGEST) as process:
        assert process.stdout is not None
        assert only_line(process.stdout.read()) == DIGEST
        assert process.wait() == 0


def test_the_second_of_two_waits_and_reads_nothing(root: Path) -> None:
    with contentdb.open(root) as store, store.writer(DIGEST, expected=DIGEST) as writer:
        with start(root, "ingest", "--expected-digest", DIGEST) as second:
            writer.write(CONTENT)
            writer.commit()
            assert second.stdout is not None
            assert only_line(second.stdout.read()) == DIGEST
            assert second.wait() == 0
        assert call(root, "active", "-q").stdout == ""


def test_the_second_takes_over_where_the_first_was_killed(root: Path) -> None:
    with start(root, "ingest", "r") as first:
        assert first.stdin is not None
        first.stdin.write(CONTENT[:5])
        first.stdin.flush()
        wait_until(lambda: kept(root, "r") == 5)
        with start(root, "ingest", "r") as second:
            first.kill()
            out, err = second.communicate(CONTENT)
        assert (only_line(out), err, second.returncode) == (DIGEST, b"", 0)


@pytest.mark.parametrize("options", [["--no-wait"], ["--wait", "0.01"]])
def test_a_held_ref_is_exit_5_for_who_does_not_wait(root: Path, options: list[str]) -> None:
    with contentdb.open(root) as store, store.writer("r"):
        result = call(root, "ingest", *options, "r", stdin=CONTENT)
    assert (result.exit_code, result.stdout) == (5, "")
    assert "'r' is held" in only_line(result.stderr)


# -- interrupted -------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_a_resumable_ingest_and_says_so(
    root: Path, number: signal.Signals, code: int
) -> None:
    with start(root, "ingest", "a ref") as process:
        assert process.stdin is not None
        process.stdin.write(CONTENT[:5])
        process.stdin.flush()
        wait_until(lambda: kept(root, "a ref") == 5)
        process.send_signal(number)
        assert process.wait() == code
        assert process.stderr is not None
        said = only_line(process.stderr.read())
    assert "5 B kept: run the same command again" in said
    assert f"`contentdb --root {root} abort 'a ref'`" in said
    result = call(root, "ingest", "a ref", stdin=CONTENT)
    assert (result.exit_code, only_line(result.stdout)) == (0, DIGEST)


# -- not what was declared ---------------------------------------------------------------------


def test_a_source_that_is_too_short_is_kept_to_be_resumed(root: Path) -> None:
    result = call(root, "ingest", "--expected-size", len(CONTENT), "r", stdin=CONTENT[:5])
    assert result.exit_code == 1
    said = only_line(result.stderr)
    assert "ref 'r': expected 18 bytes, got 5; 5 B kept" in said
    assert kept(root, "r") == 5
    assert call(root, "ingest", "--expected-size", 18, "r", stdin=CONTENT).exit_code == 0


def test_a_source_that_is_too_long_stores_nothing(root: Path) -> None:
    result = call(root, "ingest", "--expected-size", 5, "r", stdin=CONTENT)
    assert result.exit_code == 1
    assert "nothing is stored" in only_line(result.stderr)
    assert f"`contentdb --root {root} abort r`" in result.stderr
    assert call(root, "ls", "-q").stdout == ""


def test_a_wrong_digest_stores_nothing(root: Path) -> None:
    result = call(root, "ingest", "--expected-digest", DIGEST, stdin=b"something else")
    assert result.exit_code == 1
    assert f"expected content {DIGEST}, got {digest_of(b'something else')}" in result.stderr
    assert f"`contentdb --root {root} abort {DIGEST}`" in only_line(result.stderr)
    assert call(root, "ls", "-q").stdout == ""
    assert call(root, "abort", DIGEST).exit_code == 0


@pytest.mark.parametrize("other", [b"VERSION 2", b"some other content", CONTENT[:7]])
def test_another_input_under_a_ref_is_stored_as_it_is(root: Path, other: bytes) -> None:
    """What an earlier command left of other content, and said of it, is not mixed in."""
    call(root, "ingest", "--expected-size", 18, "r", stdin=CONTENT[:5])
    result = call(root, "ingest", "--expected-size", len(other), "r", stdin=other)
    assert (result.exit_code, only_line(result.stdout)) == (0, digest_of(other))
    assert call(root, "active", "-q").stdout == ""


def test_the_right_input_is_taken_after_a_wrong_one(root: Path) -> None:
    for wrong in (CONTENT[:-1], b"something else", CONTENT + b"!"):
        result = call(root, "ingest", "--expected-digest", DIGEST, "r", stdin=wrong)
        assert "give the right content" in only_line(result.stderr)
    result = call(root, "ingest", "--expected-digest", DIGEST, "r", stdin=CONTENT)
    assert (result.exit_code, only_line(result.stdout)) == (0, DIGEST)


# -- refs and digests --------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["../../x", "a/b", "..", "a\nb", "-q", "größe 大", " ", "a" * 4096])
def test_any_text_is_a_ref_and_harms_nothing(root: Path, ref: str) -> None:
    result = call(root, "ingest", "--expected-size", 99, "--", ref, stdin=CONTENT)
    assert result.exit_code == 1
    only_line(result.stderr)
    assert [row["ref"] for row in records(call(root, "active", "--json").stdout)] == [ref]
    assert call(root, "abort", "--", ref).exit_code == 0
    assert sorted(path.name for path in root.parent.iterdir()) == [root.name]


@pytest.mark.parametrize("ref", ["", "a" * 4097, "a\0b"])
def test_a_ref_that_cannot_be_is_refused(root: Path, ref: str) -> None:
    result = call(root, "ingest", ref, stdin=CONTENT)
    assert result.exit_code == 2
    assert "invalid ref" in only_line(result.stderr)


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        ("x", "must have the form"),
        ("sha256:2cf24d", "64 hexadecimal characters, not 6"),
        (DIGEST.upper(), "must have the form"),
        ("sha256:" + DIGEST[7:].upper(), "only the characters 0-9 and a-f"),
        ("md5:" + "0" * 32, "not supported; use one of"),
    ],
)
def test_a_digest_that_cannot_be_is_refused(root: Path, digest: str, reason: str) -> None:
    result = call(root, "ingest", "--expected-digest", digest, "r", stdin=CONTENT)
    assert result.exit_code == 2
    assert reason in only_line(result.stderr)
    assert call(root, "active", "-q").stdout == ""


def test_it_needs_a_ref_or_a_digest(root: Path) -> None:
    result = call(root, "ingest")
    assert result.exit_code == 2
    assert "give a REF, or --expected-digest" in only_line(result.stderr)
    assert not root.exists()


def test_waiting_and_not_waiting_exclude_each_other(root: Path) -> None:
    result = call(root, "ingest", "--wait", 1, "--no-wait", "r")
    assert result.exit_code == 2
    assert "exclude each other" in only_line(result.stderr)


# -- output ------------------------------------------------------------------------------------


def test_it_prints_the_digest_or_the_record_or_nothing(root: Path) -> None:
    assert only_line(call(root, "ingest", "r", stdin=CONTENT).stdout) == DIGEST
    (record,) = records(call(root, "ingest", "--json", "s", stdin=CONTENT).stdout)
    assert (record["digest"], record["size"]) == (DIGEST, 18)
    assert call(root, "ingest", "-q", "t", stdin=CONTENT).stdout == ""


def test_labels_go_to_the_new_blob(root: Path) -> None:
    call(root, "ingest", "--label", "a=b", "--label", "c=d=e", "r", stdin=CONTENT)
    (record,) = records(call(root, "info", "--json", DIGEST).stdout)
    assert record["labels"] == {"a": "b", "c": "d=e"}


def test_nothing_at_all_is_the_empty_blob(root: Path) -> None:
    result = run(root, "ingest", "--expected-size", 0, "r")
    assert (only_line(result.stdout), result.returncode) == (digest_of(b""), 0)
