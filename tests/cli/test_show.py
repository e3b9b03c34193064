"""Sizes, ages and texts as they are printed."""

import pytest

from contentdb.cli.show import age, escape, size, table
from contentdb.local.upkeep.doctor import has_wal_reset_bug


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "?"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_are_in_binary_units(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "now"), (59, "59s ago"), (180, "3m ago"), (90_000, "1d ago")]
)
def test_ages_are_in_their_largest_unit(seconds: int, text: str) -> None:
    assert age(0, seconds * 10**9) == text


def test_nothing_printed_can_paint_the_terminal() -> None:
    assert escape("a\x1b[2J\n\u202e\udcff") == r"a\x1b[2J\n\u202e\udcff"
    assert escape("größe 大") == "größe 大"


def test_columns_are_aligned() -> None:
    assert list(table(("A", "B"), [("long", "x")])) == ["A     B", "long  x"]


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(
    version: tuple[int, int, int],
    *,
    affected: bool,
) -> None:
    assert has_wal_reset_bug(version) is affected
