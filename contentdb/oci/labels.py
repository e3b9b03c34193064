"""Labels that say what a blob is and where it came from, as containerd writes them.

``containerd.io/distribution.source.<registry>`` lists the repositories, joined by commas,
that have the blob: a push to the same registry mounts it from there.
``containerd.io/gc.ref.content.*`` lead from a document to its parts, for a collector.
``contentdb.media-type`` is our own: containerd keeps media types in its images instead.
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
"""What is kept of a list of repositories, well below a label's 4096 bytes."""


def source_key(registry: str) -> str:
    """The label that lists the repositories of a registry."""
    return _SOURCE + registry


def sources(labels: Mapping[str, str], registry: str) -> list[str]:
    """The repositories of a registry that have the blob, as far as known."""
    return [name for name in labels.get(source_key(registry), "").split(",") if name]


def with_source(labels: Mapping[str, str], place: Reference) -> str:
    """The source label's value with one more repository in it."""
    names = sorted({*sources(labels, place.registry), place.repository})
    while len(",".join(names)) > _VALUE_CHARS:
        names.remove(next(name for name in names if name != place.repository))
    return ",".join(names)


def merge(
    store: Manager, digest: str, labels: Mapping[str, str], place: Reference | None = None
) -> None:
    """Add labels to a stored blob, durably; what it has already stays.

    A blob that has just been deleted is left alone.
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
