"""Every fixed statement fits a new index, and the frequent ones read no table through."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from contentdb.local.index import statements

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

ALL = {
    name: text
    for name, text in vars(statements).items()
    if isinstance(text, str) and name.isupper() and name[0] != "_"
}

# What goes through all rows of a namespace or of an index, and why it may: never under the write
# lock. A range that the last row of a page begins, or a limit ends, is no scan.
READ_THROUGH = {
    "USAGE": "it counts what is there, out of a snapshot",
    "ANY_BLOB": "it ends with the first row",
    "REVISION": "its table has one row",
    "PACKS": "upkeep counts what is in packs",
    "IN_PACK": "upkeep looks for all of a pack",
    "LOOSE_BELOW": "a page of `contentdb pack`",
    "PACKED": "a page of `contentdb unpack`",
    "COUNT_TOTALS": "once for each bound that is set, under the lock: totals must be right",
    "RESERVE_FOR_INGESTS": "the same, and ingests are few",
    "ANY_POLICY": "it ends with the first row",
    "BOUNDED": "upkeep makes an index anew, and namespaces with a policy are few",
    "DROP_RESERVATIONS": "the end of a bound, and reservations are few",
    "RESERVATIONS": "a page of few rows",
    "ANY_TOTALS": "it ends with the first row",
    "ALL_TOTALS": "`contentdb doctor` counts all",
}


def plan(db: sqlite3.Connection, statement: str) -> list[str]:
    values = dict.fromkeys(re.findall(r":(\w+)", statement), "")
    return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


@pytest.mark.parametrize("name", ALL)
def test_it_prepares(db: sqlite3.Connection, name: str) -> None:
    values = dict.fromkeys(re.findall(r":(\w+)", ALL[name]), 0)
    assert db.execute(f"EXPLAIN {ALL[name]}", values).fetchall()


@pytest.mark.parametrize("name", sorted(set(ALL) - set(READ_THROUGH)))
def test_no_table_is_read_through(db: sqlite3.Connection, name: str) -> None:
    """Nor all rows of a namespace, which mostly is the only one."""
    # a namespace has one row of policies (p) and of totals (t)
    through = re.compile(
        r"SCAN (?!known$|CONSTANT ROW$)|SEARCH (?!policies |totals |p |t ).*\(namespace=\?\)"
    )
    assert [step for step in plan(db, ALL[name]) if through.match(step)] == []


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("FIND_BLOB", "blobs USING PRIMARY KEY (namespace=? AND digest=?)"),
        ("FIND_LABELS", "labels USING PRIMARY KEY (namespace=? AND digest=?)"),
        ("FIND_INGEST", "ingests USING PRIMARY KEY (namespace=? AND ref=?)"),
        ("INGEST_OF_NAME", "ingests USING INDEX sqlite_autoindex_ingests_2 (name=?)"),
        ("EXPECTED_BY_INGEST", "ingests USING COVERING INDEX ix_ingests_expected (expected=?)"),
        ("INGESTS", "ingests USING PRIMARY KEY (namespace=? AND ref>?)"),
        ("WALK", "blobs USING PRIMARY KEY (namespace=? AND digest>?)"),
        ("WALK_LABELS", "labels USING PRIMARY KEY (namespace=? AND digest>? AND digest<?)"),
        (
            "TOMBSTONES",
            "blobs USING COVERING INDEX ix_blobs_tombstones (namespace=? AND state=? AND digest>?)",
        ),
        ("SHORTENED", "blobs USING PRIMARY KEY (namespace=? AND digest>? AND digest<?)"),
        ("ROWS_BETWEEN", "blobs USING PRIMARY KEY (namespace=? AND digest>? AND digest<?)"),
        ("OTHER_NAMESPACE_HAS", "blobs USING PRIMARY KEY (namespace=? AND digest=?)"),
        ("OTHER_NAMESPACE_HAS", "b USING PRIMARY KEY (namespace>?)"),
    ],
)
def test_it_goes_by_a_key(db: sqlite3.Connection, name: str, search: str) -> None:
    steps = plan(db, ALL[name])
    assert f"SEARCH {search}" in steps
    assert not [step for step in steps if "TEMP B-TREE" in step]


@pytest.mark.parametrize(
    ("statement", "search"),
    [
        (statements.labels_of(1000), "labels USING PRIMARY KEY (namespace=? AND digest=?)"),
        (
            statements.ingests_named(1000),
            "ingests USING COVERING INDEX sqlite_autoindex_ingests_2 (name=?)",
        ),
    ],
)
def test_several_at_once_go_by_a_key(db: sqlite3.Connection, statement: str, search: str) -> None:
    values = [""] * statement.count("?")
    steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert steps == [f"SEARCH {search}"]


def test_no_fixed_statement_needs_sqlalchemy(path: str, tmp_path: Path) -> None:
    """It takes 0.4 s to import: looking up, storing, walking and deleting do without."""
    script = """
import sys
from contentdb.digest import Digest
from contentdb.local.index.revision import check, revision_of
from contentdb.local.index.index import Index
from tests.local.index.databases import Record
path, root = sys.argv[1:]
check(revision_of(path, root), root)
index = Index(path, root, namespace="default", durable=True)
digest = Digest.of(b"content")
index.record([Record(digest, labels={"k": "v"})])
[info] = index.walk(None, "digest", None, None)
assert info == index.info(digest, index.blob(digest))
index.update_labels(digest, {}, None, 2)
assert index.entomb(digest) and index.bury(digest, lambda: None)
index.close()
print([name for name in sys.modules if name.split(".")[0] in {"sqlalchemy", "alembic"}])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, path, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
