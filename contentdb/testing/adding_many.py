"""Section 3, rule 12: many contents without a ref, in one call."""

from __future__ import annotations

import gc
import gzip
import io
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.content import Info
from contentdb.digest import Digest
from contentdb.errors import (
    ContentDBError,
    DigestMismatchError,
    InvalidArgumentError,
    InvalidDigestError,
    InvalidLabelError,
)
from contentdb.testing.adding import infos_of
from contentdb.testing.streams import (
    breaking,
    piped,
)
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from pathlib import Path
    from typing import BinaryIO

    from typing_extensions import Buffer

    from contentdb.content import ContentStore

__all__ = ["AddingManyRules"]


class AddingManyRules(Rules):
    """Rules for `add_many`."""

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

        digests = [info.digest for info in store.add_many(sources())]
        assert digests == [Digest.of(data) for data in sources()]
        assert len(list(store.walk())) == 1000

    def test_add_many_tells_a_bad_source_for_itself(
        self, store: ContentStore, tmp_path: Path
    ) -> None:
        """3.12: with errors="yield" a source that is missing or wrong spoils no other."""
        sources: list[bytes | Path] = [b"one", tmp_path / "missing", b"two", b"three"]
        expected = [None, None, Digest.of(b"not two"), Digest.of(b"three", "sha512")]
        one, missing, two, three = store.add_many(sources, expected=expected, errors="yield")
        assert isinstance(one, Info)
        assert isinstance(missing, ContentDBError)
        assert isinstance(two, DigestMismatchError)
        assert isinstance(three, Info)
        assert three.digest == expected[3]
        assert {info.digest for info in store.walk()} == {Digest.of(b"one"), expected[3]}

    @pytest.mark.parametrize("count", [0, 1, 7, 40])
    def test_add_many_raises(
        self, store: ContentStore, second: ContentStore, tmp_path: Path, count: int
    ) -> None:
        """3.12: the first bad source raises, with its place, once those before it are stored."""
        good = numbered(count)
        sources: list[Any] = [*good, tmp_path / "missing", b"after"]
        answers = store.add_many(iter(sources))
        for data in good:
            assert second.info(next(answers).digest).digest == Digest.of(data)
        with pytest.raises(ContentDBError, match=rf"sources\[{count}\] .*missing") as caught:
            next(answers)
        assert caught.value.source_index == count
        assert isinstance(caught.value.__cause__, type(caught.value))
        assert not store.exists(Digest.of(b"after"))
        with pytest.raises(StopIteration):
            next(answers)

    def test_add_many_raises_what_add_raises(self, store: ContentStore, tmp_path: Path) -> None:
        """3.12, B: each kind of bad source raises its own error, in a careless loop."""
        closed = io.BytesIO(b"closed")
        closed.close()
        text = io.StringIO("text")
        bad: list[tuple[Any, type[Exception], str]] = [
            (tmp_path / "missing", ContentDBError, "missing"),
            (tmp_path, ContentDBError, "not a regular file"),
            ("text", InvalidArgumentError, "encode it"),
            (text, InvalidArgumentError, "binary mode"),
            (5, InvalidArgumentError, "int"),
            (None, InvalidArgumentError, "NoneType"),
            ([b"nested"], InvalidArgumentError, "list"),
            (closed, InvalidArgumentError, "closed"),
            (breaking(b"half", TimeoutError(110, "timed out")), ContentDBError, "timed out"),
        ]
        for source, error, reason in bad:
            with pytest.raises(error, match=reason):
                for _ in store.add_many([b"good", source, b"not reached"]):
                    pass
        with pytest.raises(DigestMismatchError, match=r"sources\[1\]"):
            list(store.add_many([b"good", b"bad"], expected=[None, Digest.of(b"other")]))
        with pytest.raises(InvalidDigestError, match=r"sources\[1\]"):
            list(store.add_many([b"good", b"bad"], expected=[None, "sha256:short"]))
        assert [info.digest for info in store.walk()] == [Digest.of(b"good")]
        assert list(store.statuses()) == []

    def test_add_many_gives_the_errors_of_any_source(self, store: ContentStore) -> None:
        """3.12: with errors="yield" an exception of any class leaves the other sources alone."""

        class UnknownError(Exception):
            pass

        cut = gzip.open(io.BytesIO(gzip.compress(numbered(1)[0] * 1000)[:-12]))  # noqa: SIM115
        for source in (breaking(b"half", UnknownError("mine")), cut):
            answers = list(store.add_many([b"before", source, b"after"], errors="yield"))
            assert [isinstance(each, Exception) for each in answers] == [False, True, False]
            assert isinstance(answers[1], InvalidArgumentError)
        assert store.exists(Digest.of(b"after"))
        with pytest.raises(UnknownError, match="mine"):
            list(store.add_many([b"before", breaking(b"half", UnknownError("mine"))]))

    def test_add_many_survives_its_iterable(self, store: ContentStore) -> None:
        """3.12, B: if the iterator of sources raises, those before are stored and yielded."""

        def sources() -> Iterator[bytes]:
            yield from numbered(3)
            raise KeyError("mine")

        for answers in (store.add_many(sources()), store.add_many(sources(), errors="yield")):
            infos = infos_of(next(answers) for _ in range(3))
            assert [info.digest for info in infos] == list(map(Digest.of, numbered(3)))
            with pytest.raises(KeyError, match="mine"):
                next(answers)

    def test_add_many_labels_each(self, store: ContentStore) -> None:
        """3.12: labels may differ by source, and those for stored content are merged by key."""
        store.add(b"0", labels={"old": "1", "n": "old"})
        labels: list[dict[str, str] | None] = [
            {"n": "0"},
            {"n": "1"},
            None,
            {"n": "1 again", "m": "1"},
        ]
        infos = list(store.add_many([b"0", b"1", b"2", b"1"], labels=iter(labels)))
        known = [store.info(info.digest) for info in infos]
        assert [dict(info.labels) for info in known] == [
            {"old": "1", "n": "0"}, {"n": "1 again", "m": "1"}, {}, {"n": "1 again", "m": "1"},
        ]  # fmt: skip
        del infos[1], known[1]  # it may tell of the labels that came later, or not yet
        assert infos == known
        infos = list(store.add_many([b"0", b"3"], labels=labels[1:3], keep_labels=True))
        assert [dict(info.labels) for info in infos] == [{"old": "1", "n": "0"}, {}]

    def test_a_bad_label_is_its_sources_own(self, store: ContentStore) -> None:
        """3.12: invalid labels of one source leave the other sources alone."""
        labels = [{"n": "0"}, {"": "no key"}, {"n": 2}, "n=3", {"n": "4"}]
        contents = numbered(5)
        answers = list(store.add_many(contents, labels=labels, errors="yield"))  # type: ignore[call-overload]
        assert [isinstance(answer, Info) for answer in answers] == [True, False, False, False, True]
        assert all(isinstance(answer, InvalidArgumentError) for answer in answers[1:4])
        assert {info.digest for info in store.walk()} == {Digest.of(b"0"), Digest.of(b"4")}
        with pytest.raises(InvalidLabelError):
            store.add_many(contents, labels={"": "for all"})

    @pytest.mark.parametrize("length", [0, 2, 4])
    @pytest.mark.parametrize("what", ["expected", "labels"])
    def test_add_many_pairs_strictly(self, store: ContentStore, what: str, length: int) -> None:
        """3.12, B: fewer or more digests or labels than sources are refused, never left out."""
        given = [None] * length
        contents = [b"1", b"2", b"3"]
        with pytest.raises(InvalidArgumentError, match=rf"{what} has {length} items"):
            store.add_many(contents, **{what: given})  # type: ignore[call-overload]
        assert list(store.walk()) == []
        seen = []
        with pytest.raises(InvalidArgumentError, match=f"{what} has"):  # noqa: PT012
            for info in store.add_many(iter(contents), **{what: iter(given)}):  # type: ignore[call-overload]
                seen.append(info.digest)  # noqa: PERF401 - what came before the error counts
        assert seen == list(map(Digest.of, contents[:length]))
        assert {info.digest for info in store.walk()} == set(seen)

    def test_add_many_takes_many(self, store: ContentStore, tmp_path: Path) -> None:
        """B: a single thing instead of a list is refused; its lines or bytes would be stored."""
        path = tmp_path / "lines"
        path.write_bytes(b"one\ntwo\n")
        with path.open("rb") as file:
            for one in (b"bytes", bytearray(b"bytes"), "text", path, file, {b"k": b"v"}, None, 5):
                with pytest.raises(InvalidArgumentError, match="sources is a list"):
                    store.add_many(one)  # type: ignore[arg-type]
        digest = Digest.of(b"1")
        with pytest.raises(InvalidArgumentError, match="expected is a list"):
            store.add_many([b"1"], expected=digest)
        with pytest.raises(InvalidArgumentError, match="labels is a list"):
            store.add_many([b"1"], labels="k=v")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="errors is raise or yield"):
            store.add_many([b"1"], errors="ignore")  # type: ignore[call-overload]
        assert list(store.walk()) == []

    def test_add_many_of_nothing(self, store: ContentStore) -> None:
        """3.12: no sources, no Info."""
        assert list(store.add_many([])) == []

    def test_add_many_left_early(self, store: ContentStore) -> None:
        """3.12: what was yielded stays when the caller closes it, and the store works on."""
        answers = store.add_many(b"%d" % number for number in range(100))
        first = next(answers)
        answers.close()
        assert list(answers) == []
        assert store.read(first.digest) == b"0"
        store.add(b"after")
        assert list(store.statuses()) == []

    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_a_dropped_add_many_warns(self, store: ContentStore, count: int) -> None:
        """A, 3.12: an iterator dropped before its end gives a ResourceWarning."""
        with pytest.warns(ResourceWarning, match="add_many was dropped"):
            _drop(store, numbered(10), count)
        assert {info.digest for info in store.walk()} >= set(map(Digest.of, numbered(count)))

    def test_an_add_many_that_has_told_all_does_not_warn(
        self, store: ContentStore, tmp_path: Path
    ) -> None:
        """A: there is no warning once each of a list has its answer, nor after an error."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _drop(store, [b"1", b"2", b"3"], 3)  # as zip does, which asks for no end
            with pytest.raises(ContentDBError):
                _drop(store, [b"1", tmp_path / "missing", b"3"], 3)
            store.add_many([b"4"]).close()
            gc.collect()


def numbered(count: int) -> list[bytes]:
    """Return ``count`` different contents."""
    return [b"%d" % number for number in range(count)]


def _drop(store: ContentStore, sources: list[Any], count: int) -> None:
    """Drop the iterator of `add_many` after ``count`` answers."""
    answers = store.add_many(sources)
    for _ in range(count):
        next(answers)
    del answers
    gc.collect()
