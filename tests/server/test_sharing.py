"""Content that another namespace holds: what a client may have of it, under each policy."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Literal

import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.remote.channel import Channel
from contentdb.server.daemon import Server
from contentdb.store.connect import connect
from contentdb.testing.streams import unread
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contentdb.store.connect import RemoteStore

CONTENT = bytes(range(256)) * 4
DIGEST = Digest.of(CONTENT)
SIZE = len(CONTENT)
EXTRA = b"appended bytes"


@pytest.fixture
def sharing() -> Literal["shared", "isolated"]:
    return "shared"


@pytest.fixture
def two(
    tmp_path: Path, socket_path: Path, sharing: Literal["shared", "isolated"]
) -> Iterator[RemoteStore]:
    """A namespace; another one holds the content."""
    with Server(tmp_path / "store", sharing=sharing) as server:
        server.listen_unix(socket_path)
        server.start()
        with connect(str(socket_path), namespace="one") as one:
            one.add(CONTENT, labels={"of": "one"})
            with connect(str(socket_path), namespace="two") as two:
                yield two
            assert one.read(DIGEST) == CONTENT
            assert dict(one.info(DIGEST).labels) == {"of": "one"}


def say(two: RemoteStore, *requests: wire.WriteContentRequest) -> list[wire.WriteContentResponse]:
    """Speak as containerd's clients do."""
    channel = Channel(two.address, "two", None)
    try:
        return list(channel.write(iter(requests)))
    finally:
        channel.close()


def opening(total: int = SIZE) -> wire.WriteContentRequest:
    return wire.WriteContentRequest(action=wire.STAT, ref="r", total=total, expected=DIGEST)


@pytest.mark.parametrize("total", [0, SIZE])
def test_it_is_opened_at_its_end_and_commits_without_being_sent(
    two: RemoteStore, total: int
) -> None:
    """containerd's CrossNamespaceShare."""
    commit = wire.WriteContentRequest(
        action=wire.COMMIT, ref="r", total=SIZE, expected=DIGEST, offset=SIZE, labels={"a": "b"}
    )
    stat, done = say(two, opening(total), commit)
    assert (stat.offset, stat.total or SIZE, stat.digest) == (SIZE, SIZE, DIGEST)
    assert (done.offset, done.digest) == (SIZE, DIGEST)
    assert dict(two.info(DIGEST).labels) == {"a": "b"}
    assert two.read(DIGEST) == CONTENT
    assert list(two.statuses()) == []


def test_bytes_are_appended_to_a_copy(two: RemoteStore) -> None:
    """containerd's CrossNamespaceAppend."""
    whole = CONTENT + EXTRA
    *_, done = say(
        two,
        opening(),
        wire.WriteContentRequest(action=wire.WRITE, ref="r", offset=SIZE, data=EXTRA),
        wire.WriteContentRequest(
            action=wire.COMMIT,
            ref="r",
            total=len(whole),
            expected=Digest.of(whole),
            offset=len(whole),
        ),
    )
    assert done.digest == Digest.of(whole)
    assert two.read(done.digest) == whole
    assert not two.exists(DIGEST)


def test_it_may_be_sent_all_the_same(two: RemoteStore) -> None:
    """From offset 0, as by a client that does not look at the offset."""
    *_, done = say(
        two,
        opening(),
        wire.WriteContentRequest(action=wire.WRITE, ref="r", offset=0, data=CONTENT[:5]),
        wire.WriteContentRequest(action=wire.COMMIT, ref="r", offset=5, data=CONTENT[5:]),
    )
    assert done.digest == DIGEST
    assert two.read(DIGEST) == CONTENT


def test_our_client_does_not_send_it(two: RemoteStore) -> None:
    """Nor read its source, whatever that is."""
    uses: list[Callable[[], contentdb.Info]] = [
        lambda: two.ingest("r", unread(), expected=DIGEST, labels={"a": "b"}),
        lambda: two.add(unread(), expected=DIGEST, labels={"a": "b"}),
        lambda: two.add(CONTENT, labels={"a": "b"}),
    ]
    for use in uses:
        info = use()
        assert info.new
        assert (info.size, dict(info.labels)) == (SIZE, {"a": "b"})
        assert two.read(DIGEST) == CONTENT
        assert list(two.statuses()) == []
        two.delete(DIGEST)


def test_no_reading_call_tells_of_it(two: RemoteStore) -> None:
    assert not two.exists(DIGEST)
    assert list(two.walk()) == []
    for call in (two.info, two.read, two.open, two.delete):
        with pytest.raises(contentdb.NotFoundError):
            call(DIGEST)
    with pytest.raises(contentdb.NotFoundError):
        two.update(DIGEST, {"a": "b"})


def test_a_writer_that_starts_over_has_all_to_send(two: RemoteStore) -> None:
    """Its caller may write without a look at the offset."""
    with two.writer("r", expected=DIGEST) as writer:
        assert writer.offset == 0
        writer.write(CONTENT)
        assert writer.commit().new
    assert two.read(DIGEST) == CONTENT


def test_one_stream_holds_the_ref(two: RemoteStore) -> None:
    held = two.writer("r", expected=DIGEST, resume=True)
    with pytest.raises(contentdb.RefLockedError):
        two.writer("r", expected=DIGEST, resume=True)
    held.close()
    with two.writer("r", expected=DIGEST, resume=True) as writer:
        assert writer.commit().new


def test_several_that_claim_it_at_once(two: RemoteStore) -> None:
    """All succeed, and one is told that it was new."""
    infos: list[contentdb.Info] = []
    threads = [
        threading.Thread(
            target=lambda n=n: infos.append(
                two.ingest(f"{n}", io.BytesIO(CONTENT), expected=DIGEST)
            )
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(info.new for info in infos) == 7 * [False] + [True]
    assert list(two.statuses()) == []


@pytest.mark.parametrize("sharing", ["isolated"])
def test_where_namespaces_are_isolated_it_must_be_sent(two: RemoteStore) -> None:
    """containerd's CrossNamespaceIsolate: nothing tells that another namespace has it."""
    (stat,) = say(two, opening())
    assert (stat.offset, stat.digest) == (0, Digest.of(b""))
    with pytest.raises(contentdb.DigestMismatchError):
        two.ingest("r", io.BytesIO(b"another"), expected=DIGEST)
    with pytest.raises(AssertionError, match="the source was read"):
        two.add(unread(), expected=DIGEST)
    assert two.ingest("r", io.BytesIO(CONTENT), expected=DIGEST).new
    assert two.read(DIGEST) == CONTENT
