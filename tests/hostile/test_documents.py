"""Manifests that lie: each is refused, and nothing of it reaches the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contentdb import oci
from contentdb.oci.documents.manifest import MANIFEST_BYTES
from tests.hostile.guard import attack
from tests.hostile.server import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Image,
    Request,
    descriptor,
    manifest_reply,
    sha,
)

IMAGE = Image()
Change = Callable[[dict[str, Any]], dict[str, Any] | bytes]


def layer(**fields: object) -> Change:
    """Alter the layer's descriptor; a field that is None goes."""

    def change(document: dict[str, Any]) -> dict[str, Any] | bytes:
        entry = document["layers"][0] | fields
        document["layers"] = [{k: v for k, v in entry.items() if v is not None}]
        return document

    return change


def top(**fields: object) -> Change:
    def change(document: dict[str, Any]) -> dict[str, Any] | bytes:
        return {k: v for k, v in (document | fields).items() if v is not None}

    return change


def text(old: str, new: str) -> Change:
    def change(document: dict[str, Any]) -> dict[str, Any] | bytes:
        whole = json.dumps(document)
        assert old in whole
        return whole.replace(old, new, 1).encode()

    return change


def nested(depth: int, opening: str, closing: str) -> Change:
    return text('"schemaVersion"', f'"x": {opening * depth}1{closing * depth}, "schemaVersion"')


