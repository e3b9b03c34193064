"""Against Debian's docker-registry, with skopeo and umoci to compare with."""

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.documents.media_types import DOCKER_MANIFEST
from contentdb.oci.labels import MEDIA_TYPE
from tests.real.registry import (
    PASSWORD,
    PROGRAMS,
    USER,
    blobs_of,
    contentdb_command,
    make_image,
    registry,
    run,
    skopeo_copy,
    top_digest,
)

pytestmark = [pytest.mark.real(*PROGRAMS)]

LINES = (
    """\
contentdb fetch {place} v1 \
 --media-type application/vnd.oci.image.manifest.v1+json \
| jq -r '.layers[] | "\\(.digest) \\(.size)"' \
| xargs -P10 -n2 sh -c 'contentdb fetch {place} $0 \
 | contentdb ingest --expected-digest $0 --expected-size $1 $0'
""",
    # As containerd's first README had it: jq writes the commands, xargs runs ten at a time.
    """\
contentdb fetch {place} v1 \
 --media-type application/vnd.oci.image.manifest.v1+json \
| jq -r '.layers[] | "contentdb fetch {place} "+.digest
 +" | contentdb ingest --expected-digest "+.digest
 +" --expected-size "+(.size | tostring)+" {place}@"+.digest' \
| xargs -I{{}} -P10 sh -c "{{}}"
""",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if any(shutil.which(program) is None for program in PROGRAMS):
        pytest.skip(f"needs {', '.join(PROGRAMS)} on PATH; .ci/run installs what tests need")
    return make_image(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=["open", "password", "token"])
def place(request: pytest.FixtureRequest, image: Path, tmp_path: Path) -> Iterator[str]:
    """The image as a reference in a running registry."""
    with registry(tmp_path / "registry", auth=request.param) as host:
        creds = [f"--dest-creds={USER}:{PASSWORD}"] if request.param != "open" else []
        skopeo_copy(f"oci:{image}:made", f"docker://{host}/test/app:v1", *creds)
        yield f"{host}/test/app:v1"


def client(place: str) -> oci.Registry:
    host = oci.parse_reference(place).registry
    return oci.Registry(host, plain_http=True, credentials=oci.Credentials(USER, PASSWORD))


def test_a_pull_brings_every_byte_that_skopeo_brings(place: str, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    skopeo_copy(f"docker://{place}", f"oci:{theirs}", f"--src-creds={USER}:{PASSWORD}")
    with contentdb.open(tmp_path / "store") as store, client(place) as registry:
        pulled = oci.pull(store, place, registry=registry)
        ours = {str(info.digest)[7:]: store.read(info.digest) for info in store.walk()}
    assert pulled.digest == top_digest(theirs)
    assert ours == blobs_of(theirs)


@pytest.mark.parametrize("place", ["password", "token"], indirect=True)
def test_who_may_not_is_told_so(place: str, tmp_path: Path) -> None:
    """A push needs credentials, and wrong ones are worth nothing."""
    host = oci.parse_reference(place).registry
    with contentdb.open(tmp_path / "store") as store:
        with client(place) as registry:
            pulled = oci.pull(store, place, registry=registry)
        wrong = oci.Credentials(USER, "wrong")
        for credentials in (None, wrong):
            with (
                oci.Registry(host, plain_http=True, credentials=credentials) as registry,
                pytest.raises(oci.UnauthorizedError),
            ):
                oci.push(store, pulled.digest, f"{host}/secret/app", registry=registry)


@pytest.mark.parametrize("place", ["token"], indirect=True)
def test_a_token_without_credentials_is_enough_to_pull(place: str, tmp_path: Path) -> None:
    host = oci.parse_reference(place).registry
    with (
        contentdb.open(tmp_path / "store") as store,
        oci.Registry(host, plain_http=True) as registry,
    ):
        assert len(oci.pull(store, place, registry=registry).blobs) == 4


@pytest.mark.parametrize("place", ["open"], indirect=True)
def test_an_image_of_dockers_schema_2_comes_and_goes(
    place: str, image: Path, tmp_path: Path
) -> None:
    host = oci.parse_reference(place).registry
    skopeo_copy(f"oci:{image}:made", f"docker://{host}/docker/app:v1", "--format=v2s2")
    with contentdb.open(tmp_path / "store") as store, client(place) as registry:
        pulled = oci.pull(store, f"{host}/docker/app:v1", registry=registry)
        assert pulled.media_type == DOCKER_MANIFEST
        oci.push(store, pulled.digest, f"{host}/docker/copy:v1", registry=registry)
    theirs = [tmp_path / name for name in ("app", "copy")]
    for target in theirs:
        skopeo_copy(f"docker://{host}/docker/{target.name}:v1", f"dir:{target}")
    assert files_of(theirs[0]) == files_of(theirs[1])


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("place", ["open", "password"], indirect=True)
def test_ten_pulls_at_once_some_of_them_killed_complete(place: str, tmp_path: Path) -> None:
    root = tmp_path / "store"
    environment = os.environ | {"CONTENTDB_REGISTRY_USER": f"{USER}:{PASSWORD}"}
    command = contentdb_command(root, "pull", "--plain-http", place)
    chance = random.Random(7)
    for _ in range(3):
        running = [
            subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            for _ in range(10)
        ]
        for process in chance.sample(running, 6):
            try:
                process.wait(timeout=chance.random())
            except subprocess.TimeoutExpired:
                process.kill()
        survived = [(p.communicate()[1], p.returncode) for p in running]
        assert all(code in {0, -9} for _, code in survived), survived
    digest = run(*command, env=environment).strip()
    with contentdb.open(root, create=False) as store:
        assert list(store.verify()) == []
        assert list(store.statuses()) == []
        assert store.info(digest).labels[MEDIA_TYPE].endswith("manifest.v1+json")
        stored = {str(info.digest)[7:]: store.read(info.digest) for info in store.walk()}
    theirs = tmp_path / "theirs"
    skopeo_copy(f"docker://{place}", f"oci:{theirs}", f"--src-creds={USER}:{PASSWORD}")
    assert stored == blobs_of(theirs)


def test_a_push_gives_skopeo_the_same_image(place: str, image: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    host = oci.parse_reference(place).registry
    with contentdb.open(tmp_path / "store") as store, client(place) as registry:
        pulled = oci.pull(store, place, registry=registry)
        mounted = oci.push(store, pulled.digest, f"{host}/other/app:v2", registry=registry)
        assert set(mounted.mounted) == set(pulled.blobs)
    with contentdb.open(tmp_path / "fresh") as store, client(place) as registry:
        (made,) = oci.import_layout(store, image)
        pushed = oci.push(
            store, made.digest, f"{host}/third/app", registry=registry, chunk_bytes=1_000_000
        )
        assert set(pushed.uploaded) == set(pulled.blobs)
    for name in ("other/app:v2", "third/app"):
        skopeo_copy(f"docker://{host}/{name}", f"oci:{theirs}", f"--src-creds={USER}:{PASSWORD}")
        assert blobs_of(theirs) == _only(blobs_of(image), theirs)
        shutil.rmtree(theirs)


def test_an_artifact_is_found_by_its_subject(place: str, tmp_path: Path) -> None:
    """Debian's docker-registry has no referrers API, so there is a tag to keep."""
    host, repository = oci.parse_reference(place)[:2]
    with contentdb.open(tmp_path / "store") as store, client(place) as registry:
        pulled = oci.pull(store, place, registry=registry)
        document = json.loads(store.read(pulled.digest))
        size = store.info(pulled.digest).size
        subject = {"mediaType": pulled.media_type, "digest": pulled.digest, "size": size}
        for kind in ("a/signature", "a/sbom"):
            artifact = document | {"artifactType": kind, "subject": subject}
            digest = store.add(json.dumps(artifact).encode()).digest
            pushed = oci.push(store, digest, f"{host}/{repository}@{digest}", registry=registry)
            assert pushed.warnings == ()
        found = list(registry.referrers(repository, pulled.digest))
        (one,) = registry.referrers(repository, pulled.digest, artifact_type="a/sbom")
        assert [entry.artifact_type for entry in found] == ["a/signature", "a/sbom"]
        assert one == found[1]
        tag = pulled.digest.replace(":", "-")
        assert set(registry.tags(repository)) == {"v1", tag}


def _only(blobs: dict[str, bytes], layout: Path) -> dict[str, bytes]:
    return {name: blobs[name] for name in blobs_of(layout)}


@pytest.mark.parametrize("name", ["layout", "layout.tar"])
def test_an_exported_layout_is_read_by_umoci_and_skopeo(
    name: str, image: Path, tmp_path: Path
) -> None:
    target, unpacked = tmp_path / name, tmp_path / "unpacked"
    with contentdb.open(tmp_path / "store") as store:
        (made,) = oci.import_layout(store, image)
        if name.endswith(".tar"):
            oci.export_tar(store, target, [made.digest], tags={made.digest: "v1"})
            copy = tmp_path / "copy"
            skopeo_copy(f"oci-archive:{target}:v1", f"oci:{copy}:v1")
            target = copy
        else:
            oci.export_layout(store, target, [made.digest], tags={made.digest: "v1"})
            assert oci.import_layout(store, target) == [made._replace(name="v1")]
    run("umoci", "unpack", "--rootless", "--image", f"{target}:v1", unpacked)
    for n in range(3):
        source = image.parent / f"layer{n}" / f"file{n}"
        assert (unpacked / f"rootfs/opt/{n}/file{n}").read_bytes() == source.read_bytes()


def test_a_tar_of_skopeo_is_imported(image: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    skopeo_copy(f"oci:{image}:made", f"oci-archive:{archive}:v1")
    with contentdb.open(tmp_path / "store") as store:
        (taken,) = oci.import_layout(store, archive)
        assert taken.digest == top_digest(image)
        assert len(list(store.walk())) == 5


@pytest.mark.parametrize("line", LINES, ids=["arguments", "commands"])
def test_the_classic_line_works_as_it_stands(
    line: str, place: str, image: Path, tmp_path: Path
) -> None:
    root = tmp_path / "store"
    program = tmp_path / "bin" / "contentdb"
    program.parent.mkdir()
    wrapped = " ".join(contentdb_command(root)[:3])
    program.write_text(f'#!/bin/sh\nexec {wrapped} "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "CONTENTDB_ROOT": str(root),
        "CONTENTDB_REGISTRY_USER": f"{USER}:{PASSWORD}",
        "CONTENTDB_PLAIN_HTTP": "1",
    }
    line = line.format(place=place.removesuffix(":v1"))
    for _ in range(2):
        run("sh", "-euc", line, env=environment)
        with contentdb.open(root, create=False) as store:
            stored = {str(info.digest)[7:]: store.read(info.digest) for info in store.walk()}
        assert len(stored) == 3
        assert stored == {name: blobs_of(image)[name] for name in stored}
