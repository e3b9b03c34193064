"""After a fork the parent's writers are the parent's, and the child may use the store."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import pytest

import contentdb
from contentdb import (
    ContentDBError,
    Digest,
    RefLockedError,
    UnsafeForkError,
    WriterClosedError,
    files,
)
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb import Store

T = TypeVar("T")

# Python 3.12 warns of what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def in_child(call: Callable[[], T]) -> T:
    """Run a call in a forked child and give its result; its error is raised here."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        outcome: object
        try:
            outcome = call()
        except BaseException as error:  # noqa: BLE001  # the child must end here whatever happens
            outcome = error
        os.write(write, pickle.dumps(outcome))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    result = pickle.loads(data)  # noqa: S301  # our own child wrote it
    if isinstance(result, BaseException):
        raise result
    return cast("T", result)


def test_the_childs_writer_is_dead(store: Store) -> None:
    with store.writer("r") as writer:
        writer.write(b"con")
        for call in (lambda: writer.write(b"CHILD"), writer.truncate, writer.commit):
            with pytest.raises(WriterClosedError):
                in_child(call)
        writer.write(b"tent")
        assert writer.commit().digest == Digest.of(b"content")


def test_the_childs_close_frees_nothing(store: Store, second: Store) -> None:
    with store.writer("r") as writer:
        writer.write(b"con")
        in_child(writer.close)
        with pytest.raises(RefLockedError):
            second.writer("r")
        with pytest.raises(RefLockedError):
            in_child(lambda: store.writer("r").close())
        writer.write(b"tent")
        assert writer.commit().size == 7


def test_a_living_child_keeps_no_lock(store: Store, second: Store) -> None:
    """3.3, 6.6: when the parent closes, the ref is free, though its child lives on."""
    read, write = os.pipe()
    writer = store.writer("r")
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)  # until the parent closes its end
        os._exit(0)
    os.close(read)
    try:
        writer.close()
        second.writer("r").close()
    finally:
        os.close(write)
        os.waitpid(pid, 0)


def test_the_child_uses_the_store(store: Store, second: Store) -> None:
    before = store.add(b"before").digest

    def work() -> list[str]:
        found = [store.read(before).decode()]
        with store.writer("child") as writer:
            writer.write(b"from the child")
            found.append(writer.commit().digest)
        found += [info.digest for info in store.walk()]
        store.delete(before)
        return found

    digest = Digest.of(b"from the child")
    assert in_child(work) == ["before", digest, *sorted([before, digest])]
    assert [info.digest for info in store.walk()] == [digest]
    assert store.read(digest) == second.read(digest) == b"from the child"
    store.add(b"the parent goes on")


def test_children_work_beside_each_other(store: Store) -> None:
    pids = []
    for number in range(4):
        pid = os.fork()
        if pid == 0:
            try:
                for count in range(20):
                    store.add(b"%d %d" % (number, count))
                os._exit(0)
            except ContentDBError:
                os._exit(1)
        pids.append(pid)
    for count in range(20):
        store.add(b"parent %d" % count)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 4
    assert len(list(store.walk())) == 100
    assert list(store.verify()) == []


def test_fork_while_a_thread_works(store: Store) -> None:
    """6.6: a lock that another thread held at the fork does not hang the child."""
    stop = threading.Event()

    def work() -> None:
        number = 0
        while not stop.is_set():
            store.add(b"thread %d" % number)
            number += 1

    def add_child(number: int) -> str:
        return str(store.add(b"child %d" % number).digest)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(10):
            digest = in_child(partial(add_child, number))
            assert store.read(digest) == b"child %d" % number
    finally:
        stop.set()
        thread.join()
    assert list(store.verify()) == []


