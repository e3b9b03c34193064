"""The local store keeps the contract: by one handle or two, in each durability and namespace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import pytest

import contentdb
from contentdb.local.packs.record import content_at
from contentdb.testing import ContentSuite
from tests.inside import blob_path, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.testing import Damage, Harm


class TestStore(ContentSuite):
    """A store that promises durability, opened twice."""

    durability: Literal["full", "process"] = "full"
    namespace = "default"
    pack_below = 0
    has_tags = True
    has_leases = True
    has_collections = True
    has_policies = True

    def handle(self, root: Path) -> contentdb.Store:
        """Open it as any process would."""
        return contentdb.open(
            root,
            durability=self.durability,
            namespace=self.namespace,
            pack_below=self.pack_below,
        )

    @pytest.fixture
    def store(self, root: Path) -> Iterator[contentdb.Store]:
        """A fresh store."""
        with self.handle(root) as store:
            yield store

    @pytest.fixture
    def second(self, root: Path, store: contentdb.Store) -> Iterator[contentdb.Store]:  # noqa: ARG002  # it is made first
        """Another handle, as another process would open it."""
        with self.handle(root) as second:
            yield second

    @pytest.fixture
    def damage(self, root: Path) -> Damage:
        """Spoil the file of a blob."""

        def spoil(digest: contentdb.Digest, harm: Harm) -> None:
            path = blob_path(root, digest)
            path.chmod(0o644)
            if harm == "altered":
                with path.open("r+b") as file:
                    file.seek(path.stat().st_size // 2)
                    file.write(b"spoilt")
            elif harm == "truncated":
                os.truncate(path, path.stat().st_size // 2)
            else:
                path.unlink()
                return
            path.chmod(0o444)

        return spoil


class TestOneHandle(TestStore):
    """Threads of one process that share one handle."""

    @pytest.fixture
    def second(self, store: contentdb.Store) -> contentdb.Store:
        """The same handle."""
        return store


class TestProcessDurability(TestStore):
    """A store that only promises to survive the death of processes."""

    durability = "process"


class TestNamespace(TestStore):
    """A namespace of its own, over shared blobs."""

    namespace = "k8s.io"


class TestPacked(TestStore):
    """A store that packs small blobs, which are most of the suite's."""

    pack_below = 32 << 10
    damaged_bytes = 1000

    @pytest.fixture
    def damage(self, root: Path) -> Damage:
        """Spoil the record of a blob, or remove its pack."""

        def spoil(digest: contentdb.Digest, harm: Harm) -> None:
            with self.handle(root) as store:
                row = parts_of(store).index.blob(digest)
            assert row is not None
            assert row.location is not None
            path = root / "packs" / f"{row.location.pack}.pack"
            at = row.location.offset + content_at(digest) + row.size // 2
            if harm == "altered":
                with path.open("r+b") as file:
                    file.seek(at)
                    file.write(b"spoilt")
            elif harm == "truncated":
                os.truncate(path, at)
            else:
                path.unlink()

        return spoil


class TestPackedNamespace(TestPacked):
    """A namespace of its own, over shared packs."""

    namespace = "k8s.io"
