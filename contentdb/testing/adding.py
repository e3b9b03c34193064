"""Section 3, rule 12: content without a ref, one or many."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from contentdb.content import Info
from contentdb.digest import Digest
from contentdb.errors import ContentDBError, DigestMismatchError, InvalidLabelError
from contentdb.testing.streams import breaking, dribble, piped
from contentdb.testing.subject import Rules
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from pathlib import Path
    from typing import BinaryIO

    from typing_extensions import Buffer

    from contentdb.testing.subject import ContentStore

__all__ = ["AddingRules"]

BYTES_LIKE = [
    b"content",
    bytearray(b"content"),
    memoryview(b"_content_")[1:8],
    b"",
    b"x" * 3_000_000,
]


class AddingRules(Rules):
    """Bytes in, Info out."""

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

    def test_add_again(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: content that is there already is success, and stays what it was."""
        first = store.add(b"content")
        assert second.add(b"content") == first
        assert second.add(io.BytesIO(b"content"), expected=first.digest) == first
        assert list(store.walk()) == [first]

    def test_add_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """3.12: one content added eight times at once is one blob, and nobody fails."""
        outcomes = together(*[lambda one=one: one.add(b"content") for one in (store, second) * 4])
        assert outcomes == [store.info(Digest.of(b"content"))] * 8

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

    def test_add_many(self, store: ContentStore, second: ContentStore, tmp_path: Path) -> None:
        """3.12: an Info for each source, in order, each stored when it is yielded."""
        (tmp_path / "file").write_bytes(b"from a path")
        contents: list[bytes] = [
            b"bytes",
            b"view",
            b"file",
            b"from a path",
            b"bytes",
            b"",
            b"big" * 500_000,
        ]
        sources: list[Buffer | BinaryIO | PathLike[str]] = [
            contents[0], memoryview(contents[1]), io.BytesIO(contents[2]), tmp_path / "file",
            bytearray(contents[4]), contents[5], piped(contents[6]),
        ]  # fmt: skip
        seen = 0
        for data, info in zip(contents, store.add_many(sources, labels={"k": "v"}), strict=True):
            assert isinstance(info, Info)
            assert second.info(Digest.of(data)) == info
            assert second.read(info.digest) == data
            assert dict(info.labels) == {"k": "v"}
            seen += 1
        assert seen == 7
        assert len(list(store.walk())) == 6
        assert list(store.statuses()) == []

    def test_add_many_by_the_thousand(self, store: ContentStore) -> None:
        """3.12: many sources from an iterator, met twice or stored before, come out in order."""
        store.add(b"7")

        def sources() -> Iterator[bytes]:
            for number in range(1500):
                yield b"%d" % (number % 1000)

        outcomes = list(store.add_many(sources()))
        assert [one.digest for one in outcomes if isinstance(one, Info)] == [
            Digest.of(data) for data in sources()
        ]
        assert len(list(store.walk())) == 1000

    def test_add_many_tells_a_bad_source_for_itself(
        self, store: ContentStore, tmp_path: Path
    ) -> None:
        """3.12: a source that is missing or of a wrong digest spoils no other."""
        sources: list[bytes | Path] = [b"one", tmp_path / "missing", b"two", b"three"]
        expected = [None, None, Digest.of(b"not two"), Digest.of(b"three", "sha512")]
        one, missing, two, three = store.add_many(sources, expected=expected)
        assert isinstance(one, Info)
        assert isinstance(missing, ContentDBError)
        assert isinstance(two, DigestMismatchError)
        assert isinstance(three, Info)
        assert three.digest == expected[3]
        assert {info.digest for info in store.walk()} == {Digest.of(b"one"), expected[3]}

    def test_add_many_of_nothing(self, store: ContentStore) -> None:
        """3.12: no sources, no Info."""
        assert list(store.add_many([])) == []

    def test_add_many_left_early(self, store: ContentStore) -> None:
        """3.12: what was yielded stays when the caller goes away, and the store works on."""
        results = store.add_many(b"%d" % number for number in range(100))
        first = next(results)
        assert isinstance(first, Info)
        del results
        assert store.read(first.digest) == b"0"
        store.add(b"after")
        assert list(store.statuses()) == []
