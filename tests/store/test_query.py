"""The orders of a walk: those of the contract, told without an import of it."""

from __future__ import annotations

from typing import get_args

from contentdb.content import SortOrder
from contentdb.store import query


def test_the_orders_are_those_of_the_contract() -> None:
    assert {*query._ORDERS} == {*get_args(SortOrder)}
