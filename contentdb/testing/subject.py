"""The store under test, and what a suite must know about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from contentdb.content import ContentStore
    from contentdb.digest import Digest

__all__ = ["Damage", "Harm", "Rules"]

Harm = Literal["altered", "truncated", "removed"]


class Damage(Protocol):
    """A function that damages the file of a blob without the store."""

    def __call__(self, digest: Digest, harm: Harm) -> None:
        """Change some bytes but not the size, cut the end off, or remove the file."""
        ...


class Rules:
    """A part of the contract as tests, and the fixtures that all parts share.

    Attributes:
        has_paths: `path` returns files that this process can read.
        tells_holders: `Status.held` is known, and a `RefLockedError` says which process holds
            the ref and for how long.
        has_tags: The store is a `contentdb.Tagger` too.
        has_leases: The store is a `contentdb.Leaser` too.
        has_collections: The store is a `contentdb.Collector` too, perhaps without policies.
        has_policies: It has policies, and collects by last use.
        damaged_bytes: Size of the blobs that `damage` gets; 5 MB at most.
    """

    has_paths: ClassVar[bool] = True
    tells_holders: ClassVar[bool] = True
    has_tags: ClassVar[bool] = False
    has_leases: ClassVar[bool] = False
    has_collections: ClassVar[bool] = False
    has_policies: ClassVar[bool] = False
    damaged_bytes: ClassVar[int] = 5_120_000

    @pytest.fixture
    def second(self, store: ContentStore) -> ContentStore:
        """Return another handle on the same store; override it to open a second one."""
        return store

    @pytest.fixture
    def damage(self) -> Damage:
        """Skip the test; override it with a function if the tests can reach the files."""
        pytest.skip("needs a fixture `damage` that spoils the file of a blob")
