"""`path` and `cat` answered without click and the library: the same as the whole command does."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb import Digest
from contentdb.cli import quick
from contentdb.digest import ALGORITHMS
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.store_folder import INDEX, SHARED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATA: Final = b"content\0\n\xff"
DIGEST: Final = str(Digest.of(DATA))
LONG: Final = str(Digest.of(DATA, "sha512"))
MISSING: Final = str(Digest.of(b"missing"))


@pytest.fixture
def filled(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if "CONTENTDB_" in name]:
        monkeypatch.delenv(name)
    with contentdb.open(root) as store:
        store.add(DATA)
        store.add(DATA, expected=LONG)
    return root


def run(arguments: list[str], **settings: str) -> tuple[bytes, bytes, int]:
    done = subprocess.run(
        [sys.executable, "-m", "contentdb", *arguments],
        capture_output=True,
        env=os.environ | settings,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


SHAPES: Final = [
    ["path", DIGEST],
    ["path", "-q", DIGEST],
    ["path", DIGEST, LONG, DIGEST],
    ["cat", DIGEST],
    ["cat", LONG],
]
OTHERS: Final = [
    ["path", "--json", DIGEST],
    ["path", DIGEST, MISSING],
    ["path", DIGEST[:20]],
    ["path", DIGEST.upper()],
    ["path", "--", DIGEST],
    ["path"],
    ["path", "-q"],
    ["path", "--help"],
    ["cat"],
    ["cat", MISSING],
    ["cat", DIGEST, LONG],
    ["cat", "-q", DIGEST],
    ["cat", "--offset", "2", DIGEST],
    ["info", DIGEST],
    ["--namespace", "other", "path", DIGEST],
]


@pytest.mark.parametrize("arguments", SHAPES, ids=" ".join)
def test_a_common_shape_is_answered_as_by_the_whole_command(
    filled: Path, arguments: list[str]
) -> None:
    line = ["--root", str(filled), *arguments]
    answer = quick.answer(line)
    assert answer is not None
    assert run(line) == (answer, b"", 0)
    assert run(line, CONTENTDB_NAMESPACE="default") == (answer, b"", 0)  # asks the whole command
    assert run(arguments, CONTENTDB_ROOT=str(filled)) == (answer, b"", 0)


@pytest.mark.parametrize("arguments", OTHERS, ids=" ".join)
def test_any_other_shape_is_left_to_the_whole_command(filled: Path, arguments: list[str]) -> None:
    assert quick.answer(["--root", str(filled), *arguments]) is None


def test_nothing_of_click_or_of_the_index_is_imported(filled: Path) -> None:
    program = (
        "import sys; from contentdb.cli import quick; "
        f"assert quick.answer(['--root', {str(filled)!r}, 'cat', {DIGEST!r}]) is not None; "
        "print(sorted({'click', 'typing', 're', 'sqlite3', 'enum'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def _blob(root: Path) -> Path:
    return root / "blobs" / "sha256" / DIGEST[7:9] / DIGEST[7:]


def _damage(root: Path) -> None:
    _blob(root).chmod(0o600)
    _blob(root).write_bytes(DATA[::-1])


def _replace_by_link(root: Path) -> None:
    _blob(root).rename(root / "elsewhere")
    _blob(root).symlink_to(root / "elsewhere")


def _replace_shard_by_link(root: Path) -> None:
    shard = _blob(root).parent
    shard.rename(root / "elsewhere")
    shard.symlink_to(root / "elsewhere")


def _replace_by_pipe(root: Path) -> None:
    _blob(root).unlink()
    os.mkfifo(_blob(root))


def _be_deleted(root: Path) -> None:
    os.utime(_blob(root), ns=(BEING_DELETED_NS, BEING_DELETED_NS))


def _delete(root: Path) -> None:
    with contentdb.open(root) as store:
        store.delete(DIGEST)


def _use_another_namespace(root: Path) -> None:
    contentdb.open(root, namespace="other").close()


def _let_others_write(root: Path) -> None:
    root.chmod(0o777)


def _lose_index(root: Path) -> None:
    (root / INDEX).unlink()


def _lose_flags(root: Path) -> None:
    (root / SHARED).unlink()


def _be_of_another_program(root: Path) -> None:
    index = bytearray((root / INDEX).read_bytes())
    index[68:72] = b"ABCD"
    (root / INDEX).write_bytes(index)


def _be_of_a_later_version(root: Path) -> None:
    index = bytearray((root / INDEX).read_bytes())
    index[60:64] = (9).to_bytes(4, "big")
    (root / INDEX).write_bytes(index)


@pytest.mark.parametrize(
    "change",
    [
        _replace_by_link,
        _replace_shard_by_link,
        _replace_by_pipe,
        _be_deleted,
        _delete,
        _use_another_namespace,
        _let_others_write,
        _lose_index,
        _lose_flags,
        _be_of_another_program,
        _be_of_a_later_version,
    ],
)
@pytest.mark.parametrize("command", ["path", "cat"])
def test_a_store_that_is_not_as_it_should_be_is_left_to_the_whole_command(
    filled: Path, change: Callable[[Path], None], command: str
) -> None:
    change(filled)
    line = ["--root", str(filled), command, DIGEST]
    assert quick.answer(line) is None
    assert run(line) == run(line, CONTENTDB_NAMESPACE="default")


@pytest.mark.parametrize("command", ["path", "cat"])
def test_a_whole_file_answers_before_its_row_is_recorded(filled: Path, command: str) -> None:
    """As a kill between the two leaves it; an open store reads it too."""
    with sqlite3.connect(filled / INDEX) as db:
        db.execute("DELETE FROM blobs")
    db.close()
    line = ["--root", str(filled), command, DIGEST]
    assert run(line) == run(line, CONTENTDB_NAMESPACE="default") == (quick.answer(line), b"", 0)


def test_the_digests_are_those_of_the_library() -> None:
    assert quick._HEX_DIGITS == ALGORITHMS


def test_damaged_content_is_not_printed(filled: Path) -> None:
    _damage(filled)
    line = ["--root", str(filled), "cat", DIGEST]
    assert quick.answer(line) is None
    out, told, code = run(line)
    assert (out, code) == (b"", 1)
    assert b"damaged" in told or b"corrupt" in told.lower()


def test_large_content_is_left_to_the_whole_command(filled: Path) -> None:
    with contentdb.open(filled) as store:
        large, largest = bytes((1 << 20) + 1), bytes(1 << 20)
        assert quick.answer(["--root", str(filled), "cat", store.add(large).digest]) is None
        assert quick.answer(["--root", str(filled), "cat", store.add(largest).digest]) == largest


@pytest.mark.parametrize("name", ["CONTENTDB_ADDRESS", "CONTENTDB_LOG", "_CONTENTDB_COMPLETE"])
def test_any_setting_is_left_to_the_whole_command(
    filled: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "")
    assert quick.answer(["--root", str(filled), "path", DIGEST]) is None


def test_the_store_is_the_one_that_is_named(
    filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(filled)
    real = quick.answer(["--root", str(filled), "path", DIGEST])
    assert quick.answer(["--root", str(link), "path", DIGEST]) == real
    assert quick.answer(["--root", "", "path", DIGEST]) is None
    assert quick.answer(["--root", str(tmp_path / "none"), "path", DIGEST]) is None
    monkeypatch.chdir(tmp_path)
    filled.rename(tmp_path / ".content")
    assert quick.answer(["path", DIGEST]) is not None


def test_a_closed_or_full_output_is_told_as_ever(filled: Path) -> None:
    line = [sys.executable, "-m", "contentdb", "--root", str(filled), "cat", DIGEST]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"standard output" in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
