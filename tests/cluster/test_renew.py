"""A session that was fenced gives way to another, with all that it held."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contentdb.cluster.session import Session
from contentdb.errors import RefLockedError
from tests.inside import resources_of

if TYPE_CHECKING:
    import contentdb


def test_only_a_fenced_session_is_begun_again(store: contentdb.Store) -> None:
    """Another one in place of a live one would let others take the refs that this one holds."""
    session = resources_of(store).session
    before = session.id
    assert not session.renew(before)
    assert session.id == before


def test_the_refs_of_a_fenced_session_are_free(store: contentdb.Store) -> None:
    """For other threads of its process, too, as for other processes."""
    resources = resources_of(store)
    with store.writer("r") as first:
        first.write(b"first")
        fenced = resources.session.id
        resources.database.change("UPDATE sessions SET fenced = true")
        assert resources.session.renew(fenced)
        assert not store.status("r").held
        with store.writer("r") as second:
            second.write(b"second")
            info = second.commit()
        with pytest.raises(RefLockedError):
            first.commit()
    assert store.read(info.digest) == b"second"


def test_two_that_renew_a_session_at_once_begin_one(
    store: contentdb.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = resources_of(store)
    session = resources.session
    fenced = session.id
    resources.database.change("UPDATE sessions SET fenced = true")
    stop = Session._stop
    begun: list[int] = []

    def late(self: Session) -> None:
        stop(self)
        if not begun:  # another thread was faster, while the lock was free
            self._lock.release()
            begun.append(0)
            assert self.renew(fenced)
            begun.append(self.id)
            self._lock.acquire()

    monkeypatch.setattr(Session, "_stop", late)
    assert session.renew(fenced)
    assert begun == [0, session.id]
