"""What is under test, and what a suite must be told about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from contentdb.content import ContentStore
    from contentdb.digest import Digest

__all__ = ["Damage", "Harm", "Rules"]

Harm = Literal["altered", "truncated", "removed"]


class Damage(Protocol):
    """Spoils the file of a blob behind the store's back."""

    def __call__(self, digest: Digest, harm: Harm) -> None:
        """Change some bytes but not the size, cut the end off, or remove the file."""
        ...


class Rules:
    """A part of the contract as tests, and the fixtures that all parts share.

    Attributes:
        has_paths: `path` gives files that this process can read.
        tells_holders: `Status.held` is known, and a `RefLockedError` says who holds the ref
            and for how long.
    """

    has_paths: ClassVar[bool] = True
    tells_holders: ClassVar[bool] = True

    @pytest.fixture
    def second(self, store: ContentStore) -> ContentStore:
        """Another handle on the same store; override it with one of its own."""
        return store

    @pytest.fixture
    def damage(self) -> Damage:
        """Override it with a function, where files are in reach."""
        pytest.skip("needs a fixture `damage` that spoils the file of a blob")
