"""Attempts to take a ref from a holder who lives, or to keep it from those who come after one.

Each trial puts a holder into a child, does something to it, and then tries to take its ref by
every way there is: a writer, an abort, a prune. A case is ``kind:number``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import contentdb
from tests.crash.suite import Outcome, Plan, Violation
from tests.stress.crew import place, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["KINDS", "thefts"]

_TEN_YEARS_NS: Final = 10 * 365 * 86_400 * 10**9
_CLONE_NEWPID: Final = 0x20000000  # linux/sched.h


class _Holder:
    """A child that holds a ref until it is let go or ended."""

    def __init__(self, root: Path, ref: str, before: Callable[[], None] = lambda: None) -> None:
        self._said, told = os.pipe()
        heard, self._tell = os.pipe()

        def hold() -> None:
            os.close(self._said)
            os.close(self._tell)  # so that the end of its parent is heard
            before()
            with contentdb.open(root, durability="process") as store:
                writer = store.writer(ref)
                writer.write(b"half")
                os.write(told, b"h")
                if not os.read(heard, 1):
                    return
                try:
                    writer.write(b" whole")
                    os.write(told, b"c" if writer.commit().size == len(b"half whole") else b"?")
                except contentdb.ContentDBError:
                    os.write(told, b"r")

        self.pid = started(hold)
        os.close(told)
        os.close(heard)
        if self.says() != b"h":
            raise AssertionError("the holder could not begin")

    def says(self) -> bytes:
        """What it tells next: ``h`` held, ``c`` committed, ``r`` refused; nothing when it ended."""
        return os.read(self._said, 1)

    def go(self) -> bytes:
        """Let it write on and commit; what it tells."""
        os.write(self._tell, b"g")
        return self.says()

    def end(self) -> None:
        """Kill it, unless it has ended, and forget it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._said)
        os.close(self._tell)


@contextlib.contextmanager
def _held(root: Path, ref: str, before: Callable[[], None] = lambda: None) -> Iterator[_Holder]:
    holder = _Holder(root, ref, before)
    try:
        yield holder
    finally:
        holder.end()


def _attempts(root: Path, ref: str) -> Iterator[str]:
    """Try to take a ref from its holder: what should not have worked."""
    with contentdb.open(root, durability="process") as store:
        for name, call in (("writer", store.writer), ("abort", store.abort)):
            try:
                call(ref)
            except contentdb.RefLockedError:
                continue
            yield f"{name} took a held ref"
        if any(pruned.name == ref for pruned in store.prune(older_than=0)):
            yield "a prune took a held ref"
        if not store.status(ref).held:
            yield "a held ref is said to be free"


def _taken_over(root: Path, ref: str) -> Iterator[str]:
    """The ref of a dead holder: what should have worked."""
    with contentdb.open(root, durability="process") as store:
        if store.status(ref).held:
            yield "a dead holder is said to hold"
        try:
            with store.writer(ref, resume=True) as writer:
                if writer.offset != len(b"half"):
                    yield f"{writer.offset} bytes of a dead holder's are left"
        except contentdb.RefLockedError:
            yield "a dead holder keeps its ref"
        store.abort(ref)


def _commits(holder: _Holder) -> Iterator[str]:
    if (told := holder.go()) != b"c":
        yield f"a holder whose ref was not taken could not commit: {told!r}"


def killed(root: Path, ref: str) -> Iterator[str]:
    """Its end frees the ref, at once and with what was written."""
    with _held(root, ref):
        yield from _attempts(root, ref)
    yield from _taken_over(root, ref)


def stopped(root: Path, ref: str) -> Iterator[str]:
    """A stop of any length frees nothing."""
    with _held(root, ref) as holder:
        os.kill(holder.pid, signal.SIGSTOP)
        os.waitpid(holder.pid, os.WUNTRACED)
        yield from _attempts(root, ref)
        os.kill(holder.pid, signal.SIGCONT)
        yield from _commits(holder)


def forked(root: Path, ref: str) -> Iterator[str]:
    """The child of a holder neither holds nor frees the ref, and cannot write."""
    with contentdb.open(root, durability="process") as store:
        writer = store.writer(ref)
        writer.write(b"half")
        reader, pipe = os.pipe()

        def live_on() -> None:
            with contextlib.suppress(contentdb.WriterClosedError):
                writer.write(b"child")
            writer.close()
            os.write(pipe, b"x")
            signal.pause()

        child = started(live_on)
        os.read(reader, 1)
        yield from _attempts(root, ref)
        if writer.offset != len(b"half") or writer.closed:
            yield "a fork changed its parent's writer"
        writer.close()
        yield from _taken_over(root, ref)  # the child lives
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(pipe)


def forked_and_killed(root: Path, ref: str) -> Iterator[str]:
    """The death of a holder frees the ref though its child lives."""
    reader, pipe = os.pipe()

    def hold_and_fork() -> None:
        writer = contentdb.open(root, durability="process").writer(ref)
        writer.write(b"half")
        child = started(signal.pause)
        os.write(pipe, child.to_bytes(8, "little"))
        signal.pause()

    holder = started(hold_and_fork)
    child = int.from_bytes(os.read(reader, 8), "little")
    yield from _attempts(root, ref)
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    yield from _taken_over(root, ref)
    os.kill(child, signal.SIGKILL)
    os.close(reader)
    os.close(pipe)


