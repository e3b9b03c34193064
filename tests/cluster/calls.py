"""A process dies before or after each request to the object store, and each statement.

Each case has contents of its own. The act is done by a process that kills itself at one call; then
the store is judged, the act done again by another process, and the store judged again.
"""

from __future__ import annotations

import io
import os
import random
import signal
import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.cluster.rig import (
    Place,
    Rig,
    content,
    digest_of,
    judged,
    prepare_process,
    rig,
    started,
)  # fmt: skip
from tests.crash.suite import Outcome, Plan, Violation, chosen
from tests.local.collect.graphs import REF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import contentdb

__all__ = ["ACTS", "calls"]

_INLINE, _OBJECT, _LONG = 0, 1, 3
"""Numbers of contents of the three kinds; each case adds a multiple of four."""


class Act(NamedTuple):
    """What a process does, and what must be true once it was told so."""

    do: Callable[[contentdb.Store, int], None]
    prepare: Callable[[contentdb.Store, int], None] = lambda _store, _base: None
    stored: tuple[int, ...] = ()
    gone: tuple[int, ...] = ()


def _ref(base: int) -> str:
    return f"ref {base}"


def _half(store: contentdb.Store, base: int) -> None:
    with store.writer(_ref(base)) as writer:
        writer.write(content(base + _LONG)[:50_000])


def _commit(store: contentdb.Store, base: int) -> None:
    with store.writer(_ref(base), resume=True) as writer:
        writer.write(content(base + _LONG)[writer.offset :])
        writer.commit()


def _abort(store: contentdb.Store, base: int) -> None:
    import contentdb

    try:
        store.abort(_ref(base))
    except contentdb.NotFoundError:  # a try that was killed has done it
        return


def _delete(store: contentdb.Store, base: int) -> None:
    store.delete_many(_digests(base), missing_ok=True)


def _digests(base: int) -> list[str]:
    return [digest_of(content(base + kind)) for kind in (_INLINE, _OBJECT, _LONG)]


def _store_all(store: contentdb.Store, base: int) -> None:
    for _ in store.add_many([content(base + kind) for kind in (_INLINE, _OBJECT, _LONG)]):
        pass


def _store_and_delete(store: contentdb.Store, base: int) -> None:
    _store_all(store, base)
    _delete(store, base)
    _half(store, base)
    store.abort(_ref(base))


def _add(store: contentdb.Store, number: int) -> None:
    store.add(content(number))


def _ingest(store: contentdb.Store, base: int) -> None:
    store.ingest(_ref(base), io.BytesIO(content(base + _LONG)))


def _store_graph(store: contentdb.Store, base: int) -> None:
    """One content is named and refers to another; a third nothing keeps."""
    _store_all(store, base)
    _, one, long = _digests(base)
    store.update(one, {REF: long})
    store.tag(f"name {base}", one)


def _collect(store: contentdb.Store, _: int) -> None:
    store.collect(grace=timedelta(0), no_roots=True)


def _collect_under_lease(store: contentdb.Store, base: int) -> None:
    """The lease is held, and ends with the process."""
    lease = store.lease()
    lease.add(content(base + _OBJECT))
    lease.keep(digest_of(content(base + _LONG)))
    _collect(store, base)


def _lose_name(store: contentdb.Store, base: int) -> None:
    import contentdb

    lease = store.lease(lasting=True)
    lease.keep(_digests(base)[1])
    with suppress(contentdb.NotFoundError):  # a try that was killed has done it
        store.untag(f"name {base}")
    lease.end()
    for info in list(store.leases()):
        if info.holder is None:
            store.end_lease(info.id)  # of tries that were killed
    _collect(store, base)


def _prune(store: contentdb.Store) -> None:
    store.prune(older_than=0)


ACTS: Final[dict[str, Act]] = {
    "add, in its row": Act(lambda s, base: _add(s, base + _INLINE), stored=(_INLINE,)),
    "add, one object": Act(lambda s, base: _add(s, base + _OBJECT), stored=(_OBJECT,)),
    "add, a run": Act(lambda s, base: _add(s, base + _LONG), stored=(_LONG,)),
    "add what is stored": Act(
        lambda s, base: _add(s, base + _OBJECT), _store_all, stored=(_INLINE, _OBJECT, _LONG)
    ),
    "add_many": Act(_store_all, stored=(_INLINE, _OBJECT, _LONG)),
    "ingest": Act(
        _ingest, stored=(_LONG,)
    ),
    "a writer": Act(_commit, stored=(_LONG,)),
    "a writer that is closed": Act(_half),
    "a writer that resumes": Act(_commit, _half, stored=(_LONG,)),
    "abort": Act(_abort, _half),
    "delete": Act(_delete, _store_all, gone=(_INLINE, _OBJECT, _LONG)),
    "collect": Act(_collect, _store_graph, stored=(_OBJECT, _LONG), gone=(_INLINE,)),
    "collect under a lease": Act(
        _collect_under_lease, _store_all, stored=(_OBJECT, _LONG), gone=(_INLINE,)
    ),
    "a name and a lease go": Act(_lose_name, _store_graph, gone=(_INLINE, _OBJECT, _LONG)),
    "prune": Act(lambda s, _: _prune(s), _store_and_delete, gone=(_INLINE, _OBJECT, _LONG)),
}  # fmt: skip