HEX = "a" * 64
CHANGES: dict[str, Change] = {
    "layers and manifests": top(manifests=[descriptor(MANIFEST, IMAGE.manifest)]),
    "layers and empty manifests": top(manifests=[]),
    "index with layers": top(mediaType=INDEX),
    "index with config": top(mediaType=INDEX, layers=None, manifests=[]),
    "index with both": top(mediaType=INDEX, manifests=[]),
    "no layers": top(layers=None),
    "no config": top(config=None),
    "config is a list": top(config=[]),
    "config is text": top(config="sha256:" + HEX),
    "layers is an object": top(layers={}),
    "layers is text": top(layers="x"),
    "layers hold text": top(layers=["sha256:" + HEX]),
    "layers hold null": top(layers=[None]),
    "layers hold lists": top(layers=[[]]),
    "layers without end": top(layers=[{}] * 5000),
    "schema version 1": top(schemaVersion=1),
    "schema version 3": top(schemaVersion=3),
    "schema version text": top(schemaVersion="2"),
    "schema version true": top(schemaVersion=True),
    "schema version missing": top(schemaVersion=None),
    "schema 1 inside": top(mediaType="application/vnd.docker.distribution.manifest.v1+prettyjws"),
    "fsLayers": top(fsLayers=[]),
    "unknown media type": top(mediaType="application/x-unknown"),
    "media type against header": top(
        mediaType="application/vnd.docker.distribution.manifest.v2+json"
    ),
    "media type is a number": top(mediaType=7),
    "media type with a newline": top(mediaType=MANIFEST + "\n"),
    "artifact type with a newline": top(artifactType="a/b\r\nc"),
    "artifact type is a list": top(artifactType=[]),
    "subject is text": top(subject="x"),
    "subject with a bad digest": top(subject={"mediaType": "a/b", "size": 1, "digest": "x"}),
    "size negative": layer(size=-1),
    "size very negative": layer(size=-(2**63)),
    "size a fraction": layer(size=1.5),
    "size a round fraction": text(f'"size": {len(IMAGE.layer)}', f'"size": {len(IMAGE.layer)}.0'),
    "size with an exponent": text(f'"size": {len(IMAGE.layer)}', '"size": 3e5'),
    "size 2**63": layer(size=2**63),
    "size of many digits": text(f'"size": {len(IMAGE.layer)}', '"size": ' + "9" * 5000),
    "size text": layer(size="1"),
    "size true": layer(size=True),
    "size null": text(f'"size": {len(IMAGE.layer)}', '"size": null'),
    "size missing": layer(size=None),
    "size NaN": text(f'"size": {len(IMAGE.layer)}', '"size": NaN'),
    "size Infinity": text(f'"size": {len(IMAGE.layer)}', '"size": -Infinity'),
    "digest climbs": layer(digest="sha256:../../../../etc/passwd"),
    "digest climbs with its length": layer(digest="sha256:" + "../" * 21 + "a"),
    "digest algorithm climbs": layer(digest="../sha256:" + HEX),
    "digest absolute": layer(digest="/etc/passwd"),
    "digest upper case": layer(digest="sha256:" + HEX.upper()),
    "digest short": layer(digest="sha256:" + HEX[:-1]),
    "digest long": layer(digest="sha256:" + HEX + "a"),
    "digest with a newline": layer(digest="sha256:" + HEX + "\n"),
    "digest with a NUL": layer(digest="sha256:" + HEX[:-1] + "\0"),
    "digest of other digits": layer(digest="sha256:" + HEX[:-1] + "\u0661"),
    "digest md5": layer(digest="md5:" + HEX[:32]),
    "digest sha1": layer(digest="sha1:" + HEX[:40]),
    "digest with a query": layer(digest="sha256:" + HEX[:-4] + "?a=b"),
    "digest empty": layer(digest=""),
    "digest missing": layer(digest=None),
    "digest a number": layer(digest=5),
    "descriptor without a type": layer(mediaType=None),
    "descriptor type with a newline": layer(mediaType="a/b\nAuthorization: x"),
    "annotation not text": layer(annotations={"a": 1}),
    "annotations a list": layer(annotations=[]),
    "platform a list": layer(platform=[]),
    "one digest, two sizes": top(
        layers=[descriptor(LAYER, IMAGE.layer), descriptor(LAYER, IMAGE.layer) | {"size": 5}]
    ),
    "key twice at the top": text('"schemaVersion"', '"layers": [], "schemaVersion"'),
    "media type twice": text('"schemaVersion"', f'"mediaType": "{INDEX}", "schemaVersion"'),
    "key twice in a descriptor": text('"size"', '"size": 1, "size"'),
    "key twice, escaped": text('"schemaVersion"', '"\\u006cayers": [], "schemaVersion"'),
    "lists too deep": nested(33, "[", "]"),
    "objects too deep": nested(33, '{"a":', "}"),
    "lists that fill a stack": nested(200_000, "[", "]"),
    "objects that fill a stack": nested(200_000, '{"a":', "}"),
    "opened and never closed": lambda _: b"[" * 1_000_000,
    "quotes never closed": lambda _: b'{"' + b"\\" * 1_000_000,
    "escaped quotes never closed": lambda _: b'{"a":"' + b'\\"' * 2_000_000,
    "empty": lambda _: b"",
    "a list": lambda _: b"[]",
    "a text": lambda _: b'"x"',
    "a number": lambda _: b"2",
    "null": lambda _: b"null",
    "not JSON": lambda _: b"<html>",
    "rubbish after it": lambda d: json.dumps(d).encode() + b"{}",
    "a byte order mark": lambda d: b"\xef\xbb\xbf" + json.dumps(d).encode(),
    "UTF-16": lambda d: json.dumps(d).encode("utf-16"),
    "not UTF-8": lambda _: b'{"schemaVersion":2,"x":"\xff\xfe"}',
    "gzip": lambda _: b"\x1f\x8b\x08\x00" + bytes(100),
    "over 4 MiB": text('"schemaVersion"', '"x": "' + "y" * MANIFEST_BYTES + '", "schemaVersion"'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_bad_manifest_is_refused_before_anything_is_fetched(
    change: Change, tmp_path: Path
) -> None:
    changed = change(IMAGE.document())
    data = changed if isinstance(changed, bytes) else json.dumps(changed).encode()

    def script(request: Request) -> bytes:
        return manifest_reply(data) if request.is_manifest else IMAGE.answer(request)

    seen = attack(tmp_path, lambda _server: script)
    assert isinstance(seen.error, oci.InvalidManifestError | oci.HostileRegistryError)
    assert seen.blobs == []
    assert all(request.is_manifest for request in seen.requests)


def index_of(*entries: dict[str, object]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def chain(length: int) -> list[bytes]:
    documents = [IMAGE.manifest]
    for n in range(length):
        documents.append(index_of(descriptor(INDEX if n else MANIFEST, documents[-1])))
    return documents


FAKE = descriptor(MANIFEST, b"not there")
INDEXES: dict[str, tuple[list[bytes], type[Exception]]] = {
    "indexes without end": (chain(9), oci.InvalidManifestError),
    "child of another size": (
        [IMAGE.manifest, index_of(descriptor(MANIFEST, IMAGE.manifest) | {"size": 5})],
        oci.HostileRegistryError,
    ),
    "child longer than said": (
        [IMAGE.manifest, index_of(descriptor(MANIFEST, IMAGE.manifest) | {"size": 10**6})],
        oci.HostileRegistryError,
    ),
    "child too long for a manifest": (
        [IMAGE.manifest, index_of(descriptor(MANIFEST, IMAGE.manifest) | {"size": 2**40})],
        oci.InvalidManifestError,
    ),
    "child of another type": (
        [IMAGE.manifest, index_of(descriptor(INDEX, IMAGE.manifest))],
        oci.InvalidManifestError,
    ),
    "child absent": ([index_of(FAKE)], oci.ObjectNotFoundError),
    "child with other bytes": ([b"{}", index_of(FAKE | {"size": 2})], oci.HostileRegistryError),
}


@pytest.mark.parametrize(("documents", "kind"), INDEXES.values(), ids=INDEXES.keys())
def test_a_bad_index_is_refused(
    documents: list[bytes], kind: type[Exception], tmp_path: Path
) -> None:
    by_digest = {sha(document): document for document in documents}

    def script(request: Request) -> bytes:
        if not request.is_manifest:
            return IMAGE.answer(request)
        name = request.path.rpartition("/")[2]
        if name == FAKE["digest"] and documents[0] == b"{}":
            return manifest_reply(documents[0])
        data = documents[-1] if name == "latest" else by_digest.get(name)
        if data is None:
            return IMAGE.answer(Request("GET", "/404", {}))
        return manifest_reply(data, json.loads(data).get("mediaType"))

    seen = attack(tmp_path, lambda _server: script)
    assert isinstance(seen.error, kind)


def test_urls_of_a_descriptor_are_never_asked(tmp_path: Path) -> None:
    document = IMAGE.document()
    document["layers"] = [descriptor(LAYER, IMAGE.layer, urls=["http://127.0.0.9:9/layer"])]
    data = json.dumps(document).encode()

    def script(request: Request) -> bytes:
        return manifest_reply(data) if request.is_manifest else IMAGE.answer(request)

    seen = attack(tmp_path, lambda _server: script)
    assert seen.error is None
    assert sorted(seen.blobs) == sorted([sha(data), sha(IMAGE.config), sha(IMAGE.layer)])


def test_an_honest_registry_is_believed(tmp_path: Path) -> None:
    seen = attack(tmp_path, lambda _server: IMAGE.answer)
    assert seen.error is None
    assert CONFIG
    assert sha(IMAGE.layer) in seen.blobs
