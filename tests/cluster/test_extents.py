"""Runs of objects: where bytes lie, and what one list of runs has beyond another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contentdb.cluster.extents import (
    Piece,
    Run,
    append,
    pack_runs,
    pieces,
    size_of,
    uncovered,
    unpack_runs,
    without_last,
)

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=12)


def _runs(sizes: list[int], prefix: str = "parts/1.1/") -> tuple[Run, ...]:
    runs: tuple[Run, ...] = ()
    for number, size in enumerate(sizes):
        runs = append(runs, prefix, number, size)
    return runs


@given(SIZES, st.data())
def test_pieces_are_the_bytes(sizes: list[int], data: st.DataObject) -> None:
    runs = _runs(sizes)
    whole = [
        (f"parts/1.1/{number:08}", at) for number, size in enumerate(sizes) for at in range(size)
    ]
    assert size_of(runs) == len(whole)
    offset = data.draw(st.integers(0, len(whole)))
    size = data.draw(st.integers(0, len(whole) - offset))
    found = [
        (key, first + at) for key, first, count in pieces(runs, offset, size) for at in range(count)
    ]
    assert found == whole[offset : offset + size]


@given(SIZES)
def test_the_last_object_can_be_taken_off(sizes: list[int]) -> None:
    runs = _runs(sizes)
    assert size_of(without_last(runs)) == sum(sizes[:-1])
    keys = [key for run in runs for key in run.objects()]
    assert [key for run in without_last(runs) for key in run.objects()] == keys[:-1]


@given(SIZES, st.integers(0, 12))
def test_uncovered_are_the_objects_of_the_old_alone(sizes: list[int], kept: int) -> None:
    old, new = _runs(sizes), (*_runs(sizes[:kept]), *_runs([1, 1], "parts/2.1/"))
    keys = [key for run in uncovered(old, new) for key in run.objects()]
    assert keys == [key for run in old for key in run.objects()][kept:]


def test_many_equal_objects_are_one_run() -> None:
    runs = _runs([8] * 1000 + [3])
    assert runs == (Run("parts/1.1/", 0, 1001, 8, 3),)
    assert unpack_runs(pack_runs(runs)) == runs
    assert list(pieces(runs, 8 * 1000, 3)) == [Piece("parts/1.1/00001000", 0, 3)]
