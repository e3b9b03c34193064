"""Digests: a value that is valid once it exists, and hashing of bytes as they stream through.

The form ``algorithm:encoded`` is that of the OCI image specification
(https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests), narrowed to
the three algorithms that are safe to address content by.
"""

from __future__ import annotations

from contextlib import suppress

import xxhash

from contentdb.errors import (
    DigestLengthError,
    InvalidDigestError,
    MalformedDigestError,
    UnsupportedAlgorithmError,
)
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Callable
    from typing import Final, Self

    from typing_extensions import Buffer

__all__ = [
    "ALGORITHMS",
    "DEFAULT_ALGORITHM",
    "MISMATCH",
    "Digest",
    "Hasher",
    "checksum_of",
    "new_hash",
    "signed",
]

DEFAULT_ALGORITHM: Final = "sha256"

ALGORITHMS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Supported algorithms and the length of their lower-case hexadecimal text."""

_FORM: Final = r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)"

MISMATCH: Final = "its bytes do not match its digest"
"""The reason of a `CorruptBlobError`."""


class Digest(str):
    """The text ``algorithm:encoded``, checked once: code that gets a Digest need not check it.

    It is a ``str``: equal to, hashed and sorted like its text.

    Raises:
        MalformedDigestError: Not of the form, or not lower-case hexadecimal.
        DigestLengthError: Too short or too long for its algorithm.
        UnsupportedAlgorithmError: Anything but sha256, sha384 and sha512.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Parse a text; return a Digest unchanged."""
        if type(text) is cls:
            return text
        if not isinstance(text, str):
            raise MalformedDigestError(repr(text), f"a digest is text, not {type(text).__name__}")
        if not _is_valid(text):
            raise _error_for(text)
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: Buffer, algorithm: str = DEFAULT_ALGORITHM) -> Self:
        """Hash bytes that are all in memory."""
        text = f"{algorithm}:{new_hash(algorithm, data).hexdigest()}"
        return super().__new__(cls, text) if algorithm in ALGORITHMS else cls(text)

    @classmethod
    def of_raw(cls, algorithm: str, raw: bytes) -> Self:
        """Make a digest of one of the `ALGORITHMS` from its bytes, as many as it has."""
        return super().__new__(cls, f"{algorithm}:{raw.hex()}")

    def matches(self, data: Buffer) -> bool:
        """Return whether bytes that are all in memory have this digest."""
        return new_hash(self[:6], data).hexdigest() == self[7:]

    @property
    def algorithm(self) -> str:
        """What comes before the colon, e.g. ``sha256``."""
        return self[:6]

    @property
    def encoded(self) -> str:
        """The lower-case hexadecimal text after the colon."""
        return self[7:]


def _is_valid(text: str) -> bool:
    """Return whether a text is a digest; `re` would take longer to import than a look-up."""
    encoded = text[7:]
    return (
        ALGORITHMS.get(text[:6]) == len(encoded)
        and text[6] == ":"
        and encoded.isascii()
        and not encoded.encode().translate(None, b"0123456789abcdef")
    )


def _error_for(text: str) -> InvalidDigestError:
    """Choose the error class that says what is wrong with a text."""
    import re

    form = re.fullmatch(_FORM, text)
    if form is None:
        return MalformedDigestError(text, "it must have the form algorithm:hexadecimal")
    algorithm, encoded = form.groups()
    if algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        return UnsupportedAlgorithmError(
            text, f"algorithm {algorithm} is not supported; use one of {known}"
        )
    if len(encoded) != ALGORITHMS[algorithm]:
        wanted = ALGORITHMS[algorithm]
        return DigestLengthError(
            text, f"{algorithm} has {wanted} hexadecimal characters, not {len(encoded)}"
        )
    return MalformedDigestError(text, "only the characters 0-9 and a-f may follow the colon")


def new_hash(algorithm: str, data: Buffer = b"") -> hashlib._Hash:
    """Begin a running hash of one of the `ALGORITHMS`, with ``data`` as its first bytes."""
    begin = _begins.get(algorithm) or _find_begin(algorithm)
    return begin(data)


_begins: dict[str, Callable[[Buffer], hashlib._Hash]] = {}


def _find_begin(algorithm: str) -> Callable[[Buffer], hashlib._Hash]:
    begin: Callable[[Buffer], hashlib._Hash] | None = None
    if algorithm in ALGORITHMS:
        with suppress(ImportError):  # of a Python without OpenSSL
            import _hashlib  # loads OpenSSL, 3 ms that a call of `Store.path` need not spend

            begin = getattr(_hashlib, f"openssl_{algorithm}")
    if begin is None:  # `hashlib` would take the same, and import more for it
        import hashlib

        begin = getattr(hashlib, algorithm)
    _begins[algorithm] = begin
    return begin


class Hasher:
    """The running digest of a stream, together with the checksum for quick verification.

    The checksum is XXH3 with 64 bits (https://github.com/Cyan4973/xxHash): it finds accidental
    damage at many times the speed of a digest, but does not detect forged content.
    """

    __slots__ = ("_checksum", "_digest", "algorithm")

    def __init__(self, algorithm: str = DEFAULT_ALGORITHM) -> None:
        self.algorithm = algorithm
        self._digest = new_hash(algorithm)
        self._checksum = xxhash.xxh3_64()

    def update(self, data: Buffer) -> None:
        """Hash the next bytes, without the interpreter's lock, so other threads can run."""
        self._digest.update(data)
        self._checksum.update(data)

    @property
    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest(f"{self.algorithm}:{self._digest.hexdigest()}")

    @property
    def checksum(self) -> int:
        """The checksum of all bytes so far, as a signed 64-bit integer."""
        return signed(self._checksum.intdigest())


def checksum_of(data: Buffer) -> int:
    """Return the XXH3-64 of bytes that are all in memory, as a signed 64-bit integer."""
    return signed(xxhash.xxh3_64_intdigest(data))


def signed(value: int) -> int:
    """Map an unsigned 64-bit integer to the signed one with the same bits, as SQLite stores it."""
    return value - (1 << 64) if value >> 63 else value
