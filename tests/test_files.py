"""Each file operation does one thing, or names the file and the system's reason."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from contentdb import files
from contentdb.errors import DurabilityError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[files.Directory]:
    directory = files.open_directory(str(tmp_path))
    yield directory
    directory.close()


def test_directories_are_made_once_and_private(here: files.Directory, tmp_path: Path) -> None:
    assert files.make_directory(here, "child")
    assert not files.make_directory(here, "child")
    assert (tmp_path / "child").stat().st_mode & 0o777 == 0o700


def test_a_directory_is_reached_whatever_its_path_becomes(
    here: files.Directory, tmp_path: Path
) -> None:
    (tmp_path / "child").mkdir()
    child = files.open_directory("child", within=here)
    (tmp_path / "child").rename(tmp_path / "moved")
    files.close(files.open_file(child, "file", os.O_CREAT | os.O_WRONLY), "file")
    child.close()
    assert (tmp_path / "moved" / "file").exists()


def test_symbolic_links_are_not_followed(here: files.Directory, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "directory").symlink_to("outside")
    (tmp_path / "file").symlink_to("secret")
    with pytest.raises(StorageError, match="directory"):
        files.open_directory("directory", within=here)
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_CREAT | os.O_WRONLY):
        with pytest.raises(StorageError, match="file"):
            files.open_file(here, "file", flags)
    found = files.stat_name(here, "file")
    assert found is not None
    assert not files.is_private_file(found, here)


def test_a_fifo_does_not_hang(here: files.Directory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    fd = files.open_file(here, "fifo", os.O_RDONLY)
    assert not files.is_private_file(os.fstat(fd), here)
    files.close(fd, "fifo")


def test_descriptors_do_not_pass_to_other_programs(here: files.Directory) -> None:
    fd = files.open_file(here, "file", os.O_CREAT | os.O_WRONLY)
    assert not os.get_inheritable(fd)
    assert not os.get_inheritable(here.fd)
    files.close(fd, "file")


def test_link_does_not_replace(here: files.Directory, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    assert files.link(here, "one", here, "two")
    assert (tmp_path / "two").stat().st_ino == (tmp_path / "one").stat().st_ino
    assert not files.link(here, "one", here, "two")
    with pytest.raises(StorageError, match="four"):
        files.link(here, "three", here, "four")


def test_rename_replaces(here: files.Directory, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "two").write_bytes(b"2")
    files.rename(here, "one", here, "two")
    assert [path.name for path in tmp_path.iterdir()] == ["two"]
    assert (tmp_path / "two").read_bytes() == b"1"
    with pytest.raises(FileNotFoundError):
        files.rename(here, "one", here, "two")


def test_unlink_tells_whether_there_was_one(here: files.Directory, tmp_path: Path) -> None:
    (tmp_path / "one").touch()
    assert files.unlink(here, "one")
    assert not files.unlink(here, "one")


def test_an_unnamed_file_gets_its_name_once(here: files.Directory, tmp_path: Path) -> None:
    fd = files.create_unnamed(here)
    if fd is None:
        pytest.skip("needs a filesystem with O_TMPFILE, such as ext4 or xfs")
    assert files.write(fd, b"content", "unnamed") == 7
    assert list(tmp_path.iterdir()) == []
    assert files.link_unnamed(fd, here, "named")
    assert not files.link_unnamed(fd, here, "named")
    files.close(fd, "named")
    assert (tmp_path / "named").read_bytes() == b"content"


def test_truncate_goes_on_at_the_new_end(here: files.Directory, tmp_path: Path) -> None:
    fd = files.open_file(here, "file", os.O_CREAT | os.O_RDWR)
    files.write(fd, b"mistaken", "file")
    files.truncate(fd, 2, "file")
    files.write(fd, b"!", "file")
    files.make_read_only(fd, "file")
    files.close(fd, "file")
    assert (tmp_path / "file").read_bytes() == b"mi!"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o444


def test_locks_exclude_within_one_process(here: files.Directory) -> None:
    first = files.open_file(here, "file", os.O_CREAT | os.O_RDWR)
    other = files.open_file(here, "file", os.O_RDWR)
    assert files.lock(first, "file")
    assert not files.lock(other, "file")
    assert not files.lock(other, "file", wait=0.01)
    files.unlock(first)
    assert files.lock(other, "file", wait=True)
    files.close(first, "file")
    third = files.open_file(here, "file", os.O_RDWR)
    assert not files.lock(third, "file")
    files.close(third, "file")
    files.close(other, "file")


def test_a_failed_sync_is_a_durability_error() -> None:
    """Syncing a pipe is refused by the system; the error has its number and the name given."""
    read, write = os.pipe()
    with pytest.raises(DurabilityError, match="the pipe") as caught:
        files.sync(write, "the pipe")
    assert caught.value.errno == errno.EINVAL
    os.close(read)
    os.close(write)


def test_errors_name_the_file() -> None:
    with pytest.raises(StorageError, match=r"/no/such/directory: No such file") as caught:
        files.open_directory("/no/such/directory")
    assert (caught.value.path, caught.value.errno) == ("/no/such/directory", errno.ENOENT)
    read, write = os.pipe()
    os.close(read)
    with pytest.raises(StorageError, match="the pipe: Broken pipe"):
        files.write(write, b"x", "the pipe")
    os.close(write)


def test_syncs_of_what_is_there(here: files.Directory) -> None:
    files.sync_directory(here)
    assert files.sync_filesystem(here)
