"""What keeps blobs: the way up from each, over references, to the first root that is found.

All blobs of a page climb together, a level in each round of two statements. A parent that is not
there keeps nothing. In a flat lease only the item itself is kept. Where no root is found the blob
is garbage, also within a cycle, whose members are all seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.cluster.catalog.lease_items import CONTENT, hash_item
from contentdb.cluster.catalog.leases import IS_ALIVE
from contentdb.content import Info
from contentdb.digest import Digest
from contentdb.expiry import EXPIRE, parse_expiry
from contentdb.references import BACK, REFERENCE, ROOT
from contentdb.values import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from contentdb.cluster.sql import Connection

__all__ = ["FOREVER_NS", "Horizon", "Node", "Way", "climb", "expand"]

_MOST_SEEN: Final = 512
"""Blobs that one way looks at; a blob with more parents without a root waits until those go."""
FOREVER_NS: Final = 1 << 62
_LEASE: Final = f"""(SELECT l.id FROM lease_items i JOIN leases l ON l.token = i.lease
WHERE i.namespace = b.namespace AND i.item_hash = n.hash AND {IS_ALIVE} AND {{flat}} LIMIT 1)"""  # noqa: S608 - a constant
_NODES: Final = f"""
SELECT b.digest, b.size, b.created_ns, b.updated_ns, CASE WHEN %(labels)s THEN b.labels END,
    q.review_at,
    (SELECT t.name FROM tags t WHERE t.namespace = b.namespace AND t.digest = b.digest LIMIT 1),
    coalesce(b.labels ->> '{ROOT}', '') <> '',
    {_LEASE.format(flat="NOT l.flat")}, {_LEASE.format(flat="l.flat")},
    (SELECT g.ref FROM ingests g WHERE g.namespace = b.namespace AND g.expected = b.digest LIMIT 1),
    b.labels ->> '{EXPIRE}'
FROM unnest(%(digests)s::text[], %(hashes)b::bytea[]) AS n(digest, hash)
JOIN blobs b ON b.namespace = %(namespace)s AND b.digest = n.digest
LEFT JOIN queue q ON q.namespace = b.namespace AND q.digest = b.digest"""  # noqa: S608 - constants
_PARENTS: Final = f"""
SELECT c.digest, p.digest, p.key FROM unnest(%(digests)s::text[]) AS c(digest), LATERAL (
    SELECT b.digest, e.key FROM blobs b, jsonb_each_text(b.labels) e
    WHERE contentdb_links(b.namespace, b.labels)
        @> ARRAY['r' || %(namespace)s || chr(10) || c.digest]
    AND e.key ^@ '{REFERENCE}' AND e.value = c.digest LIMIT %(most)s) p
UNION ALL
SELECT b.digest, e.value, e.key FROM blobs b, jsonb_each_text(b.labels) e
WHERE b.namespace = %(namespace)s AND b.digest = ANY(%(digests)s) AND e.key ^@ '{BACK}'"""  # noqa: S608 - constants
_CHILDREN: Final = f"""
SELECT e.value FROM blobs b, jsonb_each_text(b.labels) e
WHERE b.namespace = %(namespace)s AND b.digest = ANY(%(digests)s) AND e.key ^@ '{REFERENCE}'
UNION SELECT b.digest FROM unnest(%(digests)s::text[]) AS c(digest), blobs b
WHERE contentdb_links(b.namespace, b.labels)
    @> ARRAY['b' || %(namespace)s || chr(10) || c.digest]"""  # noqa: S608 - constants


class Horizon(NamedTuple):
    """What a way takes for a root beside the roots that have names; times are the server's."""

    now_ns: int
    fresh_after_ns: int
    """A blob whose review comes later than that is fresh."""
    old_before_ns: int = 0
    """A blob is old that is not in the queue and was stored before that: before there was a queue.
    Whether anything keeps it only a full collection asks."""


class Root(NamedTuple):
    """What keeps a blob by itself."""

    step: Step
    until_ns: int | None = None
    """When it ends without a word, so that the blob must be looked at again then; or None."""


class Node(NamedTuple):
    """A blob that is there, and what keeps it by itself."""

    info: Info
    review_ns: int | None
    root: Root | None
    flat_root: Root | None
    """As an item of a flat lease, which does not keep what it refers to."""


