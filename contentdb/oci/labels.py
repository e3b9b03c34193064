"""Labels for what a blob is and where it came from, as containerd writes them.

``containerd.io/distribution.source.<registry>`` lists the repositories, joined by commas,
that have the blob: a push to the same registry can mount it from one of them.
``containerd.io/gc.ref.content.*`` refer from a document to its parts, for a collector.
``contentdb.media-type`` is contentdb's own: containerd keeps media types in its images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contentdb.content import Manager
    from contentdb.oci.reference import Reference

__all__ = ["MEDIA_TYPE", "merge", "source_key", "sources"]

MEDIA_TYPE: Final = "contentdb.media-type"
_SOURCE: Final = "containerd.io/distribution.source."
_VALUE_CHARS: Final = 3000
"""Limit for a list of repositories, well below a label's 4096 bytes."""


def source_key(registry: str) -> str:
    """Return the key of the label that lists a registry's repositories."""
    return _SOURCE + registry


def sources(labels: Mapping[str, str], registry: str) -> list[str]:
    """Return the registry's repositories that are known to have the blob."""
    return [name for name in labels.get(source_key(registry), "").split(",") if name]


def with_source(labels: Mapping[str, str], place: Reference) -> str:
    """Return the source label's value with one more repository, dropping others if too long."""
    names = sorted({*sources(labels, place.registry), place.repository})
    while len(",".join(names)) > _VALUE_CHARS:
        names.remove(next(name for name in names if name != place.repository))
    return ",".join(names)


def merge(
    store: Manager, digest: str, labels: Mapping[str, str], place: Reference | None = None
) -> None:
    """Add labels to a stored blob, durably, and keep those it has.

    Do nothing if the blob has been deleted meanwhile.
    """
    try:
        known = store.info(digest).labels
        wanted = dict(labels)
        if place is not None:
            wanted[source_key(place.registry)] = with_source(known, place)
        fresh = {key: value for key, value in wanted.items() if known.get(key) != value}
        if fresh:
            store.update(digest, fresh, fields=[f"labels.{key}" for key in fresh])
    except NotFoundError:
        return
