"""Names of images in layouts: two annotations, which tools read differently.

``org.opencontainers.image.ref.name`` is what skopeo, podman and umoci look an image up by, as it
was given. ``io.containerd.image.name`` is the whole reference, which ctr, nerdctl and docker read;
they and buildx write both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.oci.errors import InvalidReferenceError
from contentdb.oci.reference import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentdb.digest import Digest

    Names = Mapping[Digest, str | Iterable[str]] | Mapping[str, str | Iterable[str]]

__all__ = ["REF_NAME", "annotations_of", "name_in", "names_for", "whole_name"]

REF_NAME: Final = "org.opencontainers.image.ref.name"
_IMAGE_NAME: Final = "io.containerd.image.name"


def names_for(names: Names, digest: Digest) -> list[str]:
    """Return the names that a caller gave for a digest, each once."""
    given = names.get(digest, ())
    return [given] if isinstance(given, str) else list(dict.fromkeys(given))


def annotations_of(name: str) -> dict[str, str]:
    """Return the annotations that give an image a name; a bare tag is no whole reference."""
    whole = whole_name(name)
    return {REF_NAME: name} | ({} if whole is None else {_IMAGE_NAME: whole})


def name_in(annotations: Mapping[str, str]) -> str | None:
    """Return an image's name: the whole reference if there is one."""
    return annotations.get(_IMAGE_NAME) or annotations.get(REF_NAME)


def whole_name(name: str) -> str | None:
    """Return the reference that a name stands for; None for a bare tag such as ``v1``."""
    if "/" not in name and ":" not in name:
        return None
    try:
        return str(parse_reference(name))
    except InvalidReferenceError:
        return None
