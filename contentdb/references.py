"""The labels by which blobs refer to each other and are kept, and what a change of them lets go of.

A label `containerd.io/gc.ref.content…` of a blob refers to the digest that is its value. A label
`containerd.io/gc.bref.content…` says that the digest in it refers to the blob.
"""

from __future__ import annotations

from contentdb.expiry import EXPIRE
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

__all__ = ["BACK", "REFERENCE", "ROOT", "lost"]

_OURS: Final = "containerd.io/gc."
REFERENCE: Final = "containerd.io/gc.ref.content"
BACK: Final = "containerd.io/gc.bref.content"
ROOT: Final = "containerd.io/gc.root"
"""A blob with this label is kept."""


def lost(digest: str, labels: Iterable[tuple[str, str]]) -> set[str]:
    """Return what labels kept that a blob has no more: others by references, or itself."""
    digests: set[str] = set()
    for name, value in labels:
        if not name.startswith(_OURS):
            continue
        if name.startswith(REFERENCE):
            digests.add(value)
        elif name.startswith(BACK) or name in {ROOT, EXPIRE}:
            digests.add(digest)
    return digests
