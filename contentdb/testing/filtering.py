"""Section 5: filters, over blobs and over ingests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb.digest import Digest
from contentdb.errors import (
    InvalidArgumentError,
    InvalidFieldError,
    InvalidFilterError,
    InvalidLabelError,
)
from contentdb.filters import quote
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from contentdb.content import ContentStore

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

ODD_VALUES = [
    "a,size>0", 'say "hi"', "back\\slash", "\\", '"', '",labels.v', "new\nline", "tab\tbell\a\r",
    "ünïcödé", "emoji 😀", " spaces ", "/slashes/", "|bars|", "=", "==x", "'; DROP TABLE blobs; --",
    "\\x41", "\u2028", "\x7f\x1b",
]  # fmt: skip


class FilteringRules(Rules):
    """Rules of filters."""

    @pytest.fixture
    def named(self, store: ContentStore) -> dict[str, str]:
        """Store the blobs of the table; return their names by digest."""
        return {
            store.add(bytes(size), labels=labels).digest: name
            for name, (size, labels) in BLOBS.items()
        }

    @pytest.mark.parametrize(("filters", "found"), FOUND)
    def test_walk_filters(
        self, store: ContentStore, named: dict[str, str], filters: list[str], found: str | None
    ) -> None:
        """5.1: several filters are OR, the selectors of one are AND, none is everything."""
        if found is None:
            with pytest.raises(InvalidFilterError):
                list(store.walk(*filters))
            return
        assert sorted(named[info.digest] for info in store.walk(*filters)) == found.split()

    def test_walk_by_labels(self, store: ContentStore, named: dict[str, str]) -> None:
        """4.2a: a blob must have all labels, by equality, and match any of the filters."""

        def found(*filters: str, labels: dict[str, str]) -> str:
            walked = store.walk(*filters, labels=labels)
            return " ".join(sorted(named[info.digest] for info in walked))

        assert found(labels={}) == found(labels={}) == "config large layer plain"
        assert found("size>20", labels={}) == "large layer"
        assert found(labels={"kind": "layer"}) == "large layer"
        assert found(labels={"kind": "layer", "note": "x=y"}) == "large"
        assert found(labels={"kind": "config", "note": "x=y"}) == ""
        assert found(labels={"io.example/arch": "amd64"}) == "layer"
        assert found(labels={"note": 'a "quoted", one'}) == "config"
        assert found("size>=5000", labels={"kind": "layer"}) == "large layer"
        assert found("size==20", "size>1MB", labels={"kind": "layer"}) == "large"
        assert found("", "size==20", labels={"kind": "layer"}) == "large layer"
        assert found(labels={"kind": "", "absent": ""}) == ""
        assert found(labels={"kind": "layer,size>0"}) == ""
        pages = store.walk("size>0", labels={"kind": "layer"}, sort="-size", limit=1)
        assert [named[info.digest] for info in pages] == ["large"]
        (first, second) = store.walk(labels={"kind": "layer"})
        assert list(store.walk(labels={"kind": "layer"}, after=first.digest)) == [second]

    @pytest.mark.parametrize("value", ODD_VALUES)
    def test_any_value_can_be_asked_for(self, store: ContentStore, value: str) -> None:
        """4.2a: any value or key selects only itself, by labels or quoted in a filter."""
        for number, other in enumerate((*ODD_VALUES, "a", "size", "b")):
            store.add(b"%d" % number, labels={"v": other, other: "k"})
        for found in (
            store.walk(labels={"v": value}),
            store.walk(f"labels.v=={quote(value)}"),
            store.walk(labels={value: "k"}),
            store.walk(f"labels.{quote(value)}==k,labels.v"),
        ):
            assert [info.labels["v"] for info in found] == [value]

    def test_filters_stand_alone_beside_labels(self, store: ContentStore) -> None:
        """4.2a, B: a filter that does not parse by itself is an error, with labels too."""
        store.add(b"content", labels={"k": "v"})
        for text in ("labels.k==", 'labels.k=="v', 'labels."', "labels.k,", "labels."):
            with pytest.raises(InvalidFilterError) as caught:
                list(store.walk("size>0", text, labels={"k": "v", '",labels.k': "v"}))
            assert caught.value.text == text

    def test_bad_types_of_a_walk(self, store: ContentStore) -> None:
        """B: an argument of a wrong type is refused by name, and never selects everything."""
        store.add(b"content", labels={"k": "v"})
        for filters in (["size>1", "labels.k"], None, 5, b"size>1", ()):
            with pytest.raises(InvalidFilterError, match="a filter is text"):
                list(store.walk(filters))  # type: ignore[arg-type]
            with pytest.raises(InvalidFilterError, match="a filter is text"):
                list(store.statuses(filters))  # type: ignore[arg-type]
        for labels in ([("k", "v")], "k=v", ["k"], 5):
            with pytest.raises(InvalidArgumentError, match="labels is a mapping"):
                list(store.walk(labels=labels))  # type: ignore[arg-type]
        for pair in ({"k": 1}, {"k": None}, {1: "v"}, {"": "v"}, {"k": "nul\0"}, {"k": "v" * 4096}):
            with pytest.raises(InvalidLabelError):
                list(store.walk(labels=pair))  # type: ignore[arg-type]
        for limit in ("5", 1.5, True, -1, 1 << 63):
            with pytest.raises(InvalidArgumentError, match="a limit is"):
                list(store.walk(limit=limit))  # type: ignore[arg-type]
        for sort in (None, 5, ["size"]):
            with pytest.raises(InvalidFieldError, match="sort by one of"):
                list(store.walk(sort=sort))  # type: ignore[arg-type]
        for value in (None, 5, b"v", "nul\0", "lone \ud800"):
            with pytest.raises(InvalidArgumentError):
                quote(value)  # type: ignore[arg-type]

    def test_walk_filters_sorts_and_pages(self, store: ContentStore, named: dict[str, str]) -> None:
        """4.2, 5.1: filters, order and limit go together."""
        found = store.walk("labels.kind", sort="-size", limit=2)
        assert [named[info.digest] for info in found] == ["large", "layer"]
        everyone = list(store.walk("size>0"))
        assert list(store.walk("size>0", after=everyone[0].digest)) == everyone[1:]

    def test_times_are_compared_exactly(self, store: ContentStore) -> None:
        """5.2: a time is compared exactly."""
        info = store.add(b"content")
        moment = info.created_at.isoformat().replace("+00:00", "Z")
        assert list(store.walk(f"created_at>={moment}")) == [info]
        assert list(store.walk(f"created_at<{moment}")) == []

    @pytest.mark.parametrize(("filters", "found"), INGESTS_FOUND)
    def test_statuses_filter(self, store: ContentStore, filters: list[str], found: str) -> None:
        """5.2: filters select ingests by ref, offset, total, expected and times."""
        for number, ref in enumerate(["a/1", "a/2", "b"], start=1):
            total = 1000 if ref == "b" else None
            expected = Digest.of(b"content", "sha512") if ref == "a/2" else None
            with store.writer(ref, total=total, expected=expected) as writer:
                writer.write(bytes(number))
        assert [status.ref for status in store.statuses(*filters)] == found.split()

    @pytest.mark.parametrize(("text", "position"), BAD_FILTERS)
    def test_bad_filters(self, store: ContentStore, text: str, position: int | None) -> None:
        """5.3: a filter that does not parse is refused, with the position and a caret."""
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
        """5.2: fields of blobs are unknown in filters of ingests."""
        for text in ("size>1", "labels.k", "ref>a", "digest"):
            with pytest.raises(InvalidFilterError):
                list(store.statuses(text))
