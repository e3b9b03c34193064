"""uWSGI forks in C, without Python's hooks: what its workers acknowledge is stored all the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

UWSGI = shutil.which(
    "uwsgi", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
)
CHECKOUT = Path(__file__).resolve().parents[2]
APPLICATION = """
import contentdb, os
store = contentdb.open({root!r})
store.usage()  # a connection is open when uWSGI forks its workers
def application(environ, start_response):
    info = store.add(os.urandom(64))
    start_response("200 OK", [])
    return [f"{{os.getpid()}} {{info.digest}}".encode()]
"""

pytestmark = pytest.mark.skipif(UWSGI is None, reason="needs uwsgi: pip install --group real")


@contextlib.contextmanager
def served(root: Path, folder: Path, *options: str) -> Iterator[str]:
    """Run the application with three workers and no master until the block ends; gives its URL."""
    (folder / "app.py").write_text(APPLICATION.format(root=str(root)))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [
        str(UWSGI), *options, "--http-socket", address, "--processes", "3", "--home", sys.prefix,
        "--pythonpath", str(CHECKOUT), "--wsgi-file", str(folder / "app.py"), "--disable-logging",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, process_group=0)
    try:
        while not _answers(f"http://{address}"):
            assert server.poll() is None, (folder / "log").read_text()
        yield f"http://{address}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(url: str) -> bool:
    try:
        ask(url)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def ask(url: str) -> tuple[int, str]:
    """Let a worker store something: its process and the digest."""
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310 - our own, on loopback
        process, digest = response.read().decode().split()
    return int(process), digest


@pytest.mark.parametrize("options", [(), ("--py-call-osafterfork",)])
def test_what_workers_acknowledge_is_stored(tmp_path: Path, options: tuple[str, ...]) -> None:
    root = tmp_path / "store"
    with served(root, tmp_path, *options) as url:
        first = [ask(url) for _ in range(30)]
        workers = {process for process, _ in first}
        os.kill(min(workers), signal.SIGKILL)  # the one that imported the application
        contentdb.open(root).close()  # a bystander, whose close would fold the log of nobody else
        later = []
        for _ in range(100):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                later.append(ask(url))
        assert len(later) > 50
    with contentdb.open(root) as store:
        assert [digest for _, digest in first + later if not store.exists(digest)] == []
        assert list(store.verify()) == []
