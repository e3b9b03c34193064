"""A request to write, taken apart by hand, is what protobuf makes of it."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from contentdb.wire import content_pb2 as wire
from contentdb.wire.framing import take_apart

_LARGE = 64 * 1024
_TAG_OF_DATA = b"\x32"
_LENGTHS = st.integers(0, 5) | st.integers(_LARGE - 5, _LARGE + 5) | st.just(3_000_000)
_INT64 = st.integers(-(2**63), 2**63 - 1)


def _requests() -> st.SearchStrategy[wire.WriteContentRequest]:
    return st.builds(
        wire.WriteContentRequest,
        action=st.sampled_from([wire.STAT, wire.WRITE, wire.COMMIT]),
        ref=st.text(max_size=20),
        total=_INT64,
        expected=st.text(max_size=20),
        offset=_INT64,
        data=st.builds(bytes, _LENGTHS),
        labels=st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=80),
        total_known=st.booleans(),
    )


def _same(raw: bytes) -> None:
    expected = wire.WriteContentRequest.FromString(raw)
    taken = take_apart(raw)
    assert bytes(taken.data) == expected.data
    taken.fields.data = expected.data
    assert taken.fields == expected


@given(_requests())
def test_a_request_is_what_was_sent(request: wire.WriteContentRequest) -> None:
    _same(request.SerializeToString())


@given(
    st.lists(_requests().map(wire.WriteContentRequest.SerializeToString), max_size=3),
    st.binary(max_size=40),
    st.integers(0, 50),
)
def test_rubbish_is_what_protobuf_makes_of_it(
    requests: list[bytes], rubbish: bytes, cut: int
) -> None:
    """Fields that come twice, kinds that are unknown, ends that are missing."""
    joined = b"".join(requests) + rubbish
    raw = joined[: len(joined) - cut]
    try:
        wire.WriteContentRequest.FromString(raw)
    except DecodeError:
        with pytest.raises(DecodeError):
            take_apart(raw)
    else:
        _same(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80" * 2 * _LARGE,
        b"\x08\x01" * _LARGE,
        _TAG_OF_DATA + b"\xff" * 9 + b"\x01" + bytes(_LARGE),
        _TAG_OF_DATA + b"\x81\x80\x04" + bytes(_LARGE),
    ],
    ids=["a number without end", "many fields", "a length of 2**64", "a byte is missing"],
)
def test_what_would_take_long_or_reach_too_far_is_left_to_protobuf(raw: bytes) -> None:
    try:
        expected = wire.WriteContentRequest.FromString(raw)
    except DecodeError:
        with pytest.raises(DecodeError):
            take_apart(raw)
    else:
        assert take_apart(raw).fields == expected
        assert isinstance(take_apart(raw).data, bytes)


def test_much_data_is_not_copied() -> None:
    raw = wire.WriteContentRequest(ref="r", data=bytes(_LARGE)).SerializeToString()
    taken = take_apart(raw)
    assert isinstance(taken.data, memoryview)
    assert taken.data.obj is raw
    assert not taken.fields.data
