"""One bad source among others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb.cluster.catalog import blobs
from contentdb.errors import ContentDBError, InvalidLabelError

if TYPE_CHECKING:
    import contentdb

FULL = {f"k{number}": "v" * 4000 for number in range(255)}
MORE = {f"x{number}": "v" * 4000 for number in range(20)}
LABELS = [None, None, MORE, None]


def kinds(answers: list[contentdb.Info | ContentDBError]) -> list[str]:
    return ["error" if isinstance(one, ContentDBError) else "info" for one in answers]


@pytest.mark.parametrize("warm", [0, 20])
def test_labels_that_become_too_many_fail_their_source_alone(
    store: contentdb.Store, warm: int
) -> None:
    """3.12: whether the blob is stored already, or comes twice."""
    store.add(b"full", labels=FULL)
    before = [b"%d" % number for number in range(warm)]  # so that all are of one group
    labels = [None] * warm
    stored = store.add_many(
        [*before, b"0", b"1", b"full", b"2"], labels=[*labels, *LABELS], errors="yield"
    )
    assert kinds(list(stored)[warm:]) == ["info", "info", "error", "info"]
    twice = store.add_many(
        [*before, b"3", b"new", b"new", b"4"],
        labels=[*labels, None, FULL, MORE, None],
        errors="yield",
    )
    assert kinds(list(twice)[warm:]) == ["info", "info", "error", "info"]
    assert {b"2", b"4"} <= {store.read(info.digest) for info in store.walk()}


def test_an_error_that_is_raised_comes_after_the_infos_before_it(store: contentdb.Store) -> None:
    """3.12: it names its place."""
    store.add(b"full", labels=FULL)
    before = [b"%d" % number for number in range(20)]
    infos = store.add_many([*before, b"full"], labels=[*[None] * 20, MORE])
    for data in before:
        assert store.read(next(infos).digest) == data
    with pytest.raises(InvalidLabelError) as caught:
        next(infos)
    assert caught.value.source_index == 20


def test_labels_of_a_blob_that_came_meanwhile_fail_their_source_alone(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what is stored and the commit."""
    find_many = blobs.find_many

    def look(*given: object) -> object:
        found = find_many(*given)  # type: ignore[arg-type]
        monkeypatch.undo()
        store.add(b"full", labels=FULL)
        return found

    monkeypatch.setattr(blobs, "find_many", look)
    answers = store.add_many([b"full"], labels=[MORE], errors="yield")
    assert kinds(list(answers)) == ["error"]
