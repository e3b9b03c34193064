"""The commonest command lines, without click: the same as click's way does."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from contentdb import Digest
from contentdb.cli import quick
from contentdb.cli.adding import _File
from contentdb.digest import ALGORITHMS
from contentdb.local.file_times import BEING_DELETED_NS
from contentdb.store_folder import INDEX, SHARED

if TYPE_CHECKING:
    from collections.abc import Callable

DATA: Final = b"content\0\n\xff"
DIGEST: Final = str(Digest.of(DATA))
LONG: Final = str(Digest.of(DATA, "sha512"))
MISSING: Final = str(Digest.of(b"missing"))
GIVEN: Final = b"given\n"
GIVEN_DIGEST: Final = str(Digest.of(GIVEN))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting in the environment would send every command line to click."""
    for name in [name for name in os.environ if "CONTENTDB_" in name]:
        monkeypatch.delenv(name)


@pytest.fixture
def filled(root: Path) -> Path:
    with contentdb.open(root) as store:
        store.add(DATA, labels={"k": "v", "ä\n": "x"})
        store.add(DATA, expected=LONG)
        with store.writer("begun", total=10) as writer:
            writer.write(b"half")
        store.writer("empty\n").close()
    return root


def quick_answer(arguments: list[str]) -> bytes | None:
    call = quick.recognise(arguments)
    return None if call is None else quick.find_answer(call)


def is_quick(arguments: list[str]) -> bool:
    """Return whether a command line is recognised, and the store is common enough for it."""
    call = quick.recognise(arguments)
    if call is None:
        return False
    return quick.find_answer(call) is not None or quick.prepare(call) is not None


def run(arguments: list[str], given: bytes = b"", **settings: str) -> tuple[bytes, bytes, int]:
    """Run a command line; ages in its output, which go on, are cut out."""
    done = subprocess.run(
        [sys.executable, "-m", "contentdb", *arguments],
        input=given,
        capture_output=True,
        env=os.environ | settings,
        check=False,
    )
    return re.sub(rb" *(\d+s ago|now) *", b" AGE ", done.stdout), done.stderr, done.returncode


def run_both_ways(root: Path, arguments: list[str], given: bytes = b"") -> tuple[bytes, bytes, int]:
    """Run a command line on two equal stores, with and without click; both must say the same."""
    line = ["--root", str(root), *arguments]
    kept = root.with_name("kept")
    if root.exists():
        shutil.copytree(root, kept, symlinks=True)
    whole = run(line, given, CONTENTDB_NAMESPACE="default")  # a setting: click finds out
    listed = tree_of(root)
    shutil.rmtree(root, ignore_errors=True)
    if kept.exists():
        kept.rename(root)
    said = run(line, given)
    assert said == whole
    assert tree_of(root) == listed
    return said


def tree_of(root: Path) -> list[str]:
    """Return the blobs and ingests of a store."""
    names = (path for kind in ("blobs", "ingest") for path in (root / kind).rglob("*"))
    return sorted(str(path.relative_to(root)) for path in names)