def in_another_pid_namespace(root: Path, ref: str) -> Iterator[str]:
    """Process numbers say nothing: the holder is number 1 of a namespace of its own."""
    reader, pipe = os.pipe()

    def contain() -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWPID):
            os.write(pipe, b"0")
            return
        holder = _Holder(root, ref)  # the first fork after it is number 1 there
        os.write(pipe, b"1")
        signal.pause()
        holder.end()

    child = started(contain)
    told = os.read(reader, 1)
    if told == b"1":
        yield from _attempts(root, ref)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader)
    os.close(pipe)
    if told == b"1":  # its holder hears the end of its parent, and ends
        with contentdb.open(root, durability="process") as store:
            store.writer(ref, wait=True).close()
            store.abort(ref)


def _clock_by(shift_ns: int) -> Callable[[], None]:
    def shift() -> None:
        true_ns, true_s = time.time_ns, time.time
        fake: Any = time
        fake.time_ns = lambda: true_ns() + shift_ns
        fake.time = lambda: true_s() + shift_ns / 1e9

    return shift


def with_its_clock_ahead(root: Path, ref: str) -> Iterator[str]:
    """Ten years off, nothing of it is believed."""
    with _held(root, ref, _clock_by(_TEN_YEARS_NS)) as holder:
        yield from _attempts(root, ref)
        yield from _commits(holder)


def with_its_clock_behind(root: Path, ref: str) -> Iterator[str]:
    with _held(root, ref, _clock_by(-_TEN_YEARS_NS)) as holder:
        yield from _attempts(root, ref)
        yield from _commits(holder)


def by_one_with_a_clock_ahead(root: Path, ref: str) -> Iterator[str]:
    """Whoever believes that ten years have passed takes it as little."""
    with _held(root, ref) as holder:
        reader, pipe = os.pipe()

        def attempt() -> None:
            _clock_by(_TEN_YEARS_NS)()
            os.write(pipe, "\n".join(_attempts(root, ref)).encode() or b"nothing")

        child = started(attempt)
        os.waitpid(child, 0)
        os.close(pipe)
        said = os.read(reader, 4096).decode()
        os.close(reader)
        if said != "nothing":
            yield said or "the attempt failed"
        yield from _commits(holder)


def its_lock_file_removed(root: Path, ref: str) -> Iterator[str]:
    """By hand: the ref can be taken then, and the old holder harms neither ingest nor blob."""
    with _held(root, ref) as holder:
        for path in (root / "ingest").iterdir():
            path.unlink()
        with contentdb.open(root, durability="process") as store:
            with store.writer(ref) as writer:
                writer.write(b"new")
            told = holder.go()
            if told == b"c":
                yield "a holder that lost its lock file committed"
            if store.status(ref).offset != len(b"new"):
                yield "a holder that lost its lock file changed the ingest of the next"
            with store.writer(ref, resume=True) as writer:
                writer.write(b" content")
                info = writer.commit()
            if store.read(info.digest) != b"new content":
                yield "a holder that lost its lock file changed the next one's blob"
            store.delete(info.digest)


def its_lock_file_replaced(root: Path, ref: str) -> Iterator[str]:
    """By hand: a copy in its place is another file, and the old holder's is not published."""
    with _held(root, ref) as holder:
        (path,) = (root / "ingest").iterdir()
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        if holder.go() == b"c":
            yield "a holder whose file was replaced committed"
        with contentdb.open(root, durability="process") as store:
            for pruned in store.prune(older_than=0):
                if pruned.kind == "orphan":
                    yield f"an orphan is left: {pruned.name}"


KINDS: Final[dict[str, Callable[[Path, str], Iterator[str]]]] = {
    kind.__name__: kind
    for kind in (
        killed,
        stopped,
        forked,
        forked_and_killed,
        in_another_pid_namespace,
        with_its_clock_ahead,
        with_its_clock_behind,
        by_one_with_a_clock_ahead,
        its_lock_file_removed,
        its_lock_file_replaced,
    )
}


def _trial(root: Path, kind: str, number: int) -> list[str]:
    found: list[str] = []
    try:
        found += KINDS[kind](root, f"ref {number}")
        found += _left(root)
    except Exception as error:  # noqa: BLE001 - it is the finding
        found.append(f"{type(error).__name__}: {error}")
    return found


def _left(root: Path) -> Iterator[str]:
    """Empty the store; nothing may be held."""
    with contentdb.open(root, durability="process") as store:
        for status in store.statuses():
            if status.held:
                yield f"{status.ref!r} is held by nobody"
        for info in list(store.walk()):
            store.delete(info.digest)
        for _ in store.prune(older_than=0):
            pass
        if left := [path.name for path in (root / "ingest").iterdir()]:
            yield f"left in ingest/: {left}"


def thefts(plan: Plan) -> Outcome:
    """Do each kind of trial again and again."""
    can_contain = os.geteuid() == 0 and shutil.which("unshare") is not None
    kinds = [name for name in KINDS if can_contain or name != in_another_pid_namespace.__name__]
    cases = [(kinds[number % len(kinds)], number) for number in range(plan.limit or 600)]
    if plan.case is not None:
        kind, _, text = plan.case.partition(":")
        cases = [(kind, int(text))]
    found: list[Violation] = []
    tried = 0
    deadline = plan.deadline()
    with place("thefts") as folder:
        contentdb.open(folder / "store").close()
        for kind, number in cases:
            wrong = _trial(folder / "store", kind, number)
            found += [Violation(f"{kind}:{number}", what) for what in wrong]
            tried += 1
            if plan.enough(found, deadline):
                break
    notes = f"{len(kinds)} kinds" + ("" if can_contain else "; PID namespaces need root")
    return Outcome(tried, found, notes)
