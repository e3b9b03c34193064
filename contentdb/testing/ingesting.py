"""Section 3, rules 11 and 13: whole streams under a ref, and ingests seen from outside."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from contentdb.digest import Digest
from contentdb.errors import (
    ContentDBError,
    DigestMismatchError,
    NotFoundError,
    RefLockedError,
    SizeMismatchError,
)
from contentdb.testing.streams import Seekable, breaking, dribble, endless, piped, unread
from contentdb.testing.subject import Rules
from contentdb.testing.threads import LIMIT_S, begun, together

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from contentdb.testing.subject import ContentStore

__all__ = ["IngestingRules"]

CONTENT = bytes(range(256)) * 1000
DIGEST = Digest.of(CONTENT)
SOURCES: dict[str, Callable[[bytes], BinaryIO]] = {
    "seekable": io.BytesIO,
    "piped": piped,
}


def begin(store: ContentStore, data: bytes) -> None:
    """Leave the ingest "r" with some bytes in it."""
    with store.writer("r") as writer:
        writer.write(data)


class IngestingRules(Rules):
    """The whole job in one call."""

    @pytest.mark.parametrize("kind", SOURCES)
    def test_ingest(self, store: ContentStore, second: ContentStore, kind: str) -> None:
        """3.11: a stream goes in under a ref, is verified, labelled and committed."""
        info = store.ingest(
            "r", SOURCES[kind](CONTENT), total=len(CONTENT), expected=DIGEST, labels={"k": "v"}
        )
        assert (info.digest, info.size, dict(info.labels)) == (DIGEST, len(CONTENT), {"k": "v"})
        assert second.read(DIGEST) == CONTENT
        assert second.info(DIGEST) == info
        assert list(second.statuses()) == []

    def test_a_source_may_give_less_than_asked(self, store: ContentStore) -> None:
        """3.11: short reads are no end of the source."""
        assert store.ingest("r", dribble(b"a slow source")).digest == Digest.of(b"a slow source")

    def test_nothing_is_content(self, store: ContentStore) -> None:
        """3.11: an empty source is the empty blob."""
        assert store.ingest("r", io.BytesIO(), total=0, expected=Digest.of(b"")).size == 0

    @pytest.mark.parametrize("kind", SOURCES)
    def test_ingest_resumes(self, store: ContentStore, second: ContentStore, kind: str) -> None:
        """3.11: an ingest goes on where it stood, from a source that begins at the beginning."""
        begin(store, CONTENT[:100_000])
        assert second.ingest("r", SOURCES[kind](CONTENT), expected=DIGEST).size == len(CONTENT)
        assert store.read(DIGEST) == CONTENT

    def test_ingest_resumes_by_seeking(self, store: ContentStore) -> None:
        """3.11: from a source that can seek, what is there already is not read again."""
        begin(store, CONTENT[:100_000])
        source = Seekable(CONTENT)
        store.ingest("r", source, expected=DIGEST)
        assert source.lowest == 100_000

    def test_all_bytes_are_there(self, store: ContentStore) -> None:
        """3.11: an ingest that only lacks its commit is committed."""
        begin(store, CONTENT)
        assert store.ingest("r", io.BytesIO(CONTENT), total=len(CONTENT)).digest == DIGEST

    @pytest.mark.parametrize("kind", SOURCES)
    def test_a_source_that_ends_early(self, store: ContentStore, kind: str) -> None:
        """3.11: too short a source is an error, and the ingest goes on later."""
        with pytest.raises(SizeMismatchError):
            store.ingest("r", SOURCES[kind](CONTENT[:1000]), total=len(CONTENT))
        assert store.status("r").offset == 1000
        with pytest.raises(DigestMismatchError):
            store.ingest("digest", SOURCES[kind](CONTENT[:2000]), expected=DIGEST)
        assert store.status("digest").offset == 2000
        assert list(store.walk()) == []
        for ref in ("r", "digest"):
            assert store.ingest(ref, SOURCES[kind](CONTENT)).digest == DIGEST
        assert list(store.statuses()) == []

    @pytest.mark.parametrize("kind", SOURCES)
    def test_a_source_shorter_than_the_ingest(self, store: ContentStore, kind: str) -> None:
        """3.11: a source that ends before the ingest's offset is an error and harms nothing."""
        begin(store, CONTENT[:1000])
        with pytest.raises(ContentDBError):
            store.ingest("r", SOURCES[kind](CONTENT[:10]), expected=DIGEST)
        assert store.status("r").offset == 1000
        assert store.ingest("r", SOURCES[kind](CONTENT), expected=DIGEST).size == len(CONTENT)

    def test_a_source_that_fails(self, store: ContentStore) -> None:
        """3.11: the source's own error comes through; what came before it is kept."""
        with pytest.raises(TimeoutError, match="cut off"):
            store.ingest("r", breaking(CONTENT[:1000], TimeoutError("cut off")), expected=DIGEST)
        assert store.status("r").offset == 1000
        assert store.ingest("r", piped(CONTENT), expected=DIGEST).digest == DIGEST

    def test_a_source_without_end(self, store: ContentStore) -> None:
        """3.9, 3.11: past the declared total nothing more is read."""
        with pytest.raises(SizeMismatchError):
            store.ingest("r", endless(limit=32 << 20), total=10)
        assert list(store.walk()) == []

    def test_stored_content_is_success(self, store: ContentStore) -> None:
        """3.11: content that turns out to be stored is success, and its ingest is gone."""
        stored = store.add(CONTENT, labels={"k": "v"})
        assert store.ingest("r", io.BytesIO(CONTENT)) == stored
        assert list(store.statuses()) == []

    def test_ingest_of_a_held_ref(self, store: ContentStore, second: ContentStore) -> None:
        """3.2, 3.11: without waiting a held ref is refused, the source unread."""
        with store.writer("r"), pytest.raises(RefLockedError):
            second.ingest("r", unread(), wait=False)

    def test_the_second_waits_and_reads_nothing(
        self, store: ContentStore, second: ContentStore
    ) -> None:
        """3.11: the same job started twice is done once; the second's source stays unread."""
        with store.writer("r", expected=DIGEST) as writer:
            waiting = begun(lambda: second.ingest("r", unread(), expected=DIGEST))
            writer.write(CONTENT)
            info = writer.commit()
        assert waiting.result(LIMIT_S) == info

    def test_the_second_takes_over(self, store: ContentStore, second: ContentStore) -> None:
        """3.11: when the first gives up, the second goes on from where it stood."""
        source = Seekable(CONTENT)
        with store.writer("r", expected=DIGEST) as writer:
            waiting = begun(lambda: second.ingest("r", source, expected=DIGEST))
            writer.write(CONTENT[:5000])
        assert waiting.result(LIMIT_S).digest == DIGEST
        assert list(store.statuses()) == []

    def test_ten_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """3.11: ten that ingest one content under one ref all succeed."""
        outcomes = together(
            *[
                lambda one=one: one.ingest("r", io.BytesIO(CONTENT), expected=DIGEST)
                for one in (store, second) * 5
            ]
        )
        assert outcomes == [store.info(DIGEST)] * 10
        assert list(store.statuses()) == []

    def test_abort(self, store: ContentStore, second: ContentStore) -> None:
        """3.13: abort drops an ingest, and its ref begins anew."""
        begin(store, b"some bytes")
        second.abort("r")
        assert list(store.statuses()) == []
        with pytest.raises(NotFoundError):
            store.status("r")
        with store.writer("r") as writer:
            assert writer.offset == 0

    def test_abort_of_nothing(self, store: ContentStore) -> None:
        """3.13: no ingest to drop, or to describe, is `NotFoundError` with the ref."""
        for call in (store.abort, store.status):
            with pytest.raises(NotFoundError) as caught:
                call("no such ref")
            assert caught.value.ref == "no such ref"

    def test_abort_of_a_held_ref(self, store: ContentStore, second: ContentStore) -> None:
        """3.13: a live writer's ingest cannot be dropped, and the writer goes on."""
        with store.writer("r") as writer:
            writer.write(b"con")
            for one in (store, second):
                with pytest.raises(RefLockedError):
                    one.abort("r")
            writer.write(b"tent")
            assert store.read(writer.commit().digest) == b"content"

    def test_statuses(self, store: ContentStore, second: ContentStore) -> None:
        """3.13: the ingests there are come in the order of their refs; none yields none."""
        assert list(store.statuses()) == []
        for number, ref in enumerate(["b", "a/2", "a/1", "c"]):
            with store.writer(ref, total=100) as writer:
                writer.write(bytes(number))
        found = list(second.statuses())
        assert [(one.ref, one.offset) for one in found] == [
            ("a/1", 2),
            ("a/2", 1),
            ("b", 0),
            ("c", 3),
        ]
        assert found == [second.status(one.ref) for one in found]
