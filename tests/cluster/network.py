"""Hosts of the tests' own: network namespaces on one bridge, which can be cut off. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Host", "can_make_hosts", "hosts"]


class Host(NamedTuple):
    """A network namespace; processes in it reach the servers at ``Network.address`` only."""

    name: str

    def command(self, *arguments: str) -> list[str]:
        """A command that runs there."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def cut(self) -> None:
        """Drop every packet from now on, in both directions, without a word to anybody."""
        for chain in ("INPUT", "OUTPUT"):
            _run(*self.command("iptables", "-A", chain, "-j", "DROP"))

    def mend(self) -> None:
        """Let packets through again."""
        _run(*self.command("iptables", "-F"))


class Network(NamedTuple):
    """The bridge: where servers listen, and the hosts on it."""

    address: str
    hosts: list[Host]


def can_make_hosts() -> str:
    """Say why not; empty if this user can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    lacking = [name for name in ("ip", "iptables") if shutil.which(name) is None]
    if lacking:
        return f"needs {', '.join(lacking)}; .ci/run installs what tests need"
    probe = f"cdb{os.getpid()}p"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if done.returncode:
        return f"no network namespaces here: {done.stderr.decode().strip()}"
    filters = [*Host(probe).command("iptables", "-L")]
    filtered = subprocess.run(filters, capture_output=True, check=False)
    _run("ip", "netns", "del", probe)
    return "" if filtered.returncode == 0 else "no iptables in network namespaces here"


@contextmanager
def hosts(count: int) -> Iterator[Network]:
    """Make a bridge with so many hosts on it; they are gone after the block."""
    tag = f"cdb{os.getpid() % 100_000}"
    net = f"10.213.{os.getpid() % 250}"
    with ExitStack() as made:
        _run("ip", "link", "add", f"{tag}b", "type", "bridge")
        made.callback(_run, "ip", "link", "del", f"{tag}b", check=False)
        _run("ip", "addr", "add", f"{net}.1/24", "dev", f"{tag}b")
        _run("ip", "link", "set", f"{tag}b", "up")
        found = []
        for number in range(count):
            host, here, there = Host(f"{tag}-{number}"), f"{tag}h{number}", f"{tag}n{number}"
            _run("ip", "netns", "add", host.name)
            made.callback(_run, "ip", "netns", "del", host.name, check=False)
            _run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
            made.callback(_run, "ip", "link", "del", here, check=False)
            _run("ip", "link", "set", there, "netns", host.name)
            _run("ip", "link", "set", here, "master", f"{tag}b", "up")
            address = f"{net}.{number + 2}/24"
            _run(*host.command("ip", "addr", "add", address, "dev", there))
            _run(*host.command("ip", "link", "set", there, "up"))
            _run(*host.command("ip", "link", "set", "lo", "up"))
            found.append(host)
        yield Network(f"{net}.1", found)


def _run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True)
