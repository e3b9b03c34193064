"""Arguments that every implementation refuses, and sources that have nothing yet."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.digest import Digest
from contentdb.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    InvalidFieldError,
    StorageError,
)
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.content import ContentStore

__all__ = ["ArgumentRules"]

NO_CONTENT: dict[str, Any] = {
    "text": "text",
    "a file of text": io.StringIO("text"),
    "an object": object(),
    "a number": 5,
    "nothing": None,
}
NO_TOTALS: list[Any] = [-1, 1.5, 1 << 63, float("nan"), "12"]
NO_METADATA: list[Any] = [[("etag", "1")], "etag", 5, {"etag": 1}, {1: "etag"}]
NO_WAITS: list[Any] = [-1, -0.5, float("nan"), "1", None]
NO_LIMITS: list[Any] = [-1, 1 << 63, 1.5, "1"]
NO_SORTS: list[Any] = ["--size", "-", "", "colour", "size,digest", None]

TAKING: dict[str, Callable[[ContentStore, Any], object]] = {
    "add": lambda store, source: store.add(source),
    "ingest": lambda store, source: store.ingest("r", source),
}
BEGINNING: dict[str, Callable[..., object]] = {
    "writer": lambda store, **options: store.writer("r", **options),
    "ingest": lambda store, **options: store.ingest("r", io.BytesIO(b"content"), **options),
}


class NotYet(io.RawIOBase):
    """A non-blocking pipe that has some bytes, and then nothing yet."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self._data = data

    def readable(self) -> bool:
        """Return True, as a pipe's reading end does."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401 - of the base class
        """Fill the buffer; None means that more may come."""
        data, self._data = self._data, b""
        if not data:
            return None
        buffer[: len(data)] = data
        return len(data)


class ReadsNotYet:
    """The same with no method but ``read``."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    def read(self, _size: int = -1, /) -> bytes | None:
        """Return the bytes; None means that more may come."""
        data, self._data = self._data, b""
        return data or None


