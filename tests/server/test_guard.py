"""Who may hold a socket's path."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.server.guard import SocketError, SocketGuard

if TYPE_CHECKING:
    from pathlib import Path


def test_the_directory_is_made_private(socket_path: Path) -> None:
    mask = os.umask(0)
    try:
        with SocketGuard(socket_path):
            assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700
    finally:
        os.umask(mask)


def test_a_directory_open_to_others_is_refused(socket_path: Path) -> None:
    socket_path.parent.mkdir()
    socket_path.parent.chmod(0o711)
    with pytest.raises(SocketError, match="open to other users"):
        SocketGuard(socket_path)


def test_a_second_server_on_a_live_socket_is_refused(socket_path: Path) -> None:
    with SocketGuard(socket_path), pytest.raises(SocketError, match="another server"):
        SocketGuard(socket_path)
    with SocketGuard(socket_path):
        pass


def test_a_live_socket_without_our_lock_is_refused(socket_path: Path) -> None:
    socket_path.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(socket_path))
        other.listen()
        with pytest.raises(SocketError, match="another server"):
            SocketGuard(socket_path)
        assert socket_path.exists()


def test_a_server_that_takes_no_more_callers_is_alive(socket_path: Path) -> None:
    socket_path.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as caller:
        busy.bind(str(socket_path))
        busy.listen(0)
        caller.connect(str(socket_path))
        with pytest.raises(SocketError, match="another server"):
            SocketGuard(socket_path)


def test_a_socket_of_another_kind_is_left_alone(socket_path: Path) -> None:
    socket_path.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(socket_path))
        with pytest.raises(SocketError, match="cannot tell"):
            SocketGuard(socket_path)
    assert socket_path.exists()


def test_a_stale_socket_is_replaced(socket_path: Path) -> None:
    socket_path.parent.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    with SocketGuard(socket_path):
        assert not socket_path.exists()


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_what_is_no_socket_is_left_alone(socket_path: Path, tmp_path: Path, kind: str) -> None:
    socket_path.parent.mkdir(0o700)
    target = tmp_path / "precious"
    target.write_text("precious")
    if kind == "file":
        socket_path.write_text("precious")
    else:
        socket_path.symlink_to(target)
    with pytest.raises(SocketError, match="left alone"):
        SocketGuard(socket_path)
    assert socket_path.read_text() == "precious"


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SocketError, match="107 bytes"):
        SocketGuard(tmp_path / ("x" * 120))


def test_a_symlink_for_a_lock_is_not_followed(socket_path: Path, tmp_path: Path) -> None:
    socket_path.parent.mkdir(0o700)
    (socket_path.parent / "c.sock.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SocketError, match="lock"):
        SocketGuard(socket_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("place", ["", "blobs", "blobs/sha256", "ingest", "trash", "quarantine"])
@pytest.mark.parametrize("way", ["straight", "by a link"])
def test_a_socket_inside_a_store_is_refused(root: Path, place: str, way: str) -> None:
    """4.4b: neither it nor its lock is made in the folders of a store, nor a folder for them."""
    contentdb.open(root).close()
    root.chmod(0o700)
    before = sorted(root.rglob("*"))
    named = root
    if way == "by a link":
        named = root.with_name("link")
        named.symlink_to(root)
    for path in (named / place / "x.sock", named / place / "new" / "x.sock"):
        with pytest.raises(contentdb.StorageError, match="inside the store at") as caught:
            SocketGuard(path)
        assert caught.value.path == str(path)
    assert sorted(root.rglob("*")) == before


def test_a_socket_beside_a_store_is_no_business_of_it(socket_path: Path) -> None:
    """4.4b: a folder that holds a store's root may hold its socket too."""
    socket_path.parent.mkdir(0o700)
    contentdb.open(socket_path.parent / "store").close()
    with SocketGuard(socket_path):
        pass
