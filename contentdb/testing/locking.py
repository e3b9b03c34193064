"""Section 3, rules 1 to 4: one holder for each ref, waiting, and content already stored."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import pytest

from contentdb.digest import Digest
from contentdb.errors import AlreadyExistsError, RefLockedError
from contentdb.testing.streams import unread
from contentdb.testing.subject import Rules
from contentdb.testing.threads import LIMIT_S, begun, together

if TYPE_CHECKING:
    from contentdb.content import ContentStore

__all__ = ["LockingRules"]


class LockingRules(Rules):
    """Rules of holding a ref."""

    def test_two_never_hold_one_ref(self, store: ContentStore, second: ContentStore) -> None:
        """3.1: of eight calls that ask for a ref at once, exactly one gets it."""
        for number in range(5):
            calls = [
                lambda one=one, number=number: one.writer(f"ref {number}")
                for one in (store, second) * 4
            ]
            outcomes = together(*calls)
            writers = [one for one in outcomes if not isinstance(one, Exception)]
            refused = [one for one in outcomes if isinstance(one, RefLockedError)]
            for writer in writers:
                writer.close()
            assert (len(writers), len(refused)) == (1, 7)

    def test_a_held_ref_is_refused_at_once(self, store: ContentStore, second: ContentStore) -> None:
        """3.2: asking for a held ref fails without waiting, and names the ref."""
        with store.writer("held ref") as writer:
            for one in (store, second):
                with pytest.raises(RefLockedError, match="held ref") as caught:
                    one.writer("held ref")
                assert caught.value.ref == "held ref"
            writer.write(b"goes on")
            writer.commit()

    def test_the_refusal_tells_who_and_how_long(
        self, store: ContentStore, second: ContentStore
    ) -> None:
        """3.2: the error says which process holds the ref, and for how long."""
        if not self.tells_holders:
            pytest.skip("needs an implementation with tells_holders")
        with store.writer("r"), pytest.raises(RefLockedError) as caught:
            second.writer("r")
        assert caught.value.holder
        assert caught.value.held_s is not None
        assert caught.value.held_s >= 0

    def test_held_is_told(self, store: ContentStore, second: ContentStore) -> None:
        """1.5: a Status says whether a writer holds the ingest now."""
        if not self.tells_holders:
            pytest.skip("needs an implementation with tells_holders")
        with store.writer("r") as writer:
            assert writer.status().held
            assert second.status("r").held
            assert [status.held for status in second.statuses()] == [True]
        assert not second.status("r").held
        assert [status.held for status in second.statuses()] == [False]

    def test_waiting_ends(self, store: ContentStore, second: ContentStore) -> None:
        """3.2: `wait=SECONDS` gives up after that time."""
        with store.writer("r"), pytest.raises(RefLockedError):
            second.writer("r", wait=0.05)

    @pytest.mark.parametrize("wait", [True, 10 * LIMIT_S])
    def test_a_waiter_is_woken(
        self, store: ContentStore, second: ContentStore, wait: float
    ) -> None:
        """3.2: a waiter gets the ref when its holder closes, and finds the holder's bytes."""
        asking = Event()

        def wait_for_it() -> int:
            asking.set()
            with second.writer("r", wait=wait, resume=True) as writer:
                return writer.offset

        with store.writer("r") as writer:
            writer.write(b"four")
            waiting = begun(wait_for_it)
            assert asking.wait(LIMIT_S)
        assert waiting.result(LIMIT_S) == 4

    def test_waiters_take_turns(self, store: ContentStore, second: ContentStore) -> None:
        """3.2: every waiter gets the ref in the end, one at a time, and no byte is lost."""

        def append(one: ContentStore) -> None:
            with one.writer("r", wait=True, resume=True) as writer:
                before = writer.offset
                writer.write(b"x")
                assert writer.offset == before + 1

        outcomes = together(*[lambda one=one: append(one) for one in (store, second) * 4])
        assert outcomes == [None] * 8
        assert store.status("r").offset == 8

    def test_a_waiter_keeps_nobody_waiting(self, store: ContentStore, second: ContentStore) -> None:
        """3.2: while one caller waits for a ref, others begin, commit, update and delete."""
        asking = Event()

        def wait_for_it() -> None:
            asking.set()
            second.writer("r", wait=True).close()

        with store.writer("r"):
            waiting = begun(wait_for_it)
            assert asking.wait(LIMIT_S)
            for one in (store, second):
                with one.writer("another") as writer:
                    writer.write(b"content")
                    digest = writer.commit().digest
                one.update(digest, {"k": "v"})
                one.delete(digest)
        waiting.result(LIMIT_S)

    def test_a_waiter_for_stored_content_is_told(
        self, store: ContentStore, second: ContentStore
    ) -> None:
        """3.2, 3.4: when the holder commits what a waiter expects, the waiter begins nothing."""
        digest = Digest.of(b"content")
        with store.writer("r", expected=digest) as writer:
            waiting = begun(lambda: second.writer("r", expected=digest, wait=True))
            writer.write(b"content")
            writer.commit()
        with pytest.raises(AlreadyExistsError):
            waiting.result(LIMIT_S)
        assert list(store.statuses()) == []

    def test_expected_content_is_there(self, store: ContentStore, second: ContentStore) -> None:
        """3.4: `AlreadyExistsError` comes before an ingest is made and before a byte is read."""
        stored = store.add(b"content", labels={"k": "v"})
        for one in (store, second):
            with pytest.raises(AlreadyExistsError) as caught:
                one.writer("r", expected=stored.digest)
            assert caught.value.digest == stored.digest
            assert one.ingest("r", unread(), expected=stored.digest) == stored
            assert one.add(unread(), expected=stored.digest) == stored
        assert list(store.statuses()) == []
        assert list(store.walk()) == [stored]
