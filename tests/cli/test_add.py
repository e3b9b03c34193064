"""`contentdb add`: files in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.shell import PROGRAM, call, digest_of, only_line, records
from tests.fixtures import blob_files

DIGEST = digest_of(b"hello")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with something in it."""
    path = tmp_path / "a file\n"
    path.write_bytes(b"hello")
    return path


@pytest.mark.parametrize("link", ["copy", "reflink", "hardlink", "move"])
def test_a_file_gets_in_by_any_way(root: Path, file: Path, link: str) -> None:
    result = call(root, "add", "--link", link, file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert blob_files(root) == {DIGEST: b"hello"}
    assert file.exists() == (link != "move")


def test_a_line_has_digest_and_name_escaped(root: Path, file: Path) -> None:
    assert call(root, "add", file).stdout == f"{DIGEST} {str(file)[:-1]}\\n\n"
    assert call(root, "add", "-q", file).stdout == f"{DIGEST}\n"
    (record,) = records(call(root, "add", "--json", file).stdout)
    assert (record["digest"], record["file"]) == (DIGEST, str(file))


def test_each_is_tried_and_the_bad_ones_are_told(root: Path, file: Path, tmp_path: Path) -> None:
    result = call(root, "add", "-q", tmp_path / "nix", tmp_path, "/dev/zero", file)
    assert (result.exit_code, result.stdout) == (1, f"{DIGEST}\n")
    missing, folder, device = result.stderr.splitlines()
    assert "nix: No such file or directory" in missing
    assert "not a regular file" in folder
    assert "/dev/zero" in device


def test_labels_are_set_on_what_is_stored_already_too(root: Path, file: Path) -> None:
    call(root, "add", "--label", "a=1", "--label", "b=1", file)
    call(root, "add", "--label", "a=2", file)
    (record,) = records(call(root, "info", "--json", DIGEST).stdout)
    assert record["labels"] == {"a": "2", "b": "1"}


def test_a_label_that_cannot_be_stores_nothing(root: Path, file: Path) -> None:
    assert call(root, "add", "--label", "a", file).exit_code == 2
    assert not root.exists()
    assert call(root, "add", "--label", "a=" + "x" * 4096, file).exit_code == 2
    assert blob_files(root) == {}


def test_a_dash_is_standard_input(root: Path, file: Path) -> None:
    result = call(root, "add", file, "-", stdin=b"from a pipe")
    assert result.stdout.splitlines()[1] == f"{digest_of(b'from a pipe')} -"
    assert set(blob_files(root)) == {DIGEST, digest_of(b"from a pipe")}


@pytest.mark.parametrize("words", [("-", "-"), ("--link", "move", "-")])
def test_standard_input_cannot_be_read_twice_nor_moved(root: Path, words: tuple[str, ...]) -> None:
    """What is behind its end would be stored as an empty blob."""
    result = call(root, "add", *words, stdin=b"from a pipe")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "standard input" in only_line(result.stderr)
    assert not root.exists()


def test_an_error_of_standard_input_names_it(root: Path) -> None:
    words = [*PROGRAM, "--root", str(root), "add", "-"]
    with Path("/proc/self/mem").open("rb") as stdin:  # nothing can be read at its beginning
        done = subprocess.run(words, stdin=stdin, capture_output=True, check=False)
    assert done.returncode == 1
    assert only_line(done.stderr) == "contentdb: standard input: Input/output error"
