"""Between two of Debian's docker-registry, an open one and one with a password, beside skopeo."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import contentdb
from contentdb import oci
from tests.hostile.server import INDEX, MANIFEST, descriptor
from tests.real.registry import (
    PASSWORD,
    PROGRAMS,
    USER,
    Auth,
    contentdb_command,
    make_image,
    registry,
    run,
    skopeo_copy,
)

pytestmark = [pytest.mark.real(*PROGRAMS)]
ALL = ("--all",)


class Pair(NamedTuple):
    """A registry with an index of two platforms as ``test/app:v1``, and an empty one."""

    source: str
    target: str
    digest: str
    artifact: str

    def copy(self, root: Path, *words: str, into: str = "ours/app:v2") -> str:
        return run(*self.command(root, *words, into=into)).strip()

    def command(self, root: Path, *words: str, into: str = "ours/app:v2") -> list[str]:
        users = (f"--source-user={USER}:{PASSWORD}", f"--target-user={USER}:{PASSWORD}")
        place = into if into.startswith("127.") else f"{self.target}/{into}"
        return contentdb_command(
            root, "copy", "--plain-http", *users, *words, f"{self.source}/test/app:v1", place
        )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if any(shutil.which(program) is None for program in PROGRAMS):
        pytest.skip(f"needs {', '.join(PROGRAMS)} on PATH; .ci/run installs what tests need")
    return make_image(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=["open", "password"])
def pair(request: pytest.FixtureRequest, image: Path, tmp_path: Path) -> Iterator[Pair]:
    """Copies go from the kind that is named to the other."""
    other: Auth = "password" if request.param == "open" else "open"
    with (
        registry(tmp_path / "one", auth=request.param) as source,
        registry(tmp_path / "other", auth=other) as target,
        contentdb.open(tmp_path / "maker") as store,
        client(source) as writes,
    ):
        (made,) = oci.import_layout(store, image)
        first = store.read(made.digest)
        second = json.dumps(json.loads(first) | {"annotations": {"for": "arm64"}}).encode()
        entries = [
            descriptor(MANIFEST, data, platform={"os": "linux", "architecture": architecture})
            for data, architecture in ((first, "amd64"), (second, "arm64"))
        ]
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        store.add(second)
        top = store.add(json.dumps(index).encode()).digest
        subject = descriptor(INDEX, store.read(top))
        signed = json.loads(first) | {"artifactType": "a/signature", "subject": subject}
        artifact = store.add(json.dumps(signed).encode()).digest
        oci.push(store, top, f"{source}/test/app:v1", registry=writes)
        oci.push(store, artifact, f"{source}/test/app@{artifact}", registry=writes)
        yield Pair(source, target, top, artifact)


def client(host: str) -> oci.Registry:
    return oci.Registry(host, plain_http=True, credentials=oci.Credentials(USER, PASSWORD))


def files_of(place: str, folder: Path, *options: str) -> dict[str, bytes]:
    """What skopeo brings from there: manifests and blobs."""
    skopeo_copy(f"docker://{place}", f"dir:{folder}", f"--src-creds={USER}:{PASSWORD}", *options)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", [(), ALL], ids=["this platform", "all"])
def test_the_target_has_what_skopeo_copies(
    options: tuple[str, ...], pair: Pair, tmp_path: Path
) -> None:
    skopeo_copy(
        f"docker://{pair.source}/test/app:v1", f"docker://{pair.target}/theirs/app:v2",
        f"--src-creds={USER}:{PASSWORD}", f"--dest-creds={USER}:{PASSWORD}", *options,
    )  # fmt: skip
    digest = pair.copy(tmp_path / "store", *options)
    ours = files_of(f"{pair.target}/ours/app:v2", tmp_path / "a", *options)
    assert ours == files_of(f"{pair.target}/theirs/app:v2", tmp_path / "b", *options)
    assert ours == files_of(f"{pair.source}/test/app:v1", tmp_path / "c", *options)
    assert contentdb.Digest.of(ours["manifest.json"]) == digest
    assert (digest == pair.digest) is bool(options)


def test_within_one_registry_no_blob_comes_to_the_store(pair: Pair, tmp_path: Path) -> None:
    digest = pair.copy(tmp_path / "store", *ALL, into=f"{pair.source}/third/app:v9")
    assert digest == pair.digest
    with contentdb.open(tmp_path / "store", create=False) as store:
        assert store.exists(digest)
        assert len(list(store.walk())) == 3
    ours = files_of(f"{pair.source}/third/app:v9", tmp_path / "a", *ALL)
    assert ours == files_of(f"{pair.source}/test/app:v1", tmp_path / "b", *ALL)


def test_artifacts_are_found_at_the_target(pair: Pair, tmp_path: Path) -> None:
    pair.copy(tmp_path / "store", *ALL, "--with-referrers")
    with client(pair.target) as registry:
        (found,) = registry.referrers("ours/app", contentdb.Digest(pair.digest))
        assert (found.digest, found.artifact_type) == (pair.artifact, "a/signature")
        data = registry.manifest("ours/app", pair.artifact).data
    assert contentdb.Digest.of(data) == pair.artifact


def test_copies_that_are_killed_are_gone_on_with(pair: Pair, tmp_path: Path) -> None:
    root = tmp_path / "store"
    for wait_s in (0.3, 0.5, 0.7):
        running = subprocess.Popen(
            pair.command(root, *ALL), stdout=subprocess.DEVNULL, env=os.environ
        )
        time.sleep(wait_s)
        running.kill()
        running.wait()
    assert pair.copy(root, *ALL) == pair.digest
    ours = files_of(f"{pair.target}/ours/app:v2", tmp_path / "a", *ALL)
    assert ours == files_of(f"{pair.source}/test/app:v1", tmp_path / "b", *ALL)
    with contentdb.open(root, create=False) as store:
        assert list(store.verify()) == []
        assert list(store.statuses()) == []
