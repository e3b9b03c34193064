"""An ingest that starts over, or that another source goes on with: what a kill between may leave.

Bytes of one try never stand under what the next one declared, and no row vouches for bytes that
are gone.
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import pytest

from contentdb import Digest, files
from contentdb.local.index.index import Index
from contentdb.local.layout import ingest_name
from contentdb.testing.streams import Opening, breaking, piped
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb import Store
    from contentdb.declared import Takeover
    from contentdb.local.index import IngestRow

OLD = b"an earlier try"


class _KilledError(Exception):
    """Where the process would have ended."""


@pytest.fixture
def begun(store: Store, root: Path) -> Path:
    """The file of the ingest "r", which was begun for other content, and was closed."""
    with store.writer("r", total=99, expected=Digest.of(b"other")) as writer:
        writer.write(OLD)
    return root / "ingest" / ingest_name("default", "r")


@pytest.fixture
def steps(store: Store, begun: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happens to the ingest's row and file, in order, with the size and offset by then."""
    found: list[str] = []

    def note(step: str) -> None:
        row = parts_of(store).index.ingest("r")
        offset = None if row is None else row.offset
        found.append(f"{step}: {begun.stat().st_size} bytes, {offset} vouched for")

    pause, begin, cut = Index.pause, Index.begin, files.truncate

    def paused(
        self: Index, ref: str, token: str, offset: int, now_ns: int, *, durable: bool = False
    ) -> None:
        pause(self, ref, token, offset, now_ns, durable=durable)
        note(f"paused{' durably' if durable else ''}")

    def began(self: Index, row: IngestRow, takeover: Takeover) -> IngestRow:
        note(f"declares {row.total}")
        return begin(self, row, takeover)

    def truncated(fd: int, size: int, path: str) -> None:
        cut(fd, size, path)
        note("cut")

    with monkeypatch.context() as traced:
        traced.setattr(Index, "pause", paused)
        traced.setattr(Index, "begin", began)
        traced.setattr(files, "truncate", truncated)
        yield found


def test_starting_over_goes_by_steps_that_may_be_cut_off(store: Store, steps: list[str]) -> None:
    """The row vouches for nothing, durably, then the bytes go, then the new row comes."""
    store.writer("r", total=5).close()
    assert steps == [
        "paused durably: 14 bytes, 0 vouched for",
        "cut: 0 bytes, 0 vouched for",
        "declares 5: 0 bytes, 0 vouched for",
    ]


def test_a_new_ref_is_begun_in_one_step(store: Store, steps: list[str]) -> None:
    with store.writer("r") as writer:
        writer.truncate()
        writer.write(b"x")
    steps.clear()
    store.writer("another").close()
    assert [step.partition(":")[0] for step in steps] == ["declares None"]


def test_another_source_goes_by_steps_that_may_be_cut_off(store: Store, steps: list[str]) -> None:
    """What differs goes before what is declared of the new source comes."""
    with pytest.raises(TimeoutError):
        store.ingest("r", breaking(b"an earlier one!", TimeoutError()), total=15)
    assert steps == [
        "declares 15: 14 bytes, 14 vouched for",
        "paused durably: 14 bytes, 11 vouched for",
        "cut: 11 bytes, 11 vouched for",
        "paused: 15 bytes, 15 vouched for",
    ]


@pytest.mark.parametrize("at", ["pause", "truncate", "begin"])
def test_starting_over_that_is_cut_off(
    store: Store, second: Store, begun: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """What is resumed afterwards is the earlier try, or an empty ingest; never a mixture."""

    def killed(*_args: object, **_options: object) -> None:
        raise _KilledError

    with monkeypatch.context() as patched:
        patched.setattr(files if at == "truncate" else Index, at, killed)
        patched.setattr(files, "unlink", killed)  # a killed process tidies nothing up
        with pytest.raises(_KilledError):
            store.writer("r", total=5, metadata={"etag": "new"})
    with second.writer("r", resume=True) as writer:
        status = writer.status()
    assert (status.total, status.expected) == (99, Digest.of(b"other"))
    assert not status.metadata
    assert begun.read_bytes() == (b"" if at == "begin" else OLD)


@pytest.mark.parametrize("kind", ["read-only", "a blob"])
def test_a_file_that_must_not_be_written_is_replaced(
    store: Store, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A commit that was cut off may have made it a blob; starting over does not empty that."""
    begun.chmod(0o444)
    kept = tmp_path / "kept"
    original = files.open_file

    def open_file(within: files.Directory, name: str, flags: int, mode: int = 0o600) -> int:
        """Root may write to what is read-only; other users may not."""
        found = files.stat_name(within, name)
        if flags & os.O_RDWR and found is not None and not found.st_mode & 0o200:
            raise PermissionError(name)
        return original(within, name, flags, mode)

    if kind == "a blob":
        kept.hardlink_to(begun)
    else:
        monkeypatch.setattr(files, "open_file", open_file)
    before = begun.stat().st_ino
    with store.writer("r") as writer:
        assert writer.offset == 0
        assert begun.stat().st_ino != before
        assert begun.stat().st_mode & 0o777 == 0o600
        writer.write(b"new")
        assert writer.commit().digest == Digest.of(b"new")
    assert kind == "read-only" or kept.read_bytes() == OLD


@pytest.mark.parametrize("make", [io.BytesIO, piped, Opening])
def test_another_source_does_not_write_into_a_blob(
    store: Store, begun: Path, tmp_path: Path, make: Callable[[bytes], io.BytesIO]
) -> None:
    """Nor does a source that differs: the file was copied before."""
    kept = tmp_path / "kept"
    kept.hardlink_to(begun)
    assert store.read(store.ingest("r", make(b"an earlier one")).digest) == b"an earlier one"
    assert kept.read_bytes() == OLD


def test_what_is_the_same_stays_where_it_is(store: Store, begun: Path) -> None:
    """Bytes that are there already are not written again, whatever was declared of them."""
    before = begun.stat().st_ino
    with pytest.raises(TimeoutError):
        store.ingest("r", breaking(OLD + b" and more", TimeoutError()), total=30)
    assert begun.read_bytes() == OLD + b" and more"
    assert begun.stat().st_ino == before
    status = store.status("r")
    assert (status.total, status.expected) == (30, None)
