"""A reader, and the store that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import contentdb
from tests.inside import resources_of

if TYPE_CHECKING:
    from concurrent.futures import Future

LONG = b"0123456789" * 2_000_000


def test_a_reader_goes_on_after_its_store_was_closed(place: str) -> None:
    """4.1: to the end, of content in several objects too."""
    with contentdb.open(place) as store:
        begun, fresh = (store.open(store.add(LONG).digest) for _ in range(2))
        begun.read(10)
    assert begun.read() == LONG[10:]
    assert fresh.read() == LONG


def test_no_threads_are_begun_for_a_closed_store(place: str) -> None:
    with contentdb.open(place) as store:
        resources = resources_of(store)
        info = store.add(b"content" * 2000)
    assert resources.start(lambda: 7).result() == 7
    assert resources._workers._threads is None
    assert info.new


def test_a_request_after_the_close_has_its_error(place: str) -> None:
    with contentdb.open(place) as store:
        resources = resources_of(store)

    def fail() -> None:
        raise KeyError

    failed: Future[None] = resources.start(fail)
    assert isinstance(failed.exception(), KeyError)
