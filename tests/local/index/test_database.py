"""One database, shared by threads and processes: transactions, errors, checkpoints, forks."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from contentdb import files, forks
from contentdb.errors import (
    CommitUnknownError,
    ContentDBError,
    IndexBusyError,
    IndexDamagedError,
    IndexFailedError,
    NoSpaceError,
    ReentrantCallError,
    SizeMismatchError,
)
from contentdb.local.index import checkpoints
from contentdb.local.index import database as module
from contentdb.local.index.connect import WAL_BYTES
from contentdb.local.index.database import Database, connect, refusal
from tests.local.index.databases import Recorder, Waiting, always, insert, numbers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

COMMIT = "COMMIT"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "index.sqlite"
    path.touch()
    with contextlib.closing(Database(str(path), str(tmp_path), durable=True)) as made:
        create = "CREATE TABLE t (x INTEGER PRIMARY KEY CHECK (x > 0))"
        made.write(lambda db: db.execute(create).rowcount, always, durable=True)
        yield made


def has(number: int) -> object:
    return lambda db: db.execute("SELECT 1 FROM t WHERE x = ?", (number,)).fetchone() is not None


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("query_only", [False, True])
def test_settings(database: Database, query_only: bool) -> None:  # noqa: FBT001
    with contextlib.closing(connect(database._path, query_only=query_only)) as db:
        told = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "journal_mode",
                "foreign_keys",
                "trusted_schema",
                "cell_size_check",
                "mmap_size",
                "wal_autocheckpoint",
                "journal_size_limit",
                "query_only",
            )
        }
        assert db.isolation_level is None
    assert told == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "mmap_size": 0,
        "wal_autocheckpoint": 0,
        "journal_size_limit": 8 << 20,
        "query_only": int(query_only),
    }


@pytest.mark.parametrize("name", ["a b", "50%25", "what?#", "'q\"", "näive ☃", "\udcff\udcfe"])
def test_any_path_opens(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "index.sqlite").touch()
    for path in (f"{folder}/index.sqlite", f"/{folder}/index.sqlite"):
        with contextlib.closing(connect(path)) as db:
            db.execute("PRAGMA user_version = 7")
        assert os.path.getsize(path)  # noqa: PTH202 - the text as it is


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        connect(str(tmp_path / "index.sqlite"))
    assert list(tmp_path.iterdir()) == []


def test_durable_work_is_synced_when_the_lock_is_free(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []

    def sync(fd: int, path: str) -> None:
        assert path == f"{database._path}-wal"
        with contextlib.closing(files.open_directory(str(tmp_path))) as root:
            synced.append(files.lock(root.fd, root.path))
        sync_data(fd, path)

    sync_data = files.sync_data
    monkeypatch.setattr(files, "sync_data", sync)
    database.write(insert(1), always, durable=True)
    assert synced == [True]
    database.write(insert(2), always, durable=False)
    with contextlib.closing(Database(database._path, str(tmp_path), durable=False)) as careless:
        careless.write(insert(3), always, durable=True)
    assert synced == [True]


# -- shared transactions ---------------------------------------------------------------------------


def test_threads_share_a_transaction(database: Database) -> None:
    recorder = Recorder.put_into(database)
    waiting = Waiting(database)
    waiting.run([insert(number) for number in range(1, 9)])
    assert waiting.results == {number: number + 1 for number in range(8)}
    assert recorder.told.count(COMMIT) == 1
    assert numbers(database) == list(range(1, 9))


def refuse(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (77)")
    raise SizeMismatchError(expected=1, actual=2)


def too_large(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (?)", (1 << 80,))


@pytest.mark.parametrize(
    ("work", "error"),
    [(refuse, SizeMismatchError), (insert(-1), IndexFailedError), (too_large, OverflowError)],
)
def test_an_error_undoes_its_own_work_and_no_other(
    database: Database, work: object, error: type[Exception]
) -> None:
    waiting = Waiting(database)
    waiting.run([insert(1), work, insert(2)])  # type: ignore[list-item]
    assert waiting.results[0] == 1
    assert isinstance(waiting.results[1], error)
    assert waiting.results[2] == 2
    assert numbers(database) == [1, 2]
    writer = database._writer
    with pytest.raises(error):  # alone it is no different
        database.write(work, always, durable=False)  # type: ignore[arg-type]
    assert database._writer is writer
    assert numbers(database) == [1, 2]
    database.write(insert(3), always, durable=True)


def test_a_thread_that_is_stopped_takes_no_other_with_it(database: Database) -> None:
    def stop(_db: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    waiting = Waiting(database)
    waiting.run([insert(1), stop, insert(2)])
    # Whoever had the turn was stopped, whosever work it ran; the next one took the others'.
    stopped = [one for one in waiting.results.values() if isinstance(one, KeyboardInterrupt)]
    assert stopped
    database.write(insert(3), always, durable=False)
    assert 3 in numbers(database)
    assert not database._queue
    for number, result in waiting.results.items():
        if isinstance(result, int):
            assert result in numbers(database), number


def test_work_of_a_stopped_thread_is_not_run_later(database: Database) -> None:
    recorder = Recorder.put_into(database)
    recorder.fail("BEGIN IMMEDIATE", KeyboardInterrupt(), after=True)
    with pytest.raises(KeyboardInterrupt):
        database.write(insert(1), always, durable=False)
    database.write(insert(2), always, durable=False)
    assert numbers(database) == [2]


def test_what_fails_after_the_commit_is_no_failure(database: Database) -> None:
    recorder = Recorder.put_into(database)
    recorder.fail("PRAGMA busy_timeout = 30000")
    database._checkpoints.rows = 1000
    assert database.write(insert(1), always, durable=True) == 1
    runs = []
    recorder = Recorder.put_into(database)
    recorder.fail("PRAGMA busy_timeout = 0", KeyboardInterrupt())
    database._checkpoints.rows = 1000
    with pytest.raises(KeyboardInterrupt):
        database.write(lambda db: runs.append(insert(2)(db)), always, durable=True)
    database.write(insert(3), always, durable=True)
    assert runs == [2]
    assert numbers(database) == [1, 2, 3]


def test_writers_of_two_handles_take_turns(database: Database, tmp_path: Path) -> None:
    with contextlib.closing(Database(database._path, str(tmp_path), durable=True)) as other:
        other.write(insert(1), always, durable=True)
        database.write(insert(2), always, durable=True)
        assert numbers(other) == numbers(database) == [1, 2]


def test_a_held_write_lock_is_a_busy_index(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.01)
    held = files.open_directory(str(tmp_path))
    with contextlib.closing(held):
        assert files.lock(held.fd, held.path)
        with pytest.raises(IndexBusyError):
            database.write(insert(1), always, durable=True)
        assert numbers(database) == []
    database.write(insert(2), always, durable=True)
    assert numbers(database) == [2]


# -- a COMMIT that fails ---------------------------------------------------------------------------


def test_a_failed_commit_that_happened_is_success(database: Database) -> None:
    Recorder.put_into(database).fail(COMMIT, after=True)
    assert database.write(insert(1), has(1), durable=True) == 1  # type: ignore[arg-type]
    assert numbers(database) == [1]


def test_a_failed_commit_that_did_not_happen_is_a_failure(database: Database) -> None:
    Recorder.put_into(database).fail(COMMIT)
    with pytest.raises(IndexFailedError, match="disk I/O error"):
        database.write(insert(1), has(1), durable=True)  # type: ignore[arg-type]
    assert numbers(database) == []
    database.write(insert(1), has(1), durable=True)  # type: ignore[arg-type]


def test_a_commit_that_cannot_be_read_back_is_unknown(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    Recorder.put_into(database).fail(COMMIT, after=True)

    def broken(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patch:
        patch.setattr(module, "connect", broken)
        with pytest.raises(CommitUnknownError, match=r"disk I/O error; then unable to open"):
            database.write(insert(1), has(1), durable=True)  # type: ignore[arg-type]
    assert numbers(database) == [1]


def test_each_work_is_read_back_for_itself(database: Database) -> None:
    Recorder.put_into(database).fail(COMMIT)
    waiting = Waiting(database)
    waiting.run([insert(1), refuse], has(1))
    assert isinstance(waiting.results[0], IndexFailedError)
    assert isinstance(waiting.results[1], SizeMismatchError)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, IndexBusyError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, IndexBusyError),
        (sqlite3.SQLITE_CORRUPT, IndexDamagedError),
        (sqlite3.SQLITE_NOTADB, IndexDamagedError),
        (sqlite3.SQLITE_FULL, NoSpaceError),
        (sqlite3.SQLITE_IOERR_WRITE, IndexFailedError),
    ],
)
def test_refusals(code: int, kind: type[ContentDBError]) -> None:
    error = sqlite3.OperationalError("reason")
    error.sqlite_errorcode = code
    found = refusal("/path", error)
    assert type(found) is kind
    assert "/path" in str(found)


def test_a_full_database_says_so_and_goes_on(database: Database) -> None:
    def fill(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 3")
        db.execute("CREATE TABLE big AS SELECT zeroblob(100000)")

    with pytest.raises(NoSpaceError):
        database.write(fill, always, durable=True)
    database._drop_writer()
    database.write(insert(1), always, durable=True)
    assert numbers(database) == [1]


def test_damage_found_in_a_snapshot_is_named(database: Database, tmp_path: Path) -> None:
    def grow(db: sqlite3.Connection) -> None:
        db.executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(1, 20_000)))

    database.write(grow, always, durable=True)
    database.close()
    path = Path(database._path)
    data = path.read_bytes()
    path.write_bytes(data[:8192] + b"\xff" * (len(data) - 8192))
    with (
        contextlib.closing(Database(str(path), str(tmp_path), durable=True)) as damaged,
        pytest.raises(IndexDamagedError, match="reindex"),
        damaged.snapshot() as db,
    ):
        db.execute("SELECT sum(x) FROM t").fetchall()


def test_an_error_that_ended_the_snapshot_is_named_itself(database: Database) -> None:
    """As an I/O error does: there is nothing to roll back then."""
    error = sqlite3.DatabaseError("malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with pytest.raises(IndexDamagedError, match="malformed"), database.snapshot() as db:  # noqa: PT012
        db.execute("ROLLBACK")
        raise error


# -- checkpoints -----------------------------------------------------------------------------------


def wal_size(database: Database) -> int:
    return os.path.getsize(f"{database._path}-wal")  # noqa: PTH202 - the text as it is


def test_the_wal_stays_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_ROWS", 250)
    sizes = []
    for number in range(1, 2001):
        database.write(insert(number), always, durable=False)
        sizes.append(wal_size(database))
    assert max(sizes[1000:]) == sizes[999] <= WAL_BYTES


def test_a_reader_does_not_block_checkpoints(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_ROWS", 250)
    with database.snapshot() as old:
        assert old.execute("SELECT count(*) FROM t").fetchone() == (0,)
        for number in range(1, 1001):
            database.write(insert(number), always, durable=False)
        assert old.execute("SELECT count(*) FROM t").fetchone() == (0,)
        held = wal_size(database)
    for number in range(1001, 2001):
        database.write(insert(number), always, durable=False)
    assert wal_size(database) <= max(held + (1 << 20), WAL_BYTES)


def test_closing_folds_a_large_wal_in(database: Database) -> None:
    keeper = connect(database._path, query_only=True)
    keeper.execute("SELECT * FROM t").fetchall()
    database.write(insert(1), always, durable=False)
    with contextlib.closing(keeper):
        blob = "CREATE TABLE big AS SELECT zeroblob(9000000)"
        database.write(lambda db: db.execute(blob).rowcount, always, durable=False)
        database.close()
        assert wal_size(database) == 0


# -- exceptions out of signal handlers -----------------------------------------------------------


class Boom(BaseException):
    pass


class RaisingQueue(deque[Any]):
    """Raises where a handler may: as soon as a job has been queued."""

    def append(self, job: Any) -> None:  # noqa: ANN401 - any job
        super().append(job)
        raise Boom


def test_a_write_that_raised_is_not_done_later(database: Database) -> None:
    queue, database._queue = database._queue, RaisingQueue()
    with pytest.raises(Boom):
        database.write(insert(1), always, durable=True)
    queue.extend(database._queue)
    database._queue = queue
    database.write(insert(2), always, durable=True)
    assert numbers(database) == [2]


def test_a_write_that_raises_has_ended_in_every_thread(database: Database) -> None:
    """A handler raises while another thread runs the job: the caller hears of it afterwards."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(db: sqlite3.Connection) -> None:
        insert(1)(db)
        inside.set()
        go_on.wait()

    runner = threading.Thread(target=lambda: database.write(slow, always, durable=False))
    runner.start()
    inside.wait()

    def handler(*_: object) -> None:
        go_on.set()
        raise Boom

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Boom):
            database.write(insert(2), always, durable=False)
        assert numbers(database) == [1]
        runner.join()
        database.write(insert(3), always, durable=False)
        assert numbers(database) == [1, 3]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_handler_that_writes_within_a_write_is_refused_at_once(
    database: Database, tmp_path: Path
) -> None:
    """Otherwise its thread would wait for itself, and keep all other processes out."""
    other = Database(database._path, str(tmp_path), durable=True)
    errors = []

    def work(db: sqlite3.Connection) -> None:
        insert(1)(db)
        for each in (database, other):
            with pytest.raises(ReentrantCallError) as caught:
                each.write(insert(2), always, durable=True)
            errors.append(caught.value)

    with contextlib.closing(other):
        database.write(work, always, durable=True)
        assert len(errors) == 2
        assert numbers(database) == [1]
        database.write(insert(3), always, durable=True)
        other.write(insert(4), always, durable=True)
    assert numbers(database) == [1, 3, 4]


