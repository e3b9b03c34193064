"""Power loss, first engine: the crash states that a filesystem may leave, from a recording.

The model is the weakest that POSIX allows and databases build on: until it is synced, each
change of a file or of a directory may have reached the disk or not, alone or torn, in any order.
A rename is one step. After each operation of the recording these states are built and checked:
everything reached the disk, nothing that was not synced did, all but one change, one change
alone, each prefix, each write torn, and some drawn at random.

It needs no root: only strace, once for each scenario.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from xxhash import xxh3_128

from tests.crash.checker import check
from tests.crash.fewshards import keep_few
from tests.crash.ledger import Promises
from tests.crash.scenarios import SCENARIOS
from tests.crash.suite import Outcome, Plan, Violation, chosen, spread
from tests.crash.trace import (
    ROOT,
    Data,
    Drop,
    Make,
    Mode,
    Move,
    Op,
    Recorder,
    Say,
    Size,
    Sync,
    record,
)
from tests.crash.trees import Tree, scratch
from tests.crash.worker import prepared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["states"]

_ALONE: Final = 40
"""So many pending changes are each dropped and kept alone; of more, a sample is."""
_RANDOM: Final = 440
"""At most so many subsets of the pending changes are drawn, with one of the changes torn.

Fewer would give less than 50,000 states in all, more take longer than three minutes.
"""
_SECTOR: Final = 512


class Cut(NamedTuple):
    """A crash state: what of the first ``at`` operations is lost, and which write is torn."""

    at: int
    kind: str
    lost: frozenset[int]
    torn: int | None = None
    torn_bytes: int | None = None

    def name(self) -> str:
        """For the name of a case."""
        return f"{self.at} {self.kind}"


def _volatile(ops: Sequence[Op]) -> Iterator[tuple[int, list[int]]]:
    """For each moment: which operations before it are not durable."""
    pending: list[int] = []
    for at, op in enumerate(ops):
        yield at, list(pending)
        if isinstance(op, Sync):
            pending = [i for i in pending if i >= op.before or not _covers(op, ops[i])]
        elif not isinstance(op, Say):
            pending.append(at)
    yield len(ops), list(pending)


def _covers(sync: Sync, op: Op) -> bool:
    if sync.inode is None:
        return True
    if isinstance(op, Data | Size | Mode):
        return op.inode == sync.inode
    if isinstance(op, Move):  # one step: it is durable as a whole, from either end
        return sync.inode in {op.folder, op.old_folder}
    return isinstance(op, Make | Drop) and op.folder == sync.inode


def cuts(ops: Sequence[Op], seed: int) -> Iterator[Cut]:
    """All the states to look at, many of which turn out the same."""
    for at, pending in _volatile(ops):
        draw = random.Random(f"{seed} {at}")
        yield Cut(at, "all", frozenset())
        yield Cut(at, "none", frozenset(pending))
        some = pending if len(pending) <= _ALONE else sorted(draw.sample(pending, _ALONE))
        for i in some:
            yield Cut(at, f"drop={i}", frozenset({i}))
            yield Cut(at, f"only={i}", frozenset(pending) - {i})
            yield Cut(at, f"prefix={i}", frozenset(j for j in pending if j >= i))
            if (kept := _torn_bytes(ops[i], draw)) is not None:
                yield Cut(at, f"torn={i}", frozenset(j for j in pending if j > i), i, kept)
        for count in range(min(_RANDOM, 1 << len(pending)) if pending else 0):
            lost = frozenset(i for i in pending if draw.random() < draw.random())
            torn = draw.choice(pending)
            yield Cut(at, f"random={count}", lost, torn, _torn_bytes(ops[torn], draw))


def _torn_bytes(op: Op, draw: random.Random) -> int | None:
    """How much of a write is kept, in whole sectors; None where it cannot be torn."""
    if not isinstance(op, Data) or len(op.data) <= _SECTOR:
        return None
    return _SECTOR * draw.randrange(1, (len(op.data) + _SECTOR - 1) // _SECTOR)


class Kept(NamedTuple):
    """What the crash kept of one file: the operations on it, and how much of the torn one."""

    inode: int
    ops: tuple[int, ...]
    torn: int | None
    torn_bytes: int | None


class State(NamedTuple):
    """What is on the disk after the crash."""

    folders: tuple[str, ...]
    files: tuple[tuple[str, Kept], ...]


class Replay:
    """Builds states of one recording.

    Most cuts give a state that was seen before, so a state says of its files only which
    operations they kept; for its key they are built and hashed once for each such choice.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.ops = recorder.ops
        self._names = recorder.base_names
        self._data = recorder.base_data
        self._naming = [i for i, op in enumerate(self.ops) if isinstance(op, Make | Drop | Move)]
        self._filling: dict[int, list[int]] = defaultdict(list)
        for i, op in enumerate(self.ops):
            if isinstance(op, Data | Size | Mode):
                self._filling[op.inode].append(i)
        self._digests: dict[Kept, bytes] = {}

    def state(self, cut: Cut) -> State:
        """Apply what the crash kept."""
        names = {folder: dict(children) for folder, children in self._names.items()}
        for i in self._naming:
            if i < cut.at and i not in cut.lost:
                _rename(self.ops[i], names)
        folders: list[str] = []
        files: list[tuple[str, Kept]] = []
        waiting = [(ROOT, "")]
        while waiting:
            folder, path = waiting.pop()
            for name, inode in sorted(names[folder].items()):
                if inode in names:
                    folders.append(f"{path}{name}")
                    waiting.append((inode, f"{path}{name}/"))
                elif not name.endswith("-shm"):  # made anew by whoever opens first
                    files.append((f"{path}{name}", self._kept(inode, cut)))
        return State(tuple(folders), tuple(files))

    def _kept(self, inode: int, cut: Cut) -> Kept:
        ops = tuple(i for i in self._filling[inode] if i < cut.at and i not in cut.lost)
        is_torn = cut.torn in ops and cut.torn_bytes is not None
        return Kept(inode, ops, *((cut.torn, cut.torn_bytes) if is_torn else (None, None)))

    def key(self, state: State) -> bytes:
        """Equal for equal states, whichever operations they kept."""
        made = xxh3_128("\0".join((*state.folders, "")).encode())
        for name, kept in state.files:
            if kept not in self._digests:
                data, mode = self._filled(kept)
                self._digests[kept] = xxh3_128(data + f"\0{mode:o}".encode()).digest()
            made.update(f"{name}\0".encode() + self._digests[kept])
        return made.digest()

    def tree(self, state: State) -> Tree:
        """Its files with their bytes and modes."""
        return Tree(
            list(state.folders), [(name, *self._filled(kept)) for name, kept in state.files]
        )

    def _filled(self, kept: Kept) -> tuple[bytes, int]:
        base, mode = self._data.get(kept.inode, (b"", 0o600))
        data = bytearray(base)
        for i in kept.ops:
            op = self.ops[i]
            if isinstance(op, Mode):
                mode = op.mode
            elif isinstance(op, Size):
                del data[op.size :]
                data.extend(bytes(op.size - len(data)))
            elif isinstance(op, Data):
                piece = op.data[: kept.torn_bytes] if i == kept.torn else op.data
                data.extend(bytes(max(0, op.offset - len(data))))
                data[op.offset : op.offset + len(piece)] = piece
        return bytes(data), mode

    def promises(self, at: int, before: list[str]) -> Promises:
        """What had been said by then."""
        said = [op.line for op in self.ops[:at] if isinstance(op, Say)]
        return Promises(before + said)


