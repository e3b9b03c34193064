"""Section 3, rule 11: an ingest that has bytes already, of the same content or of another."""

# Long: a list of rules, each on its own.

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.digest import Digest
from contentdb.errors import ContentDBError, DigestMismatchError, SizeMismatchError
from contentdb.testing.ingesting import CONTENT, DIGEST, SOURCES, begin
from contentdb.testing.streams import Opening, Seekable, breaking, piped
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from contentdb.content import ContentStore

__all__ = ["ResumingRules"]

OTHERS: dict[str, bytes] = {
    "from the first byte": b"VERSION 2 IS HERE",
    "behind what is the same": b"version 2 is here",
    "of the same size": b"version 1 ELSE",
    "shorter": b"vers",
    "empty": b"",
}
"""Content that is not a continuation of the earlier one; all of it is shorter than `CONTENT`."""
EARLIER = b"version 1 "


class ResumingRules(Rules):
    """Rules of `ingest` under a ref that has bytes."""

    @pytest.mark.parametrize("kind", SOURCES)
    def test_ingest_resumes(self, store: ContentStore, second: ContentStore, kind: str) -> None:
        """3.11: an ingest resumes at its offset, from a source that begins at its start."""
        begin(store, CONTENT[:100_000])
        assert second.ingest("r", SOURCES[kind](CONTENT), expected=DIGEST).size == len(CONTENT)
        assert store.read(DIGEST) == CONTENT

    def test_an_earlier_digest_without_a_byte_does_not_bind(self, store: ContentStore) -> None:
        """3.11: an earlier try's digest does not count if no byte of it arrived."""
        store.writer("r", expected=Digest.of(b"other")).close()
        assert store.ingest("r", piped(CONTENT)).digest == DIGEST

    def test_ingest_resumes_by_seeking(self, store: ContentStore) -> None:
        """3.11: with a digest of the whole, bytes already in the ingest are not read again."""
        begin(store, CONTENT[:100_000])
        source = Seekable(CONTENT)
        store.ingest("r", source, expected=DIGEST)
        assert source.lowest == 100_000

    def test_a_source_may_begin_behind_its_start(self, store: ContentStore) -> None:
        """3.11: content begins at the source's position, also on a resume and a new start."""
        for kept, expected in ((CONTENT[:1000], DIGEST), (b"wrong", DIGEST), (b"wrong", None)):
            begin(store, kept)
            source = io.BytesIO(b"header" + CONTENT)
            source.seek(6)
            assert store.ingest("r", source, expected=expected).digest == DIGEST
            store.delete(DIGEST)

    @pytest.mark.parametrize("kind", SOURCES)
    @pytest.mark.parametrize("other", OTHERS)
    @pytest.mark.parametrize("declared", ["nothing", "total", "digest", "both"])
    def test_another_source_is_not_mixed_in(
        self, store: ContentStore, second: ContentStore, kind: str, other: str, declared: str
    ) -> None:
        """3.11: a ref with bytes of other content stores this source, and no mixture."""
        data = OTHERS[other]
        total = len(data) if declared in {"total", "both"} else None
        expected = Digest.of(data) if declared in {"digest", "both"} else None
        begin(store, EARLIER)
        if EARLIER.startswith(data) and total is None and expected is None:
            with pytest.raises(SizeMismatchError, match=r"'r'.*kept.*abort"):
                second.ingest("r", SOURCES[kind](data))
            assert store.status("r").offset == len(EARLIER)
            return
        info = second.ingest("r", SOURCES[kind](data), total=total, expected=expected)
        assert store.read(info.digest) == data
        assert list(store.statuses()) == []
        assert [one.digest for one in store.walk()] == [Digest.of(data)]

    @pytest.mark.parametrize("kind", SOURCES)
    @pytest.mark.parametrize("at", [0, 1, 99_999, 1 << 20, (1 << 20) + 1, 2_999_999])
    def test_where_a_source_differs(self, store: ContentStore, kind: str, at: int) -> None:
        """3.11: wherever the first difference is, only the source is stored."""
        earlier = bytearray(b"0123456789abcdef" * 187_500)
        data = bytearray(earlier + b"the end")
        data[at] ^= 1
        begin(store, bytes(earlier))
        info = store.ingest("r", SOURCES[kind](bytes(data)))
        assert store.read(info.digest) == data

    @pytest.mark.parametrize("kind", SOURCES)
    def test_wrong_bytes_do_not_spoil_a_ref(
        self, store: ContentStore, second: ContentStore, kind: str
    ) -> None:
        """3.11: a ref that received wrong bytes accepts the right ones of the next source."""
        good = b"good content"
        for bad in (b"bad! content", b"bad", b"good content and more", b"good CONTENT", b""):
            with pytest.raises(DigestMismatchError, match=r"'dl'.*kept.*abort"):
                store.ingest("dl", SOURCES[kind](bad), expected=Digest.of(good))
            assert store.status("dl").offset == len(bad)
            info = second.ingest("dl", SOURCES[kind](good), expected=Digest.of(good))
            assert info.new
            assert store.read(info.digest) == good
            assert list(store.statuses()) == []
            store.delete(info.digest)

    @pytest.mark.parametrize("kind", SOURCES)
    def test_declarations_of_an_earlier_try(self, store: ContentStore, kind: str) -> None:
        """3.11: this call's declarations override other ones of an earlier try."""
        data = b"VERSION 2 IS HERE"
        earlier: list[dict[str, int | str]] = [
            {"total": 14},
            {"total": 99},
            {"expected": Digest.of(b"version 1 HERE")},
            {"expected": Digest.of(b"version 1 HERE", "sha512"), "total": 14},
        ]
        now: list[dict[str, int | str]] = [
            {"total": 17},
            {"expected": Digest.of(data)},
            {"total": 17, "expected": Digest.of(data)},
            {},
        ]
        for before in earlier:
            for declared in now:
                begin(store, EARLIER, **before)  # type: ignore[arg-type]
                info = store.ingest("r", SOURCES[kind](data), **declared)  # type: ignore[arg-type]
                assert info.digest == Digest.of(data)
                assert store.read(info.digest) == data
                store.delete(info.digest)
        assert list(store.statuses()) == []

    @pytest.mark.parametrize("kind", SOURCES)
    def test_a_silent_call_keeps_to_what_was_declared(self, store: ContentStore, kind: str) -> None:
        """3.5, 3.11: declarations of an earlier try of the same content still count."""
        for declared, error in (
            ({"total": len(CONTENT)}, SizeMismatchError),
            ({"expected": DIGEST}, DigestMismatchError),
        ):
            begin(store, CONTENT[:1000], **declared)
            with pytest.raises(error, match=r"'r'.*kept.*abort"):
                store.ingest("r", SOURCES[kind](CONTENT[:2000]))
            assert store.status("r").offset == 2000
        assert list(store.walk()) == []

    @pytest.mark.parametrize("kind", SOURCES)
    def test_an_earlier_digest_does_not_stand_for_this_source(
        self, store: ContentStore, kind: str
    ) -> None:
        """3.11: complete content of an earlier try does not replace another source."""
        begin(store, CONTENT, total=len(CONTENT), expected=DIGEST)
        data = bytes(len(CONTENT))
        assert store.read(store.ingest("r", SOURCES[kind](data)).digest) == data

    def test_a_source_that_was_cut_off_twice(self, store: ContentStore) -> None:
        """3.11: a source that fails within the ingest's bytes keeps them; behind them, more."""
        begin(store, CONTENT[:10_000])
        for data, kept in ((CONTENT[:5000], 10_000), (CONTENT[:20_000], 20_000)):
            with pytest.raises(TimeoutError):
                store.ingest("r", breaking(data, TimeoutError("cut off")))
            assert store.status("r").offset == kept
        assert store.ingest("r", piped(CONTENT)).digest == DIGEST
        assert store.read(DIGEST) == CONTENT

    def test_a_cut_behind_another_beginning(self, store: ContentStore) -> None:
        """3.11: bytes kept after a source failed are of one source, never of two."""
        begin(store, b"version 1 of it")
        with pytest.raises(TimeoutError):
            store.ingest("r", breaking(b"version 2", TimeoutError("cut off")))
        assert store.status("r").offset == 9
        with store.writer("r", resume=True) as writer:
            assert store.read(writer.commit().digest) == b"version 2"

    def test_an_opened_source_resumes(self, store: ContentStore) -> None:
        """3.11: a source that is opened at an offset is asked only for the missing bytes."""
        begin(store, CONTENT[:1000])
        source = Opening(CONTENT)
        assert store.ingest("r", source, expected=DIGEST).size == len(CONTENT)
        assert source.asked == [1000]
        assert all(stream.closed for stream in source.streams)
        assert store.read(DIGEST) == CONTENT

    def test_an_opened_source_starts_over(self, store: ContentStore) -> None:
        """3.11: it is asked for everything again if the ingest has bytes of other content."""
        begin(store, b"wrong" * 100)
        source = Opening(CONTENT)
        assert store.ingest("r", source, total=len(CONTENT), expected=DIGEST).digest == DIGEST
        assert source.asked == [500, 0]
        assert all(stream.closed for stream in source.streams)
        assert store.read(DIGEST) == CONTENT

    @pytest.mark.parametrize("total", [None, len(CONTENT)])
    def test_an_opened_source_that_ignores_the_offset(
        self, store: ContentStore, total: int | None
    ) -> None:
        """3.11: a server that sends everything instead of a part does no harm."""
        begin(store, CONTENT[:1000])
        source = Opening(CONTENT)
        info = store.ingest("r", lambda offset: source(offset * 0), total=total, expected=DIGEST)
        assert info.digest == DIGEST
        assert store.read(DIGEST) == CONTENT

    def test_metadata_vouches_for_an_opened_source(
        self, store: ContentStore, second: ContentStore
    ) -> None:
        """3.11: with the metadata of the earlier try (its ETag) it resumes without comparing."""
        etag = {"etag": "1"}
        source = Opening(CONTENT, cut=1000)
        with pytest.raises(ConnectionError):
            store.ingest("r", source, metadata=etag)
        assert dict(second.status("r").metadata) == etag
        with pytest.raises(ConnectionError):
            second.ingest("r", source, metadata=etag)
        assert source.asked == [0, 1000]
        source = Opening(CONTENT)
        assert store.ingest("r", source, metadata=etag).digest == DIGEST
        assert source.asked == [2000]

    @pytest.mark.parametrize("metadata", [None, {"etag": "2"}, {}])
    def test_other_metadata_does_not_vouch(
        self, store: ContentStore, metadata: dict[str, str] | None
    ) -> None:
        """3.11: with another ETag, or none, everything is read and compared."""
        begin(store, EARLIER, metadata={"etag": "1"})
        source = Opening(b"version 2 is here")
        info = store.ingest("r", source, metadata=metadata)
        assert source.asked == [0]
        assert store.read(info.digest) == b"version 2 is here"

    def test_metadata_is_that_of_the_bytes(self, store: ContentStore) -> None:
        """3.11: an ETag is stored once the bytes are known to be its own, and not before."""
        begin(store, EARLIER, metadata={"etag": "1"})
        etag = {"etag": "2"}
        with pytest.raises(TimeoutError):
            store.ingest("r", breaking(b"vers", TimeoutError()), metadata=etag)
        assert dict(store.status("r").metadata) == {"etag": "1"}
        with pytest.raises(TimeoutError):
            store.ingest("r", breaking(b"version 2", TimeoutError()), metadata=etag)
        assert dict(store.status("r").metadata) == etag
        with pytest.raises(TimeoutError):  # bytes whose ETag is unknown
            store.ingest("r", breaking(b"version 2 is", TimeoutError()))
        assert dict(store.status("r").metadata) == {}
        with pytest.raises(TimeoutError):  # the same bytes, and now it is known
            store.ingest("r", breaking(b"version 2 is here", TimeoutError()), metadata=etag)
        assert dict(store.status("r").metadata) == etag

    @pytest.mark.parametrize("kind", SOURCES)
    @pytest.mark.parametrize("cut", [3, 4, 5])
    def test_what_was_declared_of_another_version(
        self, store: ContentStore, kind: str, cut: int
    ) -> None:
        """3.11: an earlier version's declarations do not count, even if both begin alike."""
        one, other = b"\x89PNG first" * 9, b"\x89PNG and the second" * 5
        declared = {"total": len(one), "expected": Digest.of(one)}
        for ref, names in (("total", ["total"]), ("expected", ["expected"]), ("b", declared)):
            kept: Any = {name: declared[name] for name in names}
            source = breaking(one[:cut], TimeoutError())
            with pytest.raises(TimeoutError):
                store.ingest(ref, source, metadata={"etag": "1"}, **kept)
            info = store.ingest(ref, SOURCES[kind](other), metadata={"etag": "2"})
            assert info.digest == Digest.of(other)
            store.delete(info.digest)

    def test_metadata_of_a_skipped_part_is_not_known(self, store: ContentStore) -> None:
        """3.11: after skipped bytes, which may be of another ETag, no ETag is stored."""
        begin(store, EARLIER, metadata={"etag": "1"})
        data, etag = b"version 2 is here", {"etag": "2"}
        source = Opening(data, cut=2)
        with pytest.raises(ConnectionError):
            store.ingest("r", source, expected=Digest.of(data), metadata=etag)
        assert source.asked == [len(EARLIER)]
        assert dict(store.status("r").metadata) == {}
        source = Opening(data)
        assert store.read(store.ingest("r", source, metadata=etag).digest) == data
        assert source.asked == [0]

    def test_all_bytes_are_there(self, store: ContentStore) -> None:
        """3.11: an ingest that only lacks its commit is committed."""
        begin(store, CONTENT)
        assert store.ingest("r", io.BytesIO(CONTENT), total=len(CONTENT)).digest == DIGEST

    @pytest.mark.parametrize("kind", SOURCES)
    def test_a_source_that_ends_early(self, store: ContentStore, kind: str) -> None:
        """3.11: a source that is too short is an error, and the ingest can be resumed."""
        with pytest.raises(SizeMismatchError, match=r"'r'.*kept.*abort"):
            store.ingest("r", SOURCES[kind](CONTENT[:1000]), total=len(CONTENT))
        assert store.status("r").offset == 1000
        with pytest.raises(DigestMismatchError, match=r"'digest'.*kept.*abort"):
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
        """3.11: the source's own error is raised; the bytes before it are kept."""
        with pytest.raises(TimeoutError, match="cut off"):
            store.ingest("r", breaking(CONTENT[:1000], TimeoutError("cut off")), expected=DIGEST)
        assert store.status("r").offset == 1000
        assert store.ingest("r", piped(CONTENT), expected=DIGEST).digest == DIGEST
