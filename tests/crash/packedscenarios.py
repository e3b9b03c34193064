"""Scenarios over stores that pack small blobs: those of loose stores again, and moves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import contentdb
from tests.crash.ledger import Ledger, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.crash.scenarios import Scenario

__all__ = ["PACK_BELOW", "packed_scenarios"]

PACK_BELOW: Final = 32 << 10
"""All content of `tests.crash.ledger` but every sixth is smaller."""

_AGAIN: Final = (
    "create", "commit", "resume", "ingest", "add", "group", "batch", "again", "delete",
    "delete-many", "relabel", "prune", "reindex-lost", "checkpoint", "gc", "cache", "read",
)  # fmt: skip
_SMALL: Final = (0, 1, 2, 4, 6, 7)
_DELETED: Final = (0, 1, 4, 6)


def packed_scenarios(
    scenarios: Mapping[str, Scenario], add: Callable[[contentdb.Store, Ledger, int], None]
) -> dict[str, Scenario]:
    """Return the scenarios over packed stores, by name."""
    kind = type(scenarios["read"])

    def some(root: Path, ledger: Ledger) -> None:
        with contentdb.open(root, pack_below=PACK_BELOW) as store:
            for number in (*_SMALL, 900):
                add(store, ledger, number)

    def some_loose(root: Path, ledger: Ledger) -> None:
        some(root, ledger)
        with contentdb.open(root) as store:
            store.unpack()

    def some_dead(root: Path, ledger: Ledger) -> None:
        some(root, ledger)
        with contentdb.open(root) as store:
            for number in _DELETED:
                ledger.going(number)
                store.delete(digest_of(number))
                ledger.gone(number)

    def make_files(root: Path, ledger: Ledger) -> None:
        with contentdb.open(root) as store:
            for number in _SMALL:
                store.path(digest_of(number))
            ledger.going(0)
            store.delete(digest_of(0))
            ledger.gone(0)

    made = [
        kind(f"packed-{name}", _in_packs(scenarios[name].prepare), _in_packs(scenarios[name].run))
        for name in _AGAIN
    ]
    made += [
        kind("pack", some_loose, _opened(contentdb.Store.pack)),
        kind("unpack", some, _opened(contentdb.Store.unpack)),
        kind("repack", some_dead, _opened(contentdb.Store.repack)),
        kind("packed-path", some, make_files),
    ]
    return {scenario.name: scenario for scenario in made}


def _in_packs(step: Callable[[Path, Ledger], None]) -> Callable[[Path, Ledger], None]:
    """Let a step make a store that packs."""

    def run(root: Path, ledger: Ledger) -> None:
        os.environ["CRASH_PACK_BELOW"] = str(PACK_BELOW)
        try:
            step(root, ledger)
        finally:
            del os.environ["CRASH_PACK_BELOW"]

    return run


def _opened(act: Callable[[contentdb.Store], object]) -> Callable[[Path, Ledger], None]:
    def run(root: Path, ledger: Ledger) -> None:
        with contentdb.open(root) as store:
            act(store)
            ledger.have(900)

    return run