ANSWERED: Final = [
    ["path", DIGEST],
    ["path", "-q", DIGEST],
    ["path", DIGEST, LONG, DIGEST],
    ["cat", DIGEST],
    ["cat", LONG],
]
RUN: Final = [
    ["info", DIGEST],
    ["info", "-q", DIGEST, LONG],
    ["ls"],
    ["ls", "-q"],
    ["active"],
    ["active", "-q"],
    ["add", "SOURCE"],
    ["add", "-q", "./SOURCE"],
    ["add", "SOURCE", "nowhere", "EMPTY", "FOLDER"],
    ["add", "nowhere//./x"],
    ["ingest", "r"],
    ["ingest", "-q", "r"],
    ["ingest", "begun"],
    ["ingest", "--expected-digest", DIGEST],
    ["ingest", "--expected-digest", MISSING],
    ["ingest", "--expected-digest", MISSING, "r"],
    ["ingest", "--expected-size", "5", "r"],
    ["ingest", "--expected-size", "500", "--expected-digest", GIVEN_DIGEST, "-q", "r"],
    ["ingest", "--expected-size", "6", "--expected-digest", GIVEN_DIGEST, "r"],
]
OTHERS: Final = [
    ["path", "--json", DIGEST],
    ["path", DIGEST[:20]],
    ["path", DIGEST.upper()],
    ["path", "--", DIGEST],
    ["path", DIGEST, "-q"],
    ["path"],
    ["path", "-q"],
    ["path", "--help"],
    ["cat"],
    ["cat", DIGEST, LONG],
    ["cat", "-q", DIGEST],
    ["cat", "--offset", "2", DIGEST],
    ["info"],
    ["info", "--json", DIGEST],
    ["info", "a-tag"],
    ["ls", "--json"],
    ["ls", "--limit", "1"],
    ["ls", "more"],
    ["active", "-q", "-0"],
    ["active", "--watch", "--nothing"],
    ["add"],
    ["add", ""],
    ["add", "-r", "FOLDER"],
    ["add", "SOURCE", "-q"],
    ["add", "--link", "reflink", "SOURCE"],
    ["add", "--label", "a=b", "SOURCE"],
    ["ingest"],
    ["ingest", ""],
    ["ingest", "r", "s"],
    ["ingest", "--expected-digest"],
    ["ingest", "--expected-digest", DIGEST[:-1]],
    ["ingest", "--expected-size", "-1", "r"],
    ["ingest", "--expected-size", "1_0", "r"],
    ["ingest", "--no-wait", "r"],
    ["--namespace", "other", "path", DIGEST],
    ["-v", "ls"],
    ["--root"],
    ["du"],
    ["nothing"],
    ["--version"],
    [],
]
ABSENT: Final = [["path", DIGEST, MISSING], ["cat", MISSING], ["info", MISSING]]


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SOURCE").write_bytes(b"source")
    (tmp_path / "EMPTY").touch()
    (tmp_path / "FOLDER").mkdir()


@pytest.mark.parametrize("arguments", ANSWERED, ids=" ".join)
def test_what_files_answer_is_as_by_the_whole_command(filled: Path, arguments: list[str]) -> None:
    line = ["--root", str(filled), *arguments]
    answer = quick_answer(line)
    assert answer is not None
    assert run(line) == (answer, b"", 0)
    assert run(line, CONTENTDB_NAMESPACE="default") == (answer, b"", 0)  # asks the whole command
    assert run(arguments, CONTENTDB_ROOT=str(filled)) == (answer, b"", 0)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("arguments", RUN, ids=" ".join)
def test_what_is_run_without_click_is_as_with_it(filled: Path, arguments: list[str]) -> None:
    assert is_quick(["--root", str(filled), *arguments])
    run_both_ways(filled, arguments, GIVEN)


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("arguments", OTHERS, ids=" ".join)
def test_any_other_shape_is_left_to_click(filled: Path, arguments: list[str]) -> None:
    assert quick.recognise(["--root", str(filled), *arguments]) is None
    run_both_ways(filled, arguments, GIVEN)


