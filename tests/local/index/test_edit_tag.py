"""Tags that are changed without asking for their blob, for containerd's images."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from contentdb.content import ANY, Tag
from contentdb.digest import Digest
from contentdb.engine import TagChange
from contentdb.errors import FailedPreconditionError
from tests.local.index.databases import Record

if TYPE_CHECKING:
    import sqlite3

    from contentdb.local.index.index import Index

ONE, TWO = Digest.of(b"one"), Digest.of(b"two")


def test_the_change_is_made_from_what_is_there(index: Index) -> None:
    seen: list[Tag | None] = []

    def edit(old: Tag | None) -> tuple[TagChange, int]:
        seen.append(old)
        return TagChange("n", ONE, "t/p", {"times": str(len(seen))}, ANY), 5

    first = index.edit_tag("n", edit, 7)
    second = index.edit_tag("n", edit, 9)
    assert seen == [None, first]
    assert (first.created_ns, first.updated_ns, dict(first.labels)) == (7, 7, {"times": "1"})
    assert (second.created_ns, second.updated_ns, second.size) == (7, 9, 5)
    assert index.tag("n") == second


def test_an_edit_that_raises_changes_nothing(index: Index) -> None:
    def refuse(_old: Tag | None) -> NoReturn:
        raise FailedPreconditionError("no")

    made = index.edit_tag("n", lambda _old: (TagChange("n", ONE, "t/p", {}, ANY), 1), 7)
    with pytest.raises(FailedPreconditionError):
        index.edit_tag("n", refuse, 8)
    assert index.tag("n") == made


def test_what_loses_its_name_is_looked_at(index: Index, db: sqlite3.Connection) -> None:
    """W5, by this way too; a change that keeps the digest looks at nothing."""
    index.record([Record(ONE)])
    db.execute("UPDATE blobs SET review_at = NULL")

    def move(digest: Digest) -> int | None:
        index.edit_tag("n", lambda _old: (TagChange("n", digest, "t/p", {}, ANY), 1), 7)
        blob = index.blob(ONE)
        assert blob is not None
        return blob.review_ns

    assert move(ONE) is None
    assert move(ONE) is None
    due = move(TWO)
    assert due is not None
    assert due <= time.time_ns()
