"""Digests are parsed once, and cannot hold nonsense."""

from __future__ import annotations

import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contentdb.digest import ALGORITHMS, Digest, Hasher, checksum_of
from contentdb.errors import (
    DigestLengthError,
    InvalidDigestError,
    MalformedDigestError,
    UnsupportedAlgorithmError,
)

# The vectors of FIPS 180-4 for "abc", as published by NIST.
ABC = {
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "sha384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
    "8086072ba1e7cc2358baeca134c825a7",
    "sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digest_of_known_content(algorithm: str) -> None:
    digest = Digest.of(b"abc", algorithm)
    assert digest == f"{algorithm}:{ABC[algorithm]}"
    assert (digest.algorithm, digest.encoded) == (algorithm, ABC[algorithm])
    assert Digest(str(digest)) == digest


def test_a_digest_is_its_text() -> None:
    """Equal, hashed, sorted and pickled like the text, so it may be a key or a JSON value."""
    digest = Digest.of(b"abc")
    text = str.__str__(digest)
    assert digest == text
    assert set(dict.fromkeys([digest, text])) == {text}
    assert Digest(digest) is digest
    assert type(pickle.loads(pickle.dumps(digest))) is Digest  # noqa: S301
    with pytest.raises(AttributeError):
        digest.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("", MalformedDigestError, "form"),
        (":", MalformedDigestError, "form"),
        ("abc", MalformedDigestError, "form"),
        ("sha256:" + "a" * 64 + "\n", MalformedDigestError, "form"),
        (" sha256:" + "a" * 64, MalformedDigestError, "form"),
        ("SHA256:" + "a" * 64, MalformedDigestError, "form"),
        ("sha256:../" + "a" * 61, MalformedDigestError, "form"),
        ("sha256:" + "٣" * 64, MalformedDigestError, "form"),
        ("sha256:" + "A" * 64, MalformedDigestError, "0-9 and a-f"),
        ("sha256:" + "g" * 64, MalformedDigestError, "0-9 and a-f"),
        ("sha256:" + "a" * 63, DigestLengthError, "64"),
        ("sha384:" + "a" * 64, DigestLengthError, "96"),
        ("sha512:" + "a" * 64, DigestLengthError, "128"),
        ("md5:" + "a" * 32, UnsupportedAlgorithmError, "md5"),
        ("sha1:" + "a" * 40, UnsupportedAlgorithmError, "sha1"),
        ("blake3:" + "a" * 64, UnsupportedAlgorithmError, "sha256, sha384, sha512"),
        (b"sha256:" + b"a" * 64, MalformedDigestError, "bytes"),
        (None, MalformedDigestError, "NoneType"),
    ],
)
def test_refusals_say_why(text: object, error: type[InvalidDigestError], reason: str) -> None:
    with pytest.raises(error, match=reason) as caught:
        Digest(text)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_digest_or_refused(text: str) -> None:
    try:
        digest = Digest(text)
    except InvalidDigestError:
        return
    assert len(bytes.fromhex(digest.encoded)) * 2 == ALGORITHMS[digest.algorithm]


@given(st.lists(st.binary()), st.sampled_from(sorted(ALGORITHMS)))
def test_hashing_in_pieces_is_hashing_the_whole(pieces: list[bytes], algorithm: str) -> None:
    hasher = Hasher(algorithm)
    for piece in pieces:
        hasher.update(piece)
    whole = b"".join(pieces)
    assert hasher.digest == f"{algorithm}:{hashlib.new(algorithm, whole).hexdigest()}"
    assert hasher.checksum == checksum_of(whole)


@given(st.binary())
def test_checksums_fit_a_database(data: bytes) -> None:
    assert -(2**63) <= checksum_of(data) < 2**63


def test_checksum_is_xxh3() -> None:
    """XXH3-64 of nothing is 2D06800538D394C2 (the xxHash specification's test vector)."""
    assert checksum_of(b"") == 0x2D06800538D394C2
