"""An index whose pages are damaged: verify tells, reindex makes it anew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import contentdb
from tests.upgrade.older import take_back

if TYPE_CHECKING:
    from pathlib import Path

PAGE_BYTES = 4096


def leaves_with(index: Path, text: bytes) -> list[int]:
    """Where the leaves of the tables without a rowid lie that are full of a text."""
    with closing(sqlite3.connect(index)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    data = index.read_bytes()
    return [
        start
        for start in range(0, len(data), PAGE_BYTES)
        if data[start] == 10 and data.count(text, start, start + PAGE_BYTES) > 5
    ]


def test_pages_in_each_others_place_are_found_and_reindexed(root: Path) -> None:
    """Each page is sound by itself, so that SQLite's quick_check passes."""
    with contentdb.open(root) as store:
        infos = [
            store.add(b"%d" % number, labels={"k": f"only a label {number}"})
            for number in range(200)
        ]
    index = root / "index.sqlite"
    # Two leaves of the table of labels, which nothing but a listing reads.
    first, second = leaves_with(index, b"only a label")[:2]
    data = bytearray(index.read_bytes())
    data[first : first + PAGE_BYTES], data[second : second + PAGE_BYTES] = (
        data[second : second + PAGE_BYTES],
        data[first : first + PAGE_BYTES],
    )
    index.write_bytes(data)
    with contentdb.open(root) as store:
        findings = list(store.verify())
        assert findings
        assert {finding.kind for finding in findings} == {"index"}
        assert all("contentdb reindex" in finding.detail for finding in findings)
        assert {done.action for done in contentdb.repair(store, findings)} == {"left alone"}
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        assert list(store.verify()) == []
        assert {info.digest for info in store.walk()} == {info.digest for info in infos}


def test_a_digest_that_was_torn_does_not_keep_the_rest_back(root: Path) -> None:
    with contentdb.open(root) as store:
        infos = [store.add(b"%d" % number) for number in range(3)]
        store.tag("name", infos[0].digest)
        store.tag("torn", infos[1].digest)
    index = root / "index.sqlite"
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        torn = infos[1].digest[:40] + "\0" * 31
        connection.execute("UPDATE blobs SET digest = ? WHERE digest = ?", (torn, infos[1].digest))
        connection.execute("UPDATE tags SET digest = ? WHERE name = 'torn'", (torn,))
        # an index that SQLite refuses, whose rows can be read
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET rootpage = 1 WHERE name = 'ix_tags_namespace_digest'"
        )
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        assert {info.digest for info in store.walk()} == {info.digest for info in infos}
        assert list(store.verify()) == []
        assert [tag.name for tag in store.tags()] == ["name"]


def test_text_that_is_no_utf_8_is_damage_like_any_other(root: Path) -> None:
    """Python's driver refuses it with an error that has no code of SQLite's."""
    with contentdb.open(root) as store:
        infos = [store.add(b"%d" % number) for number in range(200)]
    index = root / "index.sqlite"
    first, second = leaves_with(index, b"sha256:")[:2]
    data = bytearray(index.read_bytes())
    at = data.index(b"sha256:", first)
    data[at : at + 4] = b"\xff\xfe\xff\xfe"
    data[second : second + 16] = bytes(16)  # which is found, so that the index is made anew
    index.write_bytes(data)
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        assert list(store.verify()) == []
        assert {info.digest for info in store.walk()} == {info.digest for info in infos}


def test_what_an_older_revision_lacks_does_not_keep_the_rest_back(root: Path) -> None:
    """A broken index is made anew at the newest revision, whichever it had.

    SQLite takes the quoted name of a column that is not there for a text.
    """
    with contentdb.open(root) as store:
        for number in range(200):
            store.add(b"%d" % number, labels={"k": f"only a label {number}"})
        with store.writer("begun", total=9) as writer:
            writer.write(b"half")
    index = root / "index.sqlite"
    take_back(root)
    leaf = leaves_with(index, b"only a label")[0]
    with index.open("r+b") as file:
        file.seek(leaf)
        file.write(bytes(PAGE_BYTES))
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        status = store.status("begun")
        assert (status.offset, status.total) == (4, 9)
        assert len(list(store.walk())) == 200
    with closing(sqlite3.connect(index)) as connection:
        assert connection.execute("SELECT metadata FROM ingests").fetchall() == [(None,)]


@pytest.mark.parametrize("column", ["key", "value"])
def test_a_label_that_is_no_text_is_damage(root: Path, column: str) -> None:
    """As where a page of another table has come in the place of the labels'."""
    with contentdb.open(root) as store:
        store.add(b"content", labels={"k": "v"})
    with closing(sqlite3.connect(root / "index.sqlite", isolation_level=None)) as connection:
        connection.execute(f"UPDATE labels SET {column} = x'00'")  # noqa: S608 - one of two words
    with contentdb.open(root) as store, pytest.raises(contentdb.IndexDamagedError, match="label"):
        list(store.walk())
