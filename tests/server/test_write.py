"""The rpc Write as containerd's clients know it, said word by word."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import contentdb
from contentdb.declared import Declared, Takeover, declare
from contentdb.digest import Digest
from contentdb.local.ingest.held import LocalIngest
from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from pathlib import Path

    from contentdb.remote.channel import Channel

HELLO = Digest.of(b"hello")


def ask(**fields: Any) -> wire.WriteContentRequest:  # noqa: ANN401 - the message's own
    return wire.WriteContentRequest(**fields)


def say(channel: Channel, *requests: wire.WriteContentRequest) -> list[wire.WriteContentResponse]:
    return list(channel.write(iter(requests)))


def refused(channel: Channel, *requests: wire.WriteContentRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        say(channel, *requests)
    error: Any = caught.value
    return error.code(), error.details()


def offset(channel: Channel, ref: str) -> int:
    return channel.status(wire.StatusRequest(ref=ref)).status.offset


def test_one_message_may_do_all(channel: Channel) -> None:
    answers = say(
        channel,
        ask(action=wire.COMMIT, ref="r", total=5, expected=HELLO, data=b"hello", labels={"a": "b"}),
    )
    assert [(one.action, one.offset, one.digest) for one in answers] == [(wire.COMMIT, 5, HELLO)]
    info = channel.info(wire.InfoRequest(digest=HELLO)).info
    assert (info.size, dict(info.labels)) == (5, {"a": "b"})


def test_every_request_has_one_answer(channel: Channel) -> None:
    answers = say(
        channel,
        ask(action=wire.STAT, ref="r", total=9),
        ask(action=wire.WRITE, ref="r", data=b"he"),
        ask(action=wire.WRITE, ref="r", offset=2, data=b"llo"),
        ask(action=wire.STAT, ref="r"),
    )
    assert [(one.action, one.offset) for one in answers] == [
        (wire.STAT, 0),
        (wire.WRITE, 2),
        (wire.WRITE, 5),
        (wire.STAT, 5),
    ]
    assert answers[-1].total == 9
    assert answers[-1].digest == HELLO
    assert answers[-1].started_at == answers[0].started_at


def test_a_stream_that_ends_without_commit_keeps_the_ingest(channel: Channel) -> None:
    say(channel, ask(action=wire.WRITE, ref="r", data=b"hel"))
    (answer,) = say(channel, ask(action=wire.STAT, ref="r"))
    assert (answer.offset, answer.digest) == (3, Digest.of(b"hel"))


def test_the_first_message_names_the_ref(channel: Channel) -> None:
    assert refused(channel, ask(action=wire.STAT)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "first message must have a reference",
    )


def test_a_wrong_offset_is_refused_and_the_bytes_stay(channel: Channel) -> None:
    say(channel, ask(action=wire.WRITE, ref="r", data=b"hel"))
    code, _ = refused(channel, ask(action=wire.WRITE, ref="r", offset=2, data=b"lo"))
    assert code is grpc.StatusCode.OUT_OF_RANGE
    assert offset(channel, "r") == 3


def test_offset_0_starts_again(channel: Channel) -> None:
    say(channel, ask(action=wire.WRITE, ref="r", data=b"wrong"))
    answers = say(channel, ask(action=wire.COMMIT, ref="r", data=b"hello", expected=HELLO))
    assert answers[-1].offset == 5


def test_a_negative_offset_appends(channel: Channel) -> None:
    say(channel, ask(action=wire.WRITE, ref="r", data=b"hel"))
    answers = say(channel, ask(action=wire.COMMIT, ref="r", offset=-1, data=b"lo"))
    assert answers[-1].digest == HELLO


def test_a_wrong_size_keeps_the_ingest(channel: Channel) -> None:
    assert refused(channel, ask(action=wire.COMMIT, ref="r", total=6, data=b"hello")) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        '"r" failed size validation: 5 != 6',
    )
    assert offset(channel, "r") == 5


def test_a_wrong_digest_keeps_the_ingest(channel: Channel) -> None:
    other = Digest.of(b"other")
    assert refused(channel, ask(action=wire.COMMIT, ref="r", expected=other, data=b"hello")) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        f"unexpected commit digest {HELLO}, expected {other}",
    )
    assert offset(channel, "r") == 5


def test_a_malformed_digest_is_taken_at_opening_and_fails_at_commit(channel: Channel) -> None:
    say(channel, ask(action=wire.WRITE, ref="r", expected="nonsense", data=b"hello"))
    code, _ = refused(
        channel,
        ask(action=wire.STAT, ref="r", expected="nonsense"),
        ask(action=wire.COMMIT, ref="r", offset=-1),
    )
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert offset(channel, "r") == 5


def test_a_new_declaration_counts(channel: Channel) -> None:
    say(channel, ask(action=wire.WRITE, ref="r", total=9, expected=Digest.of(b"x"), data=b"hel"))
    answers = say(
        channel,
        ask(action=wire.STAT, ref="r", total=5, expected=HELLO),
        ask(action=wire.COMMIT, ref="r", offset=3, data=b"lo"),
    )
    assert (answers[0].total, answers[-1].digest) == (5, HELLO)


def test_the_last_declaration_of_a_stream_counts(channel: Channel) -> None:
    answers = say(
        channel,
        ask(action=wire.WRITE, ref="r", total=9, expected=Digest.of(b"x"), data=b"hel"),
        ask(action=wire.COMMIT, ref="r", offset=3, data=b"lo", total=5, expected=HELLO),
    )
    assert (answers[-1].offset, answers[-1].digest) == (5, HELLO)


def test_a_new_declaration_lets_nobody_in_between(
    channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the ref as soon as it is free does not get his bytes into this commit."""
    close = LocalIngest.close

    def close_and_lose(writer: LocalIngest) -> None:
        close(writer)
        monkeypatch.undo()
        other = contentdb.open(tmp_path / "store")
        with other, other.writer("r", redeclare=True) as thief:
            thief.truncate()
            thief.write(b"their")

    monkeypatch.setattr(LocalIngest, "close", close_and_lose)
    answers = say(
        channel,
        ask(action=wire.WRITE, ref="r", total=9, expected=Digest.of(b"x"), data=b"hel"),
        ask(action=wire.COMMIT, ref="r", offset=3, data=b"lo", total=5, expected=HELLO),
    )
    assert answers[-1].digest == HELLO


def test_a_new_declaration_leaves_since_when_the_ref_is_held(tmp_path: Path) -> None:
    declared = declare(9, None, None)
    with (
        contentdb.open(tmp_path / "store") as store,
        store.hold("r", declared, Takeover.ANEW, wait=0) as writer,
    ):
        writer.write(b"hello")
        before = writer.status()
        writer.redeclare(total=5, expected=HELLO)
        assert writer.status() == before._replace(total=5, expected=HELLO)
        assert store.status("r")[2:5] == (5, HELLO, before.started_ns)
        with pytest.raises(contentdb.RefLockedError) as caught:
            store.writer("r")
        assert caught.value.held_s is not None
        assert caught.value.held_s < 60
        assert writer.commit().digest == HELLO


def test_content_that_is_stored_ends_the_ingest(channel: Channel) -> None:
    say(channel, ask(action=wire.COMMIT, ref="first", data=b"hello"))
    exists = grpc.StatusCode.ALREADY_EXISTS
    assert refused(channel, ask(action=wire.STAT, ref="a", expected=HELLO))[0] is exists
    assert refused(channel, ask(action=wire.COMMIT, ref="b", data=b"hello"))[0] is exists
    named = (ask(action=wire.WRITE, ref="c", data=b"he"), ask(action=wire.STAT, expected=HELLO))
    assert refused(channel, *named) == (exists, f"blob with expected digest {HELLO} exists")
    assert not channel.list_statuses(wire.ListStatusesRequest()).statuses


def test_labels_that_are_too_long_are_refused(channel: Channel) -> None:
    code, text = refused(
        channel, ask(action=wire.COMMIT, ref="r", data=b"hello", labels={"k": "v" * 4096})
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "4096" in text


def test_a_held_ref_is_unavailable_until_it_is_let_go(channel: Channel) -> None:
    from contentdb.remote.held import RemoteIngest

    with closing(RemoteIngest(channel, "r", Declared(None, None, None), Takeover.ANEW)):
        code, text = refused(channel, ask(action=wire.STAT, ref="r"))
        assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "ref r locked: unavailable")
    assert len(say(channel, ask(action=wire.STAT, ref="r"))) == 1


def test_a_client_that_leaves_lets_the_ref_go(channel: Channel) -> None:
    from contentdb.remote.held import RemoteIngest

    writer = RemoteIngest(channel, "r", Declared(None, None, None), Takeover.ANEW)
    writer.write(b"hel")
    writer._stream.cancel()
    (answer,) = say(channel, ask(action=wire.STAT, ref="r"))
    assert answer.offset == 3
