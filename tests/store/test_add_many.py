"""The arguments of `add_many`, and its iterator, apart from any store."""

from __future__ import annotations

import array
import gc
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contentdb.asked import Asked
from contentdb.errors import DigestMismatchError, InvalidArgumentError, StorageError
from contentdb.store.add_many import AddIterator, each_asked

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"abc", "3 bytes"),
        (bytearray(b"abc"), "3 bytes"),
        (memoryview(array.array("I", [1, 2])), "8 bytes"),
        (Path("a b"), "'a b'"),
        ("x" * 1000, "the text " + "x" * 40),
        (io.BytesIO(b"x"), "BytesIO"),
        (5, "int"),
        (None, "NoneType"),
    ],
)
def test_a_source_is_described_in_a_few_words(source: Any, words: str) -> None:  # noqa: ANN401
    assert Asked(0, source, None, None).describe() == words


def test_an_open_file_is_described_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (tmp_path / "file").open("rb") as file:
        assert Asked(0, file, None, None).describe() == f"BufferedReader {str(tmp_path / 'file')!r}"


def test_the_error_of_a_source_is_of_its_class_and_says_its_place() -> None:
    plain = DigestMismatchError(expected="sha256:a", actual="sha256:b")
    placed = plain.at_source(3, "5 bytes")
    assert type(placed) is DigestMismatchError
    assert str(placed) == f"sources[3] (5 bytes): {plain}"
    assert (placed.expected, placed.actual, placed.source_index) == ("sha256:a", "sha256:b", 3)
    assert plain.source_index is None
    missing = StorageError("open", "x", OSError(2, "No such file")).at_source(0, "'x'")
    assert (missing.path, missing.errno, missing.action) == ("x", 2, "open")


def test_lengths_that_are_known_are_compared_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match="2 items for 1 sources"):
        each_asked([b"1"], [None, None], None, keep_labels=False)
    asked = each_asked([b"1"], None, [{"k": "v"}], keep_labels=True)
    (one,) = asked
    assert one.labelling(keep_labels=True) == ({"k": "v"}, {})


def test_a_childs_copy_of_an_iterator_warns_of_nothing() -> None:
    """It is for the parent to iterate; the child never had to."""

    def steps() -> Generator[int]:
        yield 1

    answers = AddIterator(steps(), iter([]), None)
    child = os.fork()
    if child == 0:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            del answers
            gc.collect()
        os._exit(len(seen))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert list(answers) == [1]


def test_an_iterator_is_closed_even_where_a_warning_is_an_error(
    recwarn: pytest.WarningsRecorder,
) -> None:
    """What it has begun is ended first."""
    ended: list[bool] = []

    def steps() -> Generator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append(True)

    answers = AddIterator(steps(), iter([]), None)
    next(answers)
    warnings.simplefilter("always")
    del answers
    gc.collect()
    assert ended == [True]
    (warning,) = [one for one in recwarn if one.category is ResourceWarning]
    assert str(warning.message).startswith("add_many was dropped after 1 answer: what")
