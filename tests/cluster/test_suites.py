"""A share of every suite of this folder, and what the race takes for lost.

`python -m tests.crash race --mutant NAME` shows that the race sees a wrong protocol; it is found by
chance, so no test rests on it. The model finds the same mutants each time.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.cluster.race import Line, must_be
from tests.cluster.rig import content, digest_of
from tests.cluster.suites import SUITES


def run(name: str, *more: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the suites have a server that forks, and nothing may run in it."""
    command = [sys.executable, "-m", "tests.crash", name, "--share", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.crash
@pytest.mark.parametrize("name", [suite.name for suite in SUITES])
def test_no_promise_is_broken(name: str) -> None:
    done = run(name, "--seed", os.environ.get("CRASH_SEED", "1"))
    assert done.returncode == 0, done.stdout + done.stderr
    if "skipped: " in done.stdout:
        pytest.skip(done.stdout)
    assert "0 violations" in done.stdout


def test_what_was_added_after_every_delete_must_be_there() -> None:
    def line(at_ns: int, pid: int, word: str, number: int = 7) -> Line:
        return Line(at_ns, pid, word, "default", number)

    must = {("default", digest_of(content(7)))}
    added = [line(10, 1, "add"), line(20, 1, "added")]
    assert must_be(added, {}) == must
    assert must_be([line(1, 2, "delete"), line(5, 2, "deleted"), *added], {}) == must
    assert must_be([line(1, 2, "delete"), *added, line(15, 2, "deleted")], {}) == set()
    assert must_be([line(1, 2, "delete"), *added], {2: 5}) == set()  # killed: it may still act
    assert must_be([line(1, 2, "delete"), *added], {}) == set()
