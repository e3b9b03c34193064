"""Reads the archives of ``docker save`` as layouts, and writes the file that ``docker load`` needs.

``manifest.json`` at the top lists images: the file of the config, the files of the layers, names.
Sources: https://github.com/moby/docker-image-spec (v1.2, "Combined Image JSON + Filesystem
Changeset Format") and moby's ``image/tarexport``. Such an archive has no manifests, so one is made
for each image: the OCI manifest that ``docker save`` writes since Docker 25. The same archive gives
the same digests.
"""

from __future__ import annotations

import io
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.digest import Digest, Hasher
from contentdb.errors import InvalidDigestError
from contentdb.oci.documents.manifest import MANIFEST_BYTES, Descriptor
from contentdb.oci.documents.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
)
from contentdb.oci.documents.strict_json import parse_list, parse_object
from contentdb.oci.errors import InvalidManifestError, shown
from contentdb.oci.layout.compressed import MAGIC_BYTES
from contentdb.oci.layout.names import annotations_of, names_for, whole_name
from contentdb.oci.layout.survey import blob_name, read_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from contentdb.oci.documents.graph import Tree
    from contentdb.oci.documents.manifest import Document
    from contentdb.oci.layout.names import Names
    from contentdb.oci.layout.tar_headers import Place
    from contentdb.oci.layout.tarball import Tarball

__all__ = ["MANIFEST_JSON", "DockerArchive", "docker_manifest"]

MANIFEST_JSON: Final = "manifest.json"

_MOST_LAYERS: Final = 4096
_ALL_CONFIG_BYTES: Final = 32 << 20
"""Limit for the configs of all images, which are parsed; each file once."""
_DIGEST_IN_NAME: Final = re.compile(r"(?:.*/|sha256:)?([0-9a-f]{64})(?:\.json)?")
_PIECE_BYTES: Final = 1 << 20
_COMPRESSIONS: Final = {b"\x1f\x8b": "+gzip", b"\x28\xb5\x2f\xfd": "+zstd"}
_WITHOUT_TYPE: Final = (b"BZh", b"\xfd7zX")
"""bzip2 and xz, for which there are no media types of layers."""


