"""The proxy does to requests what it says: otherwise the tests that use it would see nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.exceptions import BaseError

from tests.cluster import proxy
from tests.cluster.proxy import Proxy, answer
from tests.cluster.servers import s3_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import S3Store

    from tests.cluster.servers import SeaweedFS

_ONCE = {"max_retries": 0, "retry_timeout": timedelta(seconds=5)}


@pytest.fixture
def between(seaweed: SeaweedFS) -> Iterator[Proxy]:
    with Proxy(seaweed.endpoint) as between:
        yield between


@pytest.fixture
def there(seaweed: SeaweedFS, request: pytest.FixtureRequest) -> S3Store:
    """A client that goes past the proxy."""
    return seaweed.client(request.node.name)


@pytest.fixture
def here(between: Proxy, request: pytest.FixtureRequest) -> S3Store:
    return s3_client(between.endpoint, request.node.name, retry_config=_ONCE)


def put(store: S3Store, data: bytes = b"content") -> None:
    obstore.put(store, "key", data, use_multipart=False)


def exists(store: S3Store) -> bool:
    try:
        obstore.head(store, "key")
    except FileNotFoundError:
        return False
    return True


def test_it_forwards(between: Proxy, here: S3Store, there: S3Store) -> None:
    put(here)
    assert bytes(obstore.get(here, "key").bytes()) == b"content"
    assert [one["path"] for one in obstore.list(here).collect()] == ["key"]
    assert exists(here)
    obstore.delete(here, ["key"])
    assert not exists(there)
    actions = [request.action for request in between.seen]
    assert actions == ["put", "get", "list", "head", "delete"]


@pytest.mark.parametrize("status", [403, 409, 500, 503])
def test_an_error_is_answered_and_nothing_done(
    between: Proxy, here: S3Store, there: S3Store, status: int
) -> None:
    between.rule = lambda _: answer(status)
    with pytest.raises(BaseError):
        put(here)
    assert not exists(there)


def test_a_cut_does_nothing_and_a_lost_answer_has_done_it(
    between: Proxy, here: S3Store, there: S3Store
) -> None:
    between.rule = lambda _: proxy.CUT
    with pytest.raises(BaseError):
        put(here)
    assert not exists(there)
    between.rule = lambda _: proxy.LOSE
    with pytest.raises(BaseError):
        put(here)
    assert exists(there)


def test_a_late_request_arrives_when_it_is_let(
    between: Proxy, here: S3Store, there: S3Store
) -> None:
    between.rule = lambda _: proxy.LATE
    with pytest.raises(BaseError):
        put(here)
    assert not exists(there)
    assert between.deliver() == 1
    assert exists(there)
    between.rule = lambda _: proxy.TWICE_LATE
    obstore.delete(here, "key")
    put(there)
    between.deliver()
    assert not exists(there)


def test_a_late_request_arrives_after_enough_others(
    seaweed: SeaweedFS, here: S3Store, there: S3Store, request: pytest.FixtureRequest
) -> None:
    with Proxy(seaweed.endpoint, lambda _: proxy.LATE, patience=2) as between:
        store = s3_client(between.endpoint, request.node.name, retry_config=_ONCE)
        with pytest.raises(BaseError):
            put(store)
        between.rule = lambda _: proxy.FORWARD
        assert not exists(store)
        exists(store)
        assert exists(there)


def test_answers_are_cut_off_shortened_and_replaced(
    between: Proxy, here: S3Store, there: S3Store
) -> None:
    put(there, b"0123456789")
    between.rule = lambda _: proxy.SHORT
    with pytest.raises(BaseError):
        obstore.get(here, "key").bytes()
    between.rule = lambda _: proxy.SHORTER
    assert bytes(obstore.get(here, "key").bytes()) == b"01234"
    between.rule = lambda _: proxy.ERROR_IN_200
    assert b"<Error>" in bytes(obstore.get(here, "key").bytes())
