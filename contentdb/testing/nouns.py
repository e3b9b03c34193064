"""Section 1 of the contract: digests, refs, and ingests before their commit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from contentdb.digest import ALGORITHMS, Digest
from contentdb.errors import (
    DigestLengthError,
    InvalidRefError,
    MalformedDigestError,
    NotFoundError,
    UnsupportedAlgorithmError,
)
from contentdb.testing.streams import unread
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.content import ContentStore

__all__ = ["NounRules"]

BAD_DIGESTS = [
    ("", MalformedDigestError),
    ("sha256", MalformedDigestError),
    ("sha256:", MalformedDigestError),
    ("sha256:../../../../etc/passwd", MalformedDigestError),
    ("sha256:" + "A" * 64, MalformedDigestError),
    ("sha256:" + "g" * 64, MalformedDigestError),
    ("sha256:" + "a" * 64 + "\n", MalformedDigestError),
    ("sha256:" + "a" * 63, DigestLengthError),
    ("sha256:" + "a" * 65, DigestLengthError),
    ("sha512:" + "a" * 64, DigestLengthError),
    ("md5:" + "a" * 32, UnsupportedAlgorithmError),
    ("sha1:" + "a" * 40, UnsupportedAlgorithmError),
]

DIGEST_CALLS: dict[str, Callable[[ContentStore, str], object]] = {
    "open": lambda store, text: store.open(text),
    "read": lambda store, text: store.read(text),
    "path": lambda store, text: store.path(text),
    "info": lambda store, text: store.info(text),
    "exists": lambda store, text: store.exists(text),
    "update": lambda store, text: store.update(text, {}),
    "delete": lambda store, text: store.delete(text),
    "delete_many": lambda store, text: store.delete_many([text], missing_ok=True),
    "walk": lambda store, text: list(store.walk(after=text)),
    "writer": lambda store, text: store.writer("r", expected=text),
    "ingest": lambda store, text: store.ingest("r", unread(), expected=text),
    "add": lambda store, text: store.add(unread(), expected=text),
}

GOOD_REFS = [
    "plain",
    "with space",
    "../../x",
    "/etc/passwd",
    "a/b",
    ".",
    "..",
    "new\nline",
    "tab\tbell\a",
    "Ünïcødé-漢字-🦀",
    "'; DROP TABLE blobs; --",
    "100%",
    "é" * 2048,  # exactly 4096 bytes
]

BAD_REFS = ["", "nul\0inside", "\0", "x" * 4097, "é" * 2048 + "x", "lone \ud800 surrogate"]

REF_CALLS: dict[str, Callable[[ContentStore, str], object]] = {
    "writer": lambda store, ref: store.writer(ref),
    "ingest": lambda store, ref: store.ingest(ref, unread()),
    "status": lambda store, ref: store.status(ref),
    "abort": lambda store, ref: store.abort(ref),
}


class NounRules(Rules):
    """Rules of digests, refs and times."""

    @pytest.mark.parametrize("call", DIGEST_CALLS)
    @pytest.mark.parametrize(("text", "error"), BAD_DIGESTS)
    def test_bad_digests_are_refused(
        self, store: ContentStore, call: str, text: str, error: type[Exception]
    ) -> None:
        """1.1: every method refuses a malformed, short or unknown digest, and harms nothing."""
        with pytest.raises(error):
            DIGEST_CALLS[call](store, text)
        assert list(store.statuses()) == []

    def test_three_refusals_have_three_messages(self, store: ContentStore) -> None:
        """1.1: malformed, wrong length and unsupported algorithm read differently."""
        messages = set()
        for text in ("sha256:xyz!", "sha256:abc", "md5:" + "a" * 32):
            with pytest.raises(ValueError, match="invalid digest") as caught:
                store.info(text)
            messages.add(str(caught.value).replace(text, ""))
        assert len(messages) == 3

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_algorithms(self, store: ContentStore, algorithm: str) -> None:
        """1.1: content is stored under the algorithm of the expected digest."""
        digest = Digest.of(b"content", algorithm)
        assert store.add(b"content", expected=digest).digest == digest
        assert store.read(digest) == b"content"
        assert [info.digest for info in store.walk()] == [digest]

    def test_a_digest_argument_may_be_text(self, store: ContentStore) -> None:
        """2.1: a digest is given as a `Digest` or as its text."""
        digest = store.add(b"content").digest
        assert isinstance(digest, Digest)
        assert store.read(str(digest)) == store.read(digest) == b"content"

    @pytest.mark.parametrize("ref", GOOD_REFS)
    def test_any_text_is_a_ref(self, store: ContentStore, ref: str) -> None:
        """1.3: a ref is any non-empty text up to 4096 bytes, and comes back as it was given."""
        with store.writer(ref) as writer:
            writer.write(b"half")
        assert store.status(ref).ref == ref
        assert [status.ref for status in store.statuses()] == [ref]
        with store.writer(ref, resume=True) as writer:
            assert writer.ref == ref
            writer.write(b" whole")
            info = writer.commit()
        assert store.read(info.digest) == b"half whole"
        assert list(store.statuses()) == []

    @pytest.mark.parametrize("call", REF_CALLS)
    @pytest.mark.parametrize("ref", BAD_REFS)
    def test_bad_refs_are_refused(self, store: ContentStore, call: str, ref: str) -> None:
        """1.3: an empty ref, one with a NUL and one over 4096 bytes are refused."""
        with pytest.raises(InvalidRefError):
            REF_CALLS[call](store, ref)
        assert list(store.statuses()) == []

    def test_refs_do_not_meet(self, store: ContentStore) -> None:
        """1.3: refs that are alike are still different ingests."""
        refs = ["a", "A", "a ", "a/", "a/b", "á", "a\u0301"]  # the last two look the same
        for ref in refs:
            with store.writer(ref) as writer:
                writer.write(ref.encode())
        assert {status.ref: status.offset for status in store.statuses()} == {
            ref: len(ref.encode()) for ref in refs
        }

    def test_an_ingest_is_no_blob(self, store: ContentStore) -> None:
        """1.4: no read of blobs sees an ingest before its commit."""
        digest = Digest.of(b"content")
        with store.writer("r", expected=digest, total=7) as writer:
            writer.write(b"content")
            assert not store.exists(digest)
            assert list(store.walk()) == []
            with pytest.raises(NotFoundError):
                store.info(digest)
            with pytest.raises(NotFoundError):
                store.read(digest)

    def test_times_are_utc(self, store: ContentStore) -> None:
        """1.5: times are timezone-aware UTC, and close to now."""
        now = datetime.now(UTC)
        info = store.add(b"content")
        with store.writer("r") as writer:
            status = writer.status()
        times = (info.created_at, info.updated_at, status.started_at, status.updated_at)
        assert all(time.utcoffset() == timedelta(0) for time in times)
        assert all(abs(time - now) < timedelta(hours=1) for time in times)

    def test_unknown_is_none(self, store: ContentStore) -> None:
        """2.1: a value that was not declared is None, and an explicit 0 is 0."""
        with store.writer("unknown") as writer:
            status = writer.status()
            assert (status.total, status.expected) == (None, None)
        with store.writer("none", total=0) as writer:
            assert writer.status().total == 0
            assert writer.commit(size=0).size == 0