@pytest.mark.parametrize("arguments", ABSENT, ids=" ".join)
def test_what_is_absent_is_left_to_click(filled: Path, arguments: list[str]) -> None:
    assert not is_quick(["--root", str(filled), *arguments])
    assert run_both_ways(filled, arguments)[2] == 4


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("words", [["add", "SOURCE"], ["ingest", "r"]], ids=" ".join)
def test_a_store_is_made_where_there_is_none(tmp_path: Path, words: list[str]) -> None:
    said = run_both_ways(tmp_path / "new" / "store", words, GIVEN)
    assert said[2] == 0


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize(
    "words",
    [["add", "SOURCE"], ["ingest", "r"], ["ls"], ["active"], ["info", DIGEST]],
    ids=" ".join,
)
def test_what_is_no_store_is_refused_alike(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thing").touch()
    assert run_both_ways(tmp_path / "other", words, GIVEN)[2] != 0


@pytest.mark.parametrize("words", ["add f", "ingest r", "ls", "path " + DIGEST])
def test_a_current_directory_that_is_gone_is_told_alike(tmp_path: Path, words: str) -> None:
    gone = tmp_path / "gone"
    said = []
    for setting in ("", "CONTENTDB_NAMESPACE=default "):
        gone.mkdir()
        line = f"cd {gone} && rmdir {gone} && {setting}exec {sys.executable} -m contentdb {words}"
        done = subprocess.run(["sh", "-c", line], input=GIVEN, capture_output=True, check=False)
        said.append((done.stdout, done.stderr, done.returncode))
    assert said[0] == said[1]
    assert said[0][2] == 1


@pytest.mark.parametrize("root", ["", "postgresql://host/base", "s3://bucket/x"])
@pytest.mark.parametrize("words", [["path", DIGEST], ["ls"], ["add", "f"]], ids=" ".join)
def test_a_root_that_is_no_folder_is_left_to_click(root: str, words: list[str]) -> None:
    assert quick.recognise(["--root", root, *words]) is None


def test_a_long_listing_is_left_to_click(filled: Path) -> None:
    with contentdb.open(filled, durability="process") as store:
        count = 1000 - len(list(store.walk()))
        list(store.add_many(b"%d" % number for number in range(count)))
        line = ["--root", str(filled), "ls"]
        assert is_quick(line)
        store.add(b"one more")
    assert not is_quick(line)
    run_both_ways(filled, ["ls"])


@pytest.mark.parametrize("words", [["ls"], ["active"], ["info", DIGEST]], ids=" ".join)
def test_a_store_with_packs_or_a_log_to_mend_is_left_to_click(
    filled: Path, tmp_path: Path, words: list[str]
) -> None:
    packed = tmp_path / "packed"
    with contentdb.open(packed, pack_below=1000) as store:
        store.add(DATA)
    assert not is_quick(["--root", str(packed), *words])
    run_both_ways(packed, words)
    (filled / f"{INDEX}-wal-hole").touch()
    assert not is_quick(["--root", str(filled), *words])


@pytest.mark.parametrize("words", [["ls"], ["active"], ["info", DIGEST]], ids=" ".join)
def test_a_look_leaves_the_log_of_the_index_as_it_is(filled: Path, words: list[str]) -> None:
    with contentdb.open(filled) as store:
        store.add(b"in the log")
        before = (filled / f"{INDEX}-wal").read_bytes(), (filled / INDEX).read_bytes()
        assert run(["--root", str(filled), *words])[2] == 0
        assert ((filled / f"{INDEX}-wal").read_bytes(), (filled / INDEX).read_bytes()) == before


def test_a_held_ref_is_shown_as_held(filled: Path) -> None:
    with contentdb.open(filled) as store, store.writer("begun", resume=True):
        said = run(["--root", str(filled), "active"])
        assert said == run(["--root", str(filled), "active"], CONTENTDB_NAMESPACE="default")
        assert b"yes" in said[0]


@pytest.mark.parametrize(
    "name", ["a", "./a", "a//b/./c/", "/", "//", "//a", "///a", ".", "./", "../a"]
)
def test_a_file_is_named_in_errors_as_pathlib_names_it(name: str) -> None:
    assert os.fspath(_File(name)) == str(Path(name))


@pytest.mark.parametrize(
    "words",
    [["cat", DIGEST], ["info", DIGEST], ["ls"], ["active"], ["add", __file__], ["ingest", "r"]],
)
def test_neither_click_nor_what_is_slow_is_imported(filled: Path, words: list[str]) -> None:
    program = """
import os, sys
def end(code):
    slow = {"click", "typing", "re", "enum", "pathlib", "datetime", "sqlite3", "json", "inspect"}
    sys.stderr.write(repr(sorted(slow & set(sys.modules))))
    sys.stderr.flush()
    exit_now(code)
exit_now, os._exit = os._exit, end
from contentdb.cli import main
main()
"""
    line = [sys.executable, "-c", program, "--root", str(filled), *words]
    done = subprocess.run(line, input=GIVEN, capture_output=True, check=True)
    assert done.stderr == b"[]"


@pytest.mark.parametrize("folder", ["blobs", "ingest"])
@pytest.mark.parametrize("words", [["ls"], ["active"], ["info", DIGEST]], ids=" ".join)
def test_a_store_that_lacks_a_folder_is_left_to_click(
    filled: Path, folder: str, words: list[str]
) -> None:
    (filled / folder).rename(filled / "elsewhere")
    line = ["--root", str(filled), *words]
    assert not is_quick(line)
    assert run(line) == run(line, CONTENTDB_NAMESPACE="default")


@pytest.mark.parametrize("command", ["path", "cat"])
def test_a_use_is_noted_where_there_was_a_bound(filled: Path, command: str) -> None:
    """4.20: a blob that a command has just read is not the next to go."""
    with contentdb.open(filled) as store:
        store.set_policy(max_bytes=1 << 30)
    found = _blob(filled).stat()
    os.utime(_blob(filled), ns=(found.st_mtime_ns, found.st_mtime_ns))
    run(["--root", str(filled), command, DIGEST])
    assert _blob(filled).stat().st_atime_ns > found.st_mtime_ns


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
@pytest.mark.parametrize("command", ["path", "cat", "info"])
def test_a_store_that_is_not_as_it_should_be_is_left_to_the_whole_command(
    filled: Path, change: Callable[[Path], None], command: str
) -> None:
    change(filled)
    line = ["--root", str(filled), command, DIGEST]
    of_file = {_replace_by_link, _replace_shard_by_link, _replace_by_pipe, _be_deleted}
    if command == "info" and change in of_file:  # its answer is that of the row
        assert is_quick(line)
    else:
        assert not is_quick(line)
    assert run(line) == run(line, CONTENTDB_NAMESPACE="default")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE blobs SET state = 1", ["info", DIGEST]),
        ("UPDATE blobs SET state = 2", ["info", DIGEST]),
        ("UPDATE alembic_version SET version_num = '0001'", ["info", DIGEST]),
        ("UPDATE alembic_version SET version_num = '0001'", ["ls"]),
        ("UPDATE alembic_version SET version_num = '9999'", ["active"]),
    ],
)
def test_an_index_that_is_not_as_it_should_be_is_left_to_click(
    filled: Path, change: str, words: list[str]
) -> None:
    with sqlite3.connect(filled / INDEX) as db:
        db.execute(change)
    db.close()
    line = ["--root", str(filled), *words]
    assert not is_quick(line)
    said = run(line)
    assert said == run(line, CONTENTDB_NAMESPACE="default")
    assert said[2] != 0


