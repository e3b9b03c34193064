"""Section 3, rules 9 and 10: commits, and commits that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb.content import Info
from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    DigestMismatchError,
    FailedPreconditionError,
    InvalidLabelError,
    MalformedDigestError,
    NotFoundError,
    RefLockedError,
    SizeMismatchError,
    WriterClosedError,
)
from contentdb.testing.subject import Rules
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from contentdb.content import ContentStore

__all__ = ["CommittingRules"]

OTHER = Digest.of(b"something else")

REFUSED: dict[str, tuple[dict[str, object], type[Exception]]] = {
    "too small a size": ({"size": 6}, SizeMismatchError),
    "too large a size": ({"size": 8}, SizeMismatchError),
    "size 0": ({"size": 0}, SizeMismatchError),
    "another digest": ({"expected": OTHER}, DigestMismatchError),
    "another sha512": ({"expected": Digest.of(b"something", "sha512")}, DigestMismatchError),
    "no digest": ({"expected": "nonsense"}, MalformedDigestError),
    "too long a label": ({"labels": {"k": "v" * 4096}}, InvalidLabelError),
}


def begin(store: ContentStore, data: bytes, *, expected: str | None = None) -> None:
    """Leave the ingest "r" with some bytes in it."""
    with store.writer("r", expected=expected) as writer:
        writer.write(data)


class CommittingRules(Rules):
    """Rules of `Writer.commit`."""

    def test_commit(self, store: ContentStore, second: ContentStore) -> None:
        """3.9: a correct commit leaves a blob with size, labels and times, and no ingest."""
        digest = Digest.of(b"content")
        with store.writer("r") as writer:
            writer.write(b"content")
            info = writer.commit(size=7, expected=digest, labels={"kind": "layer", "none": ""})
            assert writer.closed
        assert (info.digest, info.size, dict(info.labels)) == (digest, 7, {"kind": "layer"})
        assert info.created_at == info.updated_at
        for one in (store, second):
            assert one.info(digest) == info
            assert list(one.walk()) == [info]
            assert one.exists(digest)
            assert one.read(digest) == b"content"
            assert list(one.statuses()) == []
            with pytest.raises(NotFoundError):
                one.status("r")

    def test_a_blob_is_read_only(self, store: ContentStore) -> None:
        """1.2, 3.9: the file of a blob can be neither written nor executed."""
        if not self.has_paths:
            pytest.skip("needs an implementation with has_paths")
        path = store.path(store.add(b"content").digest)
        assert path.read_bytes() == b"content"
        assert path.stat().st_mode & 0o777 & 0o333 == 0

    def test_commit_frees_the_ref(self, store: ContentStore, second: ContentStore) -> None:
        """3.9: after a commit any caller can begin a new ingest of the ref."""
        writer = store.writer("r")
        writer.write(b"content")
        writer.commit()
        with second.writer("r") as other:
            assert other.offset == 0

    @pytest.mark.parametrize("why", REFUSED)
    def test_a_refused_commit_keeps_the_ingest(
        self, store: ContentStore, second: ContentStore, why: str
    ) -> None:
        """3.9: a refused commit publishes nothing, frees the ref and keeps the ingest."""
        arguments, error = REFUSED[why]
        writer = store.writer("r")
        writer.write(b"content")
        with pytest.raises(error):
            writer.commit(**arguments)  # type: ignore[arg-type]
        assert writer.closed
        assert list(store.walk()) == []
        assert second.status("r").offset == 7
        with second.writer("r", resume=True) as other:
            assert (other.offset, other.digest) == (7, Digest.of(b"content"))
            assert other.commit(size=7).digest == Digest.of(b"content")

    def test_mismatches_tell_both_sides(self, store: ContentStore) -> None:
        """3.9: the errors have the expected and the actual value, the ref and what to do."""
        begin(store, b"content")
        with store.writer("r", resume=True) as writer, pytest.raises(SizeMismatchError) as size:
            writer.commit(size=9)
        assert (size.value.expected, size.value.actual) == (9, 7)
        with store.writer("r", resume=True) as writer, pytest.raises(DigestMismatchError) as digest:
            writer.commit(expected=OTHER)
        assert (digest.value.expected, digest.value.actual) == (OTHER, Digest.of(b"content"))
        for error in (size.value, digest.value):
            assert error.ref == "r"
            for word in ("'r'", "kept", "resume=True", "resume=False", "abort"):
                assert word in str(error)

    def test_a_refused_ingest_can_be_mended_or_dropped(self, store: ContentStore) -> None:
        """3.9: after a refusal the ingest can be resumed, truncated and aborted."""
        with store.writer("r", expected=Digest.of(b"content")) as writer:
            writer.write(b"con")
            with pytest.raises(DigestMismatchError):
                writer.commit()
        with store.writer("r", resume=True) as writer:
            writer.write(b"fused")
            with pytest.raises(DigestMismatchError):
                writer.commit()
        with store.writer("r", resume=True) as writer:
            writer.truncate()
            writer.write(b"content")
            writer.commit()
        with store.writer("r") as writer, pytest.raises(SizeMismatchError):
            writer.commit(size=1)
        store.abort("r")
        assert list(store.statuses()) == []

    def test_expected_at_the_beginning_counts(self, store: ContentStore) -> None:
        """3.9: the digest declared at the beginning is checked, and commit cannot change it."""
        begin(store, b"content", expected=OTHER)
        for expected in (None, Digest.of(b"content")):
            with (
                store.writer("r", resume=True) as writer,
                pytest.raises(FailedPreconditionError, match="'r'"),
            ):
                writer.commit(expected=expected)
        assert list(store.walk()) == []

    @pytest.mark.parametrize(("total", "data"), [(6, b"content"), (0, b"x"), (8, b"content")])
    def test_total_counts(self, store: ContentStore, total: int, data: bytes) -> None:
        """3.9: more or fewer bytes than the declared total are refused like a wrong size."""
        with store.writer("r", total=total) as writer, pytest.raises(SizeMismatchError):  # noqa: PT012  # it may show at the write or at the commit
            writer.write(data)
            writer.commit()
        assert list(store.walk()) == []
        assert store.status("r").total == total

    @pytest.mark.parametrize("size", [None, 0])
    def test_the_empty_blob(self, store: ContentStore, size: int | None) -> None:
        """2.1, 3.9: no bytes are content too, and a size of 0 is checked like any other."""
        with store.writer("r") as writer:
            info = writer.commit(size=size, expected=Digest.of(b""))
        assert (info.size, store.read(info.digest)) == (0, b"")
        with store.writer("r") as writer, pytest.raises(SizeMismatchError):
            writer.commit(size=1)

    def test_commit_by_another_algorithm(self, store: ContentStore) -> None:
        """1.1, 3.9: the digest given at commit chooses the algorithm when none was declared."""
        digest = Digest.of(b"content", "sha384")
        with store.writer("r") as writer:
            writer.write(b"content")
            assert writer.commit(expected=digest).digest == digest
        assert store.read(digest) == b"content"

    def test_a_commit_tells_that_it_was_new(self, store: ContentStore) -> None:
        """3.9: the Info of a commit that stored new content says so, and equals other Infos."""
        with store.writer("r") as writer:
            writer.write(b"content")
            info = writer.commit()
        assert info.new
        assert not store.info(info.digest).new
        assert store.info(info.digest) == info

    @pytest.mark.parametrize("labels", [None, {"first": "again", "second": "yes"}])
    def test_already_stored(
        self, store: ContentStore, second: ContentStore, labels: dict[str, str] | None
    ) -> None:
        """3.9, 3.12: stored content is success; the ingest is removed, its labels are added."""
        stored = store.add(b"content", labels={"first": "yes", "other": "stays"})
        with second.writer("r", total=7) as writer:
            writer.write(b"content")
            info = writer.commit(labels=labels)
            assert writer.closed
        assert not info.new
        assert info.digest == stored.digest
        assert dict(info.labels) == {"first": "yes", "other": "stays"} | (labels or {})
        assert info.created_at == stored.created_at
        assert store.info(stored.digest) == info
        assert labels or info == stored
        assert list(store.statuses()) == []

    def test_already_stored_keeps_its_labels(self, store: ContentStore) -> None:
        """3.9, 3.12: `keep_labels` keeps the labels of stored content; new content gets them."""
        for labels, kept in (({"k": "v"}, {"k": "v"}), ({"k": "w", "l": "x"}, {"k": "v"})):
            with store.writer("r") as writer:
                writer.write(b"content")
                info = writer.commit(labels=labels, keep_labels=True)
            assert dict(info.labels) == kept
            assert store.info(info.digest) == info

    def test_already_stored_may_be_refused(self, store: ContentStore, second: ContentStore) -> None:
        """3.9: with `exist_ok=False` stored content is an error; the ingest is removed too."""
        stored = store.add(b"content", labels={"first": "yes"})
        with second.writer("r") as writer:
            writer.write(b"content")
            with pytest.raises(AlreadyExistsError) as caught:
                writer.commit(labels={"second": "no"}, exist_ok=False)
            assert writer.closed
        assert caught.value.digest == stored.digest
        assert list(store.statuses()) == []
        assert store.info(stored.digest) == stored

    def test_a_closed_writer_touches_nobody(
        self, store: ContentStore, second: ContentStore
    ) -> None:
        """3.9: commit and close of a closed writer leave the ref's new holder alone."""
        first = store.writer("r")
        first.write(b"con")
        first.close()
        with second.writer("r", resume=True) as other:
            with pytest.raises(WriterClosedError):
                first.commit()
            first.close()
            with pytest.raises(RefLockedError):
                store.writer("r")
            other.write(b"tent")
            assert other.commit().size == 7

    def test_a_second_commit_is_refused(self, store: ContentStore) -> None:
        """3.9: a writer commits once."""
        with store.writer("r") as writer:
            writer.write(b"content")
            writer.commit()
            with pytest.raises(WriterClosedError):
                writer.commit()

    def test_exactly_one_commit_is_new(self, store: ContentStore, second: ContentStore) -> None:
        """3.10: eight refs commit one digest at once: all succeed, one returns a new Info."""
        for number in range(5):
            data = b"content %d" % number
            writers = [one.writer(f"ref {at}") for at, one in enumerate((store, second) * 4)]
            for writer in writers:
                writer.write(data)
            outcomes = together(
                *[
                    lambda writer=writer: writer.commit(labels={writer.ref: "here"})
                    for writer in writers
                ]
            )
            infos = [one for one in outcomes if isinstance(one, Info)]
            assert len(infos) == 8
            assert sum(info.new for info in infos) == 1
            stored = store.info(Digest.of(data))
            assert dict(stored.labels) == {f"ref {at}": "here" for at in range(8)}
            assert store.read(Digest.of(data)) == data
            assert list(store.statuses()) == []
        assert len(list(store.walk())) == 5

    def test_exactly_one_commit_wins(self, store: ContentStore, second: ContentStore) -> None:
        """3.10: with `exist_ok=False` one of eight commits at once succeeds."""
        writers = [one.writer(f"ref {at}") for at, one in enumerate((store, second) * 4)]
        for writer in writers:
            writer.write(b"content")
        outcomes = together(
            *[lambda writer=writer: writer.commit(exist_ok=False) for writer in writers]
        )
        assert sum(isinstance(one, Info) for one in outcomes) == 1
        assert sum(isinstance(one, AlreadyExistsError) for one in outcomes) == 7
        assert list(store.statuses()) == []
