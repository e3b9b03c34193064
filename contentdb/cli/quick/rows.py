"""``info`` of whole digests, ``ls`` and ``active``, answered by the index alone.

They read the rows that the library would read, by its statements, over a connection that cannot
write. Whatever is not as it should be is left to click's way, which does it all:

- the store is of this user alone, of this revision, with the default namespace only, without packs
  (whose opening may have rows to add) and without a log to mend, and its folders are there;
- each blob asked for is live; a listing has at most a thousand rows and as many labels.
"""

from __future__ import annotations

import _sqlite3
import os
from functools import partial

from contentdb.cli.listing import print_blobs, print_info, print_ingests
from contentdb.cli.quick.blobs import flags_if_common, open_root
from contentdb.errors import ContentDBError
from contentdb.local.index import Blob, IngestRow, State, revision, statements
from contentdb.refs import DEFAULT_NAMESPACE
from contentdb.store_folder import BLOBS, INDEX, INGEST, PACKS
from contentdb.values import Info

TYPE_CHECKING = False  # as in `contentdb.cli.quick`
if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    from contentdb.cli.quick import Call

__all__ = ["find"]

_MOST_ROWS = 1000
_NAMES = {BLOBS, INGEST}
_NAMES_OF_OTHERS = (PACKS, f"{INDEX}-wal-hole")
_BEHIND_URI = frozenset("%?#")
"""What a path of a URI must not hold as it is (https://sqlite.org/uri.html)."""


def find(call: Call) -> Callable[[], None] | None:
    """Return a function that prints what was found; None if the whole command has to find out."""
    try:
        root = os.path.realpath(call.root)
        return _read(root, call) if root.isascii() and not _BEHIND_URI & set(root) else None
    except (OSError, ValueError, _sqlite3.Error, ContentDBError):
        return None


def _read(root: str, call: Call) -> Callable[[], None] | None:
    fd = open_root(root)
    try:
        found = os.fstat(fd)
        names = {*os.listdir(fd)}  # noqa: PTH208 - an open directory
        if not names >= _NAMES or not names.isdisjoint(_NAMES_OF_OTHERS):
            return None
        if flags_if_common(fd) is None:
            return None
    finally:
        os.close(fd)
    # It cannot take the lock under which a close would fold the log into the database.
    connection = _sqlite3.connect(f"file://{root}/{INDEX}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("BEGIN")  # one state of the index for all that follows
        if connection.execute(statements.REVISION).fetchone() != (revision.HEAD,):
            return None
        if not os.path.samestat(found, os.stat(root)):  # noqa: PTH116 - pathlib is slow to import
            return None
        return _FINDERS[call.command](connection, root, call)
    finally:
        connection.close()


def _find_infos(connection: Connection, _root: str, call: Call) -> Callable[[], None] | None:
    infos = []
    for digest in call.words:
        key = {"namespace": DEFAULT_NAMESPACE, "digest": digest}
        row = connection.execute(statements.FIND_BLOB, key).fetchone()
        if row is None or (blob := Blob._make(row)).state != State.LIVE:
            return None
        labels = dict(connection.execute(statements.FIND_LABELS, key).fetchall())
        infos.append(Info(digest, blob.size, blob.created_ns, blob.updated_ns, labels))
    return partial(_print_infos, infos, quiet=call.quiet)


def _print_infos(infos: list[Info], *, quiet: bool) -> None:
    for info in infos:
        print_info(info, quiet=quiet)


def _find_all(connection: Connection, _root: str, call: Call) -> Callable[[], None] | None:
    values = {"namespace": DEFAULT_NAMESPACE, "after": "", "limit": _MOST_ROWS + 1}
    rows = connection.execute(statements.WALK, values).fetchall()
    labels: dict[str, dict[str, str]] = {}
    if rows:
        between = {"namespace": DEFAULT_NAMESPACE, "first": rows[0][0], "last": rows[-1][0]}
        found = connection.execute(statements.WALK_LABELS, between).fetchmany(_MOST_ROWS + 1)
        if len(rows) > _MOST_ROWS or len(found) > _MOST_ROWS:
            return None
        for digest, key, value in found:
            labels.setdefault(digest, {})[key] = value
    infos = [
        Info(digest, size, created_ns, updated_ns, labels.get(digest))
        for digest, size, created_ns, updated_ns, _ in rows
    ]
    return partial(print_blobs, iter(infos), quiet=call.quiet)


def _find_ingests(connection: Connection, root: str, call: Call) -> Callable[[], None] | None:
    from contentdb import files
    from contentdb.local.ingest.describe import describe

    values = {"namespace": DEFAULT_NAMESPACE, "after": "", "limit": _MOST_ROWS + 1}
    rows = connection.execute(statements.INGESTS, values).fetchall()
    if len(rows) > _MOST_ROWS:
        return None
    connection.execute("COMMIT")

    def find_now(ref: str) -> IngestRow | None:
        key = {"namespace": DEFAULT_NAMESPACE, "ref": ref}
        row = connection.execute(statements.FIND_INGEST, key).fetchone()
        return None if row is None else IngestRow._make(row)

    within = files.open_directory(f"{root}/{INGEST}")
    try:
        found = [describe(IngestRow._make(row), within, find_now) for row in rows]
    finally:
        within.close()
    ingests = [status for status in found if status is not None]
    return partial(print_ingests, iter(ingests), quiet=call.quiet)


_FINDERS = {"info": _find_infos, "ls": _find_all, "active": _find_ingests}
