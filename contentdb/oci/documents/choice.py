"""Chooses the manifests of an index for platforms, in the indexes within it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.oci.documents.manifest import MOST_LEVELS, OS_FEATURES
from contentdb.oci.documents.media_types import INDEXES
from contentdb.oci.documents.platforms import Platform
from contentdb.oci.errors import InvalidManifestError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contentdb.oci.documents.manifest import Descriptor, Document

__all__ = ["Choice", "NoneFitsError", "choose"]

_MOST_INDEXES: Final = 64
"""Limit for the indexes that are looked into."""
_MOST_SHOWN: Final = 20
_UNKNOWN: Final = "unknown"
_KIND: Final = "vnd.docker.reference.type"
"""An annotation of what is no image, such as ``attestation-manifest``."""


class Choice(NamedTuple):
    """A manifest that was chosen."""

    platform: Platform
    """What the index says of it."""
    steps: tuple[Descriptor, ...]
    """The indexes within the index that lead to it, then the manifest itself."""


class NoneFitsError(Exception):
    """No manifest runs on a platform. Attributes: ``platform``, and ``there``, what there is."""

    def __init__(self, platform: Platform, there: str) -> None:
        super().__init__(f"nothing for {platform}")
        self.platform = platform
        self.there = there


def choose(
    index: Document, wanted: Sequence[Platform], load: Callable[[Descriptor], Document]
) -> tuple[Choice, ...] | None:
    """Return the best manifest for each platform; None if no entry has a platform.

    What is not for running, as an attestation, is never chosen. An index within the index is
    looked into only if the entries beside it have no exact match.

    Args:
        index: The index.
        wanted: The platforms.
        load: Returns the index that a descriptor names.

    Raises:
        NoneFitsError: No entry runs on one of the platforms.
        InvalidManifestError: Too many indexes, or too deep.
    """
    search = _Search(load)
    found = list(search.entries(index, None, ()))
    ranks = [list(platform.runs()) for platform in wanted]
    if any(not found or _best(found, order).platform != order[0] for order in ranks):
        found += search.nested({platform for order in ranks for platform in order})
    if not found and not search.others:
        return None
    chosen = []
    for platform, order in zip(wanted, ranks, strict=True):
        best = _best(found, order) if found else None
        if best is None or best.platform not in order:
            raise NoneFitsError(platform, _list({c.platform for c in found} | search.others))
        chosen.append(best)
    return tuple(chosen)


class _Search:
    """Goes through an index and the indexes within it, each of them once."""

    def __init__(self, load: Callable[[Descriptor], Document]) -> None:
        self._load = load
        self._seen: set[str] = set()
        self._inner: list[tuple[Descriptor, Platform | None, tuple[Descriptor, ...]]] = []
        self.others: set[Platform] = set()
        """Platforms of what was left out."""

    def entries(
        self, index: Document, outer: Platform | None, steps: tuple[Descriptor, ...]
    ) -> Iterator[Choice]:
        """Yield an index's manifests with platforms; note the indexes in it for `nested`.

        An entry without a platform has that of the index, ``outer``.
        """
        for entry in index.manifests:
            platform = Platform.of(entry.platform) or outer
            if platform is not None and _is_no_image(entry, platform):
                self.others.add(platform)
                continue
            if entry.media_type in INDEXES:
                self._inner.append((entry, platform, (*steps, entry)))
            elif platform is not None:
                yield Choice(platform, (*steps, entry))

    def nested(self, useful: set[Platform]) -> Iterator[Choice]:
        """Yield the manifests of the indexes within, but of those for other platforms."""
        while self._inner:
            entry, platform, steps = self._inner.pop(0)
            if platform is not None and platform not in useful:
                self.others.add(platform)
                continue
            if entry.digest in self._seen:
                continue
            self._seen.add(entry.digest)
            if len(steps) >= MOST_LEVELS or len(self._seen) > _MOST_INDEXES:
                raise InvalidManifestError("indexes name indexes without end")
            yield from self.entries(self._load(entry), platform, steps)


def _is_no_image(entry: Descriptor, platform: Platform) -> bool:
    """Return whether an entry is an attestation or the like, or needs features of a system."""
    return (
        _KIND in entry.annotations
        or _UNKNOWN in {platform.os, platform.architecture}
        or bool(entry.platform.get(OS_FEATURES))
    )


def _best(found: Sequence[Choice], order: Sequence[Platform]) -> Choice:
    """Return the first of the best; one that does not run is last."""
    places = {platform: place for place, platform in reversed(list(enumerate(order)))}
    return min(found, key=lambda choice: places.get(choice.platform, len(order)))


def _list(platforms: set[Platform]) -> str:
    names = sorted({shown(str(p))[:60] for p in platforms if _UNKNOWN not in p})
    if not names:
        return "no images"
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
