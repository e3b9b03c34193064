"""`contentdb cat` and `export`: bytes out."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import PROGRAM, call, digest_of, only_line, records, run, stored

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = bytes(range(256)) * 10_000
DIGEST = digest_of(CONTENT)


@pytest.fixture
def root(root: Path) -> Path:
    """A store with one blob of several pieces."""
    stored(root, CONTENT)
    return root


def damage(root: Path) -> None:
    """Change the blob's last byte by hand."""
    with contentdb.open(root) as store:
        path = store.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1] + b"!")


def test_cat_writes_all_bytes(root: Path) -> None:
    done = run(root, "cat", DIGEST)
    assert (done.stdout, done.returncode) == (CONTENT, 0)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 5), (7, 0), (1_000_000, 1_500_000), (2_559_999, 9), (2_560_000, 1)]
)
def test_cat_writes_a_part(root: Path, offset: int, length: int) -> None:
    result = call(root, "cat", DIGEST, "--offset", offset, "--length", length)
    assert result.exit_code == 0
    assert result.stdout_bytes == CONTENT[offset : offset + length]


def test_cat_from_an_offset_goes_to_the_end(root: Path) -> None:
    assert call(root, "cat", DIGEST, "--offset", 2_559_990).stdout_bytes == CONTENT[-10:]


def test_an_offset_behind_the_end_is_usage(root: Path) -> None:
    result = call(root, "cat", DIGEST, "--offset", 2_560_001)
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert only_line(result.stderr).endswith("is outside content of 2560000 bytes")


def test_a_damaged_blob_is_no_success(root: Path) -> None:
    damage(root)
    result = call(root, "cat", DIGEST)
    assert result.exit_code == 1
    assert "its bytes do not match its digest" in only_line(result.stderr)
    assert len(result.stdout_bytes) < len(CONTENT)


# -- export ------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["reflink", "hardlink", "copy"])
def test_export_makes_the_file(root: Path, tmp_path: Path, link: str) -> None:
    target = tmp_path / "out"
    result = call(root, "export", "--link", link, DIGEST, target)
    assert only_line(result.stdout) == str(target)
    assert target.read_bytes() == CONTENT


def test_export_replaces_what_is_there_and_leaves_nothing_else(root: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "out"
    target.write_bytes(b"old")
    assert records(call(root, "export", "--json", DIGEST, target).stdout) == [
        {"digest": DIGEST, "path": str(target)}
    ]
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert call(root, "export", "-q", DIGEST, target).stdout == ""


def test_export_of_a_damaged_blob_leaves_the_target_as_it_was(root: Path, tmp_path: Path) -> None:
    damage(root)
    target = tmp_path / "out"
    target.write_bytes(b"old")
    result = call(root, "export", DIGEST, target)
    assert result.exit_code == 1
    only_line(result.stderr)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["", "nix/out"])
def test_export_to_where_no_file_can_be_is_told(root: Path, tmp_path: Path, name: str) -> None:
    result = call(root, "export", DIGEST, tmp_path / name)
    assert result.exit_code == 1
    assert str(tmp_path) in only_line(result.stderr)


def test_export_to_a_dash_writes_to_standard_output(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(root, "export", DIGEST, "-").stdout_bytes == CONTENT
    assert not (tmp_path / "-").exists()
    assert only_line(call(root, "export", DIGEST, "./-").stdout) == "-"
    assert (tmp_path / "-").read_bytes() == CONTENT


def test_export_of_a_damaged_blob_to_standard_output_is_no_success(root: Path) -> None:
    damage(root)
    result = call(root, "export", DIGEST, "-")
    assert result.exit_code == 1
    assert "damaged" in only_line(result.stderr)
    assert not result.stdout_bytes.endswith(b"!")


@pytest.mark.parametrize("words", [("-", "--json"), ("new/",)])
def test_an_export_that_cannot_be_meant_so_is_usage(root: Path, words: tuple[str, ...]) -> None:
    result = call(root, "export", DIGEST, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    only_line(result.stderr)


def test_export_to_the_name_of_a_stream_leaves_it_and_tells_the_way(
    root: Path, tmp_path: Path
) -> None:
    """As `export D /dev/stdout > file`, which replaced the machine's own when root ran it."""
    stream = tmp_path / "stdout"
    stream.symlink_to("/proc/self/fd/1")
    with (tmp_path / "file").open("wb") as file:
        words = [*PROGRAM, "--root", str(root), "export", DIGEST, str(stream)]
        done = subprocess.run(words, stdout=file, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert f"`contentdb cat {DIGEST} > FILE`" in only_line(done.stderr)
    assert stream.is_symlink()
    assert (tmp_path / "file").read_bytes() == b""
