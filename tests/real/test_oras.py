"""oras-py and contentdb read each other's artifacts, by way of docker-registry.

No registry with the referrers API of OCI 1.1 is to be had from Debian (its docker-registry is 2.8),
PyPI or npm: with one, `tests/oci/test_referrers.py` is about a scripted one alone. Here referrers
are found by the tag that stands in for the API.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.documents.media_types import OCI_MANIFEST
from tests.real.registry import contentdb_command, registry, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

pytestmark = [pytest.mark.real("docker-registry")]

EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"


class Response(Protocol):
    """An answer of the registry, as `requests` has it."""

    headers: Mapping[str, str]


class Client(Protocol):
    """What is used of `oras.client.OrasClient`; the package ships no types."""

    def push(self, target: str, **options: object) -> Response: ...

    def pull(self, target: str, *, outdir: str) -> list[str]: ...


@pytest.fixture
def oras() -> ModuleType:
    """The package, if it is installed."""
    for name in ("oras", "oras.oci", "oras.client"):
        pytest.importorskip(name, reason="needs oras: pip install --group real")
    return sys.modules["oras"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with registry(tmp_path / "registry") as address:
        yield address


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "files" / name for name in ("model.bin", "notes.txt")]
    made[0].parent.mkdir()
    for path in made:
        path.write_bytes(os.urandom(300_000))
    return made


@pytest.fixture
def client(oras: ModuleType, host: str) -> Client:
    made: Client = oras.client.OrasClient(hostname=host, insecure=True)
    return made


def push_by(client: Client, target: str, files: list[Path], **more: object) -> str:
    """Push files; give the digest that the registry tells."""
    names = [str(path) for path in files]
    answer = client.push(target, files=names, disable_path_validation=True, **more)
    return answer.headers["Docker-Content-Digest"]


def test_an_artifact_of_oras_is_pulled_and_what_is_pushed_on_oras_pulls(
    client: Client, host: str, files: list[Path], tmp_path: Path
) -> None:
    pushed = push_by(client, f"{host}/oras/model:v1", files)
    root = tmp_path / "store"
    pulled = run(*contentdb_command(root, "pull", "--plain-http", f"{host}/oras/model:v1"))
    assert pulled.strip() == pushed
    with contentdb.open(root) as store:
        layers = json.loads(store.read(pushed))["layers"]
        stored = {one["annotations"][TITLE]: store.read(one["digest"]) for one in layers}
        assert stored == {path.name: path.read_bytes() for path in files}
    source, target = f"{host}/oras/model:v1", f"{host}/ours/model:v2"
    run(*contentdb_command(root, "push", "--plain-http", source, target))
    came = client.pull(target, outdir=str(tmp_path / "out"))
    assert {Path(path).name: Path(path).read_bytes() for path in came} == stored


def test_an_artifact_made_here_is_pulled_by_oras(
    client: Client, host: str, files: list[Path], tmp_path: Path
) -> None:
    with contentdb.open(tmp_path / "store") as store:
        layers = []
        for path in files:
            info = store.add(path)
            titled = {"annotations": {TITLE: path.name}, "mediaType": "application/octet-stream"}
            layers.append({"digest": info.digest, "size": info.size} | titled)
        config = store.add(b"{}")
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.model",
            "config": {"mediaType": EMPTY, "digest": config.digest, "size": config.size},
            "layers": layers,
        }
        top = store.add(json.dumps(document).encode())
        with oci.Registry(host, plain_http=True) as registry:
            oci.push(store, top.digest, f"{host}/ours/model:v1", registry=registry)
    came = client.pull(f"{host}/ours/model:v1", outdir=str(tmp_path / "out"))
    assert [Path(path).read_bytes() for path in came] == [path.read_bytes() for path in files]


def test_a_referrer_that_oras_attached_is_found_once_it_was_pushed_on(
    oras: ModuleType, client: Client, host: str, files: list[Path], tmp_path: Path
) -> None:
    """oras-py leaves the list to the registry, which has none: contentdb keeps it."""
    image, root = f"{host}/oras/model:v1", tmp_path / "store"
    top = push_by(client, image, files[:1])
    run(*contentdb_command(root, "pull", "--plain-http", image))
    with contentdb.open(root) as store:
        subject = oras.oci.Subject(OCI_MANIFEST, top, store.info(top).size)
    signature = push_by(client, f"{host}/oras/model:sig", files[1:], subject=subject)
    referrers = contentdb_command(root, "referrers", "--plain-http", "-q")
    assert run(*referrers, image) == ""
    run(*contentdb_command(root, "pull", "--plain-http", f"{host}/oras/model:sig"))
    for digest in (top, signature):
        target = f"{host}/copied/model@{digest}"
        run(*contentdb_command(root, "push", "--plain-http", digest, target))
    assert run(*referrers, f"{host}/copied/model@{top}").split() == [signature]
    came = client.pull(f"{host}/copied/model@{signature}", outdir=str(tmp_path / "out"))
    assert [Path(path).read_bytes() for path in came] == [files[1].read_bytes()]
