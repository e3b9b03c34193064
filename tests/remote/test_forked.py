"""A child of a process that has used gRPC is refused at once, and its parent goes on unharmed."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import signal
import subprocess
import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import pytest

import contentdb
from contentdb.store.connect import connect
from tests.server.test_serve import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from contentdb.store.connect import RemoteStore

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")

_LIMIT_S: Final = 20.0
"""When a child is taken to hang; one that does not has ended in a moment."""
_CHILDREN: Final = 3

HELLO: Final = contentdb.Digest.of(b"hello")


def _unseen_fork() -> int:
    """Fork in C, without Python's hooks and gRPC's, as uWSGI does."""
    return ctypes.PyDLL(None).fork()  # type: ignore[no-any-return]


@pytest.fixture
def served(tmp_path: Path, socket_path: Path) -> Iterator[Path]:
    """A server of another process: a fork in C is safe where no other thread is inside Python."""
    server = serve(tmp_path / "store", socket_path)
    yield socket_path
    server.kill()
    server.communicate()


@pytest.fixture(params=["seen", "unseen"])
def fork(request: pytest.FixtureRequest) -> Callable[[], int]:
    """Python's own fork, and one that runs no hook."""
    return os.fork if request.param == "seen" else _unseen_fork


def in_child(fork: Callable[[], int], *calls: Callable[[], object]) -> list[str]:
    """Make calls in a forked child, each of which must return in time: what each came to.

    A thread of this worker, left by another test, that wants the interpreter at the moment of a
    fork in C leaves the interpreter's own lock taken in the child. So a child that hangs is not
    the last one: what hangs by our fault hangs each time.
    """
    gc.collect()  # else the child finalizes what other tests have left of gRPC's own objects
    for _ in range(_CHILDREN):
        data = _answer_of_child(fork, calls)
        if data is not None:
            outcomes: list[str] = pickle.loads(data)  # noqa: S301 - it is our own child
            return outcomes
    pytest.fail("the child hangs")


def _answer_of_child(
    fork: Callable[[], int], calls: Iterable[Callable[[], object]]
) -> bytes | None:
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        outcomes = []
        for call in calls:
            try:
                outcomes.append(repr(call()))
            except BaseException as error:  # noqa: BLE001 - the child must end here
                outcomes.append(f"{type(error).__name__}: {error}")
        os.write(write, pickle.dumps(outcomes))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answered = bool(select.select([pipe], [], [], _LIMIT_S)[0])
        os.kill(pid, 0 if answered else signal.SIGKILL)
        data = pipe.read() if answered else None
    os.waitpid(pid, 0)
    return data


def _write_on(store: RemoteStore, writer: contentdb.Writer) -> None:
    """Let the parent go on: its ingest, and its store."""
    writer.write(b"lo")
    assert writer.commit(expected=HELLO).size == 5
    assert store.read(HELLO) == b"hello"


def test_whatever_a_child_has_inherited_refuses_at_once(
    served: Path, fork: Callable[[], int]
) -> None:
    """6.6: a fork by any means: each call says what to do; the parent's ingest and store go on."""
    with connect(str(served)) as store:
        big = store.add(bytes(5_000_000)).digest
        writer = store.writer("ref")
        writer.write(b"hel")
        reader = store.open(big)
        reader.read(10)
        outcomes = in_child(
            fork,
            lambda: store.exists(HELLO),
            lambda: store.add(b"of a child"),
            lambda: store.ingest("other", BytesIO(b"of a child")),
            lambda: store.writer("other"),
            store.walk,
            store.usage,
            lambda: writer.write(b"of a child"),
            writer.truncate,
            writer.commit,
            writer.status,
            lambda: reader.read(10),
            lambda: reader.seek(0),
            lambda: connect(str(served)),
            lambda: pickle.loads(pickle.dumps(store)),  # noqa: S301
        )
        for outcome in outcomes:
            assert outcome.startswith(f"UnsafeForkError: the store at {served}: "), outcomes
            assert "spawn or forkserver" in outcome
        assert reader.read() == bytes(5_000_000 - 10)
        _write_on(store, writer)


def test_a_childs_ends_touch_nothing(served: Path, fork: Callable[[], int]) -> None:
    """6.6: what a child closes or forgets is its parent's, who goes on with it."""
    with connect(str(served)) as store:
        store.add(bytes(2_000_000))
        held: dict[str, Any] = {
            "writer": store.writer("ref"),
            "reader": store.open(contentdb.Digest.of(bytes(2_000_000))),
            "infos": store.walk(),
        }
        held["writer"].write(b"hel")
        held["reader"].read(10)

        def close() -> None:
            for name in ("writer", "reader"):
                held[name].close()
            store.close()

        def forget() -> None:
            held.clear()
            gc.collect()

        assert in_child(fork, close, forget) == ["None"] * 2
        assert in_child(fork, forget) == ["None"]
        assert len(list(held["infos"])) == 1
        assert held["reader"].read() == bytes(2_000_000 - 10)
        _write_on(store, held["writer"])


_ORDERLY: Final = """
import os, sys, contentdb
store = contentdb.connect(sys.argv[1])
big = store.add(bytes(5_000_000)).digest
reader, writer, infos = store.open(big), store.writer("ref"), store.walk()
reader.read(10)
writer.write(b"hel")
if os.fork() == 0:
    sys.exit(7)  # all of the interpreter's ends
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
assert len(reader.read()) == 5_000_000 - 10
writer.write(b"lo")
assert writer.commit().digest == contentdb.Digest.of(b"hello")
assert store.exists(big)
if os.fork() == 0:
    with store, writer:
        raise SystemExit(8)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 8
assert store.exists(big)
print("unharmed")
"""


def test_a_child_that_ends_in_order_harms_nothing(served: Path) -> None:
    """6.6: the interpreter's end in a child sends nothing by its parent's connection."""
    done = subprocess.run(
        [sys.executable, "-c", _ORDERLY, str(served)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "unharmed\n", done.stderr


_UNUSED: Final = """
import os, sys, contentdb
store = contentdb.connect(sys.argv[1])  # nothing is sent, and nothing of gRPC's is begun
for _ in range(2):
    if os.fork() == 0:
        digest = store.add(b"of a child").digest
        assert contentdb.connect(sys.argv[1]).read(digest) == b"of a child"
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
print(store.read(contentdb.Digest.of(b"of a child")))
"""


def test_where_the_parent_has_not_used_it_its_children_may(served: Path) -> None:
    """6.6: a store that was connected and not used works in each child, and then in the parent."""
    done = subprocess.run(
        [sys.executable, "-c", _UNUSED, str(served)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "b'of a child'\n", done.stderr
