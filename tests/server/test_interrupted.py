"""What a signal's handler raises inside gRPC comes out as it is, and the store goes on.

The programs run in a process of their own, so that one that hangs can be ended.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT_S: Final = 120.0
"""When a program is taken to hang; one that does not ends in seconds."""

_PROGRAM: Final = '''
import sys

import contentdb

address, act, stride = sys.argv[1], sys.argv[2], int(sys.argv[3])
BIG = b"base " * 700_000
DIGEST = contentdb.Digest.of(BIG)
contentdb.connect(address).add(BIG)


class Raised(BaseException):
    """What the handler raises."""


def write(store):
    with store.writer("ref") as writer:
        writer.write(BIG[:100_000])
        writer.write(BIG[100_000:])
        return writer.commit().digest


def read(store):
    with store.open(DIGEST) as reader:
        try:
            first = reader.read(1_000_000)
            rest = reader.read()
        except (Raised, RuntimeError):
            at = reader.tell()
            assert reader.read() == BIG[at:], at
            raise
        assert first + rest == BIG
    return DIGEST


ACTS = {
    "info": lambda store: store.info(DIGEST).digest,
    "add": lambda store: store.add(BIG).digest,
    "walk": lambda store: next(one.digest for one in store.walk() if one.digest == DIGEST),
    "read": read,
    "write": write,
}


def in_finalizer(frame):
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def run(store, at):
    """Run the act and raise at a point of gRPC; whether there is such a point."""
    left = at + 1

    def look(frame, event, _):
        nonlocal left
        name = frame.f_code.co_filename
        if event not in {"call", "c_return"} or not ("/grpc/" in name or "threading" in name):
            return
        left -= 1
        if left <= 0 and not in_finalizer(frame):  # else Python would tell it and go on
            sys.setprofile(None)
            raise Raised

    sys.setprofile(look)
    try:
        assert ACTS[act](store) == DIGEST
    except (Raised, RuntimeError) as error:
        told = error
        while not isinstance(told, Raised):  # a `Condition` may find its lock free, and say so
            told = told.__context__
        assert left <= 0
    finally:
        sys.setprofile(None)
    return left <= 0


at = 0
while True:
    with contentdb.connect(address) as store:
        if not run(store, at):
            break
        assert DIGEST in [info.digest for info in store.walk()]
        assert store.read(DIGEST) == BIG
        assert write(store) == DIGEST
    at += stride
print("unharmed", at > 3)
'''


@pytest.mark.parametrize(
    ("act", "stride"), [("info", 7), ("add", 41), ("walk", 17), ("read", 19), ("write", 41)]
)
def test_an_exception_inside_grpc_harms_no_later_call(served: Path, act: str, stride: int) -> None:
    """6.6: it comes out of the call as it is, the reader or the ref can be used, nothing hangs."""
    try:
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", _PROGRAM, str(served), act, str(stride)],
            capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.fail(f"{act} hangs")
    assert done.stdout == "unharmed True\n", done.stderr


def test_a_lock_of_grpc_that_a_handler_left_locked_is_freed() -> None:
    """Else gRPC's own threads wait for it for ever, and with them calls of other connections."""
    from contentdb.remote.calling import free_locks

    class Call:
        def __init__(self) -> None:
            self.condition = threading.Condition()

        def entered(self) -> None:
            self.condition.acquire()
            self.condition.acquire()
            raise KeyboardInterrupt

    def left(condition: threading.Condition) -> None:
        condition.acquire()
        condition.wait(0.001)
        raise KeyboardInterrupt

    def half_made(condition: threading.Condition) -> None:
        del condition._lock  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    call, alone = Call(), threading.Condition()
    for act in (call.entered, lambda: left(alone), lambda: half_made(threading.Condition())):
        with pytest.raises(KeyboardInterrupt) as raised:
            act()
        free_locks(raised.value)
    taken: list[bool] = []
    for lock in (call.condition, alone):
        other = threading.Thread(target=lambda lock=lock: taken.append(lock.acquire(timeout=5)))
        other.start()
        other.join()
    assert taken == [True, True]
