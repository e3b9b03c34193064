"""Random histories of a store, and what a plain forward mark says is kept of it."""

from __future__ import annotations

import contextlib
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from contentdb.content import Step
from contentdb.digest import Digest
from contentdb.errors import ContentDBError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contentdb import Store

__all__ = ["BREF", "REF", "History", "check_histories", "check_way_up", "kept", "there"]

REF: Final = "containerd.io/gc.ref.content"
BREF: Final = "containerd.io/gc.bref.content"
_COUNT: Final = 12


def there(store: Store) -> set[str]:
    """All blobs."""
    return {info.digest for info in store.walk()}


def kept(store: Store) -> set[str]:
    """The blobs that a forward mark reaches, with nothing fresh."""
    infos = {str(info.digest): info for info in store.walk()}
    roots: set[str] = {tag.digest for tag in store.tags()}
    flat: set[str] = set()
    for lease in store.leases():
        items = {item.name for item in store.use_lease(lease.id).items() if item.kind == "content"}
        (flat if lease.flat else roots).update(items)
    roots.update(status.expected for status in store.statuses() if status.expected is not None)
    below: dict[str, set[str]] = {}
    for digest, info in infos.items():
        for key, value in info.labels.items():
            if key.startswith(REF):
                below.setdefault(digest, set()).add(value)
            elif key.startswith(BREF):
                below.setdefault(value, set()).add(digest)
            elif key == "containerd.io/gc.root" or (
                key == "containerd.io/gc.expire" and value > datetime.now(UTC).isoformat()
            ):
                roots.add(digest)
    marked: set[str] = set()
    grey: list[str] = [digest for digest in roots if digest in infos]
    while grey:
        digest = grey.pop()
        if digest not in marked:
            marked.add(digest)
            grey += [child for child in below.get(digest, ()) if child in infos]
    return marked | (flat & infos.keys())


class History:
    """Changes chosen by a seed, each through the public interface."""

    def __init__(self, store: Store, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._leases: list[str] = []
        self._words = [b"%d" % number for number in range(_COUNT)]
        self._digests: list[str] = [Digest.of(word) for word in self._words]
        self._digests.append("sha256:" + "0" * 64)  # it dangles

    def run(self, steps: int) -> None:
        """Make so many changes; what is refused is no change."""
        acts: list[Callable[[], object]] = [
            self._add, self._add, self._add, self._refer, self._refer, self._refer,
            self._refer_back, self._refer_back, self._refer_back,
            self._root, self._expire, self._expire, self._tag, self._untag,
            self._lease, self._lease, self._keep, self._keep, self._keep, self._end, self._drop,
            self._delete, self._unlabel, self._unlabel, self._expect, self._abort, self._abort,
        ]  # fmt: skip
        for _ in range(steps):
            with contextlib.suppress(ContentDBError):
                self._random.choice(acts)()

    def _any(self) -> str:
        return self._random.choice(self._digests)

    def _add(self) -> None:
        labels = {f"{REF}.{self._random.randrange(3)}": self._any()}
        word = self._random.choice(self._words)
        self._store.add(word, labels=labels if self._random.random() < 0.5 else None)

    def _refer(self) -> None:
        self._label(f"{REF}{self._random.choice(['', '.0', '/x', '.1'])}", self._any())

    def _refer_back(self) -> None:
        self._label(f"{BREF}.{self._random.randrange(2)}", self._any())

    def _root(self) -> None:
        self._label("containerd.io/gc.root", "yes")

    def _expire(self) -> None:
        """Until a date that is past, or to come, or none, which never comes."""
        dates = [datetime.now(UTC) + timedelta(days=days) for days in (-1, 1, 1)]
        texts = [date.isoformat() for date in dates]
        self._label("containerd.io/gc.expire", self._random.choice([*texts, "some day"]))

    def _label(self, key: str, value: str) -> None:
        self._store.update(self._any(), {key: value}, fields=[f"labels.{key}"])

    def _tag(self) -> None:
        self._store.tag(self._random.choice("abc"), self._any())

    def _untag(self) -> None:
        self._store.untag(self._random.choice("abc"))

    def _lease(self) -> None:
        flat = self._random.random() < 0.6
        span = self._random.choice([timedelta(hours=1)] * 2 + [timedelta(microseconds=1)])
        lease = self._store.lease(expires=span, flat=flat)
        self._leases.append(lease.id)

    def _keep(self) -> None:
        if self._leases:
            lease = self._store.use_lease(self._random.choice(self._leases))
            if self._random.random() < 0.5:
                lease.add(self._random.choice(self._words))
            else:
                lease.keep(self._any())

    def _end(self) -> None:
        if self._leases:
            self._store.end_lease(self._leases.pop(self._random.randrange(len(self._leases))))

    def _drop(self) -> None:
        if self._leases:
            lease = self._store.use_lease(self._random.choice(self._leases))
            lease.drop_item("content", self._any())

    def _delete(self) -> None:
        with contextlib.suppress(NotFoundError):
            self._store.delete(self._any())

    def _unlabel(self) -> None:
        self._store.update(self._any(), {})

    def _expect(self) -> None:
        digest = self._any()
        self._store.writer(f"r{self._random.randrange(2)}", expected=digest).close()

    def _abort(self) -> None:
        self._store.abort(f"r{self._random.randrange(2)}")


def check_histories(stores: Sequence[Store], seed: int, rounds: int) -> None:
    """Let namespaces with the same content change and be collected: what is kept is left."""
    nothing = timedelta(0)
    histories = [(one, History(one, seed)) for one in stores]
    for _ in range(rounds):
        for one, history in histories:
            history.run(40)
            before, wanted = there(one), kept(one)
            for each in stores:
                dry = each.collect(grace=nothing, dry_run=True, no_roots=True)
                assert each.collect(grace=nothing, no_roots=True).blobs == dry.blobs
            assert there(one) == wanted <= before
            for digest in wanted:
                assert one.why(digest)[-1].kind != "content"
    for one in stores:
        for info in one.walk():
            assert one.read(info.digest)


def check_way_up(store: Store, age: Callable[[], object]) -> None:
    """Ask why a blob stays that a tag keeps by references of both kinds, and then nothing does."""
    child = store.add(b"child").digest
    back = f"{BREF}.x"
    attached = store.add(b"attached", labels={back: child}).digest
    store.tag("n", store.add(b"parent", labels={f"{REF}.0": child}).digest)
    assert store.why(attached) == (
        Step("content", attached),
        Step("content", child, back),
        Step("content", Digest.of(b"parent"), f"{REF}.0"),
        Step("tag", "n"),
    )
    with pytest.raises(NotFoundError):
        store.why(Digest.of(b"absent"))
    store.untag("n")
    assert store.why(attached)[-1].kind == "fresh"
    age()
    assert store.why(attached) == ()
