"""Scripted registries that have images, indexes and artifacts under ``a/b``."""

import json

from tests.hostile.server import (
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    Image,
    Reply,
    Request,
    descriptor,
    sha,
)
from tests.oci.shelf import Rule, Shelf

IMAGE = Image()
TOP = sha(IMAGE.manifest)
LAYER_DIGEST = sha(IMAGE.layer)
AMD, ARM, RISC = (
    {"os": "linux", "architecture": architecture} for architecture in ("amd64", "arm64", "riscv64")
)


def nothing(_request: Request, _shelf: Shelf) -> Reply | None:
    return None


def put(shelf: Shelf, *documents: bytes, blobs: tuple[bytes, ...] = (), tag: str = "v1") -> None:
    """Fill the repository ``a/b``; the first document has the tag."""
    for document in documents:
        kept = json.loads(document)["mediaType"], document
        shelf.manifests["a/b", sha(document)] = kept
    shelf.manifests["a/b", tag] = shelf.manifests["a/b", sha(documents[0])]
    shelf.blobs.update({sha(blob): blob for blob in blobs})


def source_of(rule: Rule = nothing) -> Shelf:
    shelf = Shelf(rule)
    put(shelf, IMAGE.manifest, blobs=(IMAGE.config, IMAGE.layer))
    return shelf


def manifest_of(n: int) -> tuple[bytes, bytes, bytes]:
    """A manifest, its config and its layer."""
    config, layer = json.dumps({"n": n}).encode(), str(n).encode() * 1000
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": [descriptor(LAYER, layer)],
    }
    return json.dumps(document).encode(), config, layer


def index_of(*entries: dict[str, object]) -> bytes:
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
    return json.dumps(document).encode()


ONE, TWO, THREE = (manifest_of(n) for n in range(3))
INNER = index_of(
    descriptor(MANIFEST, TWO[0], platform=ARM), descriptor(MANIFEST, THREE[0], platform=RISC)
)
OUTER = index_of(descriptor(MANIFEST, ONE[0], platform=AMD), descriptor(INDEX, INNER))


def nested(rule: Rule = nothing) -> Shelf:
    shelf = Shelf(rule)
    blobs = (*ONE[1:], *TWO[1:], *THREE[1:])
    put(shelf, OUTER, INNER, ONE[0], TWO[0], THREE[0], blobs=blobs)
    return shelf


def artifact(subject: bytes, kind: str, layer: bytes = b"proof") -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": f"application/vnd.example.{kind}",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.example", layer)],
        "subject": descriptor(json.loads(subject)["mediaType"], subject),
    }
    return json.dumps(document).encode()


SBOM = artifact(IMAGE.manifest, "sbom", b"bill")
SIGNATURE = artifact(SBOM, "signature")


def list_under(shelf: Shelf, subject: bytes, *entries: dict[str, object]) -> None:
    put(shelf, index_of(*entries), tag=sha(subject).replace(":", "-"))


def with_artifacts(rule: Rule = nothing) -> Shelf:
    """An image with an SBOM that is signed, listed under the tags that clients keep."""
    shelf = source_of(rule)
    put(shelf, SBOM, SIGNATURE, blobs=(b"{}", b"bill", b"proof"), tag="sbom")
    list_under(shelf, IMAGE.manifest, descriptor(MANIFEST, SBOM))
    list_under(shelf, SBOM, descriptor(MANIFEST, SIGNATURE))
    return shelf
