"""A root whose index SQLite could not open is refused by its name, before anything is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.cli.shell import run

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 487
LONGEST_OPENED = 491


def of_length(place: Path, length: int) -> Path:
    """A path of so many bytes below a directory."""
    path = place
    while (left := length - len(os.fsencode(path))) > 0:
        path /= "d" * (left - 1 if left <= 200 else min(100, left - 2))
    assert len(os.fsencode(path)) == length
    return path


def test_the_longest_root_takes_all_there_is_to_do(tmp_path: Path) -> None:
    """A new index beside the old one too."""
    root = of_length(tmp_path, LONGEST)
    with contentdb.open(root) as store:
        digest = store.add(b"content").digest
    (root / "index.sqlite").write_bytes(b"no index any more")
    assert contentdb.reindex(root).adopted == 1
    contentdb.migrate(root)
    with contentdb.open(root, mode="r") as store:
        assert store.read(digest) == b"content"
        assert [info.digest for info in store.walk()] == [digest]


@pytest.mark.parametrize("length", [LONGEST + 1, LONGEST_OPENED + 1, 600])
def test_a_longer_one_is_refused_and_nothing_is_made(tmp_path: Path, length: int) -> None:
    root = of_length(tmp_path, length)
    with pytest.raises(contentdb.StoreError, match=rf"has {length} bytes.* takes \d+") as caught:
        contentdb.open(root)
    assert caught.value.root == str(root)
    assert list(tmp_path.iterdir()) == []
    done = run(root, "init")
    assert done.returncode == 1
    assert f"has {length} bytes".encode() in done.stderr
    root.mkdir(parents=True)
    with pytest.raises(contentdb.StoreError, match=f"has {length} bytes"):
        contentdb.open(root)
    assert list(root.iterdir()) == []


def test_a_store_that_was_made_with_a_longer_root_is_opened(tmp_path: Path) -> None:
    """Only a new index has no room there."""
    contentdb.open(tmp_path / "store").close()
    root = of_length(tmp_path, LONGEST_OPENED)
    root.parent.mkdir(parents=True)
    (tmp_path / "store").rename(root)
    with contentdb.open(root) as store:
        store.add(b"content")
    (root / "index.sqlite").write_bytes(b"no index any more")
    with pytest.raises(contentdb.StoreError, match=f"has {LONGEST_OPENED} bytes"):
        contentdb.reindex(root)
    assert (root / "index.sqlite").read_bytes() == b"no index any more"


def test_every_way_to_open_says_so(tmp_path: Path) -> None:
    contentdb.open(tmp_path / "store").close()
    root = of_length(tmp_path, LONGEST_OPENED + 1)
    root.parent.mkdir(parents=True)
    (tmp_path / "store").rename(root)
    for call in (
        lambda: contentdb.open(root),
        lambda: contentdb.open(root, mode="r"),
        lambda: contentdb.migrate(root),
        lambda: contentdb.reindex(root),
    ):
        with pytest.raises(contentdb.StoreError, match="SQLite takes"):
            call()


def test_bytes_are_counted_and_not_letters(tmp_path: Path) -> None:
    root = tmp_path / ("ü" * 120) / ("ü" * 120)
    with pytest.raises(contentdb.StoreError, match="SQLite takes"):
        contentdb.open(root)
