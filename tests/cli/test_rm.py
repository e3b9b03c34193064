"""`contentdb rm`: removal."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import PROGRAM, call, only_line, records, stored
from tests.fixtures import blob_files

if TYPE_CHECKING:
    from pathlib import Path


def test_each_is_removed_and_the_bad_ones_are_told(root: Path) -> None:
    one, two, three = stored(root, b"1", b"2", b"3")
    result = call(root, "rm", one, "xyz", "ffff", three, one)
    assert result.exit_code == 2
    assert result.stdout.split() == [one, three]
    assert len(result.stderr.splitlines()) == 3
    assert list(blob_files(root)) == [two]


def test_a_dry_run_removes_nothing(root: Path) -> None:
    (digest,) = stored(root, b"1")
    result = call(root, "rm", "--dry-run", digest, "ffff")
    assert (result.exit_code, result.stdout) == (4, f"would remove {digest}\n")
    assert records(call(root, "rm", "--dry-run", "--json", digest).stdout) == [
        {"digest": digest, "removed": False}
    ]
    assert list(blob_files(root)) == [digest]


def test_json_and_quiet(root: Path) -> None:
    one, two = stored(root, b"1", b"2")
    assert records(call(root, "rm", "--json", one).stdout) == [{"digest": one, "removed": True}]
    assert call(root, "rm", "-q", two).stdout == ""
    assert blob_files(root) == {}


def test_a_listing_goes_through_xargs(root: Path) -> None:
    stored(root, *(b"%d" % number for number in range(50)))
    command = f'{" ".join(PROGRAM)} --root "$0"'
    line = f"{command} ls -q | xargs -n20 {command} rm -q"
    done = subprocess.run(["sh", "-c", line, root], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert blob_files(root) == {}


def test_it_needs_a_digest(root: Path) -> None:
    result = call(root, "rm")
    assert result.exit_code == 2
    assert "Missing argument" in only_line(result.stderr)


def test_a_dry_run_foretells_that_a_damaged_blob_goes(root: Path) -> None:
    (digest,) = stored(root, b"hello")
    with contentdb.open(root) as store:
        store.path(digest).unlink()
    assert call(root, "path", digest).exit_code == 1
    assert call(root, "rm", "--dry-run", digest).exit_code == 0
    assert call(root, "rm", digest).exit_code == 0


@pytest.mark.parametrize("text", ["", "sha256:"])
def test_a_variable_that_is_not_set_removes_nothing(root: Path, text: str) -> None:
    stored(root, b"hello")
    assert call(root, "rm", text).exit_code == 2
    assert call(root, "ls", "-q").stdout


@pytest.mark.real("strace")
def test_many_are_removed_with_few_syncs(root: Path) -> None:
    digests = stored(root, *(b"%d" % number for number in range(200)))
    command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,syncfs", *PROGRAM]
    done = subprocess.run(
        [*command, "--root", root, "rm", "--stdin"],
        input="\n".join([*digests, "ffff", digests[0]]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == digests
    assert done.returncode == 4
    assert blob_files(root) == {}
    (total,) = (line for line in done.stderr.splitlines() if line.endswith(" total"))
    assert int(total.split()[3]) < 40


def test_one_that_another_process_removes_meanwhile_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = stored(root, b"1", b"2", b"3")
    resolve = contentdb.Store.resolve

    def remove_it_then(store: contentdb.Store, prefix: str) -> contentdb.Digest:
        digest = resolve(store, prefix)
        if digest == three:
            store.delete(two)
        return digest

    monkeypatch.setattr(contentdb.Store, "resolve", remove_it_then)
    result = call(root, "rm", one, two, three)
    assert (result.exit_code, result.stdout.split()) == (4, [one, three])
    assert two in only_line(result.stderr)
    assert blob_files(root) == {}
