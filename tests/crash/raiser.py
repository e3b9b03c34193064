"""The process that raises: a fork server that has imported everything and run nothing.

It reads jobs as JSON, one a line, and answers each with one line. An act runs in a forked child,
which is as cold as the server: only cold code looks for signals everywhere it may. What another
process sees is seen by a third one, the neighbour, which may become warm.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tests.crash import mutants

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # its handlers crash a fork, now and then
mutants.apply(os.environ.get("CRASH_MUTANT"))  # before anything of contentdb is imported

import contentdb  # noqa: E402
from tests.crash.acts import ACTS, Act, Scene, name_of, stored  # noqa: E402
from tests.crash.aftermath import (  # noqa: E402
    ASIDE,
    IN_HANDLER,
    Aftermath,
    descriptors,
    finish,
    visit,
)
from tests.crash.anywhere import Points, RaisedError  # noqa: E402
from tests.crash.fewshards import keep_few  # noqa: E402
from tests.crash.ledger import content, digest_of  # noqa: E402
from tests.crash.looking import look  # noqa: E402
from tests.crash.served import Served  # noqa: E402
from tests.crash.trees import Place as TreePlace  # noqa: E402
from tests.crash.trees import Tree  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]

_PATIENCE_S: Final = float(os.environ.get("CRASH_PATIENCE", "6"))
"""How long an act and its aftermath may take: a hundred times of what they do."""
_LIBRARY: Final = os.path.dirname(os.path.abspath(contentdb.__file__)) + "/"
_PYTHON: Final = os.path.dirname(os.path.abspath(os.__file__)) + "/"
_AT_ONCE_S: Final = 2.0
_HUNG: Final = 1
_UNUSED: Final = {"__main__", "cli", "migrations", "oci", "remote", "server", "testing"}
"""Much of it, which makes every fork dearer."""
_FRAME: Final = re.compile(r'File "(.*)", line (\d+) in (.*)')

Answer = dict[str, Any]


class _Neighbour:
    """A process that looks at the store from outside; asked by one line, answers with one."""

    def __init__(self, root: Path, place: Path) -> None:
        self._trace = place / "neighbour"
        self.socket, there = socket.socketpair()
        self.process = os.fork()
        if self.process == 0:
            self.socket.close()
            _serve(there, root, self._trace)
        there.close()

    def ask(self, what: str, **values: Any) -> Any:  # noqa: ANN401 - whatever the question is
        """Ask; from the server or from the one child that it has."""
        self.socket.sendall(json.dumps([what, values]).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise NeighbourError(f"another process hangs in {what}: {_hung_at(self._trace)}")
            answer += piece
        found, error = json.loads(answer)
        if error is not None:
            raise NeighbourError(f"another process's {what} failed: {error}")
        return found

    def is_alive(self) -> bool:
        """Whether it can be asked once more."""
        return os.waitpid(self.process, os.WNOHANG) == (0, 0)

    def end(self) -> None:
        """End it, if it has not ended."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        self.socket.close()


class NeighbourError(Exception):
    """Another process could not do what it was asked for."""


def _serve(asked: socket.socket, root: Path, trace: Path) -> NoReturn:
    questions: dict[str, Callable[..., Any]] = {"look": look, "visit": visit, "finish": finish}
    with asked, asked.makefile("rb") as lines, trace.open("w") as where:
        for line in lines:
            what, values = json.loads(line)
            faulthandler.dump_traceback_later(_PATIENCE_S / 2, exit=True, file=where)
            answer, error = None, None
            try:
                answer = questions[what](root, **values)
            except Exception as failure:  # noqa: BLE001 - told to who asked
                error = f"{type(failure).__name__}: {failure}"
            faulthandler.cancel_dump_traceback_later()
            asked.sendall(json.dumps([answer, error]).encode() + b"\n")
    os._exit(0)


def _hung_at(trace: Path) -> str:
    """The library's innermost frames of a process's main thread that did not come on."""
    text = trace.read_text()
    main = text.rpartition("(most recent call first):")[2]
    frames = [found for line in main.splitlines() if (found := _FRAME.search(line))]
    ours = [
        f"{frame[1].partition('contentdb/')[2]}:{frame[2]} {frame[3]}"
        for frame in frames
        if frame[1].startswith(_LIBRARY)
    ]
    return " < ".join(ours[:4]) or "none of ours"


