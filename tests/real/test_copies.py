"""skopeo, ctr and contentdb each copy an image of two platforms: every copy has the same bytes.

Each copies from one docker-registry into another of its own, and the bytes are read from there by
plain HTTP. Of the other clients, neither crane nor regctl is to be had from Debian, PyPI or npm.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import urllib3

import contentdb
from contentdb.oci.documents.media_types import OCI_INDEX, OCI_MANIFEST
from tests.real.daemon import containerd, ctr
from tests.real.registry import contentdb_command, registry, run, skopeo_copy

pytestmark = [pytest.mark.real("docker-registry", "skopeo", "containerd", "ctr"), pytest.mark.root]

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
WHOLE = ("--all", "--preserve-digests")


class Layout:
    """An image layout with an index of two platforms, which share a layer."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs/sha256"
        self._blobs.mkdir(parents=True)
        shared = self._add(gzip.compress(os.urandom(2_000_000)), LAYER)
        manifests = [self._platform(name, shared) for name in ("amd64", "arm64")]
        self.top = self._document(OCI_INDEX, manifests=manifests)
        named = self.top | {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))

    def _platform(self, architecture: str, shared: dict[str, Any]) -> dict[str, Any]:
        platform = {"architecture": architecture, "os": "linux"}
        layers = [shared, self._add(gzip.compress(os.urandom(100_000)), LAYER)]
        rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        config = self._add(json.dumps(platform | {"rootfs": rootfs, "config": {}}).encode(), CONFIG)
        return self._document(OCI_MANIFEST, config=config, layers=layers) | {"platform": platform}

    def _document(self, media_type: str, **fields: object) -> dict[str, Any]:
        document = {"schemaVersion": 2, "mediaType": media_type} | fields
        return self._add(json.dumps(document, indent=1).encode(), media_type)

    def _add(self, data: bytes, media_type: str) -> dict[str, Any]:
        name = sha256(data).hexdigest()
        (self._blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    def contents(self) -> dict[str, bytes]:
        return {f"sha256:{path.name}": path.read_bytes() for path in self._blobs.iterdir()}


def contents_of(reference: str) -> dict[str, bytes]:
    """What a registry gives for a tag, all that it leads to, by digest."""
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.partition(":")
    found: dict[str, bytes] = {}

    def get(kind: str, name: str, **headers: str) -> bytes:
        url = f"http://{host}/v2/{repository}/{kind}/{name}"
        answer = pool.request("GET", url, headers=headers)
        assert answer.status == 200, answer.data
        found[answer.headers["Docker-Content-Digest"]] = answer.data
        return answer.data

    def walk(name: str) -> None:
        document = json.loads(get("manifests", name, Accept=f"{OCI_INDEX}, {OCI_MANIFEST}"))
        for entry in document.get("manifests", ()):
            walk(entry["digest"])
        for part in [document["config"], *document["layers"]] if "config" in document else ():
            get("blobs", part["digest"])

    with urllib3.PoolManager() as pool:
        walk(tag)
    return found


Copier = Callable[[str, str, Path], None]


def by_skopeo(source: str, target: str, _folder: Path) -> None:
    skopeo_copy(f"docker://{source}", f"docker://{target}", *WHOLE)


def by_ctr(source: str, target: str, _folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="cdb-") as short,
        containerd(Path(short) / "daemon") as address,
    ):
        for words in (
            ("content", "fetch", "--plain-http", "--all-platforms", source),
            ("images", "push", "--plain-http", target, source),
        ):
            done = ctr(address, *words)
            assert done.code == 0, done.err


def by_contentdb(source: str, target: str, folder: Path) -> None:
    pull = ("pull", "--plain-http", "--all-platforms", source)
    run(*contentdb_command(folder / "store", *pull))
    run(*contentdb_command(folder / "store", "push", "--plain-http", source, target))


def by_contentdb_and_a_tar(source: str, target: str, folder: Path) -> None:
    """The same by way of an archive and another store, named by its tag all the way."""
    tar = folder / "image.tar.gz"
    pull = ("pull", "--plain-http", "--all-platforms", "--tag", "team/app:v1", source)
    run(*contentdb_command(folder / "store", *pull))
    export = ("export-oci", tar, "team/app:v1", "-t", "team/app:v1")
    run(*contentdb_command(folder / "store", *export))
    run(*contentdb_command(folder / "other", "import-oci", tar))
    push = ("push", "--plain-http", "docker.io/team/app:v1", target)
    run(*contentdb_command(folder / "other", *push))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Layout]]:
    """A registry with the image, and the layout that it comes from."""
    folder = tmp_path_factory.mktemp("source")
    layout = Layout(folder / "layout")
    with registry(folder / "registry") as host:
        skopeo_copy(f"oci:{folder}/layout:v1", f"docker://{host}/team/app:v1", *WHOLE)
        yield f"{host}/team/app:v1", layout


@pytest.mark.parametrize("copy", [by_skopeo, by_ctr, by_contentdb, by_contentdb_and_a_tar])
def test_a_copy_has_the_same_digests_and_the_same_bytes(
    copy: Copier, made: tuple[str, Layout], tmp_path: Path
) -> None:
    source, layout = made
    with registry(tmp_path / "registry") as host:
        target = f"{host}/copied/app:v1"
        copy(source, target, tmp_path)
        copied = contents_of(target)
    assert copied == layout.contents()
    assert len(copied) == 8  # an index, two manifests and configs, two layers and a shared one
    assert all(digest == f"sha256:{sha256(data).hexdigest()}" for digest, data in copied.items())


def test_the_store_has_the_bytes_of_a_copy_by_another(
    made: tuple[str, Layout], tmp_path: Path
) -> None:
    """What ctr pushed, contentdb pulls."""
    source, layout = made
    with registry(tmp_path / "registry") as host:
        by_ctr(source, f"{host}/copied/app:v1", tmp_path)
        pull = ("pull", "--plain-http", "--all-platforms", "-q", f"{host}/copied/app:v1")
        assert run(*contentdb_command(tmp_path / "store", *pull)).strip() == layout.top["digest"]
    with contentdb.open(tmp_path / "store") as store:
        stored = {str(info.digest): store.read(info.digest) for info in store.walk()}
    assert stored == layout.contents()
