"""Content without a ref: what meets it on its way to a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contentdb.index.sqlite import SqliteIndex

if TYPE_CHECKING:
    import pytest

    import contentdb


def test_an_add_whose_new_name_is_taken_away_by_a_delete_names_it_again(
    store: contentdb.Store, second: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file made without a name gets one once in its life; then it has to be copied."""
    record = SqliteIndex.record
    met: list[str] = []

    def delete_first(self: SqliteIndex, entries: Any) -> Any:  # noqa: ANN401 - passed through
        if len(met) < 3:
            met.append("delete")
            monkeypatch.setattr(SqliteIndex, "record", record)
            second.add(b"content")  # has a name already, so its row is recorded at once
            second.delete(entries[0].digest)
            monkeypatch.setattr(SqliteIndex, "record", delete_first)
        return record(self, entries)

    monkeypatch.setattr(SqliteIndex, "record", delete_first)
    info = store.add(b"content")
    assert len(met) == 3
    assert store.read(info.digest) == b"content"
    assert store.path(info.digest).stat().st_mode & 0o777 == 0o444
    assert list(store.verify()) == []
