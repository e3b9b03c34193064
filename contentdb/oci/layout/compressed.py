"""Compressed tars, by gzip and zstd: told by their first bytes when read, by name when written.

Of a stranger's archive no more is expanded than its reader asks for; an archive that expands
without end, or of which nothing comes, is refused.
"""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from contentdb.errors import MissingExtraError
from contentdb.oci.errors import InvalidManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from contentdb.content import Source

__all__ = [
    "MAGIC_BYTES",
    "SUFFIXES",
    "Compression",
    "Expanded",
    "Metered",
    "compression_of",
    "compressor",
    "is_compressed",
]

Compression = Literal["gzip", "zstd"]

SUFFIXES: Final[dict[str, Compression | None]] = {
    ".tar": None,
    ".tar.gz": "gzip",
    ".tgz": "gzip",
    ".tar.zst": "zstd",
    ".tzst": "zstd",
}
"""Ends of an archive's name, and how it is compressed."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
MAGIC_BYTES: Final = 4
_MOST_IDLE_BYTES: Final = 1 << 20
"""Limit for input without output: empty members, or a name in a header, without end."""
_MOST_RATIO: Final = 200
_FREE_BYTES: Final = 1 << 30
"""Output that may have any ratio to the input."""
_ZSTD_WINDOW_LOG: Final = 27
"""128 MiB, the most that the program ``zstd`` takes unless told otherwise."""
_BLOCK_BYTES: Final = 1 << 16
_HEADER_BYTES: Final = 512
"""The first bytes of a tar, by which it is known to be one."""


def is_compressed(head: bytes) -> bool:
    """Return whether a file's first bytes are those of gzip or zstd."""
    return head.startswith((_GZIP, _ZSTD))


def compression_of(name: str) -> Compression | None:
    """Return the compression that an archive's name asks for."""
    return next((kind for end, kind in SUFFIXES.items() if kind and name.endswith(end)), None)


class Metered:
    """Compressed input: bytes that were read ahead, then a stream; counts, and stops at a limit."""

    def __init__(self, head: bytes, stream: Source) -> None:
        self._head = head
        self._stream = stream
        self.count = 0
        self.idle: int | None = None
        """Bytes since the last output; None does not count them."""

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes, one at least."""
        piece = self._head[:size] if self._head else self._stream.read(size) or b""
        self._head = self._head[size:]
        self.count += len(piece)
        if self.idle is not None:
            self.idle += len(piece)
            if self.idle > _MOST_IDLE_BYTES + _BLOCK_BYTES:
                raise InvalidManifestError("nothing comes of its compressed bytes, without end")
        return piece

    def seekable(self) -> bool:
        """Return False: it is read once, in order."""
        return False


class Expanded:
    """The plain bytes of compressed input."""

    def __init__(self, source: Metered, head: bytes) -> None:
        """Begin to decompress; ``head`` are the first bytes, which ``source`` gives too.

        Raises:
            MissingExtraError: It is zstd, and the package for it is not installed.
        """
        self._source = source
        self._count = 0
        self._broken: tuple[type[Exception], ...] = (zlib.error, gzip.BadGzipFile)
        input_file = cast("BinaryIO", source)
        if head.startswith(_GZIP):
            self._file: Any = gzip.GzipFile(fileobj=input_file, mode="rb")
        else:
            zstd = _zstd()
            limit = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
            self._file = zstd.ZstdFile(input_file, options=limit)
            self._broken = (zstd.ZstdError,)

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; none at the end, or where the input was cut.

        Raises:
            InvalidManifestError: The input is damaged, expands without end, or was cut so early
                that nothing tells what it is.
        """
        self._source.idle = 0
        try:
            piece: bytes = self._file.read1(size)
        except EOFError:
            if self._count < _HEADER_BYTES:  # of zstd a whole block comes or nothing
                raise InvalidManifestError(
                    "it was cut off before the first of its members; get it again"
                ) from None
            return b""
        except self._broken as error:
            raise InvalidManifestError(f"its compressed bytes are damaged: {error}") from error
        self._count += len(piece)
        if self._count > _FREE_BYTES + _MOST_RATIO * self._source.count:
            raise InvalidManifestError(
                f"it expands to more than {_MOST_RATIO} times its size; if that is right, "
                "decompress it first"
            )
        return piece


@contextmanager
def compressor(file: BinaryIO, kind: Compression | None) -> Iterator[BinaryIO]:
    """Yield a file whose bytes go compressed into another; the same bytes give the same.

    Raises:
        MissingExtraError: ``kind`` is zstd, and the package for it is not installed.
    """
    if kind is None:
        yield file
    elif kind == "gzip":
        with gzip.GzipFile("", "wb", fileobj=file, mtime=0, compresslevel=6) as packed:
            yield cast("BinaryIO", packed)
    else:
        with _zstd().ZstdFile(file, "w") as packed:
            yield packed


def _zstd() -> Any:  # noqa: ANN401 - one of two modules of one interface
    """Import Python's own module, or the package that has it for older versions."""
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError("a tar compressed by zstd", "oci", error) from error
