"""Archives go to and from skopeo, ctr and umoci, and every image keeps its digest."""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb import oci
from tests.real.daemon import containerd, ctr
from tests.real.registry import (
    blobs_of,
    contentdb_command,
    make_image,
    run,
    skopeo_copy,
    top_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.real("containerd", "ctr", "skopeo", "umoci")]

NAME = "docker.io/team/app:v1"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("made"), layers=2, layer_bytes=300_000)


@pytest.fixture
def daemon() -> Iterator[Path]:
    with (
        tempfile.TemporaryDirectory(prefix="cdb-") as folder,  # short enough for a socket
        containerd(Path(folder) / "ctd") as address,
    ):
        yield address


@pytest.fixture
def store(tmp_path: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(tmp_path / "store") as opened:
        yield opened


@pytest.mark.parametrize("packed", [False, True])
def test_a_docker_archive_of_skopeo_comes_in_with_each_layer_as_it_was(
    image: Path, store: contentdb.Store, tmp_path: Path, *, packed: bool
) -> None:
    """Its layers are plain tars, behind symbolic links too; then umoci unpacks what we made."""
    archive = tmp_path / "d.tar"
    skopeo_copy(f"oci:{image}:made", f"docker-archive:{archive}:team/app:v1")
    if packed:
        archive = tmp_path / "d.tar.gz"
        archive.write_bytes(gzip.compress((tmp_path / "d.tar").read_bytes()))
    (taken,) = oci.import_layout(store, archive)
    assert taken.name == NAME
    theirs = {gzip.decompress(data) for data in blobs_of(image).values() if data[:2] == b"\x1f\x8b"}
    layers = json.loads(store.read(taken.digest))["layers"]
    assert {store.read(layer["digest"]) for layer in layers} == theirs
    oci.export_layout(store, tmp_path / "out", [taken.digest], tags={taken.digest: "v1"})
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path / 'out'}:v1", tmp_path / "rootfs")
    assert (tmp_path / "rootfs/rootfs/opt/1/file1").read_bytes() == (
        image.parent / "layer1" / "file1"
    ).read_bytes()


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_skopeo_finds_what_goes_out_by_every_name_and_in_both_forms(
    name: str, image: Path, store: contentdb.Store, tmp_path: Path
) -> None:
    (made,) = oci.import_layout(store, image)
    target = tmp_path / name
    oci.export_tar(store, target, [made.digest], tags={made.digest: ["v1", "team/app:v1"]})
    for n, wanted in enumerate(("v1", "team/app:v1")):
        skopeo_copy(f"oci-archive:{target}:{wanted}", f"oci:{tmp_path / str(n)}:made")
        assert top_digest(tmp_path / str(n)) == made.digest == top_digest(image)
    if name == "x.tar":  # skopeo 1.9 reads no small docker archive by gzip, its own neither
        skopeo_copy(f"docker-archive:{target}:team/app:v1", f"docker-archive:{tmp_path / 'd'}:x:1")
        (again,) = oci.import_layout(store, tmp_path / "d")
        config = json.loads(store.read(made.digest))["config"]["digest"]
        assert json.loads(store.read(again.digest))["config"]["digest"] == config


def test_ctr_imports_what_goes_out_and_its_export_comes_in_again(
    image: Path, store: contentdb.Store, tmp_path: Path, daemon: Path
) -> None:
    (made,) = oci.import_layout(store, image)
    target = tmp_path / "x.tar"
    oci.export_tar(store, target, [made.digest], tags={made.digest: ["team/app:v1"]})
    imported = ctr(daemon, "images", "import", "--no-unpack", str(target))
    assert imported.code == 0, imported.err
    assert f"{NAME} " in ctr(daemon, "images", "ls").out.decode()
    assert made.digest in ctr(daemon, "images", "ls").out.decode()
    exported = ctr(daemon, "images", "export", str(tmp_path / "c.tar"), NAME)
    assert exported.code == 0, exported.err
    assert oci.import_layout(store, tmp_path / "c.tar") == [made._replace(name=NAME)]


def test_an_export_of_ctr_for_one_platform_needs_partial(
    image: Path, store: contentdb.Store, tmp_path: Path, daemon: Path
) -> None:
    """Its index lists what its tar lacks: that is told, and taken when it is meant."""
    (made,) = oci.import_layout(store, image)
    data = store.read(made.digest)
    other_config = json.dumps({"os": "linux", "architecture": "s390x", "rootfs": {}}).encode()
    other = json.loads(data) | {"layers": []}
    other["config"] |= {"digest": store.add(other_config).digest, "size": len(other_config)}
    lost = json.dumps(other).encode()
    manifests = [
        {
            "mediaType": made.media_type,
            "digest": store.add(manifest).digest,
            "size": len(manifest),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for manifest, architecture in ((data, "amd64"), (lost, "s390x"))
    ]
    index_type = "application/vnd.oci.image.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": index_type, "manifests": manifests}
    top = store.add(json.dumps(index).encode()).digest
    oci.export_tar(store, tmp_path / "x.tar", [top], tags={top: NAME})
    imported = ctr(
        daemon, "images", "import", "--all-platforms", "--no-unpack", str(tmp_path / "x.tar")
    )
    assert imported.code == 0, imported.err
    words = ("images", "export", "--platform", "linux/amd64", str(tmp_path / "c.tar"), NAME)
    assert ctr(daemon, *words).code == 0
    with contentdb.open(tmp_path / "other") as second:
        with pytest.raises(oci.IncompleteLayoutError) as refused:
            oci.import_layout(second, tmp_path / "c.tar")
        assert refused.value.missing == (manifests[1]["digest"],)
        (taken,) = oci.import_layout(second, tmp_path / "c.tar", partial=True)
        assert (taken.digest, taken.name) == (top, NAME)
        assert second.read(made.digest) == data


def test_a_tar_is_piped_into_ctr(image: Path, tmp_path: Path, daemon: Path) -> None:
    with contentdb.open(tmp_path / "store") as store:
        (made,) = oci.import_layout(store, image)
    words = ("export-oci", "-", made.digest, "--tag", NAME)
    piped = subprocess.run(
        contentdb_command(tmp_path / "store", *words), capture_output=True, check=True
    )
    assert ctr(daemon, "images", "import", "--no-unpack", "-", stdin=piped.stdout).code == 0
    assert made.digest in ctr(daemon, "images", "ls").out.decode()
