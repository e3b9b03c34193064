"""Section 5: filters, over blobs and over ingests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb.digest import Digest
from contentdb.errors import InvalidFilterError
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from contentdb.testing.subject import ContentStore

__all__ = ["FilteringRules"]

BLOBS: dict[str, tuple[int, dict[str, str]]] = {
    "layer": (5000, {"kind": "layer", "io.example/arch": "amd64"}),
    "config": (20, {"kind": "config", "note": 'a "quoted", one'}),
    "plain": (0, {}),
    "large": (2_000_000, {"kind": "layer", "note": "x=y"}),
}

FOUND = [
    ([], "config large layer plain"),
    ([""], "config large layer plain"),
    (["", "size<1"], "config large layer plain"),
    (["labels.kind"], "config large layer"),
    (["labels.kind==layer"], "large layer"),
    (["labels.kind!=layer"], "config plain"),
    (["labels.kind~=^(lay|con)"], "config large layer"),
    (["labels.kind~=ayer"], "large layer"),
    (["labels.kind~=^ayer"], ""),
    (["labels.kind==layer,labels.note"], "large"),
    (["labels.kind==config", "labels.note"], "config large"),
    (["labels.kind==config", "size==0", "size>1MB"], "config large plain"),
    (['labels."io.example/arch"==amd64'], "layer"),
    (['labels."io.example/arch"!=amd64'], "config large plain"),
    (['labels.note=="a \\"quoted\\", one"'], "config"),
    (['labels.note=="x=y"'], "large"),
    (["labels.absent"], ""),
    (["labels.absent!=anything"], "config large layer plain"),
    (["labels.absent==anything"], ""),
    (["labels.kind==Layer"], ""),
    (["labels.kind==lay"], ""),
    (["digest~=^sha256:"], "config large layer plain"),
    (["digest~=^sha512:"], ""),
    ([f"digest=={Digest.of(b'')}"], "plain"),
    ([f"digest!={Digest.of(b'')}"], "config large layer"),
    (["size"], "config large layer plain"),
    (["size==20"], "config"),
    (["size!=20"], "large layer plain"),
    (["size>20"], "large layer"),
    (["size>=20"], "config large layer"),
    (["size<20"], "plain"),
    (["size<=5KB"], "config layer plain"),
    (["size<4.5KiB"], "config plain"),
    (["size>=2MB"], "large"),
    (["size>=2MiB"], ""),
    (["created_at>1h"], "config large layer plain"),
    (["created_at<1h"], ""),
    (["updated_at>=2024-05-01,created_at<2250-01-01"], "config large layer plain"),
    (["created_at<=2024-05-01T12:30:00Z"], ""),
    (['labels.kind=="\'; DROP TABLE blobs; --"'], ""),
    (['labels.kind=="layer\' OR 1=1"'], ""),
    (["labels.%"], None),
]

INGESTS_FOUND = [
    ([], "a/1 a/2 b"),
    (["ref==b"], "b"),
    (["ref~=^a/"], "a/1 a/2"),
    (["ref!=b"], "a/1 a/2"),
    (["offset>=2"], "a/2 b"),
    (["offset==0", "ref==b"], "b"),
    (["total"], "b"),
    (["total==1KB"], "b"),
    (["total!=1KB"], "a/1 a/2"),
    (["expected"], "a/2"),
    (["expected~=^sha512:"], "a/2"),
    (["started_at>1h,updated_at>1h"], "a/1 a/2 b"),
    (["started_at<1h"], ""),
]

BAD_FILTERS = [
    ("labels.kind=", 11), ("nonsense==1", 0), ("size>many", 5), ("labels.kind==a,", 15),
    ("size~=1", 4), ("digest>1", 6), ("labels.kind~=(", 13), ("created_at>yesterday", 11),
    ("labels.kind===a", 11), (",", 0), ('labels.kind=="open', 13), ("labels", None),
    ("ref==a", 0), ("1=1; DROP TABLE blobs", None),
]  # fmt: skip


class FilteringRules(Rules):
    """Which ones."""

    @pytest.fixture
    def named(self, store: ContentStore) -> dict[str, str]:
        """Store the blobs of the table; give their names by digest."""
        return {
            store.add(bytes(size), labels=labels).digest: name
            for name, (size, labels) in BLOBS.items()
        }

    @pytest.mark.parametrize(("filters", "found"), FOUND)
    def test_walk_filters(
        self, store: ContentStore, named: dict[str, str], filters: list[str], found: str | None
    ) -> None:
        """5: several filters are OR, the selectors of one are AND, none is everything."""
        if found is None:
            with pytest.raises(InvalidFilterError):
                list(store.walk(*filters))
            return
        assert sorted(named[info.digest] for info in store.walk(*filters)) == found.split()

    def test_walk_filters_sorts_and_pages(self, store: ContentStore, named: dict[str, str]) -> None:
        """4.2, 5: filters, order and limit go together."""
        found = store.walk("labels.kind", sort="-size", limit=2)
        assert [named[info.digest] for info in found] == ["large", "layer"]
        everyone = list(store.walk("size>0"))
        assert list(store.walk("size>0", after=everyone[0].digest)) == everyone[1:]

    def test_times_are_compared_exactly(self, store: ContentStore) -> None:
        """5: a time is compared to the nanosecond's text it was given in."""
        info = store.add(b"content")
        moment = info.created_at.isoformat().replace("+00:00", "Z")
        assert list(store.walk(f"created_at>={moment}")) == [info]
        assert list(store.walk(f"created_at<{moment}")) == []

    @pytest.mark.parametrize(("filters", "found"), INGESTS_FOUND)
    def test_statuses_filter(self, store: ContentStore, filters: list[str], found: str) -> None:
        """5: ingests are chosen by ref, offset, total, expected and times."""
        for number, ref in enumerate(["a/1", "a/2", "b"], start=1):
            total = 1000 if ref == "b" else None
            expected = Digest.of(b"content", "sha512") if ref == "a/2" else None
            with store.writer(ref, total=total, expected=expected) as writer:
                writer.write(bytes(number))
        assert [status.ref for status in store.statuses(*filters)] == found.split()

    @pytest.mark.parametrize(("text", "position"), BAD_FILTERS)
    def test_bad_filters(self, store: ContentStore, text: str, position: int | None) -> None:
        """5: a filter that does not parse is refused, with the place and a caret under it."""
        info = store.add(b"content")
        with pytest.raises(InvalidFilterError) as caught:
            list(store.walk("size>1", text))
        _first, line, caret = str(caught.value).splitlines()
        assert caught.value.text == text
        assert line == "    " + text
        assert caret == " " * (4 + caught.value.position) + "^"
        assert position in {None, caught.value.position}
        assert list(store.walk()) == [info]

    def test_bad_filters_of_ingests(self, store: ContentStore) -> None:
        """5: fields of blobs are none of ingests."""
        for text in ("size>1", "labels.k", "ref>a", "digest"):
            with pytest.raises(InvalidFilterError):
                list(store.statuses(text))
