"""What an ingest is gone on with after a power cut: bytes that were synced, and no others.

Behind them a power cut leaves the right length under the wrong bytes.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Literal

import pytest

import contentdb
from contentdb import Digest, DigestMismatchError, DurabilityError, files
from contentdb.local import locks
from contentdb.local.ingest.held import LocalIngest
from contentdb.testing.streams import breaking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _lose(held: LocalIngest) -> None:
    """Leave an ingest as a process does that is killed: nothing is synced, nothing noted."""
    held.file.release()  # the kernel's part
    held._closed = True


def _killed(writer: contentdb.Writer) -> None:
    _lose(writer._held)  # type: ignore[attr-defined]


def _resumed_after_a_power_cut(store: contentdb.Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the next writer goes on, once the machine was started anew."""
    monkeypatch.setattr(locks, "boot", lambda: "another")
    with store.writer("ref", resume=True) as writer:
        return writer.offset


def _drops_half(store: contentdb.Store, root: Path) -> None:
    """An abort that is killed once the bytes are gone."""
    next((root / "ingest").iterdir()).unlink()


def _truncates(store: contentdb.Store, root: Path) -> None:
    with store.writer("ref", resume=True) as writer:
        writer.truncate()
        _killed(writer)


def _starts_over(store: contentdb.Store, root: Path) -> None:
    _killed(store.writer("ref"))


def _ingests_something_else(store: contentdb.Store, root: Path) -> None:
    with pytest.raises(TimeoutError), pytest.MonkeyPatch.context() as killed:  # noqa: PT012
        killed.setattr(LocalIngest, "close", _lose)
        store.ingest("ref", breaking(b"x", TimeoutError()))
    assert store.status("ref").offset == 1
    next((root / "ingest").iterdir()).write_bytes(b"")


@pytest.mark.parametrize(
    "happens", [_drops_half, _truncates, _starts_over, _ingests_something_else]
)
def test_a_row_does_not_vouch_for_bytes_that_came_in_the_place_of_others(
    root: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[contentdb.Store, Path], None]
) -> None:
    """A thousand bytes were synced and went; a hundred that were not must not pass for them."""
    with contentdb.open(root) as store:
        with store.writer("ref") as writer:
            writer.write(bytes(1000))
        happens(store, root)
        writer = store.writer("ref", resume=True)
        assert writer.offset == 0
        writer.write(b"x" * 100)
        _killed(writer)
        assert _resumed_after_a_power_cut(store, monkeypatch) == 0


def test_the_copy_of_an_ingest_is_as_durable_as_the_ingest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row goes on vouching for the bytes, so they are synced once more."""
    with contentdb.open(root) as store:
        with store.writer("ref") as writer:
            writer.write(bytes(1000))
        next((root / "ingest").iterdir()).chmod(0o444)  # as a commit leaves it that is killed
        monkeypatch.setattr(files, "open_file", _as_others(files.open_file))
        synced: list[str] = []
        monkeypatch.setattr(files, "sync", lambda _fd, path: synced.append(path))
        with store.writer("ref", resume=True) as writer:
            assert writer.offset == 1000
        assert len(synced) == 1


def _as_others(original: Callable[..., int]) -> Callable[..., int]:
    """Root may write to what is read-only; other users may not."""

    def open_file(within: files.Directory, name: str, flags: int, mode: int = 0o600) -> int:
        found = files.stat_name(within, name)
        if flags & os.O_RDWR and found is not None and not found.st_mode & 0o200:
            raise PermissionError(name)
        return original(within, name, flags, mode)

    return open_file


def test_a_commit_that_fails_syncs_what_its_row_vouches_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ingest lives on, and so do its bytes."""
    original = files.sync
    synced: list[str] = []

    def sync(fd: int, path: str) -> None:
        synced.append(path)
        original(fd, path)

    monkeypatch.setattr(files, "sync", sync)
    with contentdb.open(root) as store:
        synced.clear()
        writer = store.writer("ref")
        writer.write(b"content")
        with pytest.raises(DigestMismatchError):
            writer.commit(expected=Digest.of(b"other"))
        assert len(synced) == 1
        assert _resumed_after_a_power_cut(store, monkeypatch) == 7


def test_nothing_vouches_for_bytes_where_some_are_never_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that does not sync says how far its writers came, too."""
    with contentdb.open(root, durability="process") as store, store.writer("ref") as writer:
        writer.write(b"content")
    with contentdb.open(root) as store:
        assert _resumed_after_a_power_cut(store, monkeypatch) == 0


def test_a_store_that_cannot_say_durably_that_it_does_not_sync_is_not_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others would take its bytes for synced ones."""
    contentdb.open(root).close()
    original = files.sync

    def sync(fd: int, path: str) -> None:
        if path.endswith("-shared"):
            raise DurabilityError("sync", path, OSError(errno.EIO, "injected"))
        original(fd, path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync", sync)
        for _ in range(2):  # what the first has written is not what the second may rely on
            with pytest.raises(DurabilityError, match=r"index\.sqlite-shared"):
                contentdb.open(root, durability="process")
    contentdb.open(root, durability="process").close()


@pytest.mark.parametrize(("durability", "kept"), [("full", 5), ("process", 0)])
def test_after_a_restart_of_the_machine_only_synced_bytes_are_gone_on_with(
    root: Path, monkeypatch: pytest.MonkeyPatch, durability: Literal["full", "process"], kept: int
) -> None:
    """What a power cut left behind them has the right length, and may be zeros."""
    with contentdb.open(root, durability=durability) as store:
        with store.writer("ref") as writer:
            writer.write(b"first")
        (file,) = (root / "ingest").iterdir()
        with file.open("ab") as ingest:  # as a writer leaves it that is killed
            ingest.write(bytes(1000))
        with store.writer("ref", resume=True) as writer:
            assert writer.offset == 1005
            writer.truncate()
            writer.write(b"first")
        with file.open("ab") as ingest:
            ingest.write(bytes(1000))
        assert _resumed_after_a_power_cut(store, monkeypatch) == kept
