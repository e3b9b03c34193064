"""An index of its own for a test, and a connection that fails where the test says."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contentdb.labels import Labelling
from contentdb.local.index.create import create_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from contentdb.digest import Digest
    from contentdb.local.index import Blob, LeaseKey, Location
    from contentdb.local.index.database import Database

__all__ = ["Record", "Recorder", "Waiting", "always", "insert", "make_index", "numbers"]


def make_index(root: Path) -> str:
    """Make an index as the library does."""
    path = root / "index.sqlite"
    path.touch()
    create_tables(str(path))
    return str(path)


@dataclass
class Record:
    """Plays the role `contentdb.local.index.Entry`."""

    digest: Digest
    size: int = 7
    checksum: int = 1
    labels: Mapping[str, str] = field(default_factory=dict)
    now_ns: int = 1000
    ref: str | None = None
    token: str | None = None
    only_if: frozenset[int | None] | None = None
    location: Location | None = None
    lease: LeaseKey | None = None
    reserved: str | None = None
    present: Callable[[], bool] = lambda: True
    stamped: Callable[[int], object] = lambda _moment_ns: None
    """Told the time that its file gets."""

    @property
    def labelling(self) -> Labelling:
        """The labels, whether it is new or not."""
        return Labelling(self.labels, self.labels)

    def has_content(self, blob: Blob) -> bool:  # noqa: ARG002 - of the role
        """Whether the file is there."""
        return self.present()

    def end_record(self, location: Location, *, is_elsewhere: bool) -> None:
        """There is no record."""

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:  # noqa: ARG002 - of the role
        """There is no file."""
        self.stamped(moment_ns)


class Recorder(sqlite3.Connection):
    """A real connection that notes what it is told, and fails once at a statement."""

    told: list[str]
    fails_at: str
    failure: BaseException
    after: bool

    @classmethod
    def put_into(cls, database: Database) -> Recorder:
        """Make it the database's connection for writing."""
        recorder = sqlite3.connect(
            database._path, isolation_level=None, check_same_thread=False, factory=cls
        )
        recorder.told = []
        recorder.fails_at = ""
        recorder.after = False
        recorder.failure = sqlite3.OperationalError("disk I/O error")
        database._drop_writer()
        database._writer = recorder
        return recorder

    def fail(self, at: str, failure: BaseException | None = None, *, after: bool = False) -> None:
        """Raise at the next statement of this text, before it is run or after."""
        self.fails_at, self.after = at, after
        self.failure = failure or self.failure

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401
        self.told.append(sql)
        fails = sql == self.fails_at
        if fails:
            self.fails_at = ""
        if fails and not self.after:
            raise self.failure
        cursor = super().execute(sql, values)
        if fails:
            raise self.failure
        return cursor


class Waiting:
    """Jobs of several threads that meet in one transaction: they queue while one is at work."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.results: dict[int, Any] = {}

    def run(self, works: list[Callable[[sqlite3.Connection], Any]], landed: Any = None) -> None:  # noqa: ANN401
        """Run all works, sharing a transaction; keep each one's result or error."""
        threads = [
            threading.Thread(target=self._run, args=(number, work, landed or always))
            for number, work in enumerate(works)
        ]
        with self._database._turn:
            for number, thread in enumerate(threads, 1):
                thread.start()
                while len(self._database._queue) < number:
                    pass
        for thread in threads:
            thread.join()

    def _run(self, number: int, work: Callable[[sqlite3.Connection], Any], landed: Any) -> None:  # noqa: ANN401
        try:
            self.results[number] = self._database.write(work, landed, durable=False)
        except BaseException as error:  # noqa: BLE001 - it is the result
            self.results[number] = error


def always(_connection: sqlite3.Connection) -> bool:
    return True


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    """Work that puts a number into the table ``t``."""

    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def numbers(database: Database) -> list[int]:
    return [number for (number,) in database.all("SELECT x FROM t ORDER BY x", {})]
