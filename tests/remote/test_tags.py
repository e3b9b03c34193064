"""Tags at a server that is no contentdb: by its images, and never more than they can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.labels import ANNOTATION
from contentdb.server import service
from contentdb.server.daemon import Server
from contentdb.server.rpcs import RPCS
from contentdb.store.connect import RemoteStore, connect
from contentdb.wire.tagging import IMAGES, TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = "text/plain"


def serve_without(
    services: set[str], root: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RemoteStore]:
    left = tuple(rpc for rpc in RPCS if rpc.service not in services)
    monkeypatch.setattr(service, "RPCS", left)
    with Server(root) as server:
        server.listen_unix(socket_path)
        server.start()
        with connect(str(socket_path)) as store:
            yield store


@pytest.fixture
def foreign(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RemoteStore]:
    """A store at a server that has images, but not contentdb's own service."""
    yield from serve_without({TAGS}, tmp_path / "store", socket_path, monkeypatch)


@pytest.fixture
def bare(
    tmp_path: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RemoteStore]:
    """A store at a server of content alone."""
    yield from serve_without({TAGS, IMAGES}, tmp_path / "store", socket_path, monkeypatch)


def test_names_are_given_moved_listed_and_removed(foreign: RemoteStore) -> None:
    one, two = foreign.add(b"one").digest, foreign.add(b"two!").digest
    first = foreign.tag("n", one, media_type=TEXT, labels={"k": "v"})
    assert (first.digest, first.size, first.media_type) == (one, 3, TEXT)
    assert dict(first.labels) == {"k": "v"}
    assert foreign.tagged("n") == first
    moved = foreign.tag("n", two, media_type=TEXT)
    assert (moved.digest, moved.size, dict(moved.labels)) == (two, 4, {"k": "v"})
    assert moved.created_ns == first.created_ns
    foreign.tag("m", one, media_type=TEXT)
    assert [tag.name for tag in foreign.tags()] == ["m", "n"]
    assert [tag.name for tag in foreign.tags(of=two)] == ["n"]
    assert [tag.name for tag in foreign.tags("size<4", "labels.none")] == ["m"]
    assert dict(foreign.tag("n", two, labels={}).labels) == {}
    foreign.untag("n")
    for call in (foreign.tagged, foreign.untag):
        with pytest.raises(contentdb.NotFoundError, match="no tag 'n'"):
            call("n")


def test_only_what_is_stored_gets_a_name(foreign: RemoteStore) -> None:
    absent = Digest.of(b"absent")
    with pytest.raises(contentdb.NotFoundError) as caught:
        foreign.tag("n", absent, media_type=TEXT)
    assert caught.value.digest == absent
    assert list(foreign.tags()) == []


def test_a_condition_is_refused_and_nothing_changes(foreign: RemoteStore) -> None:
    one, two = foreign.add(b"one").digest, foreign.add(b"two").digest
    made = foreign.tag("n", one, media_type=TEXT)
    for change in (
        lambda: foreign.tag("n", two, media_type=TEXT, if_is=one),
        lambda: foreign.untag("n", if_is=one),
    ):
        with pytest.raises(contentdb.FailedPreconditionError, match="cannot compare and swap"):
            change()
    assert list(foreign.tags()) == [made]


def test_that_there_is_no_such_tag_is_a_condition_it_knows(foreign: RemoteStore) -> None:
    one, two = foreign.add(b"one").digest, foreign.add(b"two").digest
    made = foreign.tag("n", one, media_type=TEXT, if_is=None)
    with pytest.raises(contentdb.ConflictError) as caught:
        foreign.tag("n", two, media_type=TEXT, if_is=None)
    assert (caught.value.wanted, caught.value.found) == (None, one)
    assert foreign.tagged("n") == made


def test_a_media_type_is_needed_unless_the_tag_has_one_and_stays(foreign: RemoteStore) -> None:
    one, two = foreign.add(b"one").digest, foreign.add(b"two").digest
    with pytest.raises(contentdb.FailedPreconditionError, match="media type"):
        foreign.tag("n", one)
    about = {"k": "v", f"{ANNOTATION}a": "1"}
    foreign.tag("n", one, media_type=TEXT, labels=about)
    again = foreign.tag("n", one)
    assert (again.media_type, dict(again.labels)) == (TEXT, about)
    with pytest.raises(contentdb.FailedPreconditionError, match="media type"):
        foreign.tag("n", two)
    assert dict(foreign.tag("n", two, media_type=TEXT).labels) == {"k": "v"}


def test_a_tag_that_comes_and_goes_is_made_in_the_end(
    foreign: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the try to make it and the try to move it another client removes it."""
    from contentdb.remote import images

    one = foreign.add(b"one").digest
    foreign.tag("n", one, media_type=TEXT)
    update = images._update

    def late(channel: object, image: object, labels: object) -> object:
        monkeypatch.setattr(images, "_update", update)
        foreign.untag("n")
        return update(channel, image, labels)  # type: ignore[arg-type]

    monkeypatch.setattr(images, "_update", late)
    assert foreign.tag("n", one, media_type=TEXT).digest == one
    assert foreign.tagged("n").digest == one


def test_a_server_of_content_alone_has_no_tags(bare: RemoteStore) -> None:
    digest = bare.add(b"one").digest
    assert list(bare.tags()) == []
    for call in (bare.tagged, bare.untag):
        with pytest.raises(contentdb.ContentDBError):
            call("n")
    with pytest.raises(contentdb.NotFoundError):
        bare.tagged("n")
    with pytest.raises(contentdb.StoreError, match="UNIMPLEMENTED"):
        bare.tag("n", digest, media_type=TEXT)


def test_an_error_of_our_server_is_not_taken_for_a_lack(served: Path) -> None:
    with connect(str(served)) as store:
        with pytest.raises(contentdb.NotFoundError):
            store.tagged("n")
        digest = store.add(b"one").digest
        store.tag("n", digest, if_is=None)
        with pytest.raises(contentdb.ConflictError) as caught:
            store.tag("n", digest, if_is=None)
        assert isinstance(caught.value.__cause__, grpc.RpcError)
        assert store.tagged("n").media_type is None


def test_a_server_that_does_not_answer_is_not_taken_for_another_kind(
    tmp_path: Path, socket_path: Path
) -> None:
    with connect(str(socket_path)) as store:
        for call in (lambda: store.tagged("n"), lambda: list(store.tags())):
            with pytest.raises(contentdb.StoreError, match="does not answer"):
                call()
        with Server(tmp_path / "store") as server:
            server.listen_unix(socket_path)
            server.start()
            digest = None
            while digest is None:  # gRPC waits a while before it connects again
                try:
                    digest = store.add(b"one").digest
                except contentdb.StoreError:
                    continue
            store.tag("n", digest, if_is=None)
            store.untag("n", if_is=digest)