@pytest.mark.parametrize("statement", ["COMMIT", "PRAGMA busy_timeout = 0"])
def test_what_a_handler_raises_reaches_its_own_thread_alone(
    database: Database, statement: str
) -> None:
    """Also an ordinary exception, such as a timeout's, and also behind the commit."""
    Recorder.put_into(database).fail(statement, TimeoutError("the handler's"))
    database._checkpoints.rows = 1000
    waiting = Waiting(database)
    waiting.run([insert(1), insert(2), insert(3)], lambda _db: False)
    raised = [result for result in waiting.results.values() if isinstance(result, TimeoutError)]
    assert len(raised) == 1
    assert len(waiting.results) == 3
    others = {result for result in waiting.results.values() if result not in raised}
    assert others <= set(numbers(database)), waiting.results


# -- closing and forking ---------------------------------------------------------------------------


def descriptors(path: str) -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(link).startswith(path) for link in links)


def test_nothing_is_open_after_the_close(database: Database) -> None:
    """Not what was in use at the close either, nor what somebody uses later."""
    with database.snapshot() as db:
        db.execute("SELECT * FROM t").fetchall()
        database.close()
        assert descriptors(database._path)
    assert not descriptors(database._path)
    database.write(insert(1), always, durable=False)
    assert numbers(database) == [1]
    assert not descriptors(database._path)


