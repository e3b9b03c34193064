"""What a store consists of, for tests that look inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Digest, Store
    from contentdb.cluster.resources import Resources
    from contentdb.local.resources import Parts


def parts_of(store: Store) -> Parts:
    with store.parts() as parts:
        return parts


def resources_of(store: Store) -> Resources:
    return store._engine._resources  # type: ignore[attr-defined,no-any-return]


def blob_path(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded
