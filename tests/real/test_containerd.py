"""`ctr`, and containerd itself, cannot tell our server from containerd's own content store."""

from __future__ import annotations

import io
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb.digest import Digest
from contentdb.server.daemon import Server
from contentdb.store.connect import RemoteStore, connect
from tests.real.daemon import LIMIT_S, containerd, ctr
from tests.real.pair import Pair, image, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contentdb.content import Source

pytestmark = [pytest.mark.real("containerd", "ctr"), pytest.mark.root]

HELLO = Digest.of(b"hello")
EDITED = Digest.of(b"edited")
ABSENT = Digest.of(b"absent")
EMPTY = Digest.of(b"")
LARGE = bytes(range(256)) * 12_000
MIB = 1 << 20


@pytest.fixture(scope="module")
def editor(folder: Path) -> str:
    script = folder / "editor"
    script.write_text('#!/bin/sh\nprintf edited > "$1"\n')
    script.chmod(0o700)
    return str(script)


def client(address: Path) -> RemoteStore:
    return connect(str(address), namespace="test")


KEEP = "containerd.io/gc.root=1"  # or containerd's garbage collector takes the blob away
STEPS: tuple[tuple[bytes, tuple[str, ...]], ...] = (
    (b"", ("ls",)),
    (b"hello", ("ingest", "first")),
    (b"", ("label", HELLO, KEEP)),
    (b"hello", ("ingest", "first")),
    (b"hello", ("ingest", "--expected-digest", HELLO, "second")),
    (b"unread", ("ingest", "--expected-digest", HELLO, "third")),
    (b"hello", ("ingest", "--expected-digest", ABSENT, "wrong digest")),
    (b"hello", ("ingest", "--expected-size", "7", "too short")),
    (b"hello3", ("ingest", "--expected-size", "3", "too long")),
    (b"hello", ("ingest",)),
    (b"hello", ("ingest", "--expected-digest", "sha256:abc", "a")),
    (b"hello", ("ingest", "--expected-digest", "nonsense", "b")),
    (b"hello", ("ingest", "--expected-digest", "md5:abc", "c")),
    (b"", ("active",)),
    (b"", ("ls",)),
    (b"", ("ls", "-q")),
    (b"", ("ls", "labels.none==x")),
    (b"", ("ls", f"digest=={HELLO}")),
    (b"", ("label", HELLO, "a=b")),
    (b"", ("label", HELLO, "a=")),
    (b"", ("label", HELLO)),
    (b"", ("label", HELLO, "k=" + "v" * 5000)),
    (b"", ("label", ABSENT, "a=b")),
    (b"", ("label", "nonsense", "a=b")),
    (b"", ("get", HELLO)),
    (b"", ("get", ABSENT)),
    (b"", ("get", "nonsense")),
    (b"", ("get", "sha256:abc")),
    (b"", ("edit", HELLO)),
    (b"", ("label", EDITED, KEEP)),
    (b"", ("edit", HELLO)),
    (b"", ("edit", ABSENT)),
    (b"", ("ls",)),
    (b"", ("ingest", "empty")),
    (b"", ("label", EMPTY, KEEP)),
    (b"", ("get", EMPTY)),
    (LARGE, ("ingest", "--expected-size", str(len(LARGE)), "large")),
    (b"", ("label", Digest.of(LARGE), KEEP)),
    (b"", ("get", Digest.of(LARGE))),
    (b"", ("ls",)),
    (b"", ("rm", HELLO)),
    (b"", ("rm", HELLO)),
    (b"", ("rm", EDITED, "nonsense", ABSENT)),
    (b"", ("rm",)),
    (b"", ("ls",)),
)


def test_every_command_says_the_same_and_ends_the_same(
    ours: Path, theirs: Path, editor: str
) -> None:
    for stdin, arguments in STEPS:
        told = [
            plain(
                ctr(address, "content", *arguments, stdin=stdin, EDITOR=editor),
                ordered=arguments[0] != "active",
            )
            for address in Pair(ours, theirs)
        ]
        assert told[0] == told[1], arguments


@pytest.mark.parametrize("namespace", ["", "bad_name!", "a" * 77])
def test_a_wrong_namespace_is_refused_in_the_same_words(
    ours: Path, theirs: Path, namespace: str
) -> None:
    told = [ctr(address, "content", "ls", namespace=namespace) for address in Pair(ours, theirs)]
    assert told[0] == told[1]
    assert told[0].code == 1


@pytest.mark.parametrize("arguments", [("ls", "labels.x==="), ("active", "[")])
def test_a_filter_that_does_not_parse_is_refused_alike(
    ours: Path, theirs: Path, arguments: tuple[str, str]
) -> None:
    """The words are our own, since they tell the position."""
    for address in Pair(ours, theirs):
        outcome = ctr(address, "content", *arguments)
        assert outcome.code == 1
        assert outcome.err.startswith(b"ctr: filters: parse error")
        assert outcome.err.endswith(b": invalid argument\n")


@pytest.mark.parametrize("which", Pair._fields)
def test_a_killed_client_is_resumed(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A second client goes on where the first was killed, and reads only the rest."""
    address: Path = request.getfixturevalue(which)
    data = os.urandom(5 * MIB)
    file = tmp_path / "data"
    file.write_bytes(data)
    command = ["ctr", "-a", str(address), "-n", "test", "content", "ingest"]
    command += ["--expected-digest", Digest.of(data), "--expected-size", str(len(data)), "killed"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as first:
        assert first.stdin is not None
        first.stdin.write(data[: 3 * MIB])
        first.stdin.flush()
        with client(address) as store:
            until = time.monotonic() + LIMIT_S
            while _offset(store, "killed") < 2 * MIB:
                assert time.monotonic() < until, "nothing arrives"
        first.kill()
    with client(address) as store:
        assert _offset(store, "killed") >= 2 * MIB
        with file.open("rb") as source:
            subprocess.run(command, stdin=source, check=True, timeout=LIMIT_S)
        assert store.read(Digest.of(data)) == data
        assert not [status for status in store.statuses() if status.ref == "killed"]


def _offset(store: RemoteStore, ref: str) -> int:
    try:
        return store.status(ref).offset
    except contentdb.NotFoundError:
        return 0


@pytest.mark.parametrize("which", Pair._fields)
def test_ten_clients_on_one_ref_make_one_blob(
    which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address: Path = request.getfixturevalue(which)
    data = os.urandom(2 * MIB)
    file = tmp_path / "data"
    file.write_bytes(data)
    command = ["ctr", "-a", str(address), "-n", "test", "content", "ingest"]
    command += ["--expected-digest", Digest.of(data), "--expected-size", str(len(data)), "shared"]
    running = []
    for _ in range(10):
        with file.open("rb") as source:
            running.append(subprocess.Popen(command, stdin=source))
    assert [one.wait(LIMIT_S) for one in running] == [0] * 10
    with client(address) as store:
        assert store.read(Digest.of(data)) == data
        assert not [status for status in store.statuses() if status.ref == "shared"]


def test_remote_store_works_with_containerd(theirs: Path) -> None:
    """List, read, ingest, label, delete, against the real daemon."""
    with connect(str(theirs), namespace="remote") as store:
        keep = {"containerd.io/gc.root": "1"}
        info = store.ingest("r", io.BytesIO(LARGE), total=len(LARGE), labels=keep)
        assert (info.digest, info.size, info.labels) == (Digest.of(LARGE), len(LARGE), keep)
        assert store.add(LARGE) == info
        assert store.read(info.digest) == LARGE
        with store.open(info.digest) as reader:
            reader.seek(-3, io.SEEK_END)
            assert reader.read() == LARGE[-3:]
        assert store.update(info.digest, {"a": "b"}, fields=["labels.a"]).labels == keep | {
            "a": "b"
        }
        assert [one.digest for one in store.walk("labels.a==b")] == [info.digest]
        with store.writer("half", total=9) as writer:
            writer.write(b"half")
        assert (store.status("half").offset, store.status("half").total) == (4, 9)
        with pytest.raises(contentdb.FailedPreconditionError):
            store.writer("half", total=8, resume=True)
        with (
            store.writer("half", resume=True) as writer,
            pytest.raises(contentdb.SizeMismatchError),
        ):
            writer.commit()
        store.abort("half")
        store.delete(info.digest)
        with pytest.raises(contentdb.NotFoundError):
            store.read(info.digest)


class Piped(io.RawIOBase):
    """Bytes that come once and in order."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 - of the base class
        return self._rest.readinto(buffer)


@pytest.mark.parametrize("kind", [io.BytesIO, Piped])
@pytest.mark.parametrize("earlier", [b"earlier", LARGE[:100_000], LARGE + b"more"])
def test_no_ingest_of_containerd_is_a_mixture(
    theirs: Path, kind: Callable[[bytes], Source], earlier: bytes
) -> None:
    """It cannot compare what an earlier try left with this source."""
    keep = {"containerd.io/gc.root": "1"}
    with connect(str(theirs), namespace="mixture") as store:
        with store.writer("r") as writer:
            writer.write(earlier)
        info = store.ingest("r", kind(LARGE), labels=keep)
        assert info.new
        assert info.digest == Digest.of(LARGE)
        assert list(store.statuses()) == []
        with store.writer("r") as writer:
            writer.write(earlier)
        with store.writer("r") as writer:
            assert writer.offset == 0
            writer.write(LARGE)
            again = writer.commit(labels={"more": "yes"})
        assert not again.new
        assert again.labels == keep | {"more": "yes"}
        store.delete(info.digest)


def test_containerd_keeps_no_metadata_and_that_is_told(theirs: Path) -> None:
    with connect(str(theirs), namespace="metadata") as store:
        for use in (
            lambda: store.writer("r", metadata={"etag": "1"}),
            lambda: store.ingest("r", io.BytesIO(LARGE), metadata={"etag": "1"}),
        ):
            with pytest.raises(contentdb.FailedPreconditionError, match="no contentdb"):
                use()
        assert list(store.walk()) == []


@pytest.mark.parametrize("which", Pair._fields)
def test_content_of_another_namespace_need_not_be_sent(
    which: str, request: pytest.FixtureRequest
) -> None:
    """By default both share it: a writer that expects it begins at its end, and commits."""
    address: Path = request.getfixturevalue(which)
    digest = Digest.of(LARGE + b"shared")
    keep = {"containerd.io/gc.root": "1"}
    with (
        connect(str(address), namespace="one") as one,
        connect(str(address), namespace="two") as two,
    ):
        one.add(LARGE + b"shared", labels=keep)
        assert not two.exists(digest)
        with two.writer("r", expected=digest, total=len(LARGE) + 6, resume=True) as writer:
            assert (writer.offset, writer.digest) == (len(LARGE) + 6, digest)
            info = writer.commit()
        assert (info.new, info.size, dict(info.labels)) == (True, len(LARGE) + 6, {})
        assert two.read(digest) == LARGE + b"shared"
        two.delete(digest)
        assert one.read(digest) == LARGE + b"shared"
        one.delete(digest)


def test_containerd_keeps_its_content_here(folder: Path, tmp_path: Path) -> None:
    """As its proxy content plugin: an image is imported, listed, read and removed through it."""
    tar = tmp_path / "image.tar"
    tar.write_bytes(image())
    address = folder / "plugin" / "c.sock"
    with Server(folder / "plugin-store", default_namespace="plugin") as server:
        server.listen_unix(address)
        server.start()
        with containerd(folder / "proxied", content=address) as daemon:
            imported = ctr(daemon, "image", "import", "--no-unpack", str(tar))
            assert imported.code == 0, imported.err
            assert b"example.test/hello:1" in ctr(daemon, "image", "ls", "-q").out
            listed = ctr(daemon, "content", "ls", "-q").out.decode().split()
            assert len(listed) == 4
            with contentdb.open(folder / "plugin-store", namespace="plugin") as store:
                assert [info.digest for info in store.walk()] == listed
                for digest in listed:
                    assert ctr(daemon, "content", "get", digest).out == store.read(digest)
                removed = ctr(daemon, "image", "rm", "--sync", "example.test/hello:1")
                assert removed.code == 0, removed.err
                assert list(store.walk()) == []