def test_a_fork_waits_for_a_store_that_is_being_opened(root: Path, store: Store) -> None:
    """Its connection is known to nobody yet; SQLite's state must not cross."""
    stopped = threading.Event()

    def open_stores() -> None:
        while not stopped.is_set():
            contentdb.open(root).close()

    opener = threading.Thread(target=open_stores)
    opener.start()
    try:
        stored = [
            in_child(lambda: str(store.add(f"of child {number}".encode()).digest))  # noqa: B023
            for number in range(60)
        ]
    finally:
        stopped.set()
        opener.join()
    assert [digest for digest in stored if not store.exists(digest)] == []
    assert list(store.verify()) == []


def test_a_look_at_an_ingest_is_not_inherited_as_a_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that is forked while another thread looks has the descriptor for its whole life."""
    store.writer("r").close()
    children: list[int] = []
    lock_shared = files.lock_shared

    def forked(fd: int, path: str) -> bool:
        got = lock_shared(fd, path)
        if (child := os.fork()) == 0:
            signal.pause()
        children.append(child)
        return got

    monkeypatch.setattr(files, "lock_shared", forked)
    try:
        store.status("r")
        store.writer("r").close()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_child_has_no_part_in_its_parents_batch(store: Store) -> None:
    def work() -> str:
        return str(store.add(b"of the child").digest)

    with store.batch():
        store.add(b"of the parent")
        digest = in_child(work)
        assert store.exists(digest)
    assert store.exists(Digest.of(b"of the parent"))


def test_a_child_that_leaves_its_parents_batch_takes_nothing_away(store: Store) -> None:
    block = store.batch()
    block.__enter__()
    store.add(b"content")
    in_child(partial(block.__exit__, None, None, None))
    block.__exit__(None, None, None)
    assert store.read(Digest.of(b"content")) == b"content"


def test_a_child_that_ends_its_parents_add_many_takes_nothing_away(store: Store) -> None:
    answers = store.add_many([b"a", b"b", b"c", b"d"])
    next(answers)
    in_child(answers.close)
    assert len(list(answers)) == 3
    assert list(store.verify()) == []


# -- forks that Python does not see ---------------------------------------------------------------


def unseen_fork() -> int:
    """Fork in C, without Python's hooks, as uWSGI does."""
    return ctypes.PyDLL(None).fork()  # type: ignore[no-any-return]


def in_unseen_child(call: Callable[[], T], monkeypatch: pytest.MonkeyPatch) -> T:
    monkeypatch.setattr(os, "fork", unseen_fork)
    return in_child(call)


def add_hundred(store: Store) -> list[str]:
    return [str(store.add(b"of the child %d" % number).digest) for number in range(100)]


@pytest.mark.parametrize("closed", [False, True])
def test_what_an_unseen_child_adds_outlives_its_parents_close(
    root: Path, store: Store, monkeypatch: pytest.MonkeyPatch, *, closed: bool
) -> None:
    """It inherits SQLite's memory without the locks; a bystander would unlink its log."""
    store.add(b"warm")
    store.usage()
    (wait, go), (read, tell) = os.pipe(), os.pipe()
    if (pid := unseen_fork()) == 0:
        try:
            os.read(wait, 1)
            os.write(tell, pickle.dumps(add_hundred(store)))
        finally:
            os._exit(0)
    os.close(tell)
    if closed:
        store.close()
    contentdb.open(root).close()  # a bystander: the last to close, if the child is not seen
    os.write(go, b"!")
    with os.fdopen(read, "rb") as pipe:
        digests = pickle.loads(pipe.read())  # noqa: S301 - our own child wrote it
    os.waitpid(pid, 0)
    os.close(wait)
    os.close(go)
    with contentdb.open(root) as again:
        assert [digest for digest in digests if not again.exists(digest)] == []
        assert list(again.verify()) == []


def test_unseen_children_write_one_after_the_other(store: Store) -> None:
    """The lock of writers is not shared with the parent."""
    store.add(b"warm")
    pids = []
    for number in range(3):
        if (pid := unseen_fork()) == 0:
            try:
                for count in range(40):
                    store.add(b"%d %d" % (number, count))
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    for count in range(40):
        store.add(b"parent %d" % count)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * 3
    assert len(list(store.walk())) == 161
    assert list(store.verify()) == []


