"""The process that carries the shim: a fork server that disturbs scenarios and checks the rest.

It reads jobs as JSON, one a line, and answers each with one line. A scenario runs in a forked
child, so that libraries are imported once; the check runs in the server, as a new process would
do it, with the shim at rest.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

from tests.crash import mutants

mutants.apply(os.environ.get("CRASH_MUTANT"))  # before anything of contentdb is imported

import contentdb  # noqa: E402
from tests.crash import nextrevision  # noqa: E402
from tests.crash.checker import check  # noqa: E402
from tests.crash.fewshards import keep_few  # noqa: E402
from tests.crash.ledger import Ledger, Promises  # noqa: E402
from tests.crash.probes import PROBES  # noqa: E402
from tests.crash.scenarios import SCENARIOS  # noqa: E402
from tests.crash.shim import ALL_CALLS, Control, Mode  # noqa: E402
from tests.crash.trees import Place, Tree  # noqa: E402

__all__ = ["in_child", "main", "prepared"]

_PATIENCE_S: Final = 25
_SENTINEL: Final = b"not the store's"


def in_child(
    work: Callable[[Ledger], None], before: Callable[[], None] | None = None
) -> tuple[int, list[str]]:
    """Run work in a forked child; its wait status, and the lines of its ledger.

    The child ends without cleaning up, as a process does that is killed.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_PATIENCE_S)
        os.close(reader)
        ledger = Ledger(writer)
        try:
            if before is not None:
                before()
            work(ledger)
        except BaseException as error:  # noqa: BLE001 - it is part of the answer
            ledger.failed(error)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    return os.waitpid(child, 0)[1], lines


def prepared(name: str, root: Path) -> tuple[Tree, list[str]]:
    """The store that a scenario meets, and what it has promised by then."""
    root.mkdir()
    status, lines = in_child(lambda ledger: SCENARIOS[name].prepare(root, ledger))
    if status or any(line.startswith("failed") for line in lines):
        raise RuntimeError(f"cannot prepare {name}: status {status}, {lines[-1:]}")
    return Tree.of(root), lines


