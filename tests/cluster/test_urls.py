"""Presigned URLs: whoever has one reads a blob's object, and nothing else."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

import contentdb
from contentdb.cluster.segments import SEGMENT_BYTES
from tests.cluster.test_commands import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.fixtures import Objects


@pytest.fixture
def on_s3(database: str, objects: Objects) -> Iterator[contentdb.Store]:
    with contentdb.open(database, objects=objects.url, endpoint=objects.endpoint) as store:
        yield store


def fetched(urls: list[str]) -> bytes:
    parts = []
    for url in urls:
        with urlopen(url, timeout=30) as answer:  # noqa: S310 - http://, of the server here
            parts.append(answer.read())
    return b"".join(parts)


@pytest.mark.parametrize(("size", "count"), [(5_000, 1), (SEGMENT_BYTES + 1, 2)])
def test_their_answers_are_the_blob(on_s3: contentdb.Store, size: int, count: int) -> None:
    """4.1a: The answers of all URLs, in order, are the blob."""
    data = bytes(range(250)) * (size // 250 + 1)
    digest = on_s3.add(data[:size]).digest
    urls = on_s3.urls(digest)
    assert len(urls) == count
    assert fetched(urls) == data[:size]


def test_a_lease_s_store_makes_them_too(on_s3: contentdb.Store) -> None:
    """4.1a: they are of content, which it has."""
    data = b"content" * 1000
    with on_s3.lease() as lease:
        assert fetched(lease.urls(lease.add(data).digest)) == data


def test_they_say_when_they_end(on_s3: contentdb.Store) -> None:
    """4.1a: An hour, unless the caller says otherwise."""
    digest = on_s3.add(b"content" * 1000).digest

    def seconds(urls: list[str]) -> list[str]:
        return parse_qs(urlsplit(urls[0]).query)["X-Amz-Expires"]

    assert seconds(on_s3.urls(digest)) == ["3600"]
    assert seconds(on_s3.urls(digest, expires=timedelta(days=7))) == ["604800"]


@pytest.mark.parametrize(
    "expires", [timedelta(0), timedelta(microseconds=1), timedelta(days=7, seconds=1), 60]
)
def test_a_time_that_no_url_has_is_refused(on_s3: contentdb.Store, expires: object) -> None:
    """4.1a: A server refuses longer ones, and 0 is over."""
    digest = on_s3.add(b"content" * 1000).digest
    with pytest.raises(contentdb.InvalidArgumentError, match="1 second to 7 days"):
        on_s3.urls(digest, expires=expires)  # type: ignore[arg-type]  # wrong on purpose


def test_content_that_has_no_object_has_none(on_s3: contentdb.Store) -> None:
    """4.1a: It is to be read through the store."""
    digest = on_s3.add(b"small").digest
    with pytest.raises(contentdb.FailedPreconditionError, match="in the database: read them"):
        on_s3.urls(digest)
    with pytest.raises(contentdb.NotFoundError):
        on_s3.urls(f"sha256:{0:064}")


def test_other_stores_make_none(store: contentdb.Store, tmp_path: Path) -> None:
    """4.1a: No object store is there, or one that cannot sign."""
    with contentdb.open(tmp_path / "files") as on_files:
        for one in (store, on_files):
            digest = one.add(b"content" * 1000).digest
            with pytest.raises(contentdb.FailedPreconditionError, match="objects are at s3://"):
                one.urls(digest)


def test_the_command_prints_them(on_s3: contentdb.Store, database: str) -> None:
    data = b"content" * (SEGMENT_BYTES // 7 + 1)
    digest = on_s3.add(data).digest
    small = on_s3.add(b"small").digest
    root = ("--root", database, "url")
    urls = run(*root, "-q", "--expires", "90s", digest[:20]).split()
    assert fetched(urls) == data
    assert all("X-Amz-Expires=90&" in url for url in urls)
    assert [one.split()[0] for one in run(*root, digest).splitlines()] == [digest, digest]
    (told,) = map(json.loads, run(*root, "--json", digest).splitlines())
    assert (told["digest"], len(told["urls"])) == (digest, 2)
    assert "read them" in run(*root, small, code=1)
