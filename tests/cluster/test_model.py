"""The rules of the engine over many hosts, in all orders of the steps of several processes."""

from __future__ import annotations

import pytest

from tests.cluster.model import explore
from tests.cluster.scenarios import MUTANTS, SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_whatever_comes_late(scenario: str) -> None:
    """4.4, 6.2: no row without its object, and nobody is told what was never so."""
    explored = explore(SCENARIOS[scenario])
    assert explored.fault is None
    assert explored.states > 20


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_rule_is_needed(mutant: str) -> None:
    assert any(explore(scene, mutant).fault for scene in SCENARIOS.values())
