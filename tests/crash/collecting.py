"""The scenario of a collection, and the judge's part: what is kept stays, and nothing else does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tests.crash.ledger import Ledger, Promises, content, digest_of
from tests.local.collect.graphs import REF, kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection

    import contentdb

    Open = Callable[[Path], contentdb.Store]
    Step = Callable[[Path, Ledger], None]

__all__ = ["check_collection", "collection_steps"]

_NOTHING: Final = timedelta(0)
_WARM: Final = range(900, 904)
_LEAF, _PARENT, _OTHER_LEAF, _ROOT, _ALONE, _LATE, _UNKEPT = range(7)


def collection_steps(open_: Open, warm: Step, left: list[contentdb.Store]) -> tuple[Step, Step]:
    """Return what prepares a collection, and what is disturbed."""

    def prepare(root: Path, ledger: Ledger) -> None:
        """Tagged blobs with children, and one that nothing keeps."""
        warm(root, ledger)
        store = open_(root)
        left.append(store)
        _fill(store, ledger)
        ledger.collects()

    def run(root: Path, ledger: Ledger) -> None:
        with open_(root) as store:
            _collect_twice(store, ledger)

    return prepare, run


def _fill(store: contentdb.Store, ledger: Ledger) -> None:
    for number in _WARM:
        store.tag(f"warm {number}", digest_of(number))
        ledger.kept(number)
    _refer(store, _PARENT, _LEAF, _OTHER_LEAF)
    _refer(store, _ROOT, _OTHER_LEAF)
    store.add(content(_ALONE))
    store.tag("old", digest_of(_PARENT))
    store.tag("root", digest_of(_ROOT))
    for number in (_LEAF, _PARENT, _OTHER_LEAF, _ROOT, _ALONE):
        ledger.have(number)
    for number in (_OTHER_LEAF, _ROOT):
        ledger.kept(number)
    with store.lease() as lease:
        lease.keep(digest_of(_ALONE))
        store.collect(grace=_NOTHING)
        _let_grace_end(store)
        store.collect()  # what is kept leaves the queue


def _let_grace_end(store: contentdb.Store) -> None:
    def work(connection: Connection) -> None:
        connection.execute("UPDATE blobs SET review_at = 7")
        connection.execute("UPDATE settings SET value = '7' WHERE name = 'collecting_since'")

    with store.parts() as parts:
        parts.index._database.write(work, lambda _connection: True, durable=True)


def _collect_twice(store: contentdb.Store, ledger: Ledger) -> None:
    lease = store.lease(lasting=True, id="l")
    if lease.keep(digest_of(_ALONE)):
        ledger.kept(_ALONE)
    _going(ledger, _LEAF, _PARENT)
    store.untag("old")
    store.collect(grace=_NOTHING)
    _gone(ledger, _LEAF, _PARENT)
    _going(ledger, _LEAF)  # it may be back before it is acknowledged
    lease.add(content(_LEAF))
    store.add(content(_LATE))
    store.tag("late", digest_of(_LATE))
    for number in (_LEAF, _LATE):
        ledger.have(number)
        ledger.kept(number)
    _going(ledger, _ALONE, _LEAF)
    store.end_lease("l")
    _going(ledger, _UNKEPT)
    store.add(content(_UNKEPT))
    store.collect(grace=_NOTHING)
    _gone(ledger, _ALONE, _LEAF, _UNKEPT)
    _going(ledger, _UNKEPT)
    store.add(content(_UNKEPT))


def _going(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        ledger.going(number)


def _gone(ledger: Ledger, *numbers: int) -> None:
    for number in numbers:
        ledger.gone(number)


def _refer(store: contentdb.Store, parent: int, *children: int) -> None:
    for child in children:
        store.add(content(child))
    labels = {f"{REF}.{child}": digest_of(child) for child in children}
    store.add(content(parent), labels=labels)


def check_collection(store: contentdb.Store, promises: Promises) -> Iterator[str]:
    """Collect all that nothing keeps: what was acknowledged as kept stays, and no other."""
    if not promises.collecting:
        return
    wanted = kept(store)
    store.collect(grace=_NOTHING, no_roots=True)
    listed = {str(info.digest) for info in store.walk()}
    for number in promises.kept:
        if digest_of(number) not in listed:
            yield f"acknowledged as kept, but collected: {number} {digest_of(number)}"
    for digest in wanted - listed:
        yield f"collected though something keeps it: {digest}"
    for digest in listed - wanted:
        yield f"nothing keeps it, and no collection finds it: {digest}"
