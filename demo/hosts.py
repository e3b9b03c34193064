"""Two hosts and one store: PostgreSQL has the rows, an S3 server the bytes; one host is killed.

Run it by `make demo-cluster`. As root the hosts are network namespaces, and one of them is cut off
as well; otherwise they are processes. It checks what it says, and ends with another status than 0
where something is not so.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # the script's own folder is there already

from demo.commands import check, until
from tests.cluster.fixtures import place_for_objects, running
from tests.cluster.network import Host, can_make_hosts, hosts
from tests.cluster.servers import CREDENTIALS, Postgres, SeaweedFS, missing

_MIB: Final = 1 << 20
_LARGE: Final = os.urandom(_MIB) * 48
_DIGEST: Final = "sha256:" + sha256(_LARGE).hexdigest()
_EXPECTED: Final = ("--expected-digest", _DIGEST)
_REF: Final = "backup of tonight"


class Machine:
    """A host: where its commands run."""

    def __init__(self, name: str, url: str, host: Host | None) -> None:
        self.name = name
        self.host = host
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        self._environment = os.environ | CREDENTIALS | {"CONTENTDB_ROOT": url, "PATH": path}

    def start(self, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - Popen's
        """Begin a command."""
        command = ["contentdb", *arguments]
        if self.host is not None:
            command = self.host.command(*command)
        return subprocess.Popen(command, env=self._environment, **streams)

    def run(self, *arguments: str, stdin: bytes = b"") -> str:
        """The output of a command that must succeed."""
        with tempfile.TemporaryFile() as source:  # a file is sought in, a pipe read from its start
            source.write(stdin)
            source.seek(0)
            with self.start(*arguments, stdin=source, stdout=subprocess.PIPE) as done:
                out, _ = done.communicate()
        check(done.returncode == 0, f"on {self.name}: contentdb {' '.join(arguments)} ends 0")
        return out.decode()

    def show(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run it before the newcomer's eyes."""
        print(f"   {self.name} $ contentdb {' '.join(arguments)}")
        out = self.run(*arguments, stdin=stdin)
        for line in out.splitlines():
            print(f"   {line}")
        return out

    def ingests(self) -> list[dict[str, Any]]:
        """What `active` says, as records."""
        return [json.loads(line) for line in self.run("active", "--json").splitlines()]

    def half_fed(self, data: bytes) -> subprocess.Popen[bytes]:
        """An ingest that got so much through a pipe, has stored some, and waits for more."""
        process = self.start("ingest", "-q", *_EXPECTED, _REF, stdin=subprocess.PIPE)
        assert process.stdin is not None  # noqa: S101 - it was asked for
        process.stdin.write(data)
        process.stdin.flush()
        until(lambda: any(one["offset"] for one in self.ingests()), "active tells how far it is")
        return process


def main() -> None:
    """Start the servers and the hosts, and tell the story."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if reason := missing(Postgres, SeaweedFS):
        sys.exit(f"demo: {reason}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cdb-demo-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        reason = can_make_hosts()
        network = None if reason else stack.enter_context(hosts(2))
        address = network.address if network is not None else "127.0.0.1"
        postgres = Postgres(folder / "postgres", addresses=[address] if network else [])
        seaweed = SeaweedFS(folder / "seaweed", address=address)
        print("Starting PostgreSQL and SeaweedFS, each in a folder of its own.")
        stack.enter_context(running(postgres, seaweed))
        url = postgres.create_database().replace("127.0.0.1", address)
        places = network.hosts if network is not None else [None, None]
        one, two = (Machine(f"host {n}", url, at) for n, at in zip("AB", places, strict=True))
        objects = place_for_objects(seaweed)
        print(f"The two hosts are {'network namespaces' if network else f'processes ({reason})'}.")
        _tell(one, two, objects.url, objects.endpoint)
        if network is not None:
            _cut_off(one, two)
    print(f"\nAll of it held, in {time.monotonic() - began:.0f} s.")


def _tell(one: Machine, two: Machine, objects: str, endpoint: str) -> None:
    print("\n1. Make the store once; every host opens it by the database's address")
    one.show("init", "--objects", objects, "--endpoint", endpoint)

    print("\n2. Host A takes in 48 MiB and is killed half-way; host B goes on at once")
    slow = one.half_fed(_LARGE[: 30 * _MIB])
    two.show("active")
    refused = two.start("ingest", "--no-wait", "-q", _REF, stdin=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)  # fmt: skip
    check(refused.wait() == 5, "while A lives its ref is refused to B")
    slow.kill()
    slow.wait()
    kept = two.ingests()[0]["offset"]
    check(kept >= 8 * _MIB, "what A had stored is kept")
    print(f"   host A: kill -9. {kept / _MIB:.0f} MiB of its ingest are kept")
    rest = bytes(kept) + _LARGE[kept:]  # zeros where B need not read again
    two.show("ingest", *_EXPECTED, _REF, stdin=rest)
    check(not two.ingests(), "nothing is left of the ingest")

    print("\n3. Each host reads what the other has stored; the same content is stored once")
    with one.start("cat", _DIGEST, stdout=subprocess.PIPE) as read:
        out, _ = read.communicate()
    check(out == _LARGE, "host A reads the 48 MiB that B has completed")
    for number in range(4):
        for machine in (one, two):
            machine.run("add", "-q", "-", stdin=b"the same on both hosts %d\n" % number)
    two.show("du")

    print("\n4. Remove everything; prune leaves nothing in the bucket")
    for found in one.run("ls", "-q").split():
        one.run("rm", found)
    two.run("prune", "--older-than", "0s")
    two.show("du")


def _cut_off(one: Machine, two: Machine) -> None:
    print("\n5. Cut host A off from the network while it holds the ref; nothing tells it")
    assert one.host is not None  # noqa: S101 - the caller has looked
    slow = one.half_fed(_LARGE[: 30 * _MIB])
    one.host.cut()
    began = time.monotonic()
    two.run("ingest", "-q", *_EXPECTED, _REF, stdin=_LARGE)
    print(f"   host B had to wait for {time.monotonic() - began:.0f} s, then it had the ref")
    one.host.mend()
    slow.communicate(_LARGE[30 * _MIB :])
    check(slow.returncode != 0, "A is told that it has lost its ref")
    check(two.run("ls", "-q").split() == [_DIGEST], "B's stays")


if __name__ == "__main__":
    main()