class Way:
    """The way up from one blob, as far as it was looked at."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.root: Root | None = None
        """What keeps the blob, or one above it."""
        self.is_own = False
        """Whether that keeps the blob itself."""
        self.is_undecided = False
        self.there: list[Node] = []
        """The blobs that were looked at, first the one itself; empty if that is gone."""
        self._via: dict[str, tuple[str, str] | None] = {digest: None}
        self._last: str | None = None

    @property
    def seen(self) -> int:
        """How many blobs were looked at, there or not."""
        return len(self._via)

    @property
    def unkept(self) -> list[Node]:
        """The blob, and those above it that nothing keeps: they go together; [] if it is kept.

        A parent that a flat lease has is kept, and does not keep its child.
        """
        if self.root is not None or self.is_undecided:
            return []
        return [node for node in self.there if node.flat_root is None]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps from the blob up to the root; () without one."""
        if self.root is None or self._last is None:
            return ()
        steps = [self.root.step]
        at = self._last
        while (before := self._via[at]) is not None:
            steps.append(Step("content", at, before[1]))
            at = before[0]
        return (Step("content", at), *reversed(steps))

    def look(self, level: Iterable[str], nodes: dict[str, Node]) -> list[str]:
        """Ask the blobs of a level for a root; return those that are there, unless one has one."""
        there = [nodes[digest] for digest in level if digest in nodes]
        first = not self.there
        for node in there:
            root = node.root or (node.flat_root if first else None)
            if root is not None:
                self.root, self.is_own, self._last = root, first, str(node.info.digest)
                return []
        self.there += there
        if len(self._via) >= _MOST_SEEN:
            self.is_undecided = True
            return []
        return [str(node.info.digest) for node in there]

    def step_up(self, level: Sequence[str], parents: dict[str, list[tuple[str, str]]]) -> list[str]:
        """Return the parents of a level that were not looked at; [] ends the way."""
        above: list[str] = []
        for digest in level:
            for parent, key in parents.get(digest, ()):
                if parent not in self._via and len(self._via) < _MOST_SEEN:
                    self._via[parent] = digest, key
                    above.append(parent)
        return above


def climb(
    connection: Connection[Any],
    namespace: str,
    digests: Iterable[str],
    horizon: Horizon,
    *,
    labels: bool = False,
) -> list[Way]:
    """Find what keeps each blob; with ``labels`` find the labels of what is looked at, too."""
    ways = [Way(digest) for digest in dict.fromkeys(digests)]
    levels = [[way.digest] for way in ways]
    nodes: dict[str, Node] = {}
    parents: dict[str, list[tuple[str, str]]] = {}
    asked: set[str] = set()
    while any(levels):
        wanted = {digest for level in levels for digest in level}
        nodes |= _read_nodes(connection, namespace, wanted - asked, horizon, labels=labels)
        levels = [way.look(level, nodes) for way, level in zip(ways, levels, strict=True)]
        below = {digest for level in levels for digest in level}
        for child, parent, key in _read_parents(connection, namespace, below - parents.keys()):
            parents.setdefault(child, []).append((parent, key))
        for digest in below:
            parents.setdefault(digest, [])
        levels = [way.step_up(level, parents) for way, level in zip(ways, levels, strict=True)]
        asked |= wanted
    return ways


def expand(connection: Connection[Any], namespace: str, digests: Sequence[str]) -> list[str]:
    """Return what blobs refer to, there or not."""
    values = {"namespace": namespace, "digests": list(digests)}
    return [row[0] for row in connection.execute(_CHILDREN, values)]


def _read_nodes(
    connection: Connection[Any],
    namespace: str,
    digests: set[str],
    horizon: Horizon,
    *,
    labels: bool,
) -> dict[str, Node]:
    if not digests:
        return {}
    some = sorted(digests)
    values: dict[str, Any] = {"namespace": namespace, "digests": some, "labels": labels}
    values["hashes"] = [hash_item(CONTENT, digest) for digest in some]
    rows = connection.execute(_NODES, values).fetchall()
    return {row[0]: _node(horizon, *row) for row in rows}


def _node(horizon: Horizon, digest: str, *row: Any) -> Node:  # noqa: ANN401 - a row
    size, created_ns, updated_ns, labels, review_ns, tag, is_root, lease, flat, ref, expire = row
    root: Root | None = None
    if tag is not None:
        root = Root(Step("tag", tag))
    elif is_root:
        root = Root(Step("label", ROOT))
    elif lease is not None:
        root = Root(Step("lease", lease))
    elif ref is not None:
        root = Root(Step("ingest", ref), horizon.now_ns)
    elif expire is not None and (ends_ns := _read_end(expire)) > horizon.now_ns:
        root = Root(Step("label", EXPIRE), ends_ns)
    elif review_ns is None and created_ns < horizon.old_before_ns:
        root = Root(Step("old", str(created_ns)))
    elif review_ns is not None and review_ns > horizon.fresh_after_ns:
        root = Root(Step("fresh", str(review_ns)), review_ns)
    flat_root = None if flat is None else Root(Step("lease", flat))
    info = Info(Digest(digest), size, created_ns, updated_ns, labels)
    return Node(info, review_ns, root, flat_root)


def _read_parents(
    connection: Connection[Any], namespace: str, digests: set[str]
) -> list[tuple[str, str, str]]:
    if not digests:
        return []
    values = {"namespace": namespace, "digests": sorted(digests), "most": _MOST_SEEN}
    return connection.execute(_PARENTS, values).fetchall()


def _read_end(text: str) -> int:
    """Return when a label ends what it keeps; what is no time never comes."""
    try:
        return parse_expiry(text)
    except ValueError:
        return FOREVER_NS
