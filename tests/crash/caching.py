"""The scenario of a cache, and the judge's part: its bound holds, nothing is reserved for ever."""

from __future__ import annotations

import contextlib
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import contentdb
from tests.crash.ledger import Ledger, content, digest_of
from tests.inside import wrong_totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Open = Callable[[Path], contentdb.Store]
    Step = Callable[[Path, Ledger], None]

__all__ = ["cache_steps", "check_cache"]

_WARM: Final = range(900, 904)
_ADDED: Final = (3, 9, 4, 15)
_TOGETHER: Final = (0, 1, 2, 6)
_STREAMED, _WRITTEN, _ABORTED = 27, 21, 33
_MOST: Final = 240_000
"""Three of the largest, beside the warm ones."""


def cache_steps(open_: Open, warm: Step, left: list[contentdb.Store]) -> tuple[Step, Step]:
    """Return what prepares a cache, and what is disturbed."""

    def prepare(root: Path, ledger: Ledger) -> None:
        """Some blobs that stay, and a bound."""
        warm(root, ledger)
        store = open_(root)
        left.append(store)
        for number in _WARM:
            store.tag(f"warm {number}", digest_of(number))
            ledger.kept(number)
        store.set_policy(max_bytes=_MOST, grace=timedelta(0))

    def run(root: Path, ledger: Ledger) -> None:
        for number in (*_ADDED, *_TOGETHER, _STREAMED, _WRITTEN, _ABORTED):
            ledger.going(number)
        with open_(root) as store:
            _turn_over(store, ledger)

    return prepare, run


def _turn_over(store: contentdb.Store, ledger: Ledger) -> None:
    for number in _ADDED:
        store.add(content(number))
    store.read(digest_of(_ADDED[-1]))
    ledger.begun("w", _WRITTEN)
    with store.writer("w", total=len(content(_WRITTEN))) as writer:
        writer.write(content(_WRITTEN)[:30_000])
    ledger.paused("w", 30_000)
    for _ in store.add_many(map(content, _TOGETHER)):
        pass
    store.add(io.BytesIO(content(_STREAMED)))
    ledger.dropped("w")  # its blob may have gone by the time it is looked for
    with store.writer("w", resume=True) as writer:
        writer.write(content(_WRITTEN)[30_000:])
        writer.commit(expected=digest_of(_WRITTEN))
    ledger.begun("a", _ABORTED)
    ledger.dropped("a")
    with store.writer("a") as writer:
        writer.write(content(_ABORTED)[:9_000])
    store.abort("a")
    with contextlib.suppress(contentdb.QuotaExceededError):
        store.add(bytes(_MOST + 1))
    store.delete(digest_of(_WRITTEN))


def check_cache(store: contentdb.Store) -> Iterator[str]:
    """Judge the bound of a cache, and end it: what else is looked at may store anything."""
    policy = store.policy()
    if policy is None or policy.max_bytes is None:
        return
    with store.parts() as parts:
        yield from wrong_totals(parts)
    status = store.queue_status()
    held, reserved = status.bytes or 0, status.reserved or 0
    if held + reserved > policy.max_bytes:
        yield f"{held} bytes and {reserved} reserved, and {policy.max_bytes} are allowed"
    paused = sum(one.offset for one in store.statuses())
    if reserved > paused:
        yield f"{reserved} bytes are reserved, and ingests have {paused}"
    store.clear_policy()
