"""What a signal's handler raises inside gRPC comes out as it is, and the store goes on.

The programs run in a process of their own, so that one that hangs can be ended.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from contentdb.remote.calling import free_locks

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


_LIKE_GRPC: Final = """
import threading

class Call:
    def __init__(self):
        self.condition = threading.Condition()

    def entered(self):
        self.condition.acquire()
        self.condition.acquire()
        raise KeyboardInterrupt

def left(condition):
    condition.acquire()
    condition.wait(0.001)
    raise KeyboardInterrupt

def half_made(condition):
    del condition._lock
    raise KeyboardInterrupt

def interrupted(handler):
    handler()
"""


def like_grpc() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "grpc._like"}
    exec(_LIKE_GRPC, names)  # noqa: S102 - our own text
    return names


def test_a_lock_of_grpc_that_a_handler_left_locked_is_freed() -> None:
    """Else gRPC's own threads wait for it for ever, and with them calls of other connections."""
    grpc = like_grpc()
    call, alone = grpc["Call"](), threading.Condition()
    for act in (
        call.entered,
        partial(grpc["left"], alone),
        partial(grpc["half_made"], threading.Condition()),
    ):
        with pytest.raises(KeyboardInterrupt) as raised:
            act()
        free_locks(raised.value.with_traceback(raised.tb.tb_next))
        raised.value.__traceback__ = None
    taken: list[bool] = []
    for lock in (call.condition, alone):
        other = threading.Thread(target=lambda lock=lock: taken.append(lock.acquire(timeout=5)))
        other.start()
        other.join()
    assert taken == [True, True]


def test_a_lock_of_the_handler_stays_locked() -> None:
    """And none of its objects is asked for anything."""

    class Handler:
        def __init__(self) -> None:
            self.condition = threading.Condition()

        def __getattr__(self, name: str) -> object:
            pytest.fail(f"asked for {name}")

        def run(self) -> None:
            raise KeyboardInterrupt

    handler = Handler()
    with handler.condition:
        with pytest.raises(KeyboardInterrupt) as raised:
            like_grpc()["interrupted"](handler.run)
        free_locks(raised.value.with_traceback(raised.tb.tb_next))
        assert handler.condition._is_owned()  # type: ignore[attr-defined]
