"""Running `contentdb` as a user does, many at a time, and seeing how much each has read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from demo.material import Item

__all__ = ["Commands", "Ended", "check", "until"]

_PATIENCE_S = 120.0


def check(holds: object, said: str) -> None:
    """End the demo where something is not as it says."""
    if not holds:
        sys.exit(f"demo: this is not so: {said}")


def until(holds: Callable[[], object], said: str) -> None:
    """Wait for something that must come about."""
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        check(time.monotonic() < deadline, said)
        time.sleep(0.02)


class Ended(NamedTuple):
    """How an ingest went."""

    code: int
    end: int
    """Where its standard input stands now: 0 where it has read nothing."""


class Commands:
    """The program, with a store of its own."""

    def __init__(self, root: Path) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self.environment = os.environ | {"CONTENTDB_ROOT": str(root), "PATH": path}

    def run(self, *arguments: str) -> str:
        """The standard output of a command that must succeed."""
        done = subprocess.run(
            ["contentdb", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        check(done.returncode == 0, f"contentdb {' '.join(arguments)} ends 0")
        return done.stdout

    def records(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command says with ``--json``."""
        return [json.loads(text) for text in self.run(*arguments, "--json").splitlines()]

    def shell(self, line: str) -> str:
        """The standard output of a line of shell that must succeed."""
        done = subprocess.run(
            ["sh", "-euc", line],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        check(done.returncode == 0, f"{line} ends 0")
        return done.stdout

    def start(self, item: Item, source: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - what Popen takes
        """Begin ``contentdb ingest --expected-digest D --expected-size S D``."""
        return subprocess.Popen(_ingest(item), env=self.environment, stdin=source)

    def refusal(self, item: Item) -> str:
        """What one hears that will not wait for a ref that is held."""
        done = subprocess.run(
            _ingest(item, "--no-wait"),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        check(done.returncode == 5, "a second ingest of a held ref ends 5 with --no-wait")
        return done.stderr.strip()

    def ingest(self, item: Item) -> Ended:
        """The same with ``< file``, to its end."""
        with item.path.open("rb", buffering=0) as source:
            code = self.start(item, source).wait()
            return Ended(code, os.lseek(source.fileno(), 0, os.SEEK_CUR))

    def ingest_all(self, items: Iterable[Item], *, at_once: int) -> list[Ended]:
        """As ``xargs -P`` does it."""
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self.ingest, items))


def _ingest(item: Item, *options: str) -> list[str]:
    expected = ("--expected-digest", item.digest, "--expected-size", str(item.size))
    return ["contentdb", "ingest", "-q", *options, *expected, item.digest]
