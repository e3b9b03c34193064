"""Is there an order of the calls, one after the other, that explains what each was told?

The calls are about one content. They overlapped, so any order is right that puts a call which
had ended before the start of another before that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ABSENT", "BAD", "LIVE", "MARKED", "ORPHAN", "Call", "outcomes"]

ABSENT: Final = "absent"
ORPHAN: Final = "orphan"
"""A whole file without a row."""
LIVE: Final = "live"
BAD: Final = "bad"
"""A damaged file, of the right size, whose row says nothing of it."""
MARKED: Final = "marked"
"""A row that says that its file was damaged, and no file."""


class Call(NamedTuple):
    """A call, when it was begun and had ended, and what it told its caller."""

    name: str
    began: int
    ended: int
    told: str


_ENDS: Final[dict[tuple[str, str], dict[str, tuple[str, ...]]]] = {
    ("commit", "stored"): {ABSENT: (LIVE,), ORPHAN: (LIVE,), MARKED: (LIVE,)},
    ("commit", "exists"): {LIVE: (LIVE,), BAD: (BAD,)},
    ("commit", "locked"): {state: (state,) for state in (ABSENT, ORPHAN, LIVE, BAD, MARKED)},
    ("add", "stored"): {
        ABSENT: (LIVE,), ORPHAN: (LIVE,), LIVE: (LIVE,), BAD: (BAD,), MARKED: (LIVE,),
    },
    ("delete", "done"): {LIVE: (ABSENT,), BAD: (ABSENT,), MARKED: (ABSENT,)},
    ("delete", "absent"): {ABSENT: (ABSENT,), ORPHAN: (ORPHAN,)},
    ("update", "done"): {LIVE: (LIVE,), BAD: (BAD,)},
    ("update", "absent"): {ABSENT: (ABSENT,), ORPHAN: (ORPHAN,)},
    ("read", "data"): {LIVE: (LIVE,), ORPHAN: (ORPHAN,)},
    ("read", "absent"): {ABSENT: (ABSENT,)},
    ("read", "corrupt"): {BAD: (BAD, MARKED), MARKED: (MARKED,)},
    # What looks after a store may find nothing to do, and acts on what it saw a while ago.
    ("upkeep", "done"): {
        ABSENT: (ABSENT,), ORPHAN: (ORPHAN, ABSENT, LIVE), LIVE: (LIVE,), BAD: (BAD, MARKED),
        MARKED: (MARKED,),
    },
    # A file that has its name and not yet its row is an orphan, and may be adopted.
    ("upkeep", "beside a commit"): {
        ABSENT: (ABSENT, LIVE), ORPHAN: (ORPHAN, ABSENT, LIVE), LIVE: (LIVE,), BAD: (BAD, MARKED),
        MARKED: (MARKED,),
    },
}  # fmt: skip
_STORING: Final = {"add", "commit"}


def outcomes(calls: list[Call], state: str) -> set[str]:
    """The states that the calls can have left, over all orders that explain them; none if none."""
    if any(call.name == "upkeep" for call in calls):
        calls = [_loosened(call, calls) for call in calls]
    return set(_ends(tuple(calls), state))


def _loosened(call: Call, calls: list[Call]) -> Call:
    """Where a commit's file may be adopted before it has its row, the commit finds that row."""
    if call.told == "exists":
        return call._replace(name="add", told="stored")
    if call.name == "upkeep" and any(
        other.name in _STORING and other.began < call.ended and call.began < other.ended
        for other in calls
    ):
        return call._replace(told="beside a commit")
    return call


def _ends(left: tuple[Call, ...], state: str) -> Iterator[str]:
    if not left:
        yield state
    for place, call in enumerate(left):
        rest = left[:place] + left[place + 1 :]
        if all(call.began < other.ended for other in rest):
            for following in _ENDS[call.name, call.told].get(state, ()):
                yield from _ends(rest, following)