class Server:
    """Templates of the acts, and the jobs."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._root = place / "store"
        self._outside = place / "outside"
        self._store = TreePlace(self._root)
        self._trees: dict[str, Tree] = {}
        self._neighbour: _Neighbour | None = None

    def _beside(self) -> _Neighbour:
        if self._neighbour is None or not self._neighbour.is_alive():
            if self._neighbour is not None:
                self._neighbour.end()
            self._neighbour = _Neighbour(self._root, self._place)
        return self._neighbour

    def _tree(self, act: Act) -> Tree:
        if act.name not in self._trees:
            root = self._place / "template"
            root.mkdir(exist_ok=True)
            scene = Scene(root, self._outside)

            def work() -> None:
                if act.makes:
                    stored(scene, packed=act.packed)
                act.prepare(scene)

            status, lines = _in_child(work)
            if status or lines:
                raise RuntimeError(f"cannot prepare {act.name}: {lines}")
            self._trees[act.name] = Tree.of(root)
            shutil.rmtree(root)
        return self._trees[act.name]

    def answer(self, job: dict[str, Any]) -> Answer:
        """Run an act: recorded, or raised in at a place; then judge."""
        act = ACTS[job["scenario"]]
        self._store.put(self._tree(act))
        for path in self._outside.iterdir():
            path.unlink()
        beside = self._beside()
        child = _Child(act, Scene(self._root, self._outside), beside, job)
        child.states, child.open_after = job.get("known", ([], {}))
        served = self._serve() if act.remote else None
        status, said = _in_child(child.run, self._place / "child")
        if served is not None:
            served.kill()
        answer: Answer = {"found": [], "points": [], "raised": None, "trying": ""}
        for line in said:
            word, value = json.loads(line)
            if isinstance(answer.get(word), list):
                answer[word].append(value)
            else:
                answer[word] = value
        if status:
            answer["found"].append(self._end_of(status, answer["trying"]))
        if "at" not in job:
            answer["known"] = (answer.pop("states", []), answer.pop("open", {}))
        try:
            there = (*act.touched, 900) if act.makes else act.touched
            there = () if status else there  # its judge did not come to storing them
            found = self._beside().ask("finish", touched=there, spoilt=act.spoilt)
            answer["found"] += [what for what in found if not (status and "orphan" in what)]
        except NeighbourError as error:
            answer["found"].append(str(error))
        answer["found"] = [self._shown(what) for what in answer["found"]]
        return answer

    def _serve(self) -> Served:
        if "contentdb.remote" not in sys.modules:
            importlib.import_module("contentdb.remote")
            importlib.import_module("contentdb.server.daemon")
            gc.freeze()
        return Served(self._root, self._root.with_name("socket"))

    def _shown(self, text: str) -> str:
        return text.replace(str(self._root), "ROOT").replace(str(self._outside), "OUTSIDE")

    def close(self) -> None:
        """End the neighbour."""
        if self._neighbour is not None:
            self._neighbour.end()

    def _end_of(self, status: int, trying: str) -> str:
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _HUNG:
            return f"HANGS in {trying}: {_hung_at(self._place / 'child')}"
        return f"died in {trying} with status {status}"


_FUNCTION: Final = "user-defined function raised exception"


def _without_frames(error: BaseException) -> BaseException:
    """Let go of all that an exception's frames hold, as a caller does that has handled it."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


