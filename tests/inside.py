"""What a store consists of, for tests that look inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contentdb import Store
    from contentdb.local.resources import Parts


def parts_of(store: Store) -> Parts:
    with store.parts() as parts:
        return parts
