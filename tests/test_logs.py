"""Nothing is swallowed without a line, and nothing is printed unless a program asks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import files
from contentdb.errors import StorageError
from contentdb.local.engine import lifecycle
from contentdb.local.index import database
from contentdb.logs import swallow

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb import Store


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{each.levelname} {each.name}: {each.getMessage()}" for each in caplog.records]


def test_a_recovery_that_failed_is_told(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_parts: object) -> None:
        raise StorageError("read", str(root), OSError(5, "Input/output error"))

    contentdb.open(root).close()
    monkeypatch.setattr(lifecycle, "recover", fail)
    with contentdb.open(root) as store:
        assert list(store.walk()) == []
    (line,) = lines(caplog)
    assert line.startswith("WARNING contentdb.local.recovery: ")
    assert "Input/output error" in caplog.records[0].facts["error"]  # type: ignore[attr-defined]


def test_damage_is_told_with_its_digest(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    digest = store.add(b"content").digest
    path = store.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"CONTENT")
    with pytest.raises(contentdb.CorruptBlobError):
        store.read(digest)
    (line,) = lines(caplog)
    assert line.startswith(
        f"WARNING contentdb.local.damage: a blob was found damaged digest='{digest}' reason="
    )
    assert caplog.records[0].facts["digest"] == digest  # type: ignore[attr-defined]


def test_waiting_for_a_ref_is_told_once(
    store: Store, second: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "contentdb")
    writer = store.writer("r")
    threading.Timer(1.2, writer.close).start()
    with second.writer("r", wait=True):
        pass
    (line,) = lines(caplog)
    assert line.startswith("INFO contentdb.store: waiting for a ref ref='r' holder=")
    assert str(os.getpid()) in caplog.records[0].facts["holder"]  # type: ignore[attr-defined]


def test_a_blob_put_into_quarantine_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    digest = store.add(b"content").digest
    path = store.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"CONTENT")
    contentdb.repair(store, store.verify())
    (line,) = lines(caplog)
    assert "a damaged blob was put into quarantine" in line
    assert digest in line


def test_a_blob_whose_file_is_gone_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    digest = store.add(b"content").digest
    store.path(digest).unlink()
    with pytest.raises(contentdb.CorruptBlobError):
        store.read(digest)
    assert lines(caplog) == [
        f"WARNING contentdb.local.damage: the file of a blob is gone digest='{digest}'"
    ]


def test_waiting_for_the_lock_of_the_root_is_told_with_its_holder(
    store: Store, root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "contentdb")
    monkeypatch.setattr(database, "_LONG_S", 0.05)
    store.add(b"first")
    held = os.open(root, os.O_RDONLY)
    try:
        assert files.lock(held, str(root), wait=0)
        threading.Timer(0.3, lambda: files.unlock(held)).start()
        store.add(b"second")
    finally:
        os.close(held)
    (line,) = lines(caplog)
    assert line.startswith("INFO contentdb.local.index: waiting for the lock of the root")
    assert f"holder='{os.getpid()}'" in line


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(KeyError), swallow("test", "left", ValueError):
        raise KeyError("other")


def test_a_program_that_asks_for_nothing_sees_nothing() -> None:
    """Python itself would print a warning for which there is no handler."""
    code = "from contentdb.logs import warn; warn('test', 'something was left')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_the_library_imports_logging_when_it_has_something_to_tell() -> None:
    code = "import sys, contentdb.store.open; sys.exit('logging' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_who_holds_a_lock_is_found(tmp_path: Path) -> None:
    held, other = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    try:
        assert files.lock_holder(other) is None
        assert files.lock(held, str(tmp_path), wait=0)
        assert files.lock_holder(other) == os.getpid()
    finally:
        os.close(held)
        os.close(other)


def test_the_command_line_tells_what_it_is_asked_to(root: Path) -> None:
    contentdb.open(root).close()
    digest = contentdb.Digest.of(b"content")
    with contentdb.open(root) as store:
        path = store.path(store.add(b"content").digest)
    path.chmod(0o600)
    path.write_bytes(b"CONTENT")
    command = [sys.executable, "-m", "contentdb", "-v", "--root", str(root), "cat", digest]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert "WARNING contentdb.local.damage: a blob was found damaged" in done.stderr
    bad = {**os.environ, "CONTENTDB_LOG": "loud"}
    done = subprocess.run(
        [*command[:3], "--root", str(root), "ls"],
        capture_output=True,
        check=False,
        text=True,
        env=bad,
    )
    assert done.returncode == 2
    assert "CONTENTDB_LOG is one of" in done.stderr
