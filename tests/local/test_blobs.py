"""Shards: a name is looked at without trust, and a failure to look is not a finding."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest

from contentdb import files
from contentdb.digest import Digest, checksum_of
from contentdb.errors import CorruptBlobError, StorageError
from contentdb.local.blobs import Shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DIGEST = Digest.of(b"content")


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[Shards]:
    made = Shards(files.open_directory(str(tmp_path)))
    made.prepare("sha256")
    blob(tmp_path).write_bytes(b"content")
    yield made
    made.close()


def blob(root: Path) -> Path:
    return root / "sha256" / DIGEST.encoded[:2] / DIGEST.encoded


USES: dict[str, Callable[[Shards], object]] = {
    "open": lambda shards: shards.open(DIGEST),
    "size": lambda shards: shards.size(DIGEST),
    "holds": lambda shards: shards.holds(DIGEST, 7, checksum_of(b"content")),
    "listing": lambda shards: list(shards.listing()),
}


@pytest.mark.parametrize(
    ("use", "known"), [*((use, False) for use in USES), ("open", True), ("holds", True)]
)
def test_too_many_open_files_say_nothing_of_a_blob(
    shards: Shards,
    monkeypatch: pytest.MonkeyPatch,
    use: str,
    known: bool,  # noqa: FBT001
) -> None:
    """A blob taken for damaged would be marked so, and a shard left out would be missing."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    if known:
        fd = shards.open(DIGEST)
        assert fd is not None
        os.close(fd)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match="Too many open files"):
        USES[use](shards)


def test_a_link_in_place_of_a_blob_is_damage(shards: Shards, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"content")
    blob(tmp_path).unlink()
    blob(tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CorruptBlobError):
        shards.open(DIGEST)
    assert shards.size(DIGEST) is None
    assert not shards.holds(DIGEST, 7, checksum_of(b"content"))


def test_a_file_in_place_of_a_shard_is_damage(shards: Shards, tmp_path: Path) -> None:
    shard = blob(tmp_path).parent
    shard.rename(tmp_path / "moved")
    shard.touch()
    with pytest.raises(CorruptBlobError):
        shards.open(DIGEST)
    assert len(list(shards.listing())) == 255


def test_threads_that_open_an_algorithm_at_once_leak_nothing(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=30)
    opened: list[files.Directory] = []
    original = files.open_directory

    def open_together(path: str, *, within: files.Directory | None = None) -> files.Directory:
        directory = original(path, within=within)
        opened.append(directory)
        both.wait()
        return directory

    monkeypatch.setattr(files, "open_directory", open_together)
    threads = [threading.Thread(target=shards._algorithm, args=("sha256",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.fd >= 0 for one in opened) == [False, True]
