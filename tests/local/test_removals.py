"""Many files at once: all go, whoever removes them, an error is told, and no thread is left."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from contentdb import StorageError, files
from contentdb.local import removals
from contentdb.local.removals import remove_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from contentdb.files import Directory

NAMES = [f"{number:03}" for number in range(200)]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    for name in NAMES:
        (tmp_path / name).touch()
    opened = files.open_directory(str(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def removers(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Make each removal slow, whatever the disk; return the names of the threads that make one."""
    unlink, names, slow_s = files.unlink, set[str](), 2 * removals._SLOW_S

    def remove_slowly(within: Directory, name: str) -> bool:
        names.add(threading.current_thread().name)
        time.sleep(slow_s)
        return unlink(within, name)

    monkeypatch.setattr(files, "unlink", remove_slowly)
    return names


def names_in(directory: Directory) -> list[str]:
    return [entry.name for entry in files.entries(directory)]


def count_threads() -> int:
    return sum(one.name == "contentdb-remove" for one in threading.enumerate())


def test_threads_help_where_the_disk_is_slow(directory: Directory, removers: set[str]) -> None:
    remove_names(directory, NAMES)
    assert names_in(directory) == []
    assert "contentdb-remove" in removers
    assert count_threads() == 0


def test_one_thread_removes_where_it_is_fast(
    directory: Directory, removers: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removals, "_SLOW_S", 10)
    remove_names(directory, NAMES[:100])
    assert len(names_in(directory)) == 100
    assert removers == {threading.current_thread().name}


def test_what_is_gone_already_is_no_error(directory: Directory, removers: set[str]) -> None:
    os.unlink(NAMES[150], dir_fd=directory.fd)
    remove_names(directory, NAMES)
    assert names_in(directory) == []
    assert removers


@pytest.mark.parametrize("bad", [3, 100, 199])
def test_an_error_in_any_thread_is_raised(
    directory: Directory, removers: set[str], bad: int
) -> None:
    os.unlink(NAMES[bad], dir_fd=directory.fd)
    os.mkdir(NAMES[bad], dir_fd=directory.fd)
    with pytest.raises(StorageError, match=NAMES[bad]):
        remove_names(directory, NAMES)
    assert count_threads() == 0
    assert removers


def test_an_exception_of_a_signal_handler_leaves_no_thread(
    directory: Directory, removers: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, main = files.unlink, threading.current_thread()

    def interrupt(within: Directory, name: str) -> bool:
        if threading.current_thread() is main and "contentdb-remove" in removers:
            raise KeyboardInterrupt
        return slow(within, name)

    monkeypatch.setattr(files, "unlink", interrupt)
    with pytest.raises(KeyboardInterrupt):
        remove_names(directory, NAMES)
    assert count_threads() == 0
    monkeypatch.setattr(files, "unlink", slow)
    remove_names(directory, NAMES)  # what the caller does then
    assert names_in(directory) == []


def test_without_room_for_threads_the_caller_removes_all(
    directory: Directory, removers: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    remove_names(directory, NAMES)
    assert names_in(directory) == []
    assert removers == {threading.current_thread().name}
