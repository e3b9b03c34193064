"""Standard streams that are closed, full, or left by whoever was reading."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import PROGRAM, only_line, run, stored

if TYPE_CHECKING:
    from pathlib import Path


def shell(root: Path, line: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash, `contentdb` being ours."""
    function = f'contentdb() {{ {" ".join(PROGRAM)} --root "$root" "$@"; }}; '
    words = ["bash", "-c", function + line]
    return subprocess.run(words, capture_output=True, check=False, env={"root": str(root)})


@pytest.fixture
def many(root: Path) -> Path:
    """More than a pipe holds, when listed."""
    with contentdb.open(root, durability="process") as store, store.batch():
        for number in range(1500):
            store.add(b"%d" % number)
    return root


@pytest.mark.parametrize("options", ["", "-q", "--json", "--sort=-size"])
def test_a_reader_that_leaves_ends_a_listing_quietly(many: Path, options: str) -> None:
    done = shell(many, f"contentdb ls {options} | head -n1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (141, b"")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("line", ["ls", "ls -q", "ls --json", "cat cfcd", "path cfcd", "du"])
def test_a_full_disk_behind_standard_output_is_told(root: Path, line: str) -> None:
    stored(root, b"0")
    digest = stored(root, b"0")[0]
    done = shell(root, f"contentdb {line.replace('cfcd', digest)} > /dev/full")
    assert done.returncode == 1
    assert only_line(done.stderr) == "contentdb: standard output: No space left on device"


@pytest.mark.parametrize("line", ["ls", "ls 2>&-", "path nix 2>&-", "du <&- 2>&-"])
def test_closed_streams_do_no_harm(root: Path, line: str) -> None:
    """No file of the store may get the number of a stream, and be written to."""
    stored(root, b"0")
    done = shell(root, f"contentdb {line}")
    assert b"Traceback" not in done.stderr
    assert done.returncode == (2 if "nix" in line else 0)
    assert run(root, "verify", "-q").returncode == 0


@pytest.mark.parametrize("line", ["ls", "ls -q", "cat cfcd", "export cfcd -", "du"])
def test_a_standard_output_that_is_closed_is_told(root: Path, line: str) -> None:
    """B: what was asked for has gone nowhere."""
    digest = stored(root, b"0")[0]
    done = shell(root, f"contentdb {line.replace('cfcd', digest)} >&-")
    assert done.returncode == 1
    assert only_line(done.stderr) == "contentdb: standard output: Bad file descriptor"
    assert run(root, "verify", "-q").returncode == 0


def test_ingest_tells_that_its_input_is_closed(root: Path) -> None:
    """An empty blob would be the wrong answer."""
    done = shell(root, "contentdb ingest r <&-")
    assert done.returncode == 2
    assert "standard input is closed" in only_line(done.stderr)
    assert not root.exists()


def test_an_error_of_the_input_names_it_and_keeps_the_ingest(root: Path) -> None:
    done = shell(root, "contentdb ingest r < /proc/self/mem")
    assert done.returncode == 1
    assert only_line(done.stderr) == "contentdb: standard input: Input/output error"
    assert only_line(run(root, "active", "-q").stdout) == "r"


def test_any_locale_will_do(root: Path) -> None:
    stored(root, b"0", k="größe")
    words = [sys.executable, "-X", "utf8=0", "-m", "contentdb", "--root", str(root), "ls"]
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(words, capture_output=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"k=gr\xf6\xdfe" in done.stdout