class ArgumentRules(Rules):
    """An invalid argument is an error of the library, and nothing is stored."""

    @pytest.mark.parametrize("what", NO_CONTENT)
    @pytest.mark.parametrize("taking", TAKING)
    def test_what_is_no_content(self, store: ContentStore, taking: str, what: str) -> None:
        """3.12, 3.13a: content comes from bytes, a binary source or a path, and nothing else."""
        with pytest.raises(InvalidArgumentError):
            TAKING[taking](store, NO_CONTENT[what])
        assert list(store.walk()) == []

    @pytest.mark.parametrize("taking", TAKING)
    def test_what_can_never_be_read(self, store: ContentStore, taking: str) -> None:
        """B, 3.13a: a class instead of an object, and a closed file, are refused."""
        closed = io.BytesIO(b"content")
        closed.close()
        for source, reason in ((io.BytesIO, "BytesIO is a class"), (closed, "closed")):
            with pytest.raises(InvalidArgumentError, match=reason):
                TAKING[taking](store, source)
        assert_empty(store)

    @pytest.mark.parametrize("source", [NotYet, ReadsNotYet])
    @pytest.mark.parametrize("data", [b"", b"some"])
    @pytest.mark.parametrize("taking", TAKING)
    def test_nothing_yet_is_no_end(
        self, store: ContentStore, taking: str, data: bytes, source: Callable[[bytes], Any]
    ) -> None:
        """3.13a: a source that has nothing yet is an error, never the end of its content."""
        with pytest.raises(BlockingIOError, match="nothing yet"):
            TAKING[taking](store, source(data))
        assert list(store.walk()) == []

    @pytest.mark.parametrize("kind", ["a FIFO", "a directory", "a device", "nothing"])
    def test_paths_are_of_regular_files(
        self, store: ContentStore, tmp_path: Path, kind: str
    ) -> None:
        """3.12: a path must lead to a regular file; a FIFO is refused, not waited for."""
        path = tmp_path / "there"
        if kind == "a FIFO":
            os.mkfifo(path)
        elif kind == "a directory":
            path.mkdir()
        with pytest.raises(StorageError, match="null" if kind == "a device" else "there"):
            store.add(Path("/dev/null") if kind == "a device" else path)
        assert_empty(store)

    @pytest.mark.parametrize("total", NO_TOTALS, ids=repr)
    @pytest.mark.parametrize("begin", BEGINNING)
    def test_sizes_that_cannot_be(self, store: ContentStore, begin: str, total: object) -> None:
        """2.1: a declared size is a whole number of bytes."""
        with pytest.raises(InvalidArgumentError, match="size"):
            BEGINNING[begin](store, total=total)
        assert_empty(store)

    @pytest.mark.parametrize("metadata", NO_METADATA, ids=repr)
    @pytest.mark.parametrize("begin", BEGINNING)
    def test_metadata_that_cannot_be(
        self, store: ContentStore, begin: str, metadata: object
    ) -> None:
        """B: metadata is a mapping of texts to texts."""
        with pytest.raises(InvalidArgumentError, match="metadata"):
            BEGINNING[begin](store, metadata=metadata)
        assert_empty(store)

    def test_a_progress_that_cannot_be_called(self, store: ContentStore) -> None:
        """B: the error comes before the source is read."""
        progress: Any = 5
        with pytest.raises(InvalidArgumentError, match="progress"):
            store.ingest("r", io.BytesIO(b"content"), progress=progress)
        assert_empty(store)

    @pytest.mark.parametrize("wait", NO_WAITS, ids=repr)
    @pytest.mark.parametrize("begin", BEGINNING)
    def test_waits_that_cannot_be(self, store: ContentStore, begin: str, wait: object) -> None:
        """3.2: a wait is a number of seconds or True."""
        with pytest.raises(InvalidArgumentError, match="wait"):
            BEGINNING[begin](store, wait=wait)
        assert_empty(store)

    @pytest.mark.parametrize("limit", NO_LIMITS, ids=repr)
    def test_limits_that_cannot_be(self, store: ContentStore, limit: Any) -> None:  # noqa: ANN401
        """4.2: a limit is a number; the call itself raises."""
        with pytest.raises(InvalidArgumentError, match="limit"):
            store.walk(limit=limit)

    @pytest.mark.parametrize("sort", NO_SORTS, ids=repr)
    def test_orders_that_cannot_be(self, store: ContentStore, sort: Any) -> None:  # noqa: ANN401
        """4.2: an unknown order is refused; the call itself raises."""
        with pytest.raises(InvalidFieldError, match="sort by"):
            store.walk(sort=sort)

    def test_after_is_for_the_order_of_digests(self, store: ContentStore) -> None:
        """4.2: `after` works only in the order of digests."""
        with pytest.raises(InvalidArgumentError, match="after"):
            store.walk(sort="size", after=Digest.of(b""))

    def test_a_commit_keeps_to_what_its_ingest_is_for(self, store: ContentStore) -> None:
        """3.9: a commit with another digest than the declared one is refused."""
        with store.writer("r", expected=Digest.of(b"content")) as writer:
            writer.write(b"content")
            with pytest.raises(FailedPreconditionError):
                writer.commit(expected=Digest.of(b"other"))
        assert list(store.walk()) == []
        assert store.status("r").offset == len(b"content")

    def test_a_source_needs_no_more_than_read(self, store: ContentStore) -> None:
        """3.13a: an object with no method but ``read`` is a source."""

        class Reads:
            def __init__(self, data: bytes) -> None:
                self._rest = io.BytesIO(data)

            def read(self, size: int = -1, /) -> bytes:
                return self._rest.read(size)

        for name, take in TAKING.items():
            info: Any = take(store, Reads(name.encode()))
            assert store.read(info.digest) == name.encode()


def assert_empty(store: ContentStore) -> None:
    """Assert that nothing was stored and no ingest was left."""
    assert list(store.walk()) == []
    assert list(store.statuses()) == []
