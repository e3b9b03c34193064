"""A run leaves the write lock to others: before each slice, as long as it last had it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.local.index import collecting
from tests.inside import parts_of
from tests.local.collect.graphs import REF

if TYPE_CHECKING:
    from contentdb import Store

_SLICES = ("dequeue", "entomb_garbage", "let_go_of_references", "bury_all")
_HOLD_S = 0.2


def hold(store: Store, seconds: float = _HOLD_S) -> None:
    parts_of(store).index._database.write(
        lambda _connection: time.sleep(seconds), lambda _connection: True, durable=False
    )


def test_the_lock_is_left_as_long_as_it_was_held(store: Store) -> None:
    index = parts_of(store).index
    hold(store)
    left = index.rest_s()
    assert 0 < left <= _HOLD_S * 1.5
    assert index.rest_s(0.25) < left / 2


def test_what_is_done_without_the_lock_counts_as_rest(store: Store) -> None:
    hold(store, 0.02)
    time.sleep(0.2)  # unlinks, say
    assert parts_of(store).index.rest_s() <= 0


@pytest.mark.parametrize("by_use", [False, True])
def test_a_run_rests_before_each_slice(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, by_use: bool
) -> None:
    child = store.add(b"child").digest
    store.tag("kept", store.add(b"kept", labels={REF: child}).digest)
    for number in range(70):
        store.add(b"%d" % number, labels={REF: child})
    index, events = parts_of(store).index, list[str]()

    def note(name: str) -> None:
        act = getattr(index, name)

        def noted(*args: Any) -> Any:  # noqa: ANN401 - passed on
            events.append(name)
            return act(*args)

        monkeypatch.setattr(index, name, noted)

    for name in _SLICES:
        note(name)

    def rest_s(_share: float) -> float:
        events.append("rest")
        return 0

    monkeypatch.setattr(index, "rest_s", rest_s)
    monkeypatch.setattr(collecting, "SLICE_S", -1)
    most = 0 if by_use else None
    assert store.collect(grace=timedelta(0), max_bytes=most).blobs == 70
    slices = [place for place, name in enumerate(events) if name != "rest"]
    assert {events[place] for place in slices} == set(_SLICES)
    assert [events[place - 1] for place in slices] == ["rest"] * len(slices)


def test_a_caller_who_waits_lets_it_rest_less(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def rest_s(share: float) -> float:
        shares.append(share)
        return 0

    monkeypatch.setattr(parts_of(store).index, "rest_s", rest_s)
    store.set_policy(max_bytes=100, grace=timedelta(0))
    for number in range(3):
        store.add(b"%d" % number * 60)
    assert set(shares) == {0.25}
