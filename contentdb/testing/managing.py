"""Section 4, rules 2 to 4: listing, labels, removal."""

# Long: a list of rules, each on its own.

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from contentdb.content import SortOrder
from contentdb.digest import Digest
from contentdb.errors import (
    ContentDBError,
    InvalidArgumentError,
    InvalidDigestError,
    InvalidFieldError,
    InvalidLabelError,
    NotFoundError,
)
from contentdb.testing.subject import Rules
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contentdb.content import ContentStore, Info

__all__ = ["ManagingRules"]

SORTS: tuple[SortOrder, ...] = get_args(SortOrder)


def fill(store: ContentStore, count: int) -> list[Info]:
    """Store ``count`` blobs and return their Infos in digest order."""
    added = store.add_many(b"blob %d" % number for number in range(count))
    return sorted(added, key=lambda info: info.digest)


class ManagingRules(Rules):
    """Rules of `walk`, `update` and `delete`."""

    def test_walk(self, store: ContentStore, second: ContentStore) -> None:
        """4.2: a walk yields every Info, in digest order, over all algorithms."""
        assert list(store.walk()) == []
        for number in range(20):
            data = b"%d" % number
            algorithm = ("sha256", "sha384", "sha512")[number % 3]
            store.add(data, expected=Digest.of(data, algorithm), labels={"n": str(number)})
        found = list(second.walk())
        assert len(found) == 20
        assert [info.digest for info in found] == sorted(info.digest for info in found)
        assert found == [store.info(info.digest) for info in found]

    @pytest.mark.parametrize("sort", SORTS)
    def test_walk_sorts(self, store: ContentStore, sort: SortOrder) -> None:
        """4.2: sorted by digest, size or times, upwards or downwards."""
        digests = [store.add(b"x" * (number * 7 % 10)).digest for number in range(10)]
        for digest in (digests[4], digests[1], digests[7]):
            store.update(digest, {"k": "v"})
        found = list(store.walk(sort=sort))
        field = sort.removeprefix("-")
        keys = [getattr(info, field.replace("_at", "_ns")) for info in found]
        assert len(found) == 10
        assert keys == sorted(keys, reverse=sort.startswith("-"))

    def test_walk_refuses_other_sorts(self, store: ContentStore) -> None:
        """4.2: an unknown sort is refused, also by an empty store."""
        for sort in ("name", "", "--size", "labels.k", "size; DROP TABLE blobs"):
            with pytest.raises(InvalidFieldError):
                list(store.walk(sort=sort))  # type: ignore[arg-type]

    def test_walk_by_pages(self, store: ContentStore) -> None:
        """4.2: `after` and `limit` page through all, each blob once."""
        blobs = fill(store, 25)
        pages: list[list[Info]] = []
        for _ in range(5):
            after = pages[-1][-1].digest if pages else None
            pages.append(list(store.walk(after=after, limit=7)))
        assert [len(page) for page in pages] == [7, 7, 7, 4, 0]
        assert [info for page in pages for info in page] == blobs
        assert list(store.walk(limit=0)) == []
        between = Digest("sha256:8" + "0" * 63)
        assert list(store.walk(after=between)) == [one for one in blobs if one.digest > between]

    def test_walk_is_as_of_its_start(self, store: ContentStore, second: ContentStore) -> None:
        """4.2: a walk does not show what is added, deleted or changed during it."""
        blobs = fill(store, 2500)
        walk = store.walk()
        seen = [next(walk)]
        for info in (blobs[1], blobs[700], blobs[1500], blobs[-1]):
            second.delete(info.digest)
        second.update(blobs[2000].digest, {"new": "label"})
        for number in range(50):
            second.add(b"added meanwhile %d" % number)
        seen += walk
        assert seen == blobs
        assert len(list(store.walk())) == 2500 - 4 + 50

    def test_a_walk_left_early(self, store: ContentStore) -> None:
        """4.2: a walk may be dropped at any point, and never blocks other callers."""
        blobs = fill(store, 10)
        walks = [store.walk() for _ in range(5)]
        for walk in walks:
            next(walk)
        store.delete(blobs[0].digest)
        store.add(b"more")
        del walks, walk
        assert len(list(store.walk())) == 10

    def test_the_walker_may_act(self, store: ContentStore) -> None:
        """4.2: the caller changes the store while it walks, in the same thread."""
        fill(store, 20)
        for info in store.walk():
            store.update(info.digest, {"seen": "yes"})
            if info.digest < "sha256:8":
                store.delete(info.digest)
        assert all(info.labels == {"seen": "yes"} for info in store.walk())
        assert all(info.digest > "sha256:8" for info in store.walk())

    def test_update_replaces(self, store: ContentStore, second: ContentStore) -> None:
        """4.3: without fields all labels are replaced, and only `updated_at` changes too."""
        before = store.add(b"content", labels={"old": "1", "both": "1"})
        after = store.update(before.digest, {"both": "2", "new": "3", "empty": ""})
        assert dict(after.labels) == {"both": "2", "new": "3"}
        assert after.updated_ns > before.updated_ns
        assert (after.digest, after.size, after.created_ns) == (
            before.digest,
            before.size,
            before.created_ns,
        )
        assert second.info(before.digest) == after == next(second.walk())
        assert dict(second.update(before.digest, {}).labels) == {}

    def test_update_of_fields(self, store: ContentStore) -> None:
        """4.3: with fields only these keys are set; an empty or missing value removes one."""
        digest = store.add(b"content", labels={"a": "1", "b": "1", "c": "1", "a.b/c": "1"}).digest
        info = store.update(
            digest,
            {"a": "2", "b": "", "not named": "x", "new": "n"},
            fields=["labels.a", "labels.b", "labels.c", "labels.new", "labels.never"],
        )
        assert dict(info.labels) == {"a": "2", "a.b/c": "1", "new": "n"}
        info = store.update(digest, {"a.b/c": "dots"}, fields=["labels.a.b/c"])
        assert dict(info.labels) == {"a": "2", "a.b/c": "dots", "new": "n"}
        info = store.update(digest, {"all": "new"}, fields=["labels"])
        assert dict(info.labels) == {"all": "new"}

    @pytest.mark.parametrize(
        "field", ["size", "digest", "created_at", "updated_at", "label.a", "labels.", ""]
    )
    def test_update_refuses_other_fields(self, store: ContentStore, field: str) -> None:
        """4.3: any other field is refused, and nothing changes."""
        before = store.add(b"content", labels={"a": "1"})
        with pytest.raises(InvalidFieldError):
            store.update(before.digest, {"a": "2"}, fields=["labels.a", field])
        assert store.info(before.digest) == before

    def test_update_refuses_bad_types(self, store: ContentStore) -> None:
        """B, 4.3: labels that are no mapping and fields that are no list of texts are refused."""
        before = store.add(b"content", labels={"a": "1"})
        for labels in ([("a", "2")], "a=2", ["a"], None, 5):
            with pytest.raises(InvalidArgumentError, match="labels is a mapping"):
                store.update(before.digest, labels)  # type: ignore[arg-type]
            if labels is not None:
                with pytest.raises(InvalidArgumentError, match="labels is a mapping"):
                    store.add(b"content", labels=labels)  # type: ignore[arg-type]
        for pair in ({"n": 1}, {"b": True}, {"n": None}, {1: "n"}, {"k": b"v"}):
            with pytest.raises(InvalidLabelError, match="give text"):
                store.update(before.digest, pair)  # type: ignore[arg-type]
            with pytest.raises(InvalidLabelError, match="give text"):
                store.add(b"content", labels=pair)  # type: ignore[arg-type]
        for fields in ("labels.a", 5, b"labels.a", iter(["labels.a"]), [5], [None], [b"labels.a"]):
            with pytest.raises(InvalidFieldError):
                store.update(before.digest, {"a": "2"}, fields=fields)  # type: ignore[arg-type]
        assert store.info(before.digest) == before

    def test_labels_have_a_limit(self, store: ContentStore) -> None:
        """4.3: key plus value have 4096 bytes at most, counted as UTF-8."""
        before = store.add(b"content")
        for value in ("v" * 4095, "é" * 2047 + "v"):
            assert store.update(before.digest, {"k": value}).labels["k"] == value
            kept = store.info(before.digest)
            with pytest.raises(InvalidLabelError):
                store.update(before.digest, {"k": value + "x"})
            with pytest.raises(InvalidLabelError):
                store.update(before.digest, {"k": value + "x"}, fields=["labels.k"])
            assert store.info(before.digest) == kept

    def test_all_labels_of_a_blob_have_a_limit(self, store: ContentStore) -> None:
        """4.3: all labels of a blob have 1 MiB together at most, however they got there."""
        most = {f"k{number:03d}": "v" * 4092 for number in range(256)}
        before = store.add(b"content")
        with pytest.raises(InvalidLabelError, match="1048576"):
            store.update(before.digest, most | {"x": "y"})
        assert store.info(before.digest) == before
        kept = store.update(before.digest, most)
        assert dict(kept.labels) == most
        with pytest.raises(InvalidLabelError, match="1048576"):
            store.update(before.digest, {"x": "y"}, fields=["labels.x"])
        assert store.info(before.digest) == kept
        other = most | {"k000": "w" * 4091}
        assert dict(store.update(before.digest, other, fields=["labels.k000"]).labels) == other
        with pytest.raises(InvalidLabelError, match="1048576"):
            store.add(b"other", labels=most | {"x": "y"})
        assert not store.exists(Digest.of(b"other"))

    def test_labels_are_any_text(self, store: ContentStore) -> None:
        """4.3: labels come back as they were given."""
        labels = {"io.example/kind": "layer", "ключ": "значение", "a b": "line\nbreak",
                  "'": "'; DROP TABLE labels; --", "%": "_%"}  # fmt: skip
        digest = store.add(b"content", labels=labels).digest
        assert dict(store.info(digest).labels) == labels
        assert dict(next(store.walk()).labels) == labels

    def test_updates_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """4.3: keys that different callers set at once are all set."""
        digest = store.add(b"content").digest
        outcomes = together(
            *[
                lambda one=one, key=key: one.update(digest, {key: "v"}, fields=[f"labels.{key}"])
                for key, one in zip("abcdefgh", (store, second) * 4, strict=True)
            ]
        )
        assert not [one for one in outcomes if isinstance(one, ContentDBError)]
        assert dict(store.info(digest).labels) == dict.fromkeys("abcdefgh", "v")

    def test_delete(self, store: ContentStore, second: ContentStore) -> None:
        """4.4: a deleted blob is gone for all handles, and only that one."""
        kept = store.add(b"kept")
        digest = store.add(b"content").digest
        second.delete(digest)
        for one in (store, second):
            assert not one.exists(digest)
            for call in (one.info, one.read, one.open, one.delete):
                with pytest.raises(NotFoundError):
                    call(digest)
            assert list(one.walk()) == [kept]

    def test_deleted_content_comes_back_new(self, store: ContentStore) -> None:
        """4.4: content stored again after its delete is a new blob: new times, no old labels."""
        before = store.add(b"content", labels={"old": "label"})
        store.delete(before.digest)
        after = store.add(b"content")
        assert after.created_ns > before.created_ns
        assert dict(store.info(after.digest).labels) == {}
        assert store.read(after.digest) == b"content"

    def test_deletes_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """4.4: of eight calls that delete one blob, one does and the rest find nothing."""
        digest = store.add(b"content").digest
        outcomes = together(*[lambda one=one: one.delete(digest) for one in (store, second) * 4])
        assert outcomes.count(None) == 1
        assert sum(isinstance(one, NotFoundError) for one in outcomes) == 7

    def test_delete_many(self, store: ContentStore, second: ContentStore) -> None:
        """4.4a: all given blobs and no others are gone when it returns their number."""
        blobs = fill(store, 1200)
        going = [info.digest for info in blobs[:1100]]
        assert second.delete_many(iter(going)) == 1100
        assert list(store.walk()) == list(second.walk()) == blobs[1100:]
        for digest in (going[0], going[-1]):
            for one in (store, second):
                assert not one.exists(digest)
                with pytest.raises(NotFoundError):
                    one.read(digest)
        assert store.delete_many(info.digest for info in store.walk()) == 100
        assert store.delete_many([]) == 0
        assert list(store.walk()) == []

    @pytest.mark.parametrize("place", [0, 3, 9])
    def test_delete_many_of_what_is_absent(self, store: ContentStore, place: int) -> None:
        """4.4a: an absent blob raises, with its digest, after those before it are removed."""
        blobs = fill(store, 9)
        digests: list[str] = [info.digest for info in blobs]
        absent = Digest.of(b"absent")
        digests.insert(place, absent)
        with pytest.raises(NotFoundError) as caught:
            store.delete_many(digests)
        assert caught.value.digest == absent
        assert list(store.walk()) == blobs[place:]
        assert store.delete_many(digests, missing_ok=True) == 9 - place
        assert store.delete_many(digests, missing_ok=True) == 0

    def test_delete_many_meets_one_twice(self, store: ContentStore) -> None:
        """4.4a: a digest given twice is absent the second time."""
        one, two = fill(store, 2)
        with pytest.raises(NotFoundError):
            store.delete_many([one.digest, one.digest, two.digest])
        assert list(store.walk()) == [two]
        assert store.delete_many([two.digest, two.digest], missing_ok=True) == 1

    def test_delete_many_acts(self, store: ContentStore) -> None:
        """A, 4.4a: it deletes even if the caller ignores its answer."""
        (info,) = fill(store, 1)
        store.delete_many([info.digest])
        assert not store.exists(info.digest)

    def test_delete_many_refuses(self, store: ContentStore) -> None:
        """B, 4.4a: an invalid digest raises after those before it; a single digest is refused."""
        one, two = fill(store, 2)
        for many in (one.digest, str(one.digest), None, 5, one):
            with pytest.raises(InvalidArgumentError):
                store.delete_many(many)  # type: ignore[arg-type]
        assert list(store.walk()) == [one, two]
        with pytest.raises(InvalidDigestError):
            store.delete_many([one.digest, "sha256:short", two.digest])
        assert list(store.walk()) == [two]

        def digests() -> Iterator[str]:
            yield two.digest
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            store.delete_many(digests())
        assert list(store.walk()) == []

    def test_delete_many_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """4.4a: of several calls that delete the same blobs, one deletes each."""
        digests = [info.digest for info in fill(store, 60)]
        outcomes = together(
            *[
                lambda one=one, many=many: one.delete_many(many, missing_ok=True)
                for one in (store, second)
                for many in (digests, digests[::-1])
            ]
        )
        assert sum(one for one in outcomes if isinstance(one, int)) == 60
        assert list(store.walk()) == []

    def test_delete_against_commit(self, store: ContentStore, second: ContentStore) -> None:
        """4.4: a delete racing adds of the same content leaves a whole blob or none."""
        digest = Digest.of(b"content")
        for _ in range(15):
            store.add(b"content")
            together(
                lambda: store.delete(digest),
                lambda: second.add(b"content"),
                lambda: store.add(b"content"),
                lambda: second.delete(digest),
            )
            rows = list(store.walk())
            if rows:
                assert store.read(digest) == second.read(digest) == b"content"
            else:
                with pytest.raises(NotFoundError):
                    second.read(digest)
        assert store.add(b"content").digest == digest
        assert second.read(digest) == b"content"
