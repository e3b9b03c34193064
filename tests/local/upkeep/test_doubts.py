"""Upkeep beside a commit that has its file's name and not yet its row: it is no orphan."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest
from contentdb.local import damage
from contentdb.local.index.index import Index
from contentdb.local.upkeep import verify
from tests.fixtures import Child
from tests.inside import blob_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb import Finding, Store

DATA = b"content"
DIGEST = Digest.of(DATA)

COMMIT = """
from contentdb.local.index.index import Index
record = Index.record

def wait_first(self, entries):
    print("named", flush=True)
    sys.stdin.readline()
    return record(self, entries)

Index.record = wait_first
with contentdb.open(root, namespace=args[0]) as store:
    info = store.add(b"content", labels={"gc": "keep"})
    print(info.new, dict(info.labels), flush=True)
"""


@pytest.fixture
def committing(root: Path) -> Iterator[Child]:
    """Another process that waits between a file's name and its row until it is spoken to."""
    contentdb.open(root).close()
    with Child(COMMIT, root, "default") as child:
        assert child.heard() == "named"
        yield child
        child.kill()


def go_on(child: Child) -> None:
    child.say()
    assert child.heard() == "True {'gc': 'keep'}"


def steps(store: Store, *, quick: bool = True) -> Iterator[Finding | None]:
    """What verify finds, with its pauses."""
    with store.parts() as parts:
        yield from verify.verify(parts, quick=quick)


def test_a_commit_in_flight_is_waited_for_and_no_finding(root: Path, committing: Child) -> None:
    """6.7: verify waits for a commit in flight and does not report its file."""
    with contentdb.open(root) as store:
        findings = steps(store)
        assert [next(findings) for _ in range(3)] == [None] * 3
        go_on(committing)
        assert list(findings) == []


def test_a_commit_of_another_namespace_is_waited_for(root: Path) -> None:
    with contentdb.open(root) as store, Child(COMMIT, root, "other") as child:
        assert child.heard() == "named"
        findings = steps(store)
        assert next(findings) is None
        go_on(child)
        assert list(findings) == []


def test_a_commit_that_was_killed_is_an_orphan_at_once(root: Path, committing: Child) -> None:
    with contentdb.open(root) as store:
        findings = steps(store)
        assert next(findings) is None
        committing.kill()
        assert [found and found.kind for found in findings] == ["orphan"]
        assert [found and found.kind for found in steps(store)] == ["orphan"]


