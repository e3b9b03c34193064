"""The two messages that carry content, put together and taken apart by hand.

protobuf copies a message's bytes twice on the way, beside the copy that gRPC makes. At a MiB a
message that is a tenth of what an ingest or a read costs the server.

The format: a field is its number and kind in one varint, then its value, which for kind 2 is a
length and so many bytes (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from contentdb.wire import content_pb2 as wire

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["WriteRequest", "frame_data", "take_apart"]

_MORE: Final = 0x80
_READ_OFFSET: Final = b"\x08"
_READ_DATA: Final = b"\x12"
"""Tags of `ReadContentResponse`."""
_WRITE_DATA: Final = 6 << 3 | 2
"""Tag of the data of `WriteContentRequest`."""
_VARINT, _LENGTH = 0, 2
_VARINT_BITS: Final = 63
_FIELDS: Final = 64
"""In a message of more fields the data is not looked for."""
_LARGE_BYTES: Final = 64 * 1024
"""Below that a copy costs less than to look for it."""


class WriteRequest(NamedTuple):
    """A `WriteContentRequest`: the message, which may be without its data, and the data."""

    fields: wire.WriteContentRequest
    data: Buffer


def frame_data(offset: int, data: bytes) -> bytes:
    """Serialize a `ReadContentResponse`: the bytes are copied once, not three times."""
    head = _READ_OFFSET + _varint(offset) + _READ_DATA if offset else _READ_DATA
    return b"".join((head, _varint(len(data)), data))


def take_apart(raw: bytes) -> WriteRequest:
    """Parse a `WriteContentRequest`; where much data is in it, that stays where it is.

    Raises:
        google.protobuf.message.DecodeError: It is no such message.
    """
    found = _data_of(raw) if len(raw) >= _LARGE_BYTES else None
    if found is None:
        message = wire.WriteContentRequest.FromString(raw)
        return WriteRequest(message, message.data)
    begin, start, end = found
    return WriteRequest(
        wire.WriteContentRequest.FromString(raw[:begin] + raw[end:]), memoryview(raw)[start:end]
    )


def _data_of(raw: bytes) -> tuple[int, int, int] | None:
    """Where the data's field begins, where its bytes do, and where they end.

    None if there is none, or in any doubt: that is left to protobuf.
    """
    found = None
    begin = 0
    try:
        for _ in range(_FIELDS):
            tag, at = _varint_at(raw, begin)
            value, end = _varint_at(raw, at)
            if tag & 7 == _LENGTH:
                at, end = end, end + value
            elif tag & 7 != _VARINT:
                return None
            if tag == _WRITE_DATA:
                if found is not None:
                    return None
                found = begin, at, end
            if end >= len(raw):
                return found if end == len(raw) else None
            begin = end
    except (IndexError, ValueError):
        pass
    return None


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while number >= _MORE:
        out.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint_at(raw: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it; ValueError if it is too long."""
    number = shift = 0
    while (byte := raw[at]) >= _MORE:
        if shift > _VARINT_BITS:
            raise ValueError(shift)
        number |= (byte - _MORE) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1
