"""The arguments of `add_many`, source by source, and its answers, which warn when dropped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from contentdb.asked import Asked
from contentdb.content import Info
from contentdb.errors import InvalidArgumentError
from contentdb.labels import Labelling, labelling

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

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
    """Go through the arguments of `add_many`, source by source.

    Raises:
        InvalidArgumentError: At once, for what is no list of its kind or of another length; from
            the iterator, where a length shows only at the end.
        InvalidLabelError: Labels that are for all sources.
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
            raise _not_as_many(name, f"{len(items)} items for {len(sources)} sources")
    expected = repeat(None) if expected is None else expected
    return _each(iter(sources), iter(expected), iter(each_labels), frozenset(beside))


def check_is_many(name: str, given: object, advice: str) -> None:
    """Refuse one thing in the place of many: its lines or bytes would be taken for them."""
    single = isinstance(given, str | bytes | bytearray | memoryview | os.PathLike | Mapping | Info)
    if single or hasattr(given, "read") or not isinstance(given, Iterable):
        kind = type(given).__name__
        raise InvalidArgumentError(f"{name} is a list or another iterable, not {kind}; {advice}")


def _not_as_many(name: str, what: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{name} has {what}; give one, or None, for each source")


def _each(
    sources: Iterator[Any], expected: Iterator[Any], labels: Iterator[Any], bounded: frozenset[str]
) -> Iterator[Asked]:
    """Pair them; those that are ``bounded`` must end with the sources."""
    count = 0
    for source in sources:
        wanted: Any = next(expected, _END)
        labelled: Any = next(labels, _END)
        if wanted is _END or labelled is _END:
            name = "expected" if wanted is _END else "labels"
            raise _not_as_many(name, f"{count} items, and there are more sources")
        yield Asked(count, source, wanted, labelled)
        count += 1
    for name, items in (("expected", expected), ("labels", labels)):
        if name in bounded and next(items, _END) is not _END:
            raise _not_as_many(name, f"more than {count} items for {count} sources")


class AddIterator(Iterator[T], Generic[T]):
    """The answers of `add_many`, in the order of its sources; see `contentdb.content.Ingester`.

    It stores as it is iterated. Dropped before its end it gives a `ResourceWarning`, as what
    was not reached is not stored; `close` ends it on purpose.
    """

    def __init__(self, steps: Generator[T], sources: object) -> None:
        self._steps = steps
        self._given = 0
        self._most = len(sources) if isinstance(sources, Sized) else None
        """After so many answers nothing is left, even if the end was not asked for."""
        self._ended = False
        self._pid = os.getpid()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            answer = next(self._steps)
        except BaseException:  # the end, or an error that tells of itself
            self._ended = True
            raise
        self._given += 1
        return answer

    def close(self) -> None:
        """Store no more: what was written by now is stored or removed."""
        self._ended = True
        self._steps.close()

    def __del__(self) -> None:
        """Tell of sources that were left; a child of fork has its parent's iterator by chance."""
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