def test_an_unseen_child_that_lives_on_keeps_no_ref(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first call on, which is the first moment that it can be known."""
    (wait, go), (read, tell) = os.pipe(), os.pipe()
    writer = store.writer("r")
    if (pid := unseen_fork()) == 0:
        try:
            assert not store.exists(Digest.of(b"nothing"))
            os.write(tell, b"!")
            os.read(wait, 1)
        finally:
            os._exit(0)
    os.read(read, 1)
    writer.close()
    second.writer("r").close()
    os.write(go, b"!")
    os.waitpid(pid, 0)
    for fd in (wait, go, read, tell):
        os.close(fd)


def test_parent_and_child_both_read_the_rest_of_a_walk_out_of_a_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They share the file's position, and none of the two may move the other's."""
    monkeypatch.setattr("contentdb.local.index.remaining._IN_MEMORY", 1)
    infos = list(store.add_many(b"%d" % number for number in range(4500)))
    digests = sorted(info.digest for info in infos)
    walk = store.walk()
    assert next(walk).digest == digests[0]
    (wait, go), (read, tell) = os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        with suppress(BaseException):
            found = [next(walk).digest for _ in range(2500)]
            os.write(tell, b"!")
            os.read(wait, 1)
            os._exit(int([*found, *(info.digest for info in walk)] != digests[1:]))
        os._exit(2)
    os.read(read, 1)
    assert [info.digest for info in walk] == digests[1:]
    os.write(go, b"!")
    assert os.waitpid(pid, 0)[1] == 0
    for fd in (wait, go, read, tell):
        os.close(fd)


def test_a_walk_does_not_go_on_in_an_unseen_child(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        store.add(b"%d" % number)
    walk = store.walk(sort="size")
    next(walk)
    with pytest.raises(UnsafeForkError):
        in_unseen_child(lambda: [info.size for info in walk], monkeypatch)
    assert len(list(walk)) == 2


def test_an_unseen_fork_in_the_midst_of_a_write_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's mutexes and half a transaction have come along: nothing can be done with them."""
    database = parts_of(store).index._database
    inside, go_on = threading.Event(), threading.Event()

    def slow(_connection: object) -> None:
        inside.set()
        go_on.wait()

    writing = threading.Thread(
        target=lambda: database.write(slow, lambda _connection: True, durable=False)
    )
    writing.start()
    inside.wait()
    try:
        with pytest.raises(UnsafeForkError):
            in_unseen_child(lambda: store.add(b"child").size, monkeypatch)
        with pytest.raises(UnsafeForkError):
            in_unseen_child(lambda: contentdb.open(store.root).close(), monkeypatch)
    finally:
        go_on.set()
        writing.join()
    store.add(b"the parent goes on")
    assert list(store.verify()) == []


def test_a_handler_that_forks_within_a_write_harms_nothing(store: Store) -> None:
    database = parts_of(store).index._database
    store.add(b"before")

    def fork(_connection: object) -> bytes:
        def add() -> None:
            with pytest.raises(UnsafeForkError):
                contentdb.open(store.root).add(b"child")

        in_child(add)
        return b"done"

    assert database.write(fork, lambda _connection: True, durable=False) == b"done"
    store.add(b"after")
    assert len(list(store.walk())) == 2
    assert list(store.verify()) == []


def test_only_the_childs_hooks_may_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with uWSGI's --py-call-osafterfork: what was not done before is not undone after."""

    def fork() -> int:
        pid = unseen_fork()
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        return pid

    store.add(b"warm")
    monkeypatch.setattr(os, "fork", fork)
    digest = in_child(lambda: str(store.add(b"of the child").digest))
    assert store.read(digest) == b"of the child"