class Server:
    """Templates of the scenarios, and the jobs."""

    def __init__(self, place: Path, control: Control) -> None:
        self._place = place
        self._root = place / "store"
        self._store = Place(self._root)
        self._control = control
        self._templates: dict[str, tuple[Tree, list[str]]] = {}
        (place / "outside").mkdir()
        (place / "outside" / "file").write_bytes(_SENTINEL)

    def _template(self, name: str) -> tuple[Tree, list[str]]:
        if name not in self._templates:
            made = prepared(name, self._place / f"template-{name}")
            self._templates[name] = made
        return self._templates[name]

    def _aim(self, job: dict[str, Any], target: int, root: Path | None = None) -> None:
        self._control.aim(
            root or self._root,
            mode=job.get("mode", Mode.COUNT),
            target=target,
            error=getattr(errno, job["error"]) if job.get("error") else 0,
            lasting=job.get("lasting", False),
            mask=job.get("mask", ALL_CALLS),
        )

    def answer(self, job: dict[str, Any]) -> dict[str, Any]:
        """Do one job: a scenario, disturbed, then perhaps its recovery, then the check."""
        if "probe" in job:
            return self._probe(job["probe"])
        if "root" in job:
            return self._on(Path(job["root"]), job)
        tree, lines = self._template(job["scenario"])
        self._store.put(tree)
        os.environ["CRASH_DURABILITY"] = job.get("durability", "full")
        self._aim(job, job.get("target", -1))
        run = SCENARIOS[job["scenario"]].run
        status, said = in_child(lambda ledger: self._observed(run, ledger), self._control.arm)
        answer = self._measured(status, said)
        if "again" in job:
            self._aim(job, job["again"])
            recover = _recover_migrated if Promises(said).migrating else _recover
            status, more = in_child(lambda _: recover(self._root), self._control.arm)
            answer |= self._measured(status, more)
        self._control.arm(on=False)
        promises = Promises(lines + said)
        found = check(self._root, promises, power=False) + self._outside()
        return answer | {"found": _verdicts(status, promises.error) + found}

    def _probe(self, name: str) -> dict[str, Any]:
        """Try one rule on a store with four blobs."""
        tree, _ = self._template("delete")
        self._store.put(tree)
        status, said = in_child(lambda _: PROBES[name](self._root))
        if status:
            said.append(f"died with status {status} (14: hung for {_PATIENCE_S} s)")
        return {"found": [line.removeprefix("failed 0 ") for line in said] + self._outside()}

    def _on(self, root: Path, job: dict[str, Any]) -> dict[str, Any]:
        """Disturb a scenario in a store that is there already, and leave the check to others."""
        self._aim(job, job.get("target", -1), root)
        run = SCENARIOS[job["scenario"]].run
        status, said = in_child(lambda ledger: run(root, ledger), self._control.arm)
        answer = self._measured(status, said)
        return answer | {"said": said, "found": _verdicts(status, answer["error"])}

    def _measured(self, status: int, said: list[str]) -> dict[str, Any]:
        self._control.arm(on=False)
        calls = [call.name for call in self._control.calls]
        paths = [call.path for call in self._control.calls]
        error = next((line[9:] for line in said if line.startswith("failed")), None)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return {
            "count": self._control.count,
            "calls": calls,
            "paths": paths,
            "error": error,
            "killed": killed,
        }

    def _observed(self, run: Callable[[Path, Ledger], None], ledger: Ledger) -> None:
        """Run, and say so if descriptors are left open where it ended with an error."""
        before = set(os.listdir("/proc/self/fd"))
        try:
            run(self._root, ledger)
        except Exception as error:  # noqa: BLE001 - judged by the parent
            ledger.failed(error)
            error.__traceback__ = None
            del error
        self._control.arm(on=False)
        gc.collect()
        if left := set(os.listdir("/proc/self/fd")) - before:
            open_files = [os.readlink(f"/proc/self/fd/{fd}") for fd in left if _is_open(fd)]
            if open_files:
                raise DescriptorLeakError(open_files)

    def _outside(self) -> list[str]:
        names = {
            entry.name for entry in self._place.iterdir() if not entry.name.startswith("template")
        }
        strange = names - {"store", "outside", "source", "control"}
        (self._place / "source").unlink(missing_ok=True)
        if strange or (self._place / "outside" / "file").read_bytes() != _SENTINEL:
            return [f"touched outside of its root: {sorted(strange)}"]
        return []


class DescriptorLeakError(Exception):
    """Files are open that the store should have closed."""


def _is_open(fd: str) -> bool:
    try:
        os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:
        return False
    return True


def _recover(root: Path) -> None:
    """What an operator does after a crash; it may be cut off as well."""
    try:
        store = contentdb.open(root)
    except contentdb.ContentDBError:
        contentdb.reindex(root)
        store = contentdb.open(root)
    with store:
        for _ in contentdb.repair(store, store.verify()):
            pass
        for _ in store.prune(older_than=3600):
            pass
        store.reindex()


def _recover_migrated(root: Path) -> None:
    """The same, after a migration that was cut off."""
    with nextrevision.known():
        contentdb.migrate(root)
        _recover(root)


def _verdicts(status: int, error: str | None) -> list[str]:
    """A scenario may be killed by us, or refuse with an error of ours; nothing else."""
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != signal.SIGKILL:
        return [f"died by signal {os.WTERMSIG(status)} (14: hung for {_PATIENCE_S} s)"]
    if error is not None and not error.startswith("contentdb."):
        return [f"not an error of ours: {error}"]
    return []


def _make_one(root: Path) -> None:
    """Make and migrate a store, so that not every child imports what is imported for it."""
    contentdb.open(root).close()
    with nextrevision.known():
        contentdb.migrate(root)
    shutil.rmtree(root)


def main() -> None:
    """Serve until the input ends."""
    control_path = Path(os.environ["CRASH_CONTROL"])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    keep_few()
    _make_one(control_path.parent / "store")
    with Control(control_path) as control:
        server = Server(control_path.parent, control)
        for line in sys.stdin:
            gc.freeze()  # each child collects, and is not to look through all that was imported
            began = time.perf_counter()
            answer = server.answer(json.loads(line))
            print(
                json.dumps(answer | {"took_s": time.perf_counter() - began}),
                file=answers,
                flush=True,
            )


if __name__ == "__main__":
    main()
