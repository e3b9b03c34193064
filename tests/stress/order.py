"""Is there an order of the calls, one after the other, that explains what each was told?

The calls are about one content. They overlapped, so any order is right that puts a call which
had ended before the start of another before that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "ABSENT",
    "BAD",
    "BAD_RECORD",
    "LIVE",
    "MARKED",
    "ORPHAN",
    "Call",
    "Now",
    "ends",
    "outcomes",
]

ABSENT: Final = "absent"
ORPHAN: Final = "orphan"
"""A whole file without a row."""
LIVE: Final = "live"
ADOPTED: Final = "adopted"
"""As live; upkeep made the row of the file of a commit in flight, which is told that it is new."""
BAD: Final = "bad"
"""A damaged file, of the right size, whose row says nothing of it."""
BAD_RECORD: Final = "a bad record"
"""The same of a packed blob. No time vouches for a record, so only a read finds its damage: until
then its content counts as stored."""
MARKED: Final = "marked"
"""A row that says that its file was damaged, and no file."""


class Call(NamedTuple):
    """A call, when it was begun and had ended, and what it told its caller."""

    name: str
    began: int
    ended: int
    told: str
    labels: frozenset[tuple[str, str]] = frozenset()
    """What it gave: to stored content by key; an update's replace all."""
    new: bool | None = None
    """Whether it was told that the content was new, where it is told at all."""
    born: int | None = None
    """The time of creation of what was new."""


class Now(NamedTuple):
    """What there is between two calls."""

    kind: str
    labels: frozenset[tuple[str, str]] = frozenset()
    born: int | None = None
    """Time of creation, where it is known."""


_STORING: Final = {"add", "commit"}
_NEW: Final = {ABSENT, ORPHAN}
_ENDS: Final[dict[tuple[str, str], dict[str, tuple[str, ...]]]] = {
    ("commit", "stored"): {
        ABSENT: (LIVE,), ORPHAN: (LIVE,), MARKED: (LIVE,), ADOPTED: (LIVE,),
        BAD_RECORD: (LIVE,),  # whoever reads it at the same time may have marked it just before
    },
    ("commit", "exists"): {
        LIVE: (LIVE,), BAD: (LIVE,), BAD_RECORD: (BAD_RECORD,), ADOPTED: (ADOPTED,),
    },
    ("commit", "locked"): {
        state: (state,) for state in (ABSENT, ORPHAN, LIVE, ADOPTED, BAD, BAD_RECORD, MARKED)
    },
    ("add", "stored"): {
        ABSENT: (LIVE,), ORPHAN: (LIVE,), LIVE: (LIVE,), BAD: (LIVE,), MARKED: (LIVE,),
        ADOPTED: (LIVE, ADOPTED), BAD_RECORD: (BAD_RECORD, LIVE),
    },
    ("delete", "done"): {
        LIVE: (ABSENT,), BAD: (ABSENT,), MARKED: (ABSENT,), ADOPTED: (ABSENT,),
        BAD_RECORD: (ABSENT,),
    },
    ("delete", "absent"): {ABSENT: (ABSENT,), ORPHAN: (ORPHAN,)},
    ("update", "done"): {
        LIVE: (LIVE,), BAD: (BAD,), BAD_RECORD: (BAD_RECORD,), ADOPTED: (ADOPTED,),
    },
    ("update", "absent"): {ABSENT: (ABSENT,), ORPHAN: (ORPHAN,)},
    ("read", "data"): {LIVE: (LIVE,), ORPHAN: (ORPHAN,), ADOPTED: (ADOPTED,)},
    ("read", "absent"): {ABSENT: (ABSENT,)},
    ("read", "corrupt"): {
        BAD: (BAD, MARKED), BAD_RECORD: (BAD_RECORD, MARKED), MARKED: (MARKED,),
    },
    # What looks after a store may find nothing to do, and acts on what it saw a while ago.
    ("upkeep", "done"): {
        ABSENT: (ABSENT,), ORPHAN: (ORPHAN, ABSENT, LIVE), LIVE: (LIVE,), BAD: (BAD, MARKED),
        MARKED: (MARKED,), ADOPTED: (ADOPTED,), BAD_RECORD: (BAD_RECORD, MARKED),
    },
    # A file that has its name and not yet its row may be adopted: of that the commit knows.
    ("upkeep", "beside a commit"): {
        ABSENT: (ABSENT, ADOPTED), ORPHAN: (ORPHAN, ABSENT, LIVE, ADOPTED), LIVE: (LIVE,),
        BAD: (BAD, MARKED), MARKED: (MARKED, ADOPTED), ADOPTED: (ADOPTED,),
        BAD_RECORD: (BAD_RECORD, MARKED),
    },
}  # fmt: skip


def outcomes(calls: list[Call], state: str) -> set[str]:
    """The states that the calls can have left, over all orders that explain them; none if none."""
    return {now.kind for now in ends(calls, Now(state))}


def ends(calls: list[Call], first: Now, *, beside: Sequence[Call] = ()) -> set[Now]:
    """The same, with labels and times; ``beside`` are calls in other namespaces over the files.

    What was adopted is not the end, unless its commit was one of those: it is told that it is new.
    """
    calls = [_loosened(call, [*calls, *beside]) for call in calls]
    found = _ends(tuple(calls), first)
    if beside:
        return {now._replace(kind=LIVE) if now.kind == ADOPTED else now for now in found}
    return {now for now in found if now.kind != ADOPTED}


def _loosened(call: Call, calls: Sequence[Call]) -> Call:
    """Upkeep that met a commit may have made a row of its file."""
    if call.name == "upkeep" and any(
        other.name in _STORING and other.began < call.ended and call.began < other.ended
        for other in calls
    ):
        return call._replace(told="beside a commit")
    return call


def _ends(left: tuple[Call, ...], now: Now) -> Iterator[Now]:
    if not left:
        yield now
    for place, call in enumerate(left):
        rest = left[:place] + left[place + 1 :]
        if all(call.began < other.ended for other in rest):
            for following in _ENDS[call.name, call.told].get(now.kind, ()):
                if _may_tell(call, now, following):
                    yield from _ends(rest, _after(call, now, following))


def _may_tell(call: Call, now: Now, following: str) -> bool:
    """Whether a storing call is told right that the content was new, or was not."""
    if call.new is None or call.name not in _STORING or call.told != "stored":
        return True
    if now.kind == ADOPTED:
        return call.new == (following == LIVE)
    return call.new == (now.kind in _NEW)


def _after(call: Call, now: Now, following: str) -> Now:
    if call.name in _STORING and call.told == "stored":
        given = dict(call.labels)
        kept = {pair for pair in now.labels if pair[0] not in given}
        born = call.born if call.new else now.born
        return Now(following, frozenset(kept | call.labels), born)
    if call.name == "update" and call.told == "done":
        return Now(following, call.labels, now.born)
    if following in {ABSENT, ORPHAN} or (following == ADOPTED and now.kind in _NEW):
        return Now(following)
    return Now(following, now.labels, now.born)