@pytest.mark.parametrize("command", ["path", "cat"])
def test_a_whole_file_answers_before_its_row_is_recorded(filled: Path, command: str) -> None:
    """As a kill between the two leaves it; an open store reads it too."""
    with sqlite3.connect(filled / INDEX) as db:
        db.execute("DELETE FROM blobs")
    db.close()
    line = ["--root", str(filled), command, DIGEST]
    assert run(line) == run(line, CONTENTDB_NAMESPACE="default") == (quick_answer(line), b"", 0)


def test_the_digests_are_those_of_the_library() -> None:
    assert quick._HEX_DIGITS == ALGORITHMS


def test_damaged_content_is_not_printed(filled: Path) -> None:
    _damage(filled)
    line = ["--root", str(filled), "cat", DIGEST]
    assert quick_answer(line) is None
    out, told, code = run(line)
    assert (out, code) == (b"", 1)
    assert b"damaged" in told or b"corrupt" in told.lower()


def test_large_content_is_left_to_the_whole_command(filled: Path) -> None:
    with contentdb.open(filled) as store:
        large, largest = bytes((1 << 20) + 1), bytes(1 << 20)
        assert quick_answer(["--root", str(filled), "cat", store.add(large).digest]) is None
        assert quick_answer(["--root", str(filled), "cat", store.add(largest).digest]) == largest


@pytest.mark.parametrize("name", ["CONTENTDB_ADDRESS", "CONTENTDB_LOG", "_CONTENTDB_COMPLETE"])
def test_any_setting_is_left_to_the_whole_command(
    filled: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "")
    assert quick_answer(["--root", str(filled), "path", DIGEST]) is None


def test_the_store_is_the_one_that_is_named(
    filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(filled)
    real = quick_answer(["--root", str(filled), "path", DIGEST])
    assert quick_answer(["--root", str(link), "path", DIGEST]) == real
    assert quick_answer(["--root", "", "path", DIGEST]) is None
    assert quick_answer(["--root", str(tmp_path / "none"), "path", DIGEST]) is None
    monkeypatch.chdir(tmp_path)
    filled.rename(tmp_path / ".content")
    assert quick_answer(["path", DIGEST]) is not None


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
