"""Images that are pulled beside collections: what is tagged stays whole, what is not goes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from contentdb import oci
from tests.hostile.server import sha
from tests.oci.filled import ONE, OUTER, TWO, nested
from tests.oci.shelf import serving

if TYPE_CHECKING:
    from contentdb import Store

_NOTHING = timedelta(0)


def there(store: Store) -> set[str]:
    return {info.digest for info in store.walk()}


@pytest.mark.parametrize("order", [("linux/amd64", "linux/arm64"), ("linux/arm64", "linux/amd64")])
def test_platforms_of_one_index_pulled_in_turn_survive_collections_between(
    order: tuple[str, str], store: Store
) -> None:
    """4.15: the second pull leaves what the index refers to by the first one."""
    with serving(nested()) as (server, registry):
        for platform in order:
            with store.lease() as lease:
                pulled = oci.pull(
                    lease, f"{server.name}/a/b:v1", registry=registry, platform=platform
                )
                store.collect(grace=_NOTHING)
                lease.tag("image", pulled.digest)
            assert store.collect(grace=_NOTHING).blobs == 0
    assert {sha(part) for part in (OUTER, *ONE, *TWO)} <= there(store)
    store.untag("image")
    store.collect(grace=_NOTHING, no_roots=True)
    assert there(store) == set()


def test_a_tag_that_moves_to_a_new_image_lets_the_old_one_go(store: Store) -> None:
    """4.15: but for what both have."""
    shelf = nested()
    with serving(shelf) as (server, registry):
        name = f"{server.name}/a/b"
        for reference in (f"{name}:v1", f"{name}@{sha(ONE[0])}"):
            with store.lease() as lease:
                pulled = oci.pull(lease, reference, registry=registry, all_platforms=True)
                lease.tag("image", pulled.digest)
            store.collect(grace=_NOTHING)
    assert there(store) == set(map(sha, ONE))
