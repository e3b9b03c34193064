"""Collection: take what nothing keeps any more."""

from __future__ import annotations

from collections.abc import Iterable

from contentdb.digest import Digest
from contentdb.engine import Capability, CollectEngine, CollectTerms, PolicyEngine
from contentdb.errors import InvalidArgumentError
from contentdb.light_typing import TYPE_CHECKING, cast
from contentdb.store.front import Front
from contentdb.values import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from typing import Final

    from contentdb.content import Collected, Collection, QueueStatus, Step

__all__ = ["Collecting", "low_bytes"]

_LOW: Final = 0.9
"""The part of a bound down to which a collection goes."""
_LIMIT: Final = 1 << 63


class Collecting(Front):
    """Implements `contentdb.content.Collector`.

    Behind a server each method raises `FailedPreconditionError`; at a store in a database those of
    policies do, and `collect` that goes by last use.
    """

    def _collector(self, what: str) -> CollectEngine:
        self._require(Capability.COLLECT, what)
        return cast("CollectEngine", self._engine)

    def _policies(self, what: str) -> PolicyEngine:
        self._require(Capability.POLICIES, what)
        return cast("PolicyEngine", self._engine)

    def collect(  # noqa: PLR0913 - all have a default that fits most
        self,
        *,
        grace: timedelta | None = None,
        full: bool = False,
        dry_run: bool = False,
        limit: int | None = None,
        ingests: timedelta | None = None,
        no_roots: bool = False,
        max_bytes: int | None = None,
        unused_for: timedelta | None = None,
        filters: Sequence[str] = (),
        progress: Callable[[Collected], object] = lambda _collected: None,
    ) -> Collection:
        """Remove the blobs of this namespace that nothing keeps, and say what was done.

        A blob is kept by a tag, by a live lease, by an ingest that expects it, by a label
        ``containerd.io/gc.root`` or ``containerd.io/gc.expire``, and by a blob that is kept and
        refers to it with a label ``containerd.io/gc.ref.content…``. What a caller was told is
        stored, within the grace, is kept too, and all that it refers to. Other processes may use
        the store meanwhile: each waits for a few milliseconds at most. Durable when it returns.

        Only blobs are looked at that were stored, found stored, or lost what kept them, since the
        store has revision 0005. The first collection or policy of a store begins the
        grace of all that is there.

        With ``max_bytes`` or ``unused_for`` the store is a cache: of what nothing keeps only that
        goes which was not used for longest. A use is a read, or an answer that the content is
        stored; for a packed blob only the latter. Without these and ``filters``, those of the
        namespace's policy hold, if it has one; see `set_policy`.

        Args:
            grace: How long content stays after the last answer that it is stored; by default that
                of the policy, or a day. With a shorter one that is not zero, some stays up to six
                hours longer. With zero only leases protect work that is under way; what is stored
                while it runs stays.
            full: Look at all blobs, also those that were never in the queue.
            dry_run: Change nothing, only find out. What the lease of a dead process keeps counts
                as kept.
            limit: Stop after so many blobs.
            ingests: Drop also ingests that no writer and no lease holds, and that have not changed
                for so long.
            no_roots: Collect although nothing in the namespace says what is wanted; a cache does so
                in any case.
            max_bytes: Take what was not used for longest, if the namespace has more bytes, until
                it has nine tenths of that.
            unused_for: Take what was not used for so long; some stays three hours longer.
            filters: Take only what any of these selects, as in `walk`: all else stays, with what it
                refers to.
            progress: Called with each blob when it is gone. It may use the store, but not collect;
                what it stores under a bound finds only the room that there is.

        Raises:
            NoRootsError: The namespace has no tag, no lease and no label that makes a root, and is
                not collected as a cache.
            FailedPreconditionError: It was called from the ``progress`` of another collection.
        """
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidArgumentError(f"limit is a number of blobs, not {limit!r:.80}")
        terms = CollectTerms(
            _span("grace", grace), bool(full), bool(dry_run), limit, _span("ingests", ingests),
            bool(no_roots), _size("max_bytes", max_bytes), low_bytes(max_bytes, _LOW),
            _span("unused_for", unused_for), _texts(filters),
        )  # fmt: skip
        if terms.is_of_cache:
            self._policies("collect by last use")
        return self._collector("collect").collect(terms, progress)

    def policy(self) -> Policy | None:
        """Return the policy of the namespace, if it has one."""
        return self._policies("policy").policy()

    def set_policy(
        self,
        *,
        grace: timedelta | None = None,
        max_bytes: int | None = None,
        low: float = _LOW,
        unused_for: timedelta | None = None,
        filters: Sequence[str] = (),
    ) -> Policy:
        """Set the policy of the namespace in place of an earlier one, and return it; durable.

        Every process goes by it from then on. A `collect` without arguments takes what it lets go.
        With ``max_bytes`` the blobs of the namespace and the content on its way in never exceed
        that together: a process that stores more first collects down to ``low``, and then gets
        `QuotaExceededError` before a byte is taken. Nothing is taken at once: call `collect` where
        there is more already. What is on its way in at this moment may still exceed it.

        Args:
            grace: How long content stays after the last answer that it is stored; by default a
                day. With zero only leases protect what is new, as a cache wants it that is filled
                within hours; with another time below a day some stays up to six hours longer.
            max_bytes: The bound, tagged and leased content included, which never goes.
            low: Down to which part of it a collection goes, from 0 to 1.
            unused_for: Let content go that was not used for so long.
            filters: Let only blobs go that any of these selects.
        """
        _span("grace", grace)
        _span("unused_for", unused_for)
        most = _size("max_bytes", max_bytes)
        if most is None and low != _LOW:
            raise InvalidArgumentError("low is a part of max_bytes; give that too")
        made = Policy(grace, most, low_bytes(most, low), unused_for, _texts(filters))
        self._policies("set_policy").set_policy(made)
        return made

    def clear_policy(self) -> None:
        """Remove the policy of the namespace, durably; nothing happens if there is none."""
        self._policies("clear_policy").set_policy(None)

    def why(self, digest: str) -> tuple[Step, ...]:
        """Return the way from a blob up to what keeps it; () if nothing does.

        The first step is the blob, the last one what keeps it all: a tag, a lease, an ingest, a
        label, or that it is fresh.

        Raises:
            NotFoundError: There is no such blob.
            UndecidedError: It has too many parents to find out.
        """
        return self._collector("why").why(Digest(digest))

    def queue_status(self) -> QueueStatus:
        """Count what waits for a collection."""
        return self._collector("queue_status").queue_status()


