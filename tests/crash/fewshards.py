"""Stores with the shards that the suites' contents go to, and no others.

An empty shard is one more directory that each listing opens, and the same kill point once more:
with all 256 of them, nine of ten calls of a repair, and of the judge, would be about nothing.
"""

from __future__ import annotations

from typing import Final

from contentdb.local import layout
from tests.crash.ledger import digest_of

__all__ = ["CONTENTS", "keep_few"]

CONTENTS: Final = (*range(13), *range(900, 904), 990)
"""All that scenarios, probes and the judge store."""


def keep_few() -> None:
    """Make this process know no other shards. For processes that do nothing else."""
    few = tuple(sorted({digest_of(number)[7:9] for number in CONTENTS}))
    layout.SHARDS = few  # type: ignore[misc]  # for good
