"""Section 6, as far as tests can without a power cut: effects are visible to all handles."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from contentdb.errors import FailedPreconditionError, NotFoundError
from contentdb.testing.streams import breaking
from contentdb.testing.subject import Rules

if TYPE_CHECKING:
    from contentdb.content import ContentStore

__all__ = ["LastingRules"]


class LastingRules(Rules):
    """Rules of durability."""

    def test_acknowledged_is_visible(self, store: ContentStore, second: ContentStore) -> None:
        """6.1: the other handle sees each effect as soon as its call has returned."""
        for number in range(20):
            data = b"content %d" % number
            with store.writer("r") as writer:
                writer.write(data)
                digest = writer.commit().digest
            assert second.read(digest) == data
            changed = second.update(digest, {"n": str(number)})
            assert store.info(digest) == changed
            store.delete(digest)
            with pytest.raises(NotFoundError):
                second.info(digest)
            one, two = second.add_many([data, b"other"])
            assert list(store.walk()) == sorted((one, two), key=lambda info: info.digest)
            store.delete(digest)

    def test_failures_take_nothing_with_them(self, store: ContentStore) -> None:
        """6.5: failed ingests of all kinds change nothing that was committed."""
        kept = [store.add(b"%d" % number, labels={"n": str(number)}) for number in range(5)]
        kept.sort(key=lambda info: info.digest)
        with pytest.raises(TimeoutError):
            store.ingest("cut off", breaking(b"abc", TimeoutError()))
        with pytest.raises(FailedPreconditionError):
            store.ingest("short", io.BytesIO(b"abc"), total=5)
        with store.writer("wrong") as writer, pytest.raises(FailedPreconditionError):
            writer.commit(size=5)
        assert list(store.walk()) == kept
        assert [store.read(info.digest) for info in kept] == [
            dict(info.labels)["n"].encode() for info in kept
        ]
        assert [status.ref for status in store.statuses()] == ["cut off", "short", "wrong"]