class _Blob(NamedTuple):
    """What a file of the archive is as a blob."""

    media_type: str
    digest: Digest
    size: int

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class DockerArchive:
    """The files of an archive under the names that they have in a layout."""

    def __init__(self, tar: Tarball) -> None:
        """Read the configs, and the layers that are compressed, to know all digests.

        Raises:
            InvalidManifestError: The archive breaks the rules, or lacks a file.
        """
        self._tar = tar
        self._files: dict[str, str] = {}
        """Names in the archive, by name in the layout."""
        self._made: dict[str, bytes] = {}
        """Manifests, by name in the layout."""
        self._configs: dict[Place, tuple[_Blob, Sequence[Digest | None] | None]] = {}
        self._hashed: dict[Place, Digest] = {}
        self._config_bytes = 0
        images = parse_list(read_small(tar, MANIFEST_JSON), most_bytes=MANIFEST_BYTES)
        self.entries = [entry for image in images for entry in self._image(image)]
        """The images, one for each name."""

    def open(self, name: str) -> BinaryIO:
        """Open a file by its name in a layout; errors are those of a tar."""
        made = self._made.get(name)
        return self._tar.open(self._files.get(name, name)) if made is None else io.BytesIO(made)

    def path(self, name: str) -> Path | None:  # noqa: ARG002 - as of a tar
        """Return None: no file of a tar has a path."""
        return None

    def _image(self, raw: object) -> Iterable[Descriptor]:
        """Make an image's manifest; yield its descriptor with each of its names."""
        if not isinstance(raw, dict):
            raise InvalidManifestError(f"{MANIFEST_JSON} lists what is no image")
        config_name = _texts([raw.get("Config")], "Config")[0]
        layer_names = _texts(raw.get("Layers"), "Layers")
        tags = _texts(raw.get("RepoTags"), "RepoTags")
        config, diff_ids = self._config(config_name)
        if diff_ids is None:
            diff_ids = [None] * len(layer_names)
        if len(layer_names) != len(diff_ids):
            reason = f"has {len(diff_ids)} layers, and {MANIFEST_JSON} names {len(layer_names)}"
            raise InvalidManifestError(f"{shown(config_name)} {reason}")
        layers = [
            self._layer(name, diff_id) for name, diff_id in zip(layer_names, diff_ids, strict=True)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.descriptor(),
            "layers": [layer.descriptor() for layer in layers],
        }
        data = json.dumps(manifest, separators=(",", ":")).encode()
        digest = Digest.of(data)
        self._made[blob_name(digest)] = data
        for named in [annotations_of(tag) for tag in tags] or [{}]:
            yield Descriptor(OCI_MANIFEST, digest, len(data), {}, named)

    def _config(self, name: str) -> tuple[_Blob, Sequence[Digest | None] | None]:
        """Return an image's config, and the digests of its plain layers, if it has them."""
        try:
            place = self._tar.place(name)
        except FileNotFoundError:
            raise _lacks(name) from None
        if place not in self._configs:
            self._config_bytes += place.size
            if self._config_bytes > _ALL_CONFIG_BYTES:
                raise InvalidManifestError("the configs of its images have too many bytes")
            self._configs[place] = self._read_config(name)
        config, diff_ids = self._configs[place]
        named = _DIGEST_IN_NAME.fullmatch(name)
        if named is not None and named[1] != config.digest.encoded:
            raise InvalidManifestError(f"{shown(name)} is not what its name says")
        return config, diff_ids

    def _read_config(self, name: str) -> tuple[_Blob, Sequence[Digest | None] | None]:
        data = read_small(self._tar, name)
        digest = Digest.of(data)
        self._files[blob_name(digest)] = name
        config = _Blob(OCI_CONFIG, digest, len(data))
        rootfs = parse_object(data, most_bytes=MANIFEST_BYTES).get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if diff_ids is None:
            return config, None
        try:
            return config, [Digest(text) for text in _texts(diff_ids, "rootfs.diff_ids")]
        except InvalidDigestError as error:
            raise InvalidManifestError(f"{shown(name)}, rootfs.diff_ids: {error}") from None

    def _layer(self, name: str, diff_id: Digest | None) -> _Blob:
        """Return a layer; the digest of a plain one is in the config, and checked on import."""
        try:
            with self._tar.open(name) as file:
                head = file.read(MAGIC_BYTES)
                size = file.seek(0, os.SEEK_END)
            place = self._tar.place(name)
        except FileNotFoundError:
            raise _lacks(name) from None
        if head.startswith(_WITHOUT_TYPE):
            reason = "is compressed by bzip2 or xz, for which layers have no media type"
            raise InvalidManifestError(f"{shown(name)} {reason}; load it into docker, and save it")
        suffix = next((end for magic, end in _COMPRESSIONS.items() if head.startswith(magic)), "")
        digest = None if suffix else diff_id
        if digest is None:
            digest = self._hashed.get(place) or self._hash(name)
            self._hashed[place] = digest
        self._files[blob_name(digest)] = name
        return _Blob(OCI_LAYER + suffix, digest, size)

    def _hash(self, name: str) -> Digest:
        hasher = Hasher()
        with self._tar.open(name) as file:
            while piece := file.read(_PIECE_BYTES):
                hasher.update(piece)
        return hasher.digest


def _lacks(name: str) -> InvalidManifestError:
    return InvalidManifestError(
        f"{MANIFEST_JSON} names {shown(name)}, which it lacks; get it again"
    )


def _texts(raw: object, where: str) -> list[str]:
    """Return a list of texts; null means an empty one."""
    texts = [] if raw is None else raw
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidManifestError(f"{where} is not a list of texts")
    if len(texts) > _MOST_LAYERS:
        raise InvalidManifestError(f"{where} has more than {_MOST_LAYERS} entries")
    return texts


def docker_manifest(trees: Iterable[Tree], names: Names) -> bytes | None:
    """Return the ``manifest.json`` by which ``docker load`` takes images from a layout's tar.

    It lists the images of one platform, which is all that it can tell; None if there are none.
    """
    images = []
    for tree in trees:
        manifests = [node.document for node in tree.nodes if _is_image(node.document)]
        if len(manifests) != 1 or (config := manifests[0].config) is None:
            continue
        tags = [whole for name in names_for(names, tree.top.digest) if (whole := whole_name(name))]
        image = {
            "Config": blob_name(config.digest),
            "RepoTags": tags or None,
            "Layers": [blob_name(layer.digest) for layer in manifests[0].layers],
        }
        images.append(image)
    return json.dumps(images, separators=(",", ":")).encode() if images else None


def _is_image(document: Document) -> bool:
    """Return whether a manifest is that of an image, not of an artifact or an attestation."""
    config = document.config
    return (
        config is not None
        and config.media_type in {OCI_CONFIG, DOCKER_CONFIG}
        and all(layer.media_type.startswith((OCI_LAYER, DOCKER_LAYER)) for layer in document.layers)
    )
