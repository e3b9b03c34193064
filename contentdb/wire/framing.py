"""Serializes and parses by hand the two messages that carry content.

protobuf copies a message's bytes twice, beside the copy that gRPC makes. With 1 MiB per message
that is a tenth of what an ingest or a read costs the server.

The format: a field is its number and kind in one varint, then its value; for kind 2 the value is
a length and that many bytes (https://protobuf.dev/programming-guides/encoding).
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
"""In a message with more fields the data is left to protobuf."""
_LARGE_BYTES: Final = 64 * 1024
"""Below this size a copy is cheaper than a search for the data."""


class WriteRequest(NamedTuple):
    """A `WriteContentRequest`: its data, and the message, which may lack the data."""

    fields: wire.WriteContentRequest
    data: Buffer


def frame_data(offset: int, data: bytes) -> bytes:
    """Serialize a `ReadContentResponse`, copying the bytes once instead of three times."""
    head = _READ_OFFSET + _varint(offset) + _READ_DATA if offset else _READ_DATA
    return b"".join((head, _varint(len(data)), data))


def take_apart(raw: bytes) -> WriteRequest:
    """Parse a `WriteContentRequest` without copying large data.

    Raises:
        google.protobuf.message.DecodeError: The bytes are no such message.
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
    """Return where the data's field begins, where its bytes begin, and where they end.

    Return None if there is no data or the form is unusual: protobuf then parses the message.
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
    """Encode a number with seven bits per byte, the lowest first."""
    out = bytearray()
    while number >= _MORE:
        out.append(number & (_MORE - 1) | _MORE)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint_at(raw: bytes, at: int) -> tuple[int, int]:
    """Return the varint at ``at`` and the offset after it; raise `ValueError` if it is too long."""
    number = shift = 0
    while (byte := raw[at]) >= _MORE:
        if shift > _VARINT_BITS:
            raise ValueError(shift)
        number |= (byte - _MORE) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1
