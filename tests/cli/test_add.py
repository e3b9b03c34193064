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


@pytest.mark.real("strace")
def test_many_files_share_syncs(root: Path, tmp_path: Path) -> None:
    """Each file synced by itself would take as many syncs as files."""
    names = [tmp_path / f"file-{number}" for number in range(300)]
    for number, name in enumerate(names):
        name.write_bytes(b"%d" % (number % 290))
    call(root, "init")
    command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,syncfs", *PROGRAM]
    done = subprocess.run(
        [*command, "--root", root, "add", *names], capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        digest_of(name.read_bytes()) for name in names
    ]
    assert "contentdb: 290 new, 10 already there, 770 B\n" in done.stderr
    (total,) = (line for line in done.stderr.splitlines() if line.endswith(" total"))
    assert int(total.split()[3]) < 60


def test_what_is_below_a_directory_is_stored(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "b" / "c").mkdir(parents=True)
    for name in ("b/c/2", "a", "b/1"):
        (tree / name).write_bytes(name.encode())
    (tree / "link").symlink_to("a")
    result = call(root, "add", "-r", tree, tree / "link")
    assert [line.split()[1] for line in result.stdout.splitlines()] == [
        str(tree / name) for name in ("a", "b/1", "b/c/2", "link")
    ]
    assert result.stderr.splitlines() == [
        f"contentdb: skipped {tree}/link: not a regular file",
        "contentdb: 3 new, 1 already there, 10 B, 1 skipped",
    ]
    assert (result.exit_code, len(blob_files(root))) == (0, 3)
    assert call(root, "add", tree).exit_code == 1


def test_a_directory_that_is_gone_is_an_error(root: Path, tmp_path: Path, file: Path) -> None:
    result = call(root, "add", "-rq", tmp_path / "nix", file)
    assert (result.exit_code, result.stdout) == (1, f"{DIGEST}\n")


@pytest.mark.parametrize(("option", "end"), [((), b"\n"), (("-0",), b"\0")])
def test_names_come_from_standard_input(
    root: Path, tmp_path: Path, option: tuple[str, ...], end: bytes
) -> None:
    names = [tmp_path / "a b", tmp_path / "c'd", tmp_path / "missing"]
    for name in names[:2]:
        name.write_bytes(name.name.encode())
    stdin = end.join(str(name).encode() for name in names)
    result = call(root, "add", "-q", "--stdin-paths", *option, stdin=stdin)
    assert result.stdout.split() == [digest_of(b"a b"), digest_of(b"c'd")]
    assert result.exit_code == 1
    assert "missing: No such file" in only_line(result.stderr)
    assert call(root, "add", "--stdin-paths", stdin=b"").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "Missing argument 'FILE…'; or give --stdin-paths"),
        (("-0", "f"), "-0 goes with --stdin-paths"),
        (("--stdin-paths", "f"), "give names, or --stdin-paths, not both"),
    ],
)
def test_names_come_from_one_place(root: Path, words: tuple[str, ...], told: str) -> None:
    result = call(root, "add", *words)
    assert result.exit_code == 2
    assert told in only_line(result.stderr)
    assert not root.exists()
