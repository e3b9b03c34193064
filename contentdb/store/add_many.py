"""The arguments of `add_many`, paired for each source, and the iterator that it returns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import repeat

from contentdb.asked import Asked
from contentdb.errors import InvalidArgumentError
from contentdb.labels import Labelling, labelling
from contentdb.light_typing import TYPE_CHECKING, Generic, TypeVar
from contentdb.values import Info

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, Final, Self

__all__ = ["AddIterator", "check_is_many", "each_asked"]

T = TypeVar("T")

_END: Final = object()


def each_asked(
    sources: Iterable[Any],
    expected: Iterable[str | None] | None,
    labels: Mapping[str, str] | Iterable[Mapping[str, str] | None] | None,
    *,
    keep_labels: bool,
) -> Iterator[Asked]:
    """Yield each source of `add_many` with its digest and labels.

    Raises:
        InvalidArgumentError: An argument is not an iterable of its kind, or has another length
            than ``sources``. The call raises it, or the iterator where a length is unknown before.
        InvalidLabelError: The labels for all sources are invalid.
    """
    check_is_many("sources", sources, "to store one, use add")
    beside: dict[str, Iterable[Any]] = {}
    if expected is not None:
        check_is_many("expected", expected, "give one digest, or None, for each source")
        beside["expected"] = expected
    each_labels: Iterable[Labelling | Mapping[str, str] | None]
    if labels is None or isinstance(labels, Mapping):
        each_labels = repeat(labelling(labels, keep_labels=keep_labels))
    else:
        check_is_many("labels", labels, "give a mapping for all sources, or one for each")
        each_labels = beside["labels"] = labels
    for name, items in beside.items():
        if isinstance(items, Sized) and isinstance(sources, Sized) and len(items) != len(sources):
            raise _length_error(name, f"{len(items)} items for {len(sources)} sources")
    expected = repeat(None) if expected is None else expected
    return _pair(iter(sources), iter(expected), iter(each_labels), frozenset(beside))


def check_is_many(name: str, given: object, advice: str) -> None:
    """Refuse a single thing, such as a path or a file, whose bytes or lines could be iterated."""
    single = isinstance(given, str | bytes | bytearray | memoryview | os.PathLike | Mapping | Info)
    if single or hasattr(given, "read") or not isinstance(given, Iterable):
        kind = type(given).__name__
        raise InvalidArgumentError(f"{name} is a list or another iterable, not {kind}; {advice}")


def _length_error(name: str, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} has {what}; give one, or None, for each source")


def _pair(
    sources: Iterator[Any], expected: Iterator[Any], labels: Iterator[Any], bounded: frozenset[str]
) -> Iterator[Asked]:
    """Pair the three iterators; those named in ``bounded`` must end together with the sources."""
    count = 0
    for source in sources:
        wanted: Any = next(expected, _END)
        labelled: Any = next(labels, _END)
        if wanted is _END or labelled is _END:
            name = "expected" if wanted is _END else "labels"
            raise _length_error(name, f"{count} items, and there are more sources")
        yield Asked(count, source, wanted, labelled)
        count += 1
    for name, items in (("expected", expected), ("labels", labels)):
        if name in bounded and next(items, _END) is not _END:
            raise _length_error(name, f"more than {count} items for {count} sources")


class AddIterator(Iterator[T], Generic[T]):
    """The answers of `add_many`, in the order of its sources; see `contentdb.content.Ingester`.

    It stores each source when the caller asks for its answer. If the caller drops it before its
    end it gives a `ResourceWarning`: later sources are not stored. `close` ends it on purpose.
    """

    def __init__(self, steps: Generator[T], sources: object, engine: object) -> None:
        self._steps = steps
        self._engine = engine  # which stays open as long as the caller has this iterator
        self._given = 0
        self._most = len(sources) if isinstance(sources, Sized) else None
        """Count of sources, if known: after so many answers nothing is left to store."""
        self._ended = False
        self._pid = os.getpid()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            answer = next(self._steps)
        except BaseException:  # StopIteration, or an error that the caller sees
            self._ended = True
            raise
        self._given += 1
        return answer

    def close(self) -> None:
        """Stop; sources that are already written are stored, or their files removed."""
        self._ended = True
        self._steps.close()

    def __del__(self) -> None:
        """Warn if sources are left; not in a fork's child, where the iterator is a mere copy."""
        steps = getattr(self, "_steps", None)
        if steps is None or self._ended or self._pid != os.getpid():
            return
        steps.close()
        if self._given != self._most:
            answers = f"{self._given} answer{'s' * (self._given > 1)}"
            done = (
                f"after {answers}: what comes behind them is not stored"
                if self._given
                else "and never iterated: nothing is stored"
            )
            warnings.warn(
                f"add_many was dropped {done}; iterate it to its end, or close() it",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