# -- the process that dies -------------------------------------------------------------------------


class _Seams:
    """Counts the calls of both seams, and kills the process at one of them."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.count = 0
        self._at = at
        self._after = after
        self._lock = threading.Lock()

    def wrap(self, owner: Any, name: str) -> None:  # noqa: ANN401 - a module or a class
        """Put the count around one function."""
        call = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as it is
            with self._lock:
                self.count += 1
                mine = self.count == self._at
            if mine and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*given, **named)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, counted)


def work(place: Place, name: str, base: int, at: int, after: bool, told: str) -> None:  # noqa: FBT001 - given to a process
    """Do the act; say so in the file ``told``, with how many calls it took."""
    import obstore
    import psycopg

    prepare_process()
    signal.alarm(120)
    seams = _Seams(at, after=after)
    for function in ("put", "get_range", "get", "head", "delete", "list"):
        seams.wrap(obstore, function)
    seams.wrap(psycopg.Connection, "execute")
    with place.open() as store:
        ACTS[name].do(store, base)
        _say(told, seams.count)
    _say(told, seams.count)


def _say(told: str, count: int) -> None:
    with open(f"{told}.new", "w") as file:  # noqa: PTH123 - no more modules than it needs
        file.write(f"{count}")
    os.replace(f"{told}.new", told)  # noqa: PTH105 - as above


# -- the suite -------------------------------------------------------------------------------------


def calls(plan: Plan) -> Outcome:
    """Kill at each call of each act, before it and after it."""
    prepare_process()
    with rig() as servers, servers.place.open() as store:
        told = servers.s3.folder / "told"
        base = 0
        cases: list[str] = []
        for name in _names(plan):
            base += 4
            ACTS[name].prepare(store, base)
            _run(servers.place, name, base, 0, told, after=False)
            count = int(told.read_text())
            cases += [f"{name}:{at}:{when}" for at in range(1, count + 1)
                      for when in ("before", "after")]  # fmt: skip
        picked = [plan.case] if plan.case is not None else chosen(cases, plan)
        found: list[Violation] = []
        deadline = plan.deadline()
        tried = 0
        for case in picked:
            base += 4
            tried += 1
            found += [Violation(case, what) for what in _judge(servers, store, case, base, told)]
            if plan.enough(found, deadline):
                break
        return Outcome(tried, found, f"before and after {len(cases) // 2} calls")


def _names(plan: Plan) -> list[str]:
    """The acts; a share of the suite has a few, for each must be counted first."""
    if plan.case is not None:
        return []
    names = list(plan.scenarios or ACTS)
    whole = plan.limit is None or plan.scenarios
    return names if whole else random.Random(plan.seed).sample(names, 3)


def _run(place: Place, name: str, base: int, at: int, told: Path, *, after: bool) -> int:
    told.unlink(missing_ok=True)
    process = started(work, place, name, base, at, after, str(told))
    process.join()
    return process.exitcode or 0


def _judge(servers: Rig, store: contentdb.Store, case: str, base: int, told: Path) -> Iterator[str]:
    name, at, when = case.split(":")
    act = ACTS[name]
    act.prepare(store, base)
    code = _run(servers.place, name, base, int(at), told, after=when == "after")
    if code not in {0, -signal.SIGKILL}:
        yield f"the process ended with {code}"
    if told.exists():
        yield from _unlike(store, act, base, "told so")
    yield from judged(servers, prune=False)
    code = _run(servers.place, name, base, 0, told, after=False)
    if code:
        yield f"the act cannot be done after the kill: the process ended with {code}"
    yield from _unlike(store, act, base, "done again")
    yield from judged(servers)
    store.delete_many(_digests(base), missing_ok=True)


def _unlike(store: contentdb.Store, act: Act, base: int, when: str) -> Iterable[str]:
    for kind in act.stored:
        if not store.exists(digest_of(content(base + kind))):
            yield f"{when}, and content {kind} is not stored"
    for kind in act.gone:
        if store.exists(digest_of(content(base + kind))):
            yield f"{when}, and content {kind} is still stored"