def _rename(op: Op, names: dict[int, dict[str, int]]) -> None:
    if isinstance(op, Make):
        names.setdefault(op.folder, {})[op.name] = op.inode
        if op.is_folder:
            names.setdefault(op.inode, {})
    elif isinstance(op, Drop):
        names.get(op.folder, {}).pop(op.name, None)
    elif isinstance(op, Move):
        names.get(op.old_folder, {}).pop(op.old_name, None)
        names.setdefault(op.folder, {})[op.name] = op.inode


def _run(scenario: str, plan: Plan, deadline: float) -> tuple[int, list[Violation]]:
    """All states of one scenario."""
    keep_few()
    place = Path(tempfile.mkdtemp(prefix="contentdb-states-", dir=scratch()))
    try:
        tree, said = prepared(scenario, place / "template")
        replay = Replay(record(scenario, tree, place, mutant=plan.mutant))
        every = list(cuts(replay.ops, plan.seed))
        if plan.case:
            wanted = plan.case.partition(" ")[2]
            every = [cut for cut in every if cut.name() == wanted]
        every = chosen(every, plan)
        return _check_all(scenario, replay, every, said, place / "store", plan, deadline)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_all(
    scenario: str,
    replay: Replay,
    every: list[Cut],
    said: list[str],
    root: Path,
    plan: Plan,
    deadline: float,
) -> tuple[int, list[Violation]]:
    seen: set[tuple[bytes, int]] = set()
    violations: list[Violation] = []
    spoken = [0]
    for op in replay.ops:
        spoken.append(spoken[-1] + isinstance(op, Say))
    for cut in every:
        if plan.enough(violations, deadline):
            break
        state = replay.state(cut)
        key = (replay.key(state), spoken[cut.at])
        if key in seen:
            continue
        seen.add(key)
        replay.tree(state).put(root)
        found = check(root, replay.promises(cut.at, said), power=True)
        violations += [Violation(f"{scenario} {cut.name()}", what) for what in found]
    return len(seen), violations


def states(plan: Plan) -> Outcome:
    """Run the suite; the plan's limit is for all scenarios together."""
    wanted = [plan.case.split(" ")[0]] if plan.case else list(plan.scenarios or SCENARIOS)
    wanted = [name for name in wanted if name != "read"]  # it changes nothing
    if plan.limit is not None:
        plan = plan._replace(limit=max(1, plan.limit // len(wanted)))
    deadline = plan.deadline()
    tried, violations = spread(plan, _run, [(name, plan, deadline) for name in wanted])
    return Outcome(tried, violations, f"distinct states of {len(wanted)} scenarios")