def test_nothing_is_open_at_a_fork(database: Database) -> None:
    for number in range(1, 6):
        database.write(insert(number), always, durable=False)

    def read() -> Generator[Iterator[int], None, None]:
        with database.held() as db:
            for row in db.execute("SELECT x FROM t ORDER BY x"):
                yield iter(row)

    stream = database.stream(read())
    assert list(next(stream)) == [1]
    database.before_fork()
    try:
        assert not descriptors(database._path)
    finally:
        forks.free()
    database.write(insert(6), always, durable=False)
    assert [list(piece) for piece in stream] == [[2], [3], [4], [5]]
    assert numbers(database)[-1] == 6


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_run_what_waits_in_its_parent(database: Database) -> None:
    runs: list[int] = []
    waiting = Waiting(database)
    database.before_fork()
    database._queue.append(module._Job(lambda _db: runs.append(1), always, 1, durable=False))
    if (pid := os.fork()) == 0:
        database.after_fork_in_child()
        database.write(insert(7), always, durable=False)
        os._exit(len(runs))
    forks.free()
    assert os.waitpid(pid, 0)[1] == 0
    waiting.run([insert(8)])
    assert runs == [1]
    assert numbers(database) == [7, 8]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_childs_commits_outlive_its_parents_close(database: Database) -> None:
    """SQLite keeps locks by process: an inherited snapshot would let the WAL be deleted."""
    database.write(lambda db: insert(1)(db) and insert(2)(db), always, durable=False)

    def read() -> Generator[Iterator[int], None, None]:
        with database.held() as db:
            for row in db.execute("SELECT x FROM t"):
                yield iter(row)

    stream = database.stream(read())
    next(stream)
    (ready, tell), (wait, go) = os.pipe(), os.pipe()
    database.before_fork()
    if (pid := os.fork()) == 0:
        database.after_fork_in_child()
        database.write(insert(3), always, durable=True)
        os.write(tell, b"!")
        os.read(wait, 1)
        database.write(insert(4), always, durable=True)
        os._exit(0)
    forks.free()
    os.read(ready, 1)
    assert [list(piece) for piece in stream] == [[2]]
    database.close()
    os.write(go, b"!")
    os.waitpid(pid, 0)
    for fd in (ready, tell, wait, go):
        os.close(fd)
    assert numbers(database) == [1, 2, 3, 4]
