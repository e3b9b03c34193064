"""Section 3, rules 1, 5 to 8: writing to an ingest; starting over, resuming, closing."""

# Long: a list of rules, each on its own.

from __future__ import annotations

import io
import json
import zipfile
from array import array
from typing import TYPE_CHECKING, cast

import pytest

from contentdb.digest import ALGORITHMS, Digest
from contentdb.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    RefLockedError,
    WriterClosedError,
)
from contentdb.testing.streams import unread
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from contentdb.content import ContentStore, Writer

__all__ = ["WritingRules"]

OTHER = Digest.of(b"something else")

CLOSED_CALLS: dict[str, Callable[[Writer], object]] = {
    "write": lambda writer: writer.write(b"more"),
    "truncate": lambda writer: writer.truncate(),
    "commit": lambda writer: writer.commit(),
}


class WritingRules(Rules):
    """Rules of writers."""

    def test_starting_over(self, store: ContentStore, second: ContentStore) -> None:
        """3.1: without resume no byte and no declaration of an earlier try is left."""
        with store.writer("r", total=11, expected=OTHER, metadata={"try": "first"}) as writer:
            writer.write(b"an earlier try")
        left = store.status("r")
        with second.writer("r", total=7) as writer:
            assert (writer.offset, writer.digest) == (0, Digest.of(b""))
            begun = second.status("r")
            assert (begun.offset, begun.total, begun.expected) == (0, 7, None)
            assert dict(begun.metadata) == {}
            assert begun.started_ns > left.started_ns
            writer.write(b"con")
        with second.writer("r", resume=True) as writer:
            assert writer.status().started_ns == begun.started_ns
            writer.write(b"tent")
            assert writer.commit().digest == Digest.of(b"content")
        assert store.read(Digest.of(b"content")) == b"content"
        assert list(store.statuses()) == []

    def test_a_producer_that_failed_runs_again(self, store: ContentStore) -> None:
        """3.1: code that never looks at the offset does not append to its own earlier try."""

        def produce(*, fails: bool) -> Digest:
            with store.writer("report") as writer:
                writer.write(b"header;")
                if fails:
                    raise KeyError("failed")
                writer.write(b"body")
                return writer.commit().digest

        with pytest.raises(KeyError):
            produce(fails=True)
        assert store.read(produce(fails=False)) == b"header;body"

    def test_starting_over_needs_the_ref(self, store: ContentStore, second: ContentStore) -> None:
        """3.1: an ingest is not started over while a writer holds it."""
        with store.writer("r") as writer:
            writer.write(b"con")
            with pytest.raises(RefLockedError):
                second.writer("r")
            writer.write(b"tent")
            assert store.read(writer.commit().digest) == b"content"

    def test_starting_over_for_stored_content(self, store: ContentStore) -> None:
        """3.1, 3.4: if the expected content is stored, the earlier try is not changed."""
        stored = store.add(b"stored")
        with store.writer("r") as writer:
            writer.write(b"an earlier try")
        left = store.status("r")
        with pytest.raises(AlreadyExistsError):
            store.writer("r", expected=stored.digest)
        assert store.status("r") == left

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_resume(self, store: ContentStore, second: ContentStore, algorithm: str) -> None:
        """3.5: a resumed ingest has its last offset, and new bytes go after the old."""
        expected = Digest.of(b"hello world", algorithm)
        with store.writer("r", total=11, expected=expected) as writer:
            begun = writer.status()
            writer.write(b"hello ")
        left = store.status("r")
        assert left.started_ns == begun.started_ns <= begun.updated_ns <= left.updated_ns
        with second.writer("r", resume=True) as writer:
            assert writer.status()._replace(held=False) == left._replace(held=False)
            assert (writer.offset, writer.status().offset) == (6, 6)
            assert writer.digest == Digest.of(b"hello ", algorithm)
            assert (writer.status().total, writer.status().expected) == (11, expected)
            writer.write(b"world")
            info = writer.commit()
        assert info.digest == expected
        assert store.read(expected) == b"hello world"

    def test_resuming_changes_nothing(self, store: ContentStore, second: ContentStore) -> None:
        """3.5: opening and closing an ingest without writing leaves its Status as it was."""
        with store.writer("r", total=100) as writer:
            writer.write(b"bytes")
        left = store.status("r")
        for one in (store, second):
            one.writer("r", resume=True).close()
            assert one.status("r") == left

    def test_resume_in_many_steps(self, store: ContentStore, second: ContentStore) -> None:
        """3.5: content written over many sessions is the same content."""
        pieces = [bytes([number]) * (number * 7919) for number in range(12)]
        for number, piece in enumerate(pieces):
            with (store, second)[number % 2].writer("r", resume=True) as writer:
                assert writer.offset == sum(map(len, pieces[:number]))
                assert writer.write(piece) == len(piece)
        with store.writer("r", resume=True) as writer:
            assert writer.digest == Digest.of(b"".join(pieces))
            assert store.read(writer.commit().digest) == b"".join(pieces)

    @pytest.mark.parametrize("declared", [{"total": 8}, {"expected": OTHER}, {"total": 0}])
    def test_contradiction(
        self, store: ContentStore, second: ContentStore, declared: dict[str, int | str]
    ) -> None:
        """3.5: on a resume another total or expected is refused by name, and harms nothing."""
        with store.writer("the ref", total=7, expected=Digest.of(b"content")) as writer:
            writer.write(b"con")
        left = store.status("the ref")
        for one in (store, second):
            with pytest.raises(FailedPreconditionError, match=r"the ref.*resume=False.*abort"):
                one.writer("the ref", resume=True, **declared)  # type: ignore[arg-type]
            assert one.status("the ref") == left
        with second.writer(
            "the ref", total=7, expected=Digest.of(b"content"), resume=True
        ) as writer:
            writer.write(b"tent")
            assert writer.commit().size == 7

    def test_declared_late(self, store: ContentStore) -> None:
        """3.5: a total or digest may be declared on a resume, and counts."""
        with store.writer("r") as writer:
            writer.write(b"con")
        expected = Digest.of(b"content", "sha512")
        with store.writer("r", total=7, expected=expected, resume=True) as writer:
            assert writer.digest == Digest.of(b"con", "sha512")
        assert (store.status("r").total, store.status("r").expected) == (7, expected)
        with store.writer("r", resume=True) as writer:
            writer.write(b"tent")
            assert writer.commit().digest == expected

    def test_write_takes_bytes_like(self, store: ContentStore) -> None:
        """3.6: any bytes-like object is written, and its bytes are counted, not its items."""
        numbers = array("I", [1, 2, 3])
        whole = b""
        with store.writer("r") as writer:
            for data in (b"ab", bytearray(b"cd"), memoryview(b"_ef_")[1:3], b"", numbers):
                whole += bytes(data)
                assert writer.write(data) == len(bytes(data))
                assert writer.offset == writer.status().offset == len(whole)
                assert writer.digest == Digest.of(whole)
            assert store.read(writer.commit().digest) == whole

    def test_write_does_not_keep_the_buffer(self, store: ContentStore) -> None:
        """3.6: a buffer that the caller uses again does not change what was written."""
        buffer = bytearray(1 << 20)
        with store.writer("r") as writer:
            for value in (1, 2, 3):
                buffer[:] = bytes([value]) * len(buffer)
                writer.write(buffer)
            digest = writer.commit().digest
        assert store.read(digest) == b"".join(bytes([v]) * (1 << 20) for v in (1, 2, 3))

    def test_a_new_writer_is_empty(self, store: ContentStore) -> None:
        """3.6: before the first byte the offset is 0 and the digest is that of nothing."""
        with store.writer("r") as writer:
            assert (writer.offset, writer.digest) == (0, Digest.of(b""))
            assert store.status("r").offset == 0

    def test_truncate(self, store: ContentStore, second: ContentStore) -> None:
        """3.7: truncate goes back to offset 0 and keeps the ref."""
        with store.writer("r") as writer:
            writer.write(b"mistaken")
        with store.writer("r", resume=True) as writer:
            writer.write(b" and more")
            writer.truncate()
            assert (writer.offset, writer.digest) == (0, Digest.of(b""))
            with pytest.raises(RefLockedError):
                second.writer("r")
            writer.write(b"right")
            assert store.read(writer.commit().digest) == b"right"

    def test_truncate_is_remembered(self, store: ContentStore, second: ContentStore) -> None:
        """3.7: after truncate and close the ingest resumes at 0, with its declarations."""
        with store.writer("r", total=5) as writer:
            writer.write(b"mistaken")
            started = writer.status().started_ns
            writer.truncate()
        with second.writer("r", resume=True) as writer:
            assert (writer.offset, writer.status().total) == (0, 5)
            assert writer.status().started_ns == started

    def test_close_keeps_and_frees(self, store: ContentStore, second: ContentStore) -> None:
        """3.8: close keeps the bytes and frees the ref; twice is harmless."""
        writer = store.writer("r")
        writer.write(b"kept")
        writer.close()
        assert writer.closed
        with second.writer("r", resume=True) as other:
            writer.close()
            with pytest.raises(RefLockedError):
                store.writer("r")
            assert other.offset == 4

    def test_leaving_the_block_closes(self, store: ContentStore) -> None:
        """3.8: leaving the `with` block closes; an exception inside is raised."""
        with pytest.raises(KeyError, match="mine"), store.writer("r") as writer:  # noqa: PT012
            writer.write(b"kept")
            raise KeyError("mine")
        assert writer.closed
        assert store.status("r").offset == 4

    @pytest.mark.parametrize("call", CLOSED_CALLS)
    def test_a_closed_writer_refuses(self, store: ContentStore, call: str) -> None:
        """3.8, 3.9: a closed writer takes no bytes, no truncate and no commit."""
        with store.writer("r") as writer:
            writer.write(b"kept")
        with pytest.raises(WriterClosedError) as caught:
            CLOSED_CALLS[call](writer)
        assert caught.value.ref == "r"
        assert store.status("r").offset == 4

    def test_metadata(self, store: ContentStore, second: ContentStore) -> None:
        """3.11: metadata of an ingest is in its Status until it is replaced."""
        noted = {"etag": '"abc"', "ключ": "line\nbreak", "empty": ""}
        with store.writer("r", metadata=noted) as writer:
            assert dict(writer.status().metadata) == noted
            writer.write(b"bytes")
        for status in (second.status("r"), *second.statuses()):
            assert dict(status.metadata) == noted
        with second.writer("r", resume=True) as writer:
            assert dict(writer.status().metadata) == noted
        with second.writer("r", resume=True, metadata={"etag": "new"}) as writer:
            assert writer.offset == 5
        assert dict(store.status("r").metadata) == {"etag": "new"}
        store.writer("r", resume=True, metadata={}).close()
        assert dict(store.status("r").metadata) == {}

    @pytest.mark.parametrize("metadata", [{"k": 1}, {1: "v"}, {"k": "v" * 16384}, {"k": "\ud800"}])
    def test_metadata_is_text_of_16_kib(
        self, store: ContentStore, metadata: dict[str, str]
    ) -> None:
        """3.11: metadata that is not text, or over 16 KiB, is refused before an ingest is made."""
        for call in (
            lambda: store.writer("r", metadata=metadata),
            lambda: store.ingest("r", unread(), metadata=metadata),
        ):
            with pytest.raises(InvalidArgumentError, match="metadata"):
                call()
        assert list(store.statuses()) == []
        store.writer("r", metadata={"k": "v" * 16383}).close()

    def test_a_writer_is_a_binary_file(self, store: ContentStore) -> None:
        """3.6: code that writes to binary files can use a writer; closing keeps the ingest."""
        with store.writer("r") as writer:
            assert writer.writable()
            assert not writer.readable()
            assert not writer.seekable()
            with zipfile.ZipFile(writer, "w") as archive:
                archive.writestr("name", b"content")
            assert writer.tell() == writer.offset
            writer.flush()
            digest = writer.commit().digest
        with zipfile.ZipFile(io.BytesIO(store.read(digest))) as archive:
            assert archive.read("name") == b"content"
        with store.writer("r") as writer:
            text = io.TextIOWrapper(cast("BinaryIO", writer), "utf-8", newline="")
            json.dump({"ключ": [1, 2]}, text, ensure_ascii=False)
            text.flush()
            text.detach()
            assert json.loads(store.read(writer.commit().digest)) == {"ключ": [1, 2]}
        with (
            store.writer("r") as writer,
            io.TextIOWrapper(cast("BinaryIO", writer), "ascii") as text,
        ):
            text.write("kept")
        assert writer.closed
        assert store.status("r").offset == 4
