"""A source that is moved goes only if its path leads to the file that was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.cluster.objects import Bucket
from contentdb.errors import InvalidArgumentError

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"content" * 2000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


def test_a_file_that_took_the_place_of_the_source_stays(
    store: contentdb.Store, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B: it was never read."""
    put = Bucket.put

    def replace(self: Bucket, key: str, data: bytes) -> None:
        put(self, key, data)
        other = source.with_name("other")
        other.write_bytes(b"never read")
        other.replace(source)

    monkeypatch.setattr(Bucket, "put", replace)
    assert store.read(store.add(source, link="move").digest) == DATA
    assert source.read_bytes() == b"never read"


def test_a_link_is_not_moved(store: contentdb.Store, source: Path) -> None:
    link = source.with_name("link")
    link.symlink_to(source)
    with pytest.raises(InvalidArgumentError, match=r"symbolic link; move .*source itself"):
        store.add(link, link="move")
    assert link.is_symlink()
    assert source.read_bytes() == DATA


def test_the_file_of_a_store_is_not_moved(store: contentdb.Store, tmp_path: Path) -> None:
    with contentdb.open(tmp_path / "files") as other:
        digest = other.add(DATA).digest
        with pytest.raises(InvalidArgumentError, match="is a file of the store at"):
            store.add(other.path(digest), link="move")
        assert other.read(digest) == DATA
