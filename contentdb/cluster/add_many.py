"""Many sources at once: a group's objects are written side by side, and its rows by one statement.

A group closes at a number of sources, at a number of bytes, or after a source that was slow to
come: then all its items become durable and are yielded before the next source is asked for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from contentdb.cluster import publish
from contentdb.cluster.add import Content, discard, judged_dead, place, take
from contentdb.cluster.catalog import blobs
from contentdb.cluster.catalog.record import Candidate, FencedError, record
from contentdb.cluster.damage import settled
from contentdb.digest import Digest
from contentdb.errors import ContentDBError, StoreClosedError
from contentdb.labels import NO_LABELS
from contentdb.values import NewInfo

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from contentdb.asked import Asked
    from contentdb.call_guard import Gate
    from contentdb.cluster.resources import Resources
    from contentdb.content import Info
    from contentdb.labels import Labelling

    Answer = Info | ContentDBError

__all__ = ["GROUP_COUNT", "Group", "add_many"]

GROUP_COUNT: Final = 512
_GROUP_BYTES: Final = 64 << 20
_GROWTH: Final = 8
"""The first group has one source, so that its answer comes soon; the next ones are larger."""
_SLOW_S: Final = 0.01
"""A source that takes longer than this to come closes its group."""
_TRIES: Final = 5


class _Item:
    """One source of a group, and what becomes of it."""

    def __init__(self, one: Asked) -> None:
        self.asked = one
        self.labels: Labelling | None = None
        self.content: Content | None = None
        self.answer: Answer | None = None

    @property
    def held_bytes(self) -> int:
        """What of its content is in memory."""
        return 0 if self.content is None else len(self.content.data or b"")


def add_many(
    resources: Resources,
    gate: Gate,
    namespace: str,
    asked: Iterator[Asked],
    *,
    keep_labels: bool,
    raising: bool,
) -> Generator[Answer]:
    """Store each source and yield its Info, in order, durable when yielded.

    An error of one source is yielded in place of its Info; with ``raising`` it is raised, after
    the Infos of the sources before it were yielded.
    """
    group = Group(resources, namespace)
    most = 1
    failure: Exception | None = None
    last = False
    while not last:
        began = time.monotonic()
        try:
            one = next(asked, None)
        except Exception as error:  # noqa: BLE001 - raised below, after those before it
            failure, one = error, None
        slow = time.monotonic() - began > _SLOW_S
        if one is None:
            last = True
        else:
            with gate:
                answer = group.take(one, keep_labels=keep_labels, as_value=not raising)
            last = raising and isinstance(answer, ContentDBError)
        if not (last or slow or group.is_full(most)):
            continue
        with gate:
            items = group.finish()
        most = min(most * _GROWTH, GROUP_COUNT)
        for item in items:
            answer = item.answer
            assert answer is not None  # noqa: S101 - the group has answered all
            if raising and isinstance(answer, ContentDBError):
                raise answer.at_source(item.asked.number, item.asked.describe()) from answer
            yield answer
    if failure is not None:
        raise failure


class Group:
    """Sources that become durable together."""

    def __init__(self, resources: Resources, namespace: str) -> None:
        self._resources = resources
        self._namespace = namespace
        self._items: list[_Item] = []
        self._bytes = 0

    def is_full(self, most: int) -> bool:
        """Return whether the group should be finished."""
        return len(self._items) >= most or self._bytes >= _GROUP_BYTES

    @property
    def newest(self) -> _Item:
        """The source that was taken last."""
        return self._items[-1]

    def withdraw(self) -> None:
        """Forget the source that was taken last, and its bytes."""
        self._bytes -= self._items.pop().held_bytes

    def take(self, one: Asked, *, keep_labels: bool, as_value: bool) -> Answer | None:
        """Read one source; an error of it becomes its answer and does not affect other sources."""
        item = _Item(one)
        try:
            item.labels = one.labelling(keep_labels=keep_labels)
            wanted = None if one.expected is None else Digest(one.expected)
            known = wanted and publish.label_stored(
                self._resources, self._namespace, wanted, item.labels
            )
            if known:
                item.answer = known
            else:
                item.content = _own(take(self._resources, one.source, wanted))
                self._bytes += item.held_bytes
        except StoreClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - it re-raises what is not the source's
            item.answer = one.answer_of(error, as_value=as_value)
        self._items.append(item)
        return item.answer

    def finish(self) -> list[_Item]:
        """Make all sources durable; return them with their answers."""
        items, self._items, self._bytes = self._items, [], 0
        left: dict[Digest, list[_Item]] = {}
        for item in items:
            if item.content is not None:
                left.setdefault(item.content.digest, []).append(item)
        for _ in range(_TRIES):
            self._drop_failed(left)
            if not left:
                return items
            try:
                self._store(left)
            except FencedError as error:
                self._resources.session.renew(error.args[0])
                self._fail_segments(left)
            else:
                return items
        for digest, same in left.items():
            for item in same:
                item.answer = judged_dead(digest)
        return items

    @staticmethod
    def _fail_segments(left: dict[Digest, list[_Item]]) -> None:
        """Give up what cannot be written again: it was read already, and is not in memory."""
        for digest, same in left.items():
            if same[0].content is not None and same[0].content.segments is not None:
                for item in same:
                    item.answer = judged_dead(digest)

    def _store(self, left: dict[Digest, list[_Item]]) -> None:
        self._answer_stored(left)
        waiting = {
            digest: self._resources.start(lambda one=same[0].content: place(self._resources, one))  # type: ignore[misc]
            for digest, same in left.items()
        }
        candidates: list[Candidate] = []
        for digest, future in waiting.items():
            first = left[digest][0]
            try:
                where = future.result()
                assert first.content is not None  # noqa: S101 - only such are in `left`
                assert first.labels is not None  # noqa: S101 - as above
                candidates.append(first.content.candidate(where, first.labels))
            except ContentDBError as error:
                for item in left[digest]:
                    item.answer = error
        if not candidates:
            return
        written = {publish.session_of(one.place) for one in candidates if one.place.key}
        session = written.pop() if written else self._resources.session.id
        if written:
            raise FencedError(min(session, *written))
        done = record(self._resources.database, self._namespace, session, candidates,
                      lease=self._resources.lease)  # fmt: skip
        for one in done:
            first, *others = left[one.candidate.digest]
            if one.created_ns is None:  # it came meanwhile
                one = one._replace(candidate=one.candidate._replace(labels=NO_LABELS))  # noqa: PLW2901
                info = publish.conclude(self._resources, self._namespace, one)
                self._answer_known(info, [first, *others])
            else:
                first.answer = info = publish.conclude(self._resources, self._namespace, one)
                self._answer_known(info, others)
            for item in others:
                discard(self._resources, item.content and item.content.segments)

    def _answer_stored(self, left: dict[Digest, list[_Item]]) -> None:
        """Answer for content that is stored already, and take it out of ``left``."""
        found = blobs.find_many(self._resources.database, self._namespace, list(left))
        whole = [one for one in settled(self._resources, *found.values()) if not one.damaged]
        kept = publish.keep_met(self._resources, self._namespace, whole)
        for stored in whole:
            if stored.info.digest not in kept:  # it was deleted meanwhile
                continue
            same = left.pop(stored.info.digest)
            self._answer_known(stored.info, same)
            for item in same:
                discard(self._resources, item.content and item.content.segments)

    def _answer_known(self, info: Info, items: list[_Item]) -> None:
        """Answer for sources whose content is stored; labels that fail are their source's error."""
        known = info.known() if isinstance(info, NewInfo) else info
        for item in items:
            assert item.labels is not None  # noqa: S101 - they were read with the source
            item.answer = known
            if item.labels.stored.items() <= known.labels.items():
                continue
            try:
                again = publish.label_stored(
                    self._resources, self._namespace, known.digest, item.labels, whole=False
                )
            except StoreClosedError:
                raise
            except ContentDBError as error:
                item.answer = error
            else:
                item.answer = again or known

    @staticmethod
    def _drop_failed(left: dict[Digest, list[_Item]]) -> None:
        for digest in [one for one, same in left.items() if same[0].answer is not None]:
            del left[digest]


def _own(content: Content) -> Content:
    """Copy what the caller may change before the group is finished."""
    if isinstance(content.data, memoryview):
        return content._replace(data=bytes(content.data))
    return content
