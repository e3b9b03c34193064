"""Section 4, rules 1 and 5: reading blobs, whole and damaged ones."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, cast, get_args

import pytest

from contentdb.digest import Digest
from contentdb.errors import CorruptBlobError, NotFoundError
from contentdb.testing.subject import Harm, Rules
from contentdb.testing.threads import together

if TYPE_CHECKING:
    from collections.abc import Callable

    from contentdb.content import ContentStore
    from contentdb.testing.subject import Damage

__all__ = ["ReadingRules"]

ABSENT = Digest.of(b"absent")
DOCUMENT = b'{"a": ["\xc3\xbc", 1]}'
CONTENT = bytes(range(256)) * 20_000  # 5 MB: more than any buffer holds

ABSENT_CALLS: dict[str, Callable[[ContentStore], object]] = {
    "open": lambda store: store.open(ABSENT),
    "read": lambda store: store.read(ABSENT),
    "path": lambda store: store.path(ABSENT),
    "info": lambda store: store.info(ABSENT),
    "update": lambda store: store.update(ABSENT, {}),
    "delete": lambda store: store.delete(ABSENT),
    "delete_many": lambda store: store.delete_many([ABSENT]),
}


class ReadingRules(Rules):
    """Rules of reading."""

    @pytest.mark.parametrize("call", ABSENT_CALLS)
    def test_absent(self, store: ContentStore, call: str) -> None:
        """4.1: an absent blob is `NotFoundError`, which is a LookupError and has the digest."""
        if call == "path" and not self.has_paths:
            pytest.skip("needs an implementation with has_paths")
        store.add(b"another")
        with pytest.raises(NotFoundError) as caught:
            ABSENT_CALLS[call](store)
        assert isinstance(caught.value, LookupError)
        assert caught.value.digest == ABSENT
        assert not store.exists(ABSENT)

    def test_reader(self, store: ContentStore) -> None:
        """4.1: a reader is a seekable binary stream that knows its digest and size."""
        digest = store.add(CONTENT).digest
        with store.open(digest) as reader:
            assert (reader.digest, reader.size, reader.tell()) == (digest, len(CONTENT), 0)
            assert reader.read(10) == CONTENT[:10]
            assert reader.tell() == 10
            assert reader.seek(1_000_000) == 1_000_000
            buffer = bytearray(7)
            assert reader.readinto(buffer) == 7
            assert buffer == CONTENT[1_000_000:1_000_007]
            assert reader.seek(-3, io.SEEK_CUR) == 1_000_004
            assert reader.read(1) == CONTENT[1_000_004:1_000_005]
            assert reader.seek(-5, io.SEEK_END) == len(CONTENT) - 5
            assert reader.read() == CONTENT[-5:]
            assert reader.read() == reader.read(1) == b""
            assert reader.seek(0) == 0
            assert reader.read(None) == CONTENT
            assert reader.read(0) == b""

    def test_reader_piece_by_piece(self, store: ContentStore) -> None:
        """4.1: pieces of any size put together are the content."""
        digest = store.add(CONTENT).digest
        with store.open(digest) as reader:
            assert b"".join(iter(lambda: reader.read(99_991), b"")) == CONTENT

    @pytest.mark.parametrize("size", [0, 1, 10, 8191, 8192, 8193, 100_000])
    def test_reader_line_by_line(self, store: ContentStore, size: int) -> None:
        """4.1: a reader yields lines as any binary file, also long ones and an unfinished one."""
        content = (b"x" * size + b"\n") * 3 + b"\n" + b"y" * size
        digest = store.add(content).digest
        with store.open(digest) as reader:
            assert list(reader) == content.splitlines(keepends=True)
            assert reader.readline() == reader.read() == b""
            assert reader.seek(size // 2) == size // 2
            assert reader.readline() == content[size // 2 : size + 1]
            assert reader.tell() == size + 1
            assert reader.readline(5) == content[size + 1 : 2 * size + 2][:5]
            assert reader.readline(0) == b""
            assert reader.seek(0) == 0
            assert reader.readlines() == content.splitlines(keepends=True)
        assert reader.closed

    def test_a_reader_is_a_binary_stream(self, store: ContentStore) -> None:
        """3.13a, 4.1: a reader works as a file for text, archives, gzip and JSON."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo("a.json")
            member.size = len(DOCUMENT)
            tar.addfile(member, io.BytesIO(DOCUMENT))
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("a.json", DOCUMENT)
        contents = [DOCUMENT, packed.getvalue(), zipped.getvalue(), gzip.compress(DOCUMENT)]
        text, tar_, zip_, gz = (store.add(data).digest for data in contents)
        with store.open(text) as reader:
            assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)
            assert json.load(reader) == {"a": ["ü", 1]}
            assert reader.seek(0) == 0
            assert io.TextIOWrapper(cast("Any", reader)).read().encode() == DOCUMENT
        with store.open(text) as reader, io.BufferedReader(cast("Any", reader)) as buffered:
            assert buffered.peek(1)[:1] == DOCUMENT[:1]
            assert buffered.read() == DOCUMENT
        with store.open(tar_) as reader, tarfile.open(fileobj=cast("Any", reader)) as tar:
            extracted = tar.extractfile("a.json")
            assert extracted is not None
            assert extracted.read() == DOCUMENT
        with store.open(zip_) as reader, zipfile.ZipFile(reader) as archive:
            assert archive.read("a.json") == DOCUMENT
        with store.open(gz) as reader, gzip.open(reader) as file:
            assert file.read() == DOCUMENT
        with store.open(text) as reader:
            copied = io.BytesIO()
            shutil.copyfileobj(reader, copied)
            assert copied.getvalue() == DOCUMENT

    def test_reader_of_nothing(self, store: ContentStore) -> None:
        """4.1: the empty blob opens and reads as nothing."""
        digest = store.add(b"").digest
        with store.open(digest) as reader:
            assert (reader.size, reader.read(), reader.tell()) == (0, b"", 0)
        assert store.read(digest) == b""

    def test_a_reader_outlives_its_blob(self, store: ContentStore, second: ContentStore) -> None:
        """4.1: a reader opened before a delete can read to the end."""
        digest = store.add(CONTENT).digest
        with store.open(digest) as reader:
            assert reader.read(1000) == CONTENT[:1000]
            second.delete(digest)
            assert not store.exists(digest)
            assert reader.read() == CONTENT[1000:]

    def test_many_readers(self, store: ContentStore, second: ContentStore) -> None:
        """4.1: readers of one blob do not disturb each other."""
        digest = store.add(CONTENT).digest
        outcomes = together(*[lambda one=one: one.read(digest) for one in (store, second) * 4])
        assert outcomes == [CONTENT] * 8

    @pytest.mark.parametrize("harm", get_args(Harm))
    def test_damage_is_never_served(
        self, store: ContentStore, second: ContentStore, damage: Damage, harm: Harm
    ) -> None:
        """4.5: reading a blob whose file is gone or damaged raises `CorruptBlobError`."""
        content = CONTENT[: self.damaged_bytes]
        digest = store.add(content).digest
        damage(digest, harm)
        for one in (store, second):
            with pytest.raises(CorruptBlobError) as caught:
                one.read(digest)
            assert caught.value.digest == digest
            with pytest.raises(CorruptBlobError), one.open(digest) as reader:  # noqa: PT012
                while reader.read(1 << 20):
                    pass
            assert not one.exists(digest)

    @pytest.mark.parametrize("harm", get_args(Harm))
    def test_writing_heals(
        self, store: ContentStore, second: ContentStore, damage: Damage, harm: Harm
    ) -> None:
        """4.5: after a read found the damage, storing the content again heals the blob."""
        content = CONTENT[: self.damaged_bytes]
        stored = store.add(content, labels={"k": "v"})
        damage(stored.digest, harm)
        with pytest.raises(CorruptBlobError):
            store.read(stored.digest)
        info = second.ingest("r", io.BytesIO(content), expected=stored.digest)
        assert (info.digest, info.size) == (stored.digest, len(content))
        for one in (store, second):
            assert one.read(stored.digest) == content
            assert one.exists(stored.digest)
            assert list(one.walk()) == [one.info(stored.digest)]

    @pytest.mark.parametrize("harm", ["truncated", "removed"])
    def test_adding_heals_what_nobody_met(
        self, store: ContentStore, damage: Damage, harm: Harm
    ) -> None:
        """4.5: an add heals damage that changed the size, without a read before."""
        content = CONTENT[: self.damaged_bytes]
        digest = store.add(content).digest
        damage(digest, harm)
        store.add(content, expected=digest)
        assert store.read(digest) == content

    @pytest.mark.parametrize("harm", get_args(Harm))
    def test_a_damaged_blob_can_be_deleted(
        self, store: ContentStore, damage: Damage, harm: Harm
    ) -> None:
        """4.4, 4.5: deleting a damaged blob leaves nothing of it."""
        content = CONTENT[: self.damaged_bytes]
        digest = store.add(content).digest
        damage(digest, harm)
        store.delete(digest)
        with pytest.raises(NotFoundError):
            store.read(digest)
        assert list(store.walk()) == []