def test_a_file_older_than_a_commit_takes_is_an_orphan_beside_others(
    root: Path, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob_path(root, DIGEST).write_bytes(DATA)
    findings = steps(second)
    assert next(findings) is None
    monkeypatch.setattr("contentdb.local.upkeep.doubts.GRACE_S", 0)
    assert [found and found.kind for found in findings] == ["orphan"]


def test_time_that_passes_settles_it_whatever_the_clock_says(
    root: Path, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob_path(root, DIGEST).write_bytes(DATA)
    findings = steps(second)
    assert next(findings) is None
    later = time.monotonic() + 61
    monkeypatch.setattr("time.time", lambda: 0.0)  # the file is of the future
    assert next(findings) is None
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert [found and found.kind for found in findings] == ["orphan"]


def test_a_file_that_was_taken_away_meanwhile_is_no_finding(root: Path, second: Store) -> None:
    path = blob_path(root, DIGEST)
    path.write_bytes(DATA)
    findings = steps(second)
    assert next(findings) is None
    path.unlink()
    assert list(findings) == []


@pytest.mark.parametrize("way", ["add", "add_many", "batch", "commit"])
def test_a_commit_of_the_same_store_is_known(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Of another thread, or of a generator of this one: no lock tells of it."""
    record = Index.record
    seen: list[Finding | None] = []

    def verify_first(self: Index, entries: Any) -> Any:  # noqa: ANN401 - passed through
        if entries:  # `add_many` ends with a group of none
            seen.append(next(steps(store)))
            assert store.prune(older_than=0) == []
        return record(self, entries)

    monkeypatch.setattr(Index, "record", verify_first)
    _store_by(store, way)
    assert seen == [None]
    with store.parts() as parts:
        assert parts.in_flight == {}
    assert list(steps(store)) == []


def _store_by(store: Store, way: str) -> None:
    if way == "add":
        store.add(DATA)
    elif way == "add_many":
        list(store.add_many([DATA]))
    elif way == "batch":
        with store.batch():
            store.add(DATA)
    else:
        with store.writer("ref") as writer:
            writer.write(DATA)
            writer.commit()


@pytest.mark.parametrize("way", ["add", "add_many", "batch", "commit"])
def test_a_commit_that_failed_is_not_in_flight(
    store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def refuse(*_: object) -> None:
        raise contentdb.IndexBusyError("index.sqlite", "busy")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "record", refuse)
        with pytest.raises(contentdb.IndexBusyError):
            _raise_what_came(store, way)
    assert [found and found.kind for found in steps(store)] == ["orphan"]


def _raise_what_came(store: Store, way: str) -> None:
    if way != "add_many":
        _store_by(store, way)
    for answer in store.add_many([DATA]):
        if isinstance(answer, Exception):
            raise answer


def test_a_blob_that_is_being_healed_is_no_finding(store: Store, root: Path) -> None:
    """Its file is whole again, and its row says that it is damaged until it is recorded."""
    store.add(DATA)
    store.path(DIGEST).unlink()
    contentdb.repair(store, store.verify())
    with Child(COMMIT.replace("info.new", "True"), root, "default") as child:
        assert child.heard() == "named"
        findings = steps(store)
        assert next(findings) is None
        go_on(child)
        assert list(findings) == []


def test_a_prune_takes_nothing_from_a_commit_in_flight(root: Path, committing: Child) -> None:
    """6.7: a prune takes nothing from a commit in flight."""
    with contentdb.open(root) as store:
        assert store.prune(older_than=0, dry_run=True) == []
        assert store.prune(older_than=0) == []
        go_on(committing)
        assert store.read(DIGEST) == DATA


def test_a_prune_takes_what_a_killed_commit_left(root: Path, committing: Child) -> None:
    with contentdb.open(root) as store:
        committing.kill()
        assert [pruned.kind for pruned in store.prune(older_than=0)] == ["orphan"]


def test_a_file_that_came_in_an_orphans_place_is_not_pruned(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked whether it is of a commit in flight."""
    path = blob_path(root, DIGEST)
    path.write_bytes(DATA)
    unless_claimed = Index.unless_claimed

    def replace_first(self: Index, digest: Digest, act: Callable[[], bool]) -> bool:
        path.rename(root / "kept")
        path.write_bytes(DATA)
        return unless_claimed(self, digest, act)

    monkeypatch.setattr(Index, "unless_claimed", replace_first)
    assert store.prune(older_than=0) == []
    assert path.exists()


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_reindex_waits_for_a_commit_in_flight(
    root: Path, committing: Child, monkeypatch: pytest.MonkeyPatch, *, dry_run: bool
) -> None:
    waited: list[float] = []

    def let_it_go_on(pause_s: float) -> None:
        if not waited:
            go_on(committing)
        waited.append(pause_s)

    monkeypatch.setattr("time.sleep", let_it_go_on)
    with contentdb.open(root) as store:
        assert store.reindex(dry_run=dry_run) == contentdb.Reindexed(0, 0, 0, 0)
        assert waited
        assert dict(store.info(DIGEST).labels) == {"gc": "keep"}


def test_a_store_can_be_closed_while_verify_waits(
    root: Path, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob_path(root, DIGEST).write_bytes(DATA)
    monkeypatch.setattr("time.sleep", lambda _s: second.close())
    with pytest.raises(contentdb.StoreClosedError):
        list(second.verify())


def test_what_is_kept_in_mind_is_bounded(
    root: Path, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contentdb.local.upkeep.doubts._MOST", 3)
    for number in range(40):
        blob_path(root, Digest.of(b"%d" % number)).write_bytes(b"%d" % number)
    findings = steps(second)
    assert next(findings) is None
    monkeypatch.setattr("contentdb.local.upkeep.doubts.GRACE_S", 0)
    found = {finding.digest for finding in findings if finding is not None}
    assert found == {Digest.of(b"%d" % number) for number in range(40)}


# -- who is there ----------------------------------------------------------------------------------


def is_alone(store: Store) -> bool:
    with store.parts() as parts:
        return parts.sharing.is_alone()


def test_a_store_is_alone_until_another_is_opened_and_after_it_was_closed(
    store: Store, root: Path
) -> None:
    assert is_alone(store)
    for namespace in ("default", "other"):
        with contentdb.open(root, namespace=namespace) as other:
            assert not is_alone(store)
            assert not is_alone(other)
        assert is_alone(store)


def test_both_sides_of_a_fork_are_another_to_each_other(store: Store) -> None:
    asked, told = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"?"
        try:
            answer = b"no" if not is_alone(store) else b"alone"
        finally:
            os.write(told[1], answer)
            os.read(asked[0], 1)
            os._exit(0)
    assert os.read(told[0], 10) == b"no"
    assert not is_alone(store)
    os.write(asked[1], b"x")
    os.waitpid(child, 0)
    assert is_alone(store)
    for fd in (*asked, *told):
        os.close(fd)


def test_a_fork_leaves_a_closed_store_closed(root: Path) -> None:
    contentdb.open(root).close()
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


# -- what else seems to be so for a moment ---------------------------------------------------------


def test_a_blob_stored_again_around_the_look_is_not_missing(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first row was seen, and the moment without a file, and then another row."""
    store.add(DATA)
    blob = Index.blob
    path = store.path(DIGEST)
    path.unlink()
    met: list[str] = []

    def store_again(self: Index, digest: Digest) -> Any:  # noqa: ANN401 - passed through
        row = blob(self, digest)
        if not met:
            met.append("met")
            second.delete(DIGEST)
            second.add(DATA)
            path.rename(path.with_suffix(".kept"))
        elif len(met) == 1:
            met.append("met")
            path.with_suffix(".kept").rename(path)
        return row

    monkeypatch.setattr(Index, "blob", store_again)
    assert [found for found in store.verify() if found.kind == "missing"] == []


@pytest.mark.parametrize("quick", [True, False])
def test_a_blob_that_is_healed_while_it_is_read_is_not_corrupt(
    store: Store, second: Store, monkeypatch: pytest.MonkeyPatch, *, quick: bool
) -> None:
    store.add(DATA)
    path = store.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    path.chmod(0o444)
    claims = Index.claims

    def heal_first(self: Index, digest: Digest) -> bool:
        second.add(DATA)
        return claims(self, digest)

    name = "_why_unlike" if quick else "why_damaged"
    read = getattr(verify, name)

    def heal_behind(*args: Any) -> str | None:  # noqa: ANN401 - passed through
        reason: str | None = read(*args)
        second.add(DATA)
        return reason

    monkeypatch.setattr(Index, "claims", heal_first)
    monkeypatch.setattr(verify, name, heal_behind)
    assert list(store.verify(quick=quick)) == []


def test_a_mode_that_was_set_right_meanwhile_is_no_finding(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(DATA)
    path = store.path(DIGEST)
    path.chmod(0o644)
    why_damaged = damage.why_damaged

    def mend(*args: Any) -> str | None:  # noqa: ANN401 - passed through
        path.chmod(0o444)
        return why_damaged(*args)

    monkeypatch.setattr(verify, "why_damaged", mend)
    assert list(store.verify()) == []
