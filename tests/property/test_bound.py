"""Whatever is done to a cache: its bound holds, its totals are right, and what was read stays."""

from __future__ import annotations

import io
import shutil
import tempfile
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import contentdb
from tests.inside import wrong_totals

_MOST: Final = 10_000
_SIZES: Final = st.integers(0, 4_000) | st.just(_MOST) | st.just(_MOST + 1)
_REFS: Final = st.sampled_from(["r", "s"])


class Cache(RuleBasedStateMachine):
    """One store, opened once or twice, whose content turns over."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="bound-", dir=self._place()))
        self._count = 0
        self._tagged: set[str] = set()
        self._used: set[str] = set()
        """What was read, or tried to be stored again, since something was last taken."""
        self._known: dict[str, int] = {}

    @staticmethod
    def _place() -> str | None:
        return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a fresh folder in it

    @initialize(pack_below=st.sampled_from([0, 1_000]), low=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
    def open(self, pack_below: int, low: float) -> None:
        self._pack_below = pack_below
        self._store = contentdb.open(
            self._folder / "s", durability="process", pack_below=pack_below
        )
        self._other = contentdb.open(self._folder / "s", durability="process")
        self._store.set_policy(max_bytes=_MOST, low=low, grace=timedelta(0))

    def _fresh(self, size: int) -> bytes:
        """Content that no other call has, as far as its size allows."""
        self._count += 1
        return (self._count.to_bytes(4, "big") * (size // 4 + 1))[:size]

    # -- what is done --------------------------------------------------------------------------

    @rule(size=_SIZES, way=st.sampled_from(["bytes", "stream", "path", "many", "batch", "ingest"]))
    def store_some(self, size: int, way: str) -> None:
        data = self._fresh(size)
        with suppress(contentdb.QuotaExceededError):
            if way == "bytes":
                self._store.add(data)
            elif way == "stream":
                self._store.add(io.BytesIO(data))
            elif way == "path":
                path = self._folder / "source"
                path.write_bytes(data)
                self._store.add(path)
            elif way == "many":
                pieces = [self._fresh(size // 5) for _ in range(5)]
                list(self._store.add_many(pieces, errors="yield"))
            elif way == "batch":
                with self._store.batch():
                    for _ in range(3):
                        self._store.add(self._fresh(size // 3))
            else:
                self._other.ingest("i", io.BytesIO(data))
        with suppress(contentdb.NotFoundError):
            self._other.abort("i")

    @rule(ref=_REFS, total=st.none() | _SIZES, size=_SIZES, resume=st.booleans(), end=st.booleans())
    def write(self, ref: str, total: int | None, size: int, resume: bool, end: bool) -> None:  # noqa: FBT001 - drawn
        refused = (contentdb.QuotaExceededError, contentdb.FailedPreconditionError)
        with (
            suppress(*refused),
            self._store.writer(ref, total=total, resume=resume) as writer,
        ):
            writer.write(self._fresh(size))
            if end:
                writer.commit()

    @rule(ref=_REFS)
    def abort(self, ref: str) -> None:
        with suppress(contentdb.NotFoundError):
            self._other.abort(ref)

    @rule(
        place=st.integers(0, 20), way=st.sampled_from(["read", "tag", "untag", "delete", "label"])
    )
    def act_on_one(self, place: int, way: str) -> None:
        found = [str(info.digest) for info in self._store.walk()]
        if not found:
            return
        digest = found[place % len(found)]
        if way == "read":
            if len(self._other.read(digest)) >= self._pack_below:
                self._used.add(digest)
        elif way == "tag":
            self._store.tag(digest, digest)
            self._tagged.add(digest)
        elif way == "untag":
            with suppress(contentdb.NotFoundError):
                self._store.untag(digest)
            self._tagged.discard(digest)
        elif way == "label":
            self._store.update(digest, {"k": str(self._count)})
        elif digest not in self._tagged:
            self._store.delete(digest)
            self._known.pop(digest, None)
            self._used.discard(digest)

    @rule()
    def reopen(self) -> None:
        self._other.close()
        self._other = contentdb.open(self._folder / "s", durability="process")

    # -- what holds ----------------------------------------------------------------------------

    @invariant()
    def the_bound_holds(self) -> None:
        if not hasattr(self, "_store"):
            return
        status = self._store.queue_status()
        held, reserved = status.bytes or 0, status.reserved or 0
        assert held + reserved <= _MOST
        assert held == self._store.usage().blob_bytes
        assert reserved == sum(one.offset for one in self._store.statuses())
        with self._store.parts() as parts:
            assert wrong_totals(parts) == []

    @invariant()
    def what_was_read_goes_last(self) -> None:
        """And what is tagged not at all."""
        if not hasattr(self, "_store"):
            return
        there: dict[str, Any] = {str(info.digest): info.size for info in self._store.walk()}
        gone = self._known.keys() - there.keys()
        assert not gone & self._tagged
        if gone & self._used:
            unread = self._known.keys() & there.keys() - self._tagged - self._used
            assert not unread, "it was not read since, and stayed"
        if gone:
            self._used.clear()
        self._known = there

    def teardown(self) -> None:
        if hasattr(self, "_store"):
            self._store.close()
            self._other.close()
        shutil.rmtree(self._folder)


TestCache = Cache.TestCase
# a step of this takes as long as an example of most others
TestCache.settings = settings(
    stateful_step_count=25, max_examples=max(10, settings().max_examples // 4)
)
