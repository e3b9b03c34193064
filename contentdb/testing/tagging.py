"""Section 4, rules 6 to 9: tags. Only for a store that has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from contentdb.digest import Digest
from contentdb.errors import (
    ConflictError,
    InvalidDigestError,
    InvalidFilterError,
    InvalidLabelError,
    InvalidTagError,
    NotFoundError,
)
from contentdb.testing.nouns import BAD_REFS, GOOD_REFS
from contentdb.testing.subject import Rules
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from contentdb.content import ContentStore, Tagger

__all__ = ["TaggingRules"]


class TaggingRules(Rules):
    """Rules of `tag`, `untag`, `tagged` and `tags`."""

    @pytest.fixture
    def tagger(self, store: ContentStore) -> Tagger:
        """The store as one with tags; skip if it has none."""
        if not self.has_tags:
            pytest.skip("needs an implementation with has_tags")
        return cast("Tagger", store)

    @pytest.fixture
    def other(self, second: ContentStore) -> Tagger:
        """The second handle."""
        return cast("Tagger", second)

    def test_a_tag_names_a_blob(self, store: ContentStore, tagger: Tagger, other: Tagger) -> None:
        """4.6: a name stands for a digest, with its size and the labels that are the tag's own."""
        digest = store.add(b"content", labels={"of": "the blob"}).digest
        made = tagger.tag("app:v1", digest, media_type="text/plain", labels={"k": "v", "e": ""})
        assert (made.name, made.digest, made.size) == ("app:v1", digest, 7)
        assert (made.media_type, dict(made.labels)) == ("text/plain", {"k": "v"})
        assert made.created_ns == made.updated_ns > 0
        assert other.tagged("app:v1") == made
        assert list(other.tags()) == [made]
        assert dict(store.info(digest).labels) == {"of": "the blob"}

    @pytest.mark.parametrize("name", GOOD_REFS)
    def test_any_text_is_a_name(self, store: ContentStore, tagger: Tagger, name: str) -> None:
        """4.6: a name is any text of 1 to 4096 bytes without NUL, and comes back as it was."""
        digest = store.add(b"content").digest
        assert tagger.tag(name, digest).name == tagger.tagged(name).name == name
        tagger.untag(name)
        assert list(tagger.tags()) == []

    @pytest.mark.parametrize("name", BAD_REFS)
    def test_bad_names_are_refused(self, store: ContentStore, tagger: Tagger, name: str) -> None:
        """4.6: by every method that takes a name."""
        digest = store.add(b"content").digest
        for call in (lambda: tagger.tag(name, digest), lambda: tagger.untag(name)):
            with pytest.raises(InvalidTagError):
                call()
        with pytest.raises(InvalidTagError):
            tagger.tagged(name)

    def test_only_what_is_stored_gets_a_name(self, store: ContentStore, tagger: Tagger) -> None:
        """4.6: an absent blob is refused, a deleted one too; nothing changes."""
        absent = Digest.of(b"absent")
        with pytest.raises(NotFoundError) as caught:
            tagger.tag("n", absent)
        assert caught.value.digest == absent
        digest = store.add(b"content").digest
        store.delete(digest)
        with pytest.raises(NotFoundError):
            tagger.tag("n", digest)
        with pytest.raises(InvalidDigestError):
            tagger.tag("n", "sha256:xyz")
        assert list(tagger.tags()) == []

    def test_a_tag_moves(self, store: ContentStore, tagger: Tagger) -> None:
        """4.7: it keeps its time of creation and its labels, not the media type of another blob."""
        one, two = store.add(b"one").digest, store.add(b"two!").digest
        first = tagger.tag("n", one, media_type="text/plain", labels={"k": "v"})
        again = tagger.tag("n", one)
        assert (again.media_type, dict(again.labels)) == ("text/plain", {"k": "v"})
        moved = tagger.tag("n", two)
        assert (moved.digest, moved.size, moved.media_type) == (two, 4, None)
        assert dict(moved.labels) == {"k": "v"}
        assert moved.created_ns == first.created_ns
        assert moved.updated_ns > again.updated_ns > first.updated_ns
        assert dict(tagger.tag("n", two, labels={}).labels) == {}

    def test_compare_and_swap(self, store: ContentStore, tagger: Tagger) -> None:
        """4.7: with `if_is` a tag changes only if it is what the caller last saw."""
        one, two = store.add(b"one").digest, store.add(b"two").digest
        with pytest.raises(ConflictError) as caught:
            tagger.tag("n", two, if_is=one)
        assert (caught.value.tag, caught.value.wanted, caught.value.found) == ("n", one, None)
        tagger.tag("n", one, if_is=None)
        for wrong in (None, two):
            with pytest.raises(ConflictError) as caught:
                tagger.tag("n", two, if_is=wrong)
            assert caught.value.found == one
        assert tagger.tag("n", two, if_is=one).digest == two
        with pytest.raises(ConflictError):
            tagger.untag("n", if_is=one)
        tagger.untag("n", if_is=two)
        with pytest.raises(NotFoundError):
            tagger.untag("n", if_is=two)

    def test_one_of_many_wins(self, store: ContentStore, tagger: Tagger) -> None:
        """4.7: of callers that swap at once from one state one succeeds."""
        first = store.add(b"first").digest
        tagger.tag("n", first)
        digests = [store.add(b"%d" % number).digest for number in range(8)]

        def swap(number: int) -> bool:
            try:
                tagger.tag("n", digests[number], if_is=first)
            except ConflictError:
                return False
            return True

        won = together(*(lambda number=number: swap(number) for number in range(8)))
        assert won.count(True) == 1
        assert tagger.tagged("n").digest == digests[won.index(True)]

    def test_a_tag_outlives_its_blob(self, store: ContentStore, tagger: Tagger) -> None:
        """4.8: a delete leaves the names, which name the blob again once it is stored again."""
        digest = store.add(b"content").digest
        tagger.tag("n", digest)
        store.delete(digest)
        assert tagger.tagged("n").digest == digest
        with pytest.raises(NotFoundError):
            store.read(digest)
        store.add(b"content")
        assert store.read(tagger.tagged("n").digest) == b"content"
        tagger.untag("n")
        assert store.exists(digest)

    def test_absent_tags(self, tagger: Tagger) -> None:
        """4.8: an absent tag is an error that names it."""
        for call in (tagger.tagged, tagger.untag):
            with pytest.raises(NotFoundError, match="no tag 'n'") as caught:
                call("n")
            assert caught.value.tag == "n"

    def test_listing(self, store: ContentStore, tagger: Tagger) -> None:
        """4.9: by name, in pages, of one digest, or those that any of the filters selects."""
        one, two = store.add(b"one").digest, store.add(b"two!").digest
        names = sorted(f"tag {number}" for number in range(600))
        for number, name in enumerate(names[:5]):
            tagger.tag(name, one if number % 2 else two, labels={"n": str(number)})
        assert [tag.name for tag in tagger.tags()] == names[:5]
        assert [tag.name for tag in tagger.tags(of=one)] == [names[1], names[3]]
        assert [tag.name for tag in tagger.tags("labels.n==4", f'name=="{names[0]}"')] == [
            names[0],
            names[4],
        ]
        assert [tag.digest for tag in tagger.tags("size==4")] == [two] * 3
        with pytest.raises(InvalidFilterError):
            list(tagger.tags("ref==x"))
        for name in names[5:]:
            tagger.tag(name, one)
        assert [tag.name for tag in tagger.tags()] == names

    def test_bad_labels_and_media_types(self, store: ContentStore, tagger: Tagger) -> None:
        """4.6: labels have the rules of a blob's; a media type is printable and short."""
        digest = store.add(b"content").digest
        with pytest.raises(InvalidLabelError):
            tagger.tag("n", digest, labels={"k": "x" * 5000})
        for media_type in ("", "a\nb", "x" * 256):
            with pytest.raises(InvalidTagError):
                tagger.tag("n", digest, media_type=media_type)
        assert list(tagger.tags()) == []
