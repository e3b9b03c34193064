"""A signal's handler that uses a served store is served, or is refused at once; never does it hang.

The programs run in a process of their own, so that one that hangs can be ended.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT_S: Final = 120.0
"""When a program is taken to hang; one that does not ends in seconds."""

_PROGRAM: Final = '''
import sys
from collections import Counter

import contentdb

address, act, stride = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = contentdb.connect(address)
digest = store.add(b"base " * 100_000).digest
outcomes = Counter()


def handler():
    """What a handler does at a point where CPython may run one."""
    for name, use in (
        ("exists", lambda: store.exists(digest)),
        ("add", lambda: store.add(b"of a handler")),
        ("walk", lambda: next(store.walk())),
        ("close", lambda: contentdb.connect(address).close()),
    ):
        try:
            use()
        except contentdb.ReentrantCallError as error:
            assert address in str(error), error
            outcomes[name, "refused"] += 1
        else:
            outcomes[name, "served"] += 1


def write():
    with store.writer("ref") as writer:
        writer.write(b"base " * 100_000)
        return writer.commit().digest


ACTS = {
    "info": lambda: store.info(digest).digest,
    "add": lambda: store.add(b"base " * 100_000).digest,
    "walk": lambda: next(info.digest for info in store.walk() if info.digest == digest),
    "read": lambda: contentdb.Digest.of(store.read(digest)),
    "write": write,
}


def run(at):
    """Run the act with the handler at a point of gRPC; whether there is such a point."""
    left = at + 1

    def look(frame, event, _):
        nonlocal left
        name = frame.f_code.co_filename
        if event not in {"call", "c_return"} or not ("/grpc/" in name or "threading" in name):
            return
        left -= 1
        if left == 0:
            sys.setprofile(None)
            handler()

    sys.setprofile(look)
    try:
        assert ACTS[act]() == digest
    finally:
        sys.setprofile(None)
    return left <= 0


at = 0
while run(at):
    at += stride
handler()
print(sorted({how for _, how in outcomes}), at > 3)
'''


def _ended(*words: str) -> str:
    """Run the program; what it says."""
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", _PROGRAM, *words],
            capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.fail(f"{words[1]} hangs")
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("act", "stride"), [("info", 5), ("add", 23), ("walk", 3), ("read", 11), ("write", 23)]
)
def test_a_handler_inside_grpc_is_refused_at_once(served: Path, act: str, stride: int) -> None:
    """6.6: inside gRPC a handler's call is refused, and the interrupted one goes on."""
    assert _ended(str(served), act, str(stride)) == "['refused', 'served'] True\n"
