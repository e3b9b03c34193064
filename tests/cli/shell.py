"""The command line as a user has it: in its own process or, where that will do, in this one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

import contentdb
from contentdb.cli.app import contentdb as command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

__all__ = [
    "PROGRAM",
    "call",
    "digest_of",
    "only_line",
    "records",
    "run",
    "start",
    "stored",
    "wait_until",
]

PROGRAM = (sys.executable, "-m", "contentdb")
_PATIENCE_S = 60


def call(root: Path, *args: object, stdin: bytes = b"") -> Result:
    """Run a command in this process; what is a bug is raised."""
    words = ["--root", str(root), *map(str, args)]
    result = CliRunner().invoke(command, words, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def start(
    root: Path,
    *args: object,
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a command with pipes all round, unless told otherwise."""
    words = [*PROGRAM, "--root", str(root), *map(str, args)]
    return subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=stderr)


def run(root: Path, *args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own."""
    words = [*PROGRAM, "--root", str(root), *map(str, args)]
    return subprocess.run(words, input=stdin, capture_output=True, check=False)


def stored(root: Path, *contents: bytes, **labels: str) -> list[str]:
    """Store contents, and give their digests."""
    with contentdb.open(root) as store:
        return [store.add(content, labels=labels).digest for content in contents]


def digest_of(content: bytes) -> str:
    """The digest as any other tool computes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def only_line(text: str | bytes) -> str:
    """The one line that a command said, without its end."""
    if isinstance(text, bytes):
        text = text.decode()
    assert text.endswith("\n"), text
    assert text.count("\n") == 1, text
    return text[:-1]


def records(text: str | bytes) -> list[dict[str, Any]]:
    """What `--json` printed: an object a line."""
    return [json.loads(line) for line in text.splitlines()]


def wait_until(what: Callable[[], object]) -> None:
    """Look until it is so; only a broken command makes this fail."""
    end = time.monotonic() + _PATIENCE_S
    while not what():
        assert time.monotonic() < end, "it never came to be"
        os.sched_yield()
        time.sleep(0.01)
