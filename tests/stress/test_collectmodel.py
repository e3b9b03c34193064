"""The rules of collection in all orders of the steps of several processes."""

from __future__ import annotations

import pytest

from tests.stress.collectmodel import MUTANTS, SCENARIOS, explore


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_and_nothing_leaks(scenario: str) -> None:
    """4.15, 4.17: what is leased, tagged, answered for or below that stays; all else goes."""
    explored = explore(scenario)
    assert explored.fault is None
    assert explored.states > 20


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_rule_is_needed(mutant: str) -> None:
    assert any(explore(scenario, mutant).fault for scenario in SCENARIOS)
