"""Section 3, rule 12: content without a ref, one or many."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.content import Info
from contentdb.digest import Digest
from contentdb.errors import (
    ContentDBError,
    DigestMismatchError,
    InvalidLabelError,
)
from contentdb.testing.streams import (
    NotYet,
    OnlyRead,
    breaking,
    dribble,
    piped,
    unread,
)
from contentdb.testing.subject import Rules
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from contentdb.content import ContentStore, Source

__all__ = ["AddingRules", "infos_of"]

BYTES_LIKE = [
    b"content",
    bytearray(b"content"),
    memoryview(b"_content_")[1:8],
    b"",
    b"x" * 3_000_000,
]


def _add_path(store: ContentStore, folder: Path, **options: Any) -> Info:  # noqa: ANN401 - passed on
    (folder / "labelled").write_bytes(b"content")
    return store.add(folder / "labelled", **options)


def _add_many(store: ContentStore, _folder: Path, **options: Any) -> Info:  # noqa: ANN401 - as above
    infos: list[Info] = list(store.add_many([b"content"], **options))
    return infos[0]


LABELLED_WAYS: dict[str, Callable[..., Info]] = {
    "bytes": lambda store, _folder, **options: store.add(b"content", **options),
    "stream": lambda store, _folder, **options: store.add(piped(b"content"), **options),
    "path": _add_path,
    "expected": lambda store, _folder, **options: store.add(
        unread(), expected=Digest.of(b"content"), **options
    ),
    "many": _add_many,
}
"""Ways to store `b"content"`: functions of a store, a folder and the options about labels."""


class AddingRules(Rules):
    """Rules of `add` and `add_many`."""

    @pytest.mark.parametrize(
        "data", BYTES_LIKE, ids=["bytes", "bytearray", "view", "empty", "large"]
    )
    def test_add_bytes(self, store: ContentStore, data: bytes) -> None:
        """3.12: any bytes-like object is stored, and no ingest shows."""
        info = store.add(data, labels={"k": "v"})
        assert (info.digest, info.size) == (Digest.of(data), len(data))
        assert info == store.info(info.digest)
        assert dict(info.labels) == {"k": "v"}
        assert store.read(info.digest) == bytes(data)
        assert list(store.statuses()) == []

    def test_add_files(self, store: ContentStore, tmp_path: Path) -> None:
        """3.12: a path and a file object are stored, and the source stays as it is."""
        path = tmp_path / "source"
        path.write_bytes(b"from a path")
        path.chmod(0o644)
        assert store.read(store.add(path).digest) == b"from a path"
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"from a path", 0o644)
        path.write_bytes(b"changed since")
        with path.open("rb") as file:
            assert store.add(file).digest == Digest.of(b"changed since")
        assert store.read(Digest.of(b"from a path")) == b"from a path"
        for source in (io.BytesIO(b"buffer"), piped(b"pipe"), dribble(b"dribble")):
            store.add(source)
        assert len(list(store.walk())) == 5

    def test_any_stream_is_a_source(self, store: ContentStore, tmp_path: Path) -> None:
        """3.13a: whatever has `read(n) -> bytes` is content, many of them too."""
        path = tmp_path / "content"
        path.write_bytes(b"content")
        packed, zipped = io.BytesIO(), io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(path, "content")
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("content", b"content")
        digest = Digest.of(b"content")

        def sources() -> Iterator[Source]:
            with gzip.open(io.BytesIO(gzip.compress(b"content"))) as file:
                yield file
            with zipfile.ZipFile(zipped) as archive, archive.open("content") as part:
                yield part
            packed.seek(0)
            with tarfile.open(fileobj=packed) as tar:
                member = tar.extractfile("content")
                assert member is not None
                yield member
            with tempfile.SpooledTemporaryFile() as spooled:
                spooled.write(b"content")
                spooled.seek(0)
                yield spooled
            with path.open("rb", buffering=0) as raw:
                yield raw
            yield OnlyRead(b"content")
            yield OnlyRead(b"c", b"ont", b"ent")
            with store.open(store.add(path).digest) as reader:
                yield reader

        for source in sources():
            assert store.add(source).digest == digest
            store.delete(digest)
        infos = list(store.add_many(sources()))
        assert [info.digest for info in infos] == [digest] * 8
        assert store.read(digest) == b"content"

    @pytest.mark.parametrize("before", [b"", b"half of it"])
    def test_nothing_yet_is_no_end(self, store: ContentStore, before: bytes) -> None:
        """3.13a: a non-blocking source that has nothing yet is an error, and stores nothing."""
        pieces = (before, None) if before else (None,)
        for source in (NotYet(before), OnlyRead(*pieces)):
            with pytest.raises(BlockingIOError):
                store.add(source)
        with pytest.raises(ContentDBError, match="nothing yet"):
            list(store.add_many([NotYet(before)]))
        reading_end, writing_end = os.pipe()
        os.set_blocking(reading_end, False)
        with os.fdopen(reading_end, "rb") as pipe, os.fdopen(writing_end, "wb") as end:
            end.write(before)
            end.flush()
            with pytest.raises(BlockingIOError):
                store.add(pipe)
        assert list(store.walk()) == []
        assert list(store.statuses()) == []

    def test_add_again(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: content that is there already is success, and stays what it was."""
        first = store.add(b"content")
        assert second.add(b"content") == first
        assert second.add(io.BytesIO(b"content"), expected=first.digest) == first
        assert list(store.walk()) == [first]

    def test_add_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: one content added eight times at once is one blob, and no call fails."""
        outcomes = together(*[lambda one=one: one.add(b"content") for one in (store, second) * 4])
        assert outcomes == [store.info(Digest.of(b"content"))] * 8

    def test_new_is_told(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: only the Info of the call that stored new content says so."""
        first = store.add(b"content")
        assert first.new
        assert not second.add(b"content").new
        assert not second.add(io.BytesIO(b"content"), expected=first.digest).new
        assert not store.info(first.digest).new
        assert not any(info.new for info in second.walk())
        answers = store.add_many([b"content", b"1", b"1"])
        assert [info.new for info in answers] == [False, True, False]
        store.delete(first.digest)
        assert store.add(b"content").new

    def test_one_of_many_is_told_new(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: of eight calls that add one content at once, exactly one returns a new Info."""
        for number in range(5):
            data = b"content %d" % number
            calls = [lambda one=one, data=data: one.add(data) for one in (store, second) * 4]
            outcomes = infos_of(together(*calls))
            assert sum(info.new for info in outcomes) == 1

    @pytest.mark.parametrize("way", LABELLED_WAYS)
    def test_labels_reach_stored_content(
        self, store: ContentStore, second: ContentStore, tmp_path: Path, way: str
    ) -> None:
        """3.12: labels given with content that is stored already are merged onto it by key."""
        first = store.add(b"content", labels={"old": "1", "both": "1"})
        info = LABELLED_WAYS[way](second, tmp_path, labels={"both": "2", "new": "2", "empty": ""})
        assert dict(info.labels) == {"old": "1", "both": "2", "new": "2"}
        assert (info.created_ns, info.new) == (first.created_ns, False)
        assert info.updated_ns > first.updated_ns
        for one in (store, second):
            assert one.info(first.digest) == info
            assert list(one.walk("labels.new==2")) == [info]

    @pytest.mark.parametrize("way", LABELLED_WAYS)
    def test_labels_that_are_there_change_nothing(
        self, store: ContentStore, second: ContentStore, tmp_path: Path, way: str
    ) -> None:
        """3.12: where every given label is there already, `updated_at` does not move."""
        first = store.add(b"content", labels={"a": "1", "b": "2"})
        for labels in ({"a": "1"}, {"a": "1", "b": "2"}, {}):
            assert LABELLED_WAYS[way](second, tmp_path, labels=labels) == first
        assert store.info(first.digest) == first

    @pytest.mark.parametrize("way", LABELLED_WAYS)
    def test_keep_labels(
        self, store: ContentStore, second: ContentStore, tmp_path: Path, way: str
    ) -> None:
        """3.12: with keep_labels stored content keeps its labels, and new content is labelled."""
        first = store.add(b"content", labels={"a": "1"})
        given = {"a": "2", "b": "2"}
        info = LABELLED_WAYS[way](second, tmp_path, labels=given, keep_labels=True)
        assert info == first
        assert store.info(first.digest) == first
        new = store.add(b"new", labels={"a": "2"}, keep_labels=True)
        assert dict(store.info(new.digest).labels) == {"a": "2"}

    def test_labels_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: eight calls that add one content at once, each with a label, set all labels."""
        outcomes = together(
            *[
                lambda one=one, key=key: one.add(b"content", labels={key: "v", "all": key})
                for key, one in zip("abcdefgh", (store, second) * 4, strict=True)
            ]
        )
        labels = dict(store.info(Digest.of(b"content")).labels)
        assert labels.pop("all") in "abcdefgh"
        assert labels == dict.fromkeys("abcdefgh", "v")
        for key, info in zip("abcdefgh", infos_of(outcomes), strict=True):
            assert info.labels[key] == "v"

    def test_add_refuses(self, store: ContentStore, tmp_path: Path) -> None:
        """3.12: a wrong digest, a bad label and a missing file store nothing."""
        with pytest.raises(DigestMismatchError):
            store.add(b"content", expected=Digest.of(b"other"))
        with pytest.raises(InvalidLabelError):
            store.add(b"content", labels={"": "no key"})
        with pytest.raises(ContentDBError, match="missing"):
            store.add(tmp_path / "missing")
        with pytest.raises(TimeoutError):
            store.add(breaking(b"content", TimeoutError()))
        assert list(store.walk()) == []
        assert list(store.statuses()) == []


def infos_of(answers: Iterable[Info | ContentDBError]) -> list[Info]:
    """Return the answers, and fail if one is an error."""
    found = []
    for answer in answers:
        assert isinstance(answer, Info), answer
        found.append(answer)
    return found
