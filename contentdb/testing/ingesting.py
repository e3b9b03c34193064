"""Section 3, rules 11 and 13: whole streams under a ref; listing and dropping ingests."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from contentdb.content import Info
from contentdb.digest import Digest
from contentdb.errors import (
    InvalidArgumentError,
    NotFoundError,
    RefLockedError,
    SizeMismatchError,
)
from contentdb.testing.streams import (
    OnlyRead,
    Opening,
    Seekable,
    dribble,
    endless,
    piped,
    unread,
)
from contentdb.testing.subject import Rules
from contentdb.testing.threads import LIMIT_S, begun, together

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.content import ContentStore, Openable, Source

__all__ = ["IngestingRules"]

CONTENT = bytes(range(256)) * 1000
DIGEST = Digest.of(CONTENT)
SOURCES: dict[str, Callable[[bytes], Source | Openable]] = {
    "seekable": io.BytesIO,
    "piped": piped,
    "opened": Opening,
}


def begin(
    store: ContentStore,
    data: bytes,
    *,
    total: int | None = None,
    expected: str | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Leave the ingest "r" with some bytes in it."""
    with store.writer("r", total=total, expected=expected, metadata=metadata) as writer:
        writer.write(data)


class IngestingRules(Rules):
    """Rules of `ingest`, `abort` and `statuses`."""

    @pytest.mark.parametrize("kind", SOURCES)
    def test_ingest(self, store: ContentStore, second: ContentStore, kind: str) -> None:
        """3.11: a stream is stored under a ref, verified, labelled and committed."""
        info = store.ingest(
            "r", SOURCES[kind](CONTENT), total=len(CONTENT), expected=DIGEST, labels={"k": "v"}
        )
        assert (info.digest, info.size, dict(info.labels)) == (DIGEST, len(CONTENT), {"k": "v"})
        assert second.read(DIGEST) == CONTENT
        assert second.info(DIGEST) == info
        assert list(second.statuses()) == []

    def test_a_source_may_give_less_than_asked(self, store: ContentStore) -> None:
        """3.11: a short read is not the end of the source."""
        assert store.ingest("r", dribble(b"a slow source")).digest == Digest.of(b"a slow source")

    def test_nothing_is_content(self, store: ContentStore) -> None:
        """3.11: an empty source is the empty blob."""
        assert store.ingest("r", io.BytesIO(), total=0, expected=Digest.of(b"")).size == 0

    @pytest.mark.parametrize("kind", SOURCES)
    @pytest.mark.parametrize("total", [None, 3_000_000])
    def test_progress_is_told(self, store: ContentStore, kind: str, total: int | None) -> None:
        """3.11: the callback gets the bytes done, up to the end, and the total."""
        data = bytes(3_000_000)
        begin(store, data[:1_500_000])
        told: list[tuple[int, int | None]] = []
        store.ingest(
            "r", SOURCES[kind](data), total=total, progress=lambda *args: told.append(args)
        )
        assert [one for one, _ in told] == sorted(one for one, _ in told)
        assert told[-1] == (3_000_000, total)
        assert {one for _, one in told} == {total}

    def test_progress_may_stop_it(self, store: ContentStore) -> None:
        """3.11: an exception of the callback is raised; the ingest is kept to be resumed."""

        def stop(done: int, total: int | None) -> None:
            assert total is None
            if done:
                raise KeyError(done)

        with pytest.raises(KeyError):
            store.ingest("r", piped(CONTENT), progress=stop)
        kept = store.status("r")
        assert kept.offset
        assert store.ingest("r", piped(CONTENT)).digest == DIGEST

    def test_whatever_can_read_is_a_source(self, store: ContentStore, tmp_path: Path) -> None:
        """3.13a: any object with `read(n)` is a source: gzip, zip, tar, a `Reader`."""
        packed = tmp_path / "content.gz"
        packed.write_bytes(gzip.compress(CONTENT))
        zipped = tmp_path / "content.zip"
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("name", CONTENT)
        tarred = tmp_path / "content.tar"
        with tarfile.open(tarred, "w") as tar:
            member = tarfile.TarInfo("name")
            member.size = len(CONTENT)
            tar.addfile(member, io.BytesIO(CONTENT))
        blob = store.add(b"a blob " * 10_000).digest
        with (
            gzip.open(packed) as unpacked,
            zipfile.ZipFile(zipped) as archive,
            archive.open("name") as entry,
            tarfile.open(tarred) as tar,
            store.open(blob) as reader,
        ):
            extracted = tar.extractfile("name")
            assert extracted is not None
            sources: list[Source] = [unpacked, entry, extracted, OnlyRead(CONTENT)]
            for source in sources:
                begin(store, CONTENT[:1000])
                assert store.ingest("r", source).digest == DIGEST
                store.delete(DIGEST)
            assert store.ingest("r", reader).digest == blob

    @pytest.mark.parametrize(
        ("answers", "error"),
        [
            ((None,), BlockingIOError),
            ((b"abc", None), BlockingIOError),
            (("text",), InvalidArgumentError),
            ((1 << 26,), InvalidArgumentError),
            ((object(),), InvalidArgumentError),
        ],
        ids=["nothing yet", "nothing more yet", "text", "more than asked", "no bytes"],
    )
    def test_a_source_that_does_not_keep_to_the_rules(
        self, store: ContentStore, answers: tuple[object, ...], error: type[Exception]
    ) -> None:
        """3.13a: None, text or too many bytes are errors; bytes before them are kept."""
        with pytest.raises(error):
            store.ingest("r", OnlyRead(*answers))
        assert list(store.walk()) == []
        assert store.status("r").offset == (3 if answers[0] == b"abc" else 0)

    @pytest.mark.parametrize("source", [b"bytes", "text", 7, None])
    def test_what_cannot_be_read_is_no_source(self, store: ContentStore, source: object) -> None:
        """3.13a: an object without `read`, not callable, is refused before an ingest is made."""
        with pytest.raises(InvalidArgumentError):
            store.ingest("r", source)  # type: ignore[arg-type]
        assert list(store.statuses()) == []

    def test_a_source_without_end(self, store: ContentStore) -> None:
        """3.9, 3.11: past the declared total nothing more is read."""
        with pytest.raises(SizeMismatchError):
            store.ingest("r", endless(limit=32 << 20), total=10)
        assert list(store.walk()) == []

    def test_stored_content_is_success(self, store: ContentStore) -> None:
        """3.11: content that is already stored is success, and its ingest is removed."""
        stored = store.add(CONTENT, labels={"k": "v"})
        info = store.ingest("r", io.BytesIO(CONTENT))
        assert info == stored
        assert not info.new
        assert list(store.statuses()) == []

    @pytest.mark.parametrize("expected", [None, DIGEST])
    def test_stored_content_gets_the_labels(
        self, store: ContentStore, second: ContentStore, expected: str | None
    ) -> None:
        """3.11, 3.12: labels are added to stored content, unless `keep_labels`."""
        assert store.ingest("r", io.BytesIO(CONTENT), labels={"a": "1", "b": "2"}).new
        kept = store.ingest(
            "r", io.BytesIO(CONTENT), expected=expected, labels={"b": "no"}, keep_labels=True
        )
        assert dict(kept.labels) == {"a": "1", "b": "2"}
        info = second.ingest("r", io.BytesIO(CONTENT), expected=expected, labels={"b": "3"})
        assert dict(info.labels) == {"a": "1", "b": "3"}
        assert not info.new
        assert store.info(DIGEST) == info
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
        assert not waiting.result(LIMIT_S).new

    def test_the_second_takes_over(self, store: ContentStore, second: ContentStore) -> None:
        """3.11: when the first closes without a commit, the second resumes at its offset."""
        source = Seekable(CONTENT)
        with store.writer("r", expected=DIGEST) as writer:
            waiting = begun(lambda: second.ingest("r", source, expected=DIGEST))
            writer.write(CONTENT[:5000])
        assert waiting.result(LIMIT_S).digest == DIGEST
        assert list(store.statuses()) == []

    def test_ten_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """3.11: ten calls that ingest one content under one ref at once all succeed."""
        outcomes = together(
            *[
                lambda one=one: one.ingest("r", io.BytesIO(CONTENT), expected=DIGEST)
                for one in (store, second) * 5
            ]
        )
        assert outcomes == [store.info(DIGEST)] * 10
        assert sum(isinstance(one, Info) and one.new for one in outcomes) == 1
        assert list(store.statuses()) == []

    def test_abort(self, store: ContentStore, second: ContentStore) -> None:
        """3.13: abort drops an ingest, and the next writer of its ref begins at 0."""
        begin(store, b"some bytes")
        second.abort("r")
        assert list(store.statuses()) == []
        with pytest.raises(NotFoundError):
            store.status("r")
        with store.writer("r") as writer:
            assert writer.offset == 0

    def test_abort_of_nothing(self, store: ContentStore) -> None:
        """3.13: `abort` and `status` of an unknown ref raise `NotFoundError` with the ref."""
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
        """3.13: ingests are listed in the order of their refs; without ingests, nothing."""
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
