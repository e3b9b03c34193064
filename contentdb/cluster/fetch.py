"""Reads the bytes of content from where its row says they are."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from contentdb.cluster.extents import Piece
from contentdb.cluster.mark import check_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from contentdb.cluster.extents import Place, Run
    from contentdb.cluster.resources import Resources

__all__ = ["MissingError", "fetch", "fetch_pieces", "is_whole"]

_AHEAD: Final = 3
_PIECE_BYTES: Final = 8 << 20


class MissingError(Exception):
    """An object is gone, or shorter than its row says. Its key is the argument."""


def fetch(resources: Resources, place: Place, offset: int, size: int) -> Iterator[bytes]:
    """Yield bytes in pieces, of which up to three are read ahead.

    Raises:
        MissingError: An object is not what the row says.
        StorageError: The object store does not answer, or the whole bucket is away.
    """
    if place.inline is not None:
        return iter((place.inline[offset : offset + size],))
    return fetch_pieces(resources, place.pieces(offset, size))


def fetch_pieces(resources: Resources, wanted: Iterable[Piece]) -> Iterator[bytes]:
    """Yield the bytes of parts of objects; see `fetch`."""
    left = _smaller(wanted)
    first = next(left, None)
    second = next(left, None)
    if second is None:  # no thread for what one request brings
        if first is not None:
            yield _get(resources, first)
        return
    ahead = deque(
        (one, resources.start(lambda one=one: _get(resources, one)))  # type: ignore[misc]
        for one in (first, second)
        if one is not None
    )
    while ahead:
        piece = next(left, None) if len(ahead) < _AHEAD else None
        if piece is not None:
            ahead.append((piece, resources.start(lambda one=piece: _get(resources, one))))  # type: ignore[misc]
            continue
        yield ahead.popleft()[1].result()


def _smaller(wanted: Iterable[Piece]) -> Iterator[Piece]:
    for key, offset, size in wanted:
        for at in range(0, size, _PIECE_BYTES):
            yield Piece(key, offset + at, min(_PIECE_BYTES, size - at))


def _get(resources: Resources, piece: Piece) -> bytes:
    data = resources.bucket.get(*piece)
    if data is None or len(data) != piece.size:
        check_there(resources.bucket, resources.meta.uuid, piece.key)
        raise MissingError(piece.key)
    return data


def is_whole(resources: Resources, place: Place, size: int) -> bool:
    """Return whether the objects are there with their sizes; no byte is read.

    Raises:
        StorageError: The object store does not answer, or the whole bucket is away.
    """
    if place.inline is not None:
        return True
    if not place.runs:
        whole = resources.bucket.size(place.key or "") == size
    else:
        whole = _has_runs(resources, place.runs)
    if not whole:
        check_there(resources.bucket, resources.meta.uuid, place.key or "")
    return whole


def _has_runs(resources: Resources, runs: tuple[Run, ...]) -> bool:
    found: dict[str, int] = {}
    for prefix in {run.prefix for run in runs}:
        found |= resources.bucket.sizes(prefix)
    return all(
        found.get(key) == size
        for run in runs
        for key, size in zip(run.objects(), run.sizes(), strict=True)
    )
