"""A share of every crash suite; `make crash` runs the whole of them."""

from __future__ import annotations

import os

import pytest

from tests.crash.suite import Plan, Suite, UnavailableError
from tests.crash.table import suites

_SUITES = [suite for suite in suites().values() if suite.run.__module__.startswith("tests.crash.")]


@pytest.mark.crash
@pytest.mark.parametrize("suite", [pytest.param(suite, id=suite.name) for suite in _SUITES])
def test_no_promise_is_broken(suite: Suite) -> None:
    """6.1, 6.2, 6.3, 6.5, 6.6: judged after each crash, error or exception."""
    plan = suite.share._replace(seed=int(os.environ.get("CRASH_SEED", "1")))
    try:
        outcome = suite.run(plan)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert not outcome.violations, outcome.line(suite.name)
    assert outcome.tried > 0


def test_a_sample_depends_on_its_seed_alone() -> None:
    from tests.crash.suite import chosen

    cases = list(range(1000))
    assert chosen(cases, Plan(limit=10)) == chosen(cases, Plan(limit=10))
    assert chosen(cases, Plan(limit=10)) != chosen(cases, Plan(limit=10, seed=2))
    assert chosen(cases, Plan()) == cases