class _Child:
    """One run of an act, in a process of its own."""

    def __init__(self, act: Act, scene: Scene, beside: _Neighbour, job: dict[str, Any]) -> None:
        self._act = act
        self._scene = scene
        self._beside = beside
        self._job = job
        self.states: list[Any] = []
        self.open_after: dict[str, int] = {}
        self._swallowed: list[str] = []
        self._served = False
        """Whether a handler's add was acknowledged."""

    def run(self) -> None:
        """Run and judge; what is found is said, a line each."""
        act, scene = self._act, self._scene
        recording = "at" not in self._job
        sys.unraisablehook = lambda told: self._swallowed.append(str(told.err_msg))
        threads = set(threading.enumerate())
        open_before = descriptors(scene)
        _say("trying", "ready")
        if act.opens and act.remote:
            scene.store = contentdb.connect(str(scene.address))
        elif act.opens:
            scene.store = contentdb.open(scene.root)
        act.ready(scene)
        scene.outside_before = set(os.listdir(scene.outside))
        open_then = descriptors(scene)
        if recording:
            judge = Aftermath(act, scene, [], self._beside.ask, _say)
            self.states = [judge.look()]
            scene.on_step = lambda: self._note(points, judge)
        points = self._points()
        _say("trying", "the act")
        ended = self._act_once(points)
        judge = Aftermath(act, scene, self.states, self._beside.ask, _say)
        if recording:
            scene.on_step = lambda: None
            for place in points.found():
                _say("points", place)
            _say("states", self.states)
        _say("after", points.after)
        self._judge_end(judge, points, ended)
        self._judge(judge, threads, open_before, open_then, recording=recording)

    def _points(self) -> Points:
        """The library's own, or with ``of=python`` those of Python's own code that it calls."""
        job = self._job
        of_python = job.get("of") == "python"
        points = Points(_PYTHON, _LIBRARY) if of_python else Points(_LIBRARY)
        points.tell = _say
        if "at" in job:
            do = self._call if job.get("do") == "call" else None
            points.aim(job["at"], job["nth"], again=job.get("again", 0), do=do)
        return points

    def _call(self) -> None:
        """What a handler does that uses the store: it is served, or refused at once."""
        store = self._scene.store
        if store is None:
            return
        began = time.monotonic()
        _say("trying", "the store, in a handler")

        def add() -> None:
            store.add(content(IN_HANDLER))

        for call in (partial(store.read, digest_of(900)), add):
            try:
                call()
            except contentdb.ContentDBError:
                continue
            except Exception as error:  # noqa: BLE001 - it is the finding
                _say(
                    "found", f"a handler is refused in other words: {type(error).__name__}: {error}"
                )
            else:
                self._served = call is add
        if time.monotonic() - began > _AT_ONCE_S:
            _say("found", "a handler waits")
        _say("trying", "the act")

    def _note(self, points: Points, judge: Aftermath) -> None:
        points.disarm()
        self.states.append(judge.look())
        points.arm()

    def _act_once(self, points: Points) -> BaseException | None:
        """Run the act; what came out of it, without its frames."""
        points.arm()
        try:
            self._act.run(self._scene)
        except RaisedError as error:
            points.disarm()
            return _without_frames(error)
        except BaseException as error:  # noqa: BLE001 - judged
            points.disarm()
            _say("traceback", traceback.format_exc())
            return _without_frames(error)
        points.disarm()
        return None

    def _judge_end(self, judge: Aftermath, points: Points, ended: BaseException | None) -> None:
        if _FUNCTION in str(ended):
            return  # SQLite tells no more where a handler raises at the entry of the function
        if ended is not None and not isinstance(ended, RaisedError):
            kind = f"{type(ended).__module__}.{type(ended).__qualname__}"
            judge.found("another exception comes out", f"{kind}: {ended}"[:200])
        if "do" in self._job:
            judge.handled(served=self._served)
        if ended is None and points.raised and not self._swallowed and "do" not in self._job:
            judge.found("the exception is swallowed")

    def _judge(
        self,
        judge: Aftermath,
        threads: set[threading.Thread],
        open_before: dict[str, int],
        open_then: dict[str, int],
        *,
        recording: bool,
    ) -> None:
        act, scene = self._act, self._scene
        _say("trying", "settling")
        judge.settle(threads)
        if recording:
            _say("open", descriptors(scene))
            self.open_after = descriptors(scene)
        allowed = {
            path: max(open_then.get(path, 0), self.open_after.get(path, 0))
            for path in open_then.keys() | self.open_after.keys()
        }
        seen = judge.at_once(None if "do" in self._job else allowed)
        if act.run is ACTS["close"].run:
            with judge.trying("close again"):
                scene.store.close()
            scene.store = None
        if scene.store is None:
            if scene.writer is not None:
                with judge.trying("close the writer"):
                    scene.writer.close()
                scene.writer = None
            judge.settle(threads)
            scene.store = None
            judge.open_again(open_before)
            if scene.store is None:
                return
            seen = judge.look()
        judge.sources()
        if act.urgent:
            judge.go_on()
            seen = judge.look()
        judge.view(seen)
        judge.nothing_later(seen)
        if not act.urgent:
            judge.go_on()
        if act.refs:
            judge.others()
            judge.fork()
            judge.again()
        else:
            judge.again()
            judge.fork()
            judge.others()
        judge.end(threads, open_before)


_answers: int = -1


def _say(word: str, value: Any) -> None:  # noqa: ANN401 - what is said is JSON
    os.write(_answers, json.dumps([word, value]).encode() + b"\n")


def _in_child(work: Callable[[], None], trace: Path | None = None) -> tuple[int, list[str]]:
    """Run work in a forked child with all that it forks; its status, and the lines it said."""
    global _answers  # noqa: PLW0603 - the child's one way to speak
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.close(reader)
        _answers = writer
        try:
            if trace is not None:
                where = trace.open("w")
                faulthandler.dump_traceback_later(_PATIENCE_S, exit=True, file=where)
            work()
        except BaseException:  # noqa: BLE001 - it is part of the answer
            _say("found", "the judge failed: " + traceback.format_exc()[-600:])
        finally:
            os._exit(0)
    os.close(writer)
    ended = os.pidfd_open(child)
    said = b""
    try:
        while ended not in select.select([reader, ended], [], [])[0]:
            said += os.read(reader, 1 << 16)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # a fork of it that hangs
        status = os.waitpid(child, 0)[1]
        while piece := os.read(reader, 1 << 16):
            said += piece
    finally:
        os.close(reader)
        os.close(ended)
    return status, said.decode().splitlines()


def _import_all() -> None:
    """Import what acts import on their way: a child is to record the library, not its loading."""
    for module in sorted(Path(_LIBRARY).rglob("*.py")):
        name = ".".join(("contentdb", *module.relative_to(_LIBRARY).with_suffix("").parts))
        if name.split(".")[1] not in _UNUSED:
            importlib.import_module(name.removesuffix(".__init__"))
    for number in (*range(-1, 16), *ASIDE, 900, 901, 902):
        name_of(number)


def main() -> None:
    """Serve until the input ends."""
    place = Path(os.environ["CRASH_PLACE"])
    (place / "outside").mkdir(exist_ok=True)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    keep_few()
    _import_all()
    server = Server(place)
    for line in sys.stdin:
        gc.freeze()  # each child collects, and is not to look through all that was imported
        began = time.perf_counter()
        answer = server.answer(json.loads(line))
        answer["took_s"] = time.perf_counter() - began
        print(json.dumps(answer), file=answers, flush=True)
    server.close()


if __name__ == "__main__":
    main()
