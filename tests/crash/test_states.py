"""The model of a filesystem that forgets: what it keeps, and what it may lose."""

from __future__ import annotations

from tests.crash.states import Cut, Replay, cuts
from tests.crash.trace import ROOT, Data, Make, Move, Op, Recorder, Say, Sync
from tests.crash.trees import Tree


def _replay(ops: list[Op]) -> Replay:
    from pathlib import Path

    recorder = Recorder(Path("/root"), Path("/ledger"), Tree([], []))
    recorder.ops = ops
    return Replay(recorder)


def _names(replay: Replay, cut: Cut) -> dict[str, bytes]:
    return {name: data for name, data, _ in replay.tree(replay.state(cut)).files}


def _file(*, synced: bool, named: bool) -> list[Op]:
    ops: list[Op] = [Make(ROOT, "a", 1, is_folder=False), Data(1, 0, b"bytes")]
    if synced:
        ops.append(Sync(1, len(ops)))
    if named:
        ops.append(Sync(ROOT, len(ops)))
    return ops


def _outcomes(ops: list[Op]) -> set[bytes | None]:
    replay = _replay(ops)
    last = [cut for cut in cuts(ops, seed=1) if cut.at == len(ops)]
    return {_names(replay, cut).get("a") for cut in last}


def test_without_a_sync_anything_may_be_lost() -> None:
    assert _outcomes(_file(synced=False, named=False)) == {None, b"", b"bytes"}


def test_a_file_sync_keeps_bytes_but_not_the_name() -> None:
    assert _outcomes(_file(synced=True, named=False)) == {None, b"bytes"}


def test_a_directory_sync_keeps_the_name_but_not_the_bytes() -> None:
    assert _outcomes(_file(synced=False, named=True)) == {b"", b"bytes"}


def test_both_syncs_keep_all() -> None:
    assert _outcomes(_file(synced=True, named=True)) == {b"bytes"}


def test_a_sync_covers_only_what_was_written_before_it_began() -> None:
    ops: list[Op] = [*_file(synced=True, named=True), Data(1, 5, b" more"), Sync(1, 4)]
    assert _outcomes(ops) == {b"bytes", b"bytes more"}


def test_a_filesystem_sync_keeps_all() -> None:
    ops: list[Op] = [*_file(synced=False, named=False), Sync(None, 2)]
    assert _outcomes(ops) == {b"bytes"}


def test_a_rename_is_one_step() -> None:
    ops: list[Op] = [*_file(synced=True, named=True), Move(ROOT, "a", ROOT, "b", 1)]
    replay = _replay(ops)
    found = {tuple(_names(replay, cut)) for cut in cuts(ops, seed=1) if cut.at == len(ops)}
    assert found == {("a",), ("b",)}


def test_a_promise_counts_from_when_it_was_said() -> None:
    ops: list[Op] = [*_file(synced=True, named=True), Say("have 0")]
    replay = _replay(ops)
    assert replay.promises(len(ops) - 1, []).have == set()
    assert replay.promises(len(ops), []).have == {0}


def test_a_rename_is_durable_from_either_end() -> None:
    folder = 2
    made: list[Op] = [Make(ROOT, "trash", folder, is_folder=True), *_file(synced=True, named=True)]
    for end in (ROOT, folder):
        ops: list[Op] = [*made, Move(ROOT, "a", folder, "b", 1), Sync(end, len(made) + 1)]
        replay = _replay(ops)
        found = {tuple(_names(replay, cut)) for cut in cuts(ops, seed=1) if cut.at == len(ops)}
        assert found == {("trash/b",)}
