"""A share of every suite of this folder, and that the suites see what they look for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from contentdb.local.index.index import Index
from tests.crash.suite import Plan
from tests.stress.model import explore
from tests.stress.order import ABSENT, LIVE, Call, Now, ends, outcomes
from tests.stress.races import races
from tests.stress.suites import SUITES


@pytest.mark.crash
@pytest.mark.parametrize("name", [suite.name for suite in SUITES])
def test_no_promise_is_broken(name: str) -> None:
    """In a process of its own: the suites fork, and what other tests imported may not bear it."""
    seed = os.environ.get("CRASH_SEED", "1")
    command = [sys.executable, "-m", "tests.crash", name, "--share", "--seed", seed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if "skipped: " in done.stdout:
        pytest.skip(done.stdout)
    assert "0 violations" in done.stdout


def test_an_order_explains_what_was_told() -> None:
    """A commit that ended before the delete began cannot be the one that stayed."""
    commit = Call("commit", 0, 3, "stored")
    delete = Call("delete", 5, 9, "done")
    assert outcomes([commit, delete], ABSENT) == {ABSENT}
    assert outcomes([commit._replace(ended=6), delete], LIVE) == {LIVE}
    assert outcomes([commit, delete], LIVE) == set()


@pytest.mark.parametrize(
    ("troupe", "beginning"),
    [
        (("commit", "naive delete"), LIVE),
        (("blind commit", "delete"), LIVE),
        (("commit", "careless adopt"), ABSENT),
    ],
    ids=["naive delete", "blind commit", "careless adopt"],
)
def test_the_model_sees_a_wrong_protocol(troupe: tuple[str, ...], beginning: str) -> None:
    """The row before the file, a commit that does not look whether its file is there, an adoption
    that the file's own commit does not know."""
    assert explore(troupe, beginning).violations


def test_an_answer_that_is_not_so_has_no_order() -> None:
    """Exactly one call is told that the content is new, and each call's labels are kept."""
    red, blue = (frozenset({(colour, "yes")}) for colour in ("red", "blue"))
    one = Call("add", 0, 9, "stored", red, new=True, born=1)
    two = Call("add", 1, 8, "stored", blue, new=False)
    assert ends([one, two], Now(ABSENT)) == {Now(LIVE, red | blue, 1)}
    assert ends([one, two._replace(new=True, born=2)], Now(ABSENT)) == set()
    upkeep = Call("upkeep", 0, 9, "done")
    assert ends([one, upkeep], Now(ABSENT)) == {Now(LIVE, red, 1)}
    assert (
        ends([one._replace(new=False), upkeep._replace(began=20, ended=30)], Now(ABSENT)) == set()
    )


def test_the_stepping_sees_a_wrong_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that does not look whether its file is there, in the real store."""
    from contentdb.local.commit.candidate import Candidate

    monkeypatch.setattr(Candidate, "present", lambda _self: True)
    outcome = races(Plan(limit=1000, scenarios=("commit-delete",), jobs=1))
    assert outcome.violations
    again = races(Plan(case=outcome.violations[0].case))
    assert again.violations == outcome.violations[: len(again.violations)]


def test_the_seam_is_put_back() -> None:
    """A suite leaves the store as it was for the tests after it."""
    blob = Index.blob
    races(Plan(limit=1, scenarios=("commit-delete",), jobs=1))
    assert Index.blob is blob
    assert blob.__qualname__ == "Index.blob"
