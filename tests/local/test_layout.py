"""Names on disk come from digests and hashes alone; no ref becomes a path."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError, InvalidRefError
from contentdb.local.layout import SHARDS, ingest_name
from contentdb.refs import check_namespace, check_ref
from tests.inside import blob_path

ROOT = Path("/root of a store")


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_blob_path(algorithm: str) -> None:
    digest = Digest.of(b"content", algorithm)
    hexadecimal = digest.encoded
    assert blob_path(ROOT, digest) == ROOT / "blobs" / algorithm / hexadecimal[:2] / hexadecimal
    assert digest.encoded[:2] == hexadecimal[:2]


def test_shards() -> None:
    assert len(set(SHARDS)) == 256
    assert (SHARDS[0], SHARDS[255]) == ("00", "ff")


@given(st.text(min_size=1))
def test_any_ref_has_a_harmless_name(ref: str) -> None:
    try:
        check_ref(ref)
    except InvalidRefError:
        return
    assert re.fullmatch("[0-9a-f]{32}", ingest_name("default", ref))


def test_ingest_name_is_xxh3_128() -> None:
    assert ingest_name("default", "a/b") == xxhash.xxh3_128_hexdigest(b"a/b")
    assert ingest_name("other", "a/b") != ingest_name("default", "a/b")


@pytest.mark.parametrize(
    ("ref", "reason"),
    [("", "empty"), ("a\0b", "NUL"), ("é" * 2049, "4098 bytes"), ("\ud800", "Unicode"), (7, "int")],
)
def test_bad_refs(ref: object, reason: str) -> None:
    with pytest.raises(InvalidRefError, match=reason):
        check_ref(ref)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["default", "a", "k8s.io", "a-b_c.d", "x" * 76])
def test_namespaces(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize(
    "name", ["", "a b", "-a", "a-", "a..b", "a/b", "é", "x" * 77, "a\n", "a\0b"]
)
def test_bad_namespaces(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="namespace"):
        check_namespace(name)