def _size(name: str, size: object) -> int | None:
    if size is not None and not (type(size) is int and 0 <= size < _LIMIT):
        raise InvalidArgumentError(f"{name} is a number of bytes, not {size!r:.80}")
    return size


def low_bytes(max_bytes: int | None, part: object) -> int | None:
    """Return down to how many bytes a collection goes, with a part of a bound."""
    if not isinstance(part, float | int) or isinstance(part, bool) or not 0 <= part <= 1:
        raise InvalidArgumentError(f"low is a part of max_bytes, from 0 to 1, not {part!r:.80}")
    return None if max_bytes is None else min(max_bytes, int(max_bytes * part))


def _texts(filters: object) -> tuple[str, ...]:
    """Return filters, checked."""
    if isinstance(filters, str) or not isinstance(filters, Iterable):
        raise InvalidArgumentError(f"filters is a list of texts, not {filters!r:.80}")
    texts = tuple(filters)
    if texts:
        from contentdb.filters import parse

        parse(*texts)
    return texts


def _span(name: str, span: object) -> int | None:
    """Return a time span in nanoseconds."""
    if span is None:
        return None
    from datetime import timedelta

    from contentdb.units import span_ns

    if not isinstance(span, timedelta) or span < timedelta(0):
        raise InvalidArgumentError(f"{name} is a timedelta, not negative, not {span!r:.80}")
    ns = span_ns(span)
    if ns >= _LIMIT:
        raise InvalidArgumentError(f"{name} is at most 292 years (106751 days), not {span!r:.80}")
    return ns
