"""`contentdb path`: where the bytes are; and how digests may be written, with all commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import call, digest_of, only_line, records, stored
from tests.inside import blob_path

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = digest_of(b"hello")


@pytest.fixture
def root(root: Path) -> Path:
    """A store with one blob."""
    stored(root, b"hello")
    return root


def test_a_line_has_digest_and_path(root: Path) -> None:
    path = blob_path(root, contentdb.Digest(DIGEST))
    assert call(root, "path", DIGEST).stdout == f"{DIGEST} {path}\n"
    assert call(root, "path", "-q", DIGEST).stdout == f"{path}\n"
    assert records(call(root, "path", "--json", DIGEST).stdout) == [
        {"digest": DIGEST, "path": str(path)}
    ]
    assert path.read_bytes() == b"hello"


@pytest.mark.parametrize("text", [DIGEST, DIGEST[:11], DIGEST[:8], DIGEST[7:], DIGEST[7:9]])
def test_any_unique_beginning_will_do(root: Path, text: str) -> None:
    assert call(root, "path", text).stdout.startswith(DIGEST)


def test_a_beginning_of_several_is_refused_and_names_two(root: Path) -> None:
    (other,) = stored(root, b"8")  # begins with 2c too
    assert other[:9] == DIGEST[:9]
    result = call(root, "path", DIGEST[:9])
    assert (result.exit_code, result.stdout) == (2, "")
    assert DIGEST in only_line(result.stderr)
    assert other in result.stderr


@pytest.mark.parametrize("text", ["", "xyz", "sha256:xyz", DIGEST.upper(), DIGEST + "0", "../../x"])
def test_what_begins_no_digest_is_usage(root: Path, text: str) -> None:
    result = call(root, "path", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "invalid digest" in only_line(result.stderr)


@pytest.mark.parametrize("text", ["ffff", "sha512:0", "sha256:" + "0" * 64])
def test_what_is_not_there_is_exit_4(root: Path, text: str) -> None:
    result = call(root, "path", text)
    assert (result.exit_code, result.stdout) == (4, "")
    assert f"no blob {text}; `contentdb ls`" in only_line(result.stderr)


def test_each_is_tried_and_the_exit_is_the_first_error(root: Path) -> None:
    result = call(root, "path", "ffff", "2cf2", "xyz", DIGEST)
    assert result.exit_code == 4
    assert [line.split()[0] for line in result.stdout.splitlines()] == [DIGEST, DIGEST]
    assert len(result.stderr.splitlines()) == 2
    assert call(root, "path", "xyz", "ffff").exit_code == 2


def test_a_blob_whose_file_is_gone_is_told(root: Path) -> None:
    path = blob_path(root, contentdb.Digest(DIGEST))
    path.unlink()
    result = call(root, "path", DIGEST)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{path}: it" in only_line(result.stderr)
    assert result.stderr.endswith("; store its content again\n")


@pytest.mark.parametrize("name", ["a b", "100%", "quo'te", 'dou"ble', "größe", "new\nline"])
def test_roots_of_any_name(tmp_path: Path, name: str) -> None:
    stored(tmp_path / name, b"hello")
    assert records(call(tmp_path / name, "path", "--json", "2c").stdout) == [
        {"digest": DIGEST, "path": str(blob_path(tmp_path / name, contentdb.Digest(DIGEST)))}
    ]
