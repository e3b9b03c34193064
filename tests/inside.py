"""What a store consists of, for tests that look inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contentdb.local.index.policy import find_wrong_totals

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Digest, Store
    from contentdb.cluster.resources import Resources
    from contentdb.local.resources import Parts
    from contentdb.store.lease import LeasedStore


def parts_of(store: Store) -> Parts:
    with store.parts() as parts:
        return parts


def wrong_totals(parts: Parts) -> list[str]:
    """What a doctor would say of the totals that bounds go by."""
    with parts.index._database.snapshot() as connection:
        return find_wrong_totals(connection)


def resources_of(store: Store | LeasedStore) -> Resources:
    return store._engine._resources  # type: ignore[attr-defined,no-any-return]


def blob_path(root: Path, digest: Digest) -> Path:
    return root / "blobs" / digest.algorithm / digest.encoded[:2] / digest.encoded
