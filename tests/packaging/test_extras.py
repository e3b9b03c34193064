"""What needs an extra that is not installed says which one to install."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT = """
import sys

ABSENT = {"google", "grpc", "grpc_health", "obstore", "prometheus_client", "psycopg", "urllib3"}

class Absent:
    '''Finds nothing for the packages of all extras, as where they were never installed.'''

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run_without(code: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run code where no extra is installed."""
    command = [sys.executable, "-c", WITHOUT + code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import contentdb; contentdb.connect", "grpc"),
        ("import contentdb; contentdb.RemoteStore", "grpc"),
        ("from contentdb import connect", "grpc"),
        ("import contentdb.remote.channel", "grpc"),
        ("from contentdb.server.daemon import Server", "grpc"),
        ("import contentdb.oci", "oci"),
        ("from contentdb import oci", "oci"),
        ("from contentdb.oci.registry.registry import Registry", "oci"),
    ],
)
def test_an_import_says_which_extra_to_install(code: str, extra: str) -> None:
    done = run_without(code)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("contentdb.errors.MissingExtraError: ")
    assert f"pip install 'contentdb[{extra}]' (No module named " in last


def test_the_metrics_say_which_extra_to_install() -> None:
    """The server's own is there, as it is for all who come as far."""
    code = """
del sys.meta_path[0]
import contentdb.server.metrics as metrics
sys.modules["prometheus_client"] = None
try:
    metrics.serve_metrics("localhost", 0)
except ImportError as error:
    print(error)
"""
    assert "pip install 'contentdb[metrics]'" in run_without(code).stdout


RUN = "from contentdb.cli import main; main()"


@pytest.mark.parametrize(
    ("line", "extra"),
    [
        ("pull registry.example/app", "oci"),
        ("push 2cf2 registry.example/app", "oci"),
        ("fetch registry.example/app latest", "oci"),
        ("import-oci .", "oci"),
        ("export-oci out 2cf2", "oci"),
        ("serve --socket s", "grpc"),
        ("--root postgresql://host/store ls", "cluster"),
        ("--root postgresql://host/store migrate -q", "cluster"),
    ],
)
def test_a_command_says_which_extra_to_install(line: str, extra: str) -> None:
    done = run_without(RUN, *line.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert f"pip install 'contentdb[{extra}]'" in done.stderr


def test_an_address_says_which_extra_to_install() -> None:
    done = run_without(RUN, "--address", "/run/none.sock", "ls")
    assert done.returncode == 1
    assert "pip install 'contentdb[grpc]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_rest_works_without_any_extra(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"hello")
    done = run_without(RUN, "--root", tmp_path / "store", "add", tmp_path / "file")
    assert done.returncode == 0
    assert done.stdout.startswith("sha256:2cf24dba")
