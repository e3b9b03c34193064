"""Tags in the index: names for digests. Each change is one durable transaction."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.engine import check_condition
from contentdb.errors import NotFoundError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.index import State, statements
from contentdb.local.index.bound import Bound
from contentdb.local.index.references import queue
from contentdb.local.index.rows import find_blob
from contentdb.values import Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from sqlite3 import Connection
    from typing import Any, Final

    from contentdb.content import Anything
    from contentdb.engine import TagChange

__all__ = ["Tags"]

_PAGE_ROWS: Final = 250


class Tags(Bound):
    """The transactions on tags."""

    def set_tag(self, change: TagChange, now_ns: int) -> Tag:
        """Let a name stand for a live blob; durable.

        Whether the blob is there and the condition holds is asked in the same transaction.

        Raises:
            NotFoundError: There is no such blob.
            ConflictError: The name stands for another digest than the condition says, or for none.
        """
        made: Tag | None = None

        def work(connection: Connection) -> Tag:
            nonlocal made
            blob = find_blob(connection, self._key(change.digest))
            if blob is None or blob.state != State.LIVE:
                raise NotFoundError(digest=change.digest)
            old = self._find_tag(connection, change.name)
            check_condition(change.name, old, change.if_is)
            made = self._write_tag(connection, change, old, blob.size, now_ns)
            return made

        def landed(connection: Connection) -> bool:
            return made is not None and self._find_tag(connection, change.name) == made

        return self._database.write(work, landed, durable=True)

    def edit_tag(
        self, name: str, edit: Callable[[Tag | None], tuple[TagChange, int]], now_ns: int
    ) -> Tag:
        """Change a tag, or make it, without asking for its blob; durable.

        For containerd's images: their clients name content before they have all of it.

        Args:
            name: Of the tag.
            edit: Returns what the tag is to be and the size of its blob, given what it is, which
                is None if there is no such tag. What it raises is raised, and nothing changes. It
                may be called more than once.
            now_ns: The time of the change.
        """
        made: Tag | None = None

        def work(connection: Connection) -> Tag:
            nonlocal made
            old = self._find_tag(connection, name)
            change, size = edit(old)
            made = self._write_tag(connection, change, old, size, now_ns)
            return made

        def landed(connection: Connection) -> bool:
            return made is not None and self._find_tag(connection, name) == made

        return self._database.write(work, landed, durable=True)

    def _write_tag(
        self, connection: Connection, change: TagChange, old: Tag | None, size: int, now_ns: int
    ) -> Tag:
        values = self._tag_key(change.name)
        media_type = change.media_type_after(old)
        connection.execute(
            statements.SET_TAG,
            values
            | {"digest": str(change.digest), "media_type": media_type, "size": size, "now": now_ns},
        )
        if old is not None and old.digest != change.digest:
            queue(connection, self._namespace, [old.digest])
        labels = change.labels_after(old)
        if labels != (old.labels if old is not None else {}):
            connection.execute(statements.DROP_TAG_LABELS, values)
            rows = [values | {"key": key, "value": value} for key, value in labels.items()]
            connection.executemany(statements.SET_TAG_LABEL, rows)
        made = self._find_tag(connection, change.name)
        assert made is not None  # noqa: S101 - it was written a moment ago
        return made

    def drop_tag(self, name: str, if_is: Digest | Anything) -> None:
        """Remove a name; durable. The blob stays.

        Raises:
            NotFoundError: There is no such tag.
            ConflictError: It stands for another digest than the condition says.
        """

        def work(connection: Connection) -> None:
            old = self._find_tag(connection, name)
            if old is None:
                raise NotFoundError(tag=name)
            check_condition(name, old, if_is)
            connection.execute(statements.DROP_TAG, self._tag_key(name))
            queue(connection, self._namespace, [old.digest])

        self._database.write(
            work, lambda connection: self._find_tag(connection, name) is None, durable=True
        )

    def tag(self, name: str) -> Tag | None:
        """Return the tag of a name."""
        with self._database.snapshot() as connection:
            return self._find_tag(connection, name)

    def tags(self, of: Digest | None) -> Iterator[Tag]:
        """Yield the tags, or those of one digest, by name, in pages; each page as it is then."""
        values = {"namespace": self._namespace, "after": "", "limit": _PAGE_ROWS}
        statement = statements.TAGS
        if of is not None:
            statement = statements.TAGS_OF
            values["digest"] = str(of)
        while page := self._read_tags(statement, values):
            yield from page
            values["after"] = page[-1].name

    def _read_tags(self, statement: str, values: dict[str, Any]) -> list[Tag]:
        with self._database.snapshot() as connection:
            rows = connection.execute(statement, values).fetchall()
            return [self._make_tag(connection, row) for row in rows]

    def _find_tag(self, connection: Connection, name: str) -> Tag | None:
        row = connection.execute(statements.FIND_TAG, self._tag_key(name)).fetchone()
        return None if row is None else self._make_tag(connection, row)

    def _make_tag(self, connection: Connection, row: tuple[Any, ...]) -> Tag:
        found = connection.execute(statements.FIND_TAG_LABELS, self._tag_key(row[0]))
        name, digest, media_type, size, created_ns, updated_ns = row
        labels = dict(found.fetchall())
        return Tag(name, Digest(digest), media_type, size, created_ns, updated_ns, labels)

    def _tag_key(self, name: str) -> dict[str, Any]:
        return {"namespace": self._namespace, "name": name}
