"""`ctr` uses a store as an image store without snapshots, and says the same as of a containerd."""

from __future__ import annotations

import json
import re
import select
import shutil
import subprocess
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import contentdb
from contentdb.content import LeaseItem
from contentdb.digest import Digest
from contentdb.store.connect import connect
from tests.real.daemon import Outcome, ctr
from tests.real.pair import Pair, image, plain
from tests.real.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.real("containerd", "ctr"), pytest.mark.root]

KEEP = {"containerd.io/gc.root": "1"}
ONE, TWO = "example.test/hello:1", "example.test/hello:2"

STEPS: tuple[tuple[str, ...], ...] = (
    ("version",),
    ("namespaces", "ls"),
    ("namespaces", "create", "other", "a=b"),
    ("namespaces", "create", "other"),
    ("namespaces", "create", "bad_name!"),
    ("namespaces", "label", "other", "c=d"),
    ("namespaces", "label", "other", "a="),
    ("namespaces", "ls"),
    ("images", "ls"),
    ("images", "rm", ONE),
    ("images", "label", ONE, "a=b"),
    ("images", "export", "TAR", ONE),
    ("images", "import", "--no-unpack", "IMAGE"),
    ("namespaces", "ls"),
    ("images", "ls"),
    ("images", "ls", "-q"),
    ("images", "ls", "name==none"),
    ("images", "import", "--no-unpack", "IMAGE"),
    ("images", "tag", ONE, TWO),
    ("images", "tag", ONE, TWO),
    ("images", "tag", "--force", ONE, TWO),
    ("images", "tag", "none", "other"),
    ("images", "label", TWO, "a=b", "c=d"),
    ("images", "label", TWO, "a="),
    ("images", "label", TWO, "k=" + "v" * 5000),
    ("images", "ls", "labels.c==d"),
    ("images", "ls", f"name=={ONE}"),
    ("images", "check", "--snapshotter", "native"),
    ("images", "export", "TAR", TWO),
    ("content", "ls"),
    ("images", "convert", "--oci", TWO, "example.test/hello:3"),
    ("images", "ls"),
    ("images", "rm", "--sync", TWO, "none"),
    ("images", "ls"),
    ("leases", "ls"),
    ("leases", "create", "--id", "mine", "--expires", "0", "a=b"),
    ("leases", "create", "--id", "mine"),
    ("leases", "ls"),
    ("leases", "ls", "-q"),
    ("leases", "rm", "mine"),
    ("leases", "rm", "mine"),
    ("leases", "ls"),
    ("namespaces", "rm", "other"),
    ("namespaces", "ls"),
    ("plugins", "ls", "id==images"),
    ("snapshots", "--snapshotter", "native", "info", "none"),
)

OF_ONE = re.compile(
    r"(?m)^ *(?:Version|Revision|UUID): .*$|^WARNING: .*\n|"  # of the program, and of the store
    r"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)"
)
"""What the two servers cannot have in common."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Paths in the place of words of commands."""
    made = tmp_path / "image.tar"
    made.write_bytes(image())
    return {"IMAGE": str(made), "TAR": str(tmp_path / "out.tar")}


def told(address: Path, words: tuple[str, ...], files: dict[str, str]) -> object:
    """Return how a command ended, without what no two servers share, and what it exported."""
    out = Path(files["TAR"])
    out.unlink(missing_ok=True)
    outcome = ctr(address, *(files.get(word, word) for word in words))
    texts = (OF_ONE.sub("", data.decode()).encode() for data in outcome[1:])
    exported = None
    if out.exists() and out.stat().st_size:
        with tarfile.open(out) as tar:
            index = tar.extractfile("index.json")
            assert index is not None
            exported = (sorted(tar.getnames()), json.load(index))
    return plain(Outcome(outcome.code, *texts), ordered=True), exported


def test_every_command_says_the_same_and_ends_the_same(
    ours: Path, theirs: Path, files: dict[str, str]
) -> None:
    for words in STEPS:
        ends = [told(address, words, files) for address in Pair(ours, theirs)]
        assert ends[0] == ends[1], words


def test_what_was_imported_is_tagged(ours: Path, folder: Path, files: dict[str, str]) -> None:
    """An image of ctr's is a tag of the library's, and the other way round."""
    done = ctr(ours, "images", "import", "--no-unpack", files["IMAGE"], namespace="tags")
    assert done.code == 0, done.err
    with contentdb.open(folder / "store", namespace="tags") as store:
        tag = store.tagged(ONE)
        assert json.loads(store.read(tag.digest))["schemaVersion"] == 2
        store.tag("by the library", tag.digest, media_type=tag.media_type)
        assert ctr(ours, "images", "ls", "-q", namespace="tags").out.decode() == (
            f"by the library\n{ONE}\n"
        )
        assert ctr(ours, "images", "rm", ONE, namespace="tags").code == 0
        assert [one.name for one in store.tags()] == ["by the library"]


def test_a_collection_keeps_the_images_of_ctr_and_what_they_refer_to(
    ours: Path, folder: Path, files: dict[str, str]
) -> None:
    """By the labels that ctr sets at an import; the first index of the tar is named by nothing."""
    done = ctr(ours, "images", "import", "--no-unpack", files["IMAGE"], namespace="collected")
    assert done.code == 0, done.err
    with contentdb.open(folder / "store", namespace="collected") as store:
        manifest = store.tagged(ONE).digest
        document = json.loads(store.read(manifest))
        parts = {part["digest"] for part in (document["config"], *document["layers"])}
        store.collect(grace=timedelta(0), full=True)
        assert {info.digest for info in store.walk()} == {manifest, *parts}
        assert ctr(ours, "images", "check", namespace="collected").out.count(b"complete (2/2)") == 1
        assert ctr(ours, "leases", "create", "--id", "mine", namespace="collected").code == 0
        with store.use_lease("mine") as lease:
            assert lease.keep(document["config"]["digest"])
        assert ctr(ours, "images", "rm", "--sync", ONE, namespace="collected").code == 0
        store.collect(grace=timedelta(0), full=True)
        assert [info.digest for info in store.walk()] == [document["config"]["digest"]]
        assert ctr(ours, "leases", "rm", "mine", namespace="collected").code == 0
        store.collect(grace=timedelta(0), full=True, no_roots=True)
        assert list(store.walk()) == []


def test_ctr_leases_last_as_long_as_they_say(ours: Path, folder: Path) -> None:
    """An import has one of 24 hours, and ends it; one by hand is there for the library too."""
    for words in (("--expires", "1h"), ("--id", "for ever", "--expires", "0")):
        made = ctr(ours, "leases", "create", *words, namespace="leases")
        assert made.code == 0, made.err
    with contentdb.open(folder / "store", namespace="leases") as store:
        infos = {info.id == "for ever": info for info in store.leases()}
        assert infos[True].expires_at is None
        moment = infos[False].expires_at
        assert moment is not None
        assert timedelta(minutes=59) < moment - infos[False].created_at < timedelta(minutes=61)


def test_tags_of_the_library_are_images_of_containerd(theirs: Path) -> None:
    with connect(str(theirs), namespace="library") as store:
        one = store.add(b"one", labels=KEEP).digest
        two = store.add(b"two!", labels=KEEP).digest
        made = store.tag("n", one, media_type="text/plain", labels={"k": "v"})
        assert (made.digest, made.size, dict(made.labels)) == (one, 3, {"k": "v"})
        assert store.tagged("n") == made
        assert ctr(theirs, "images", "ls", "-q", namespace="library").out == b"n\n"
        moved = store.tag("n", two, media_type="text/plain")
        assert (moved.digest, moved.created_ns, dict(moved.labels)) == (
            two,
            made.created_ns,
            {"k": "v"},
        )
        assert [tag.name for tag in store.tags("size>3", of=two)] == ["n"]
        with pytest.raises(contentdb.ConflictError):
            store.tag("n", one, media_type="text/plain", if_is=None)
        with pytest.raises(contentdb.FailedPreconditionError, match="compare and swap"):
            store.tag("n", one, media_type="text/plain", if_is=two)
        with pytest.raises(contentdb.FailedPreconditionError, match="compare and swap"):
            store.untag("n", if_is=two)
        with pytest.raises(contentdb.FailedPreconditionError, match="media type"):
            store.tag("n", one)
        assert store.tagged("n") == moved
        store.untag("n")
        with pytest.raises(contentdb.NotFoundError, match="no tag 'n'"):
            store.untag("n")


def test_leases_of_the_library_are_leases_of_containerd(theirs: Path) -> None:
    with connect(str(theirs), namespace="library") as store:
        known = store.add(b"known", labels=KEEP).digest
        with store.lease(expires=timedelta(hours=1), id="mine", labels={"k": "v"}) as lease:
            assert ctr(theirs, "leases", "ls", "-q", namespace="library").out == b"mine\n"
            assert [info.id for info in store.leases("labels.k==v")] == ["mine"]
            one = lease.add(b"one").digest
            lease.add(b"known")
            wanted = sorted(LeaseItem("content", digest) for digest in (one, known))
            assert list(lease.items()) == wanted
            assert not lease.keep(Digest.of(b"absent"))
            assert list(lease.items()) == wanted
            with pytest.raises(contentdb.LeaseExistsError):
                store.lease(id="mine", lasting=True)
            store.end_lease("mine")
            for call in (lambda: lease.add(b"more"), lambda: lease.keep(known), lease.describe):
                with pytest.raises(contentdb.LeaseEndedError):
                    call()
        assert list(store.leases()) == []
        assert not store.exists(Digest.of(b"more"))


@pytest.fixture
def place() -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry on PATH; .ci/run installs what tests need")
    with tempfile.TemporaryDirectory(prefix="cdb-") as folder, registry(Path(folder) / "r") as at:
        yield at


def test_images_go_to_a_registry_and_come_back(
    ours: Path, theirs: Path, files: dict[str, str], place: str
) -> None:
    for which, address in zip(Pair._fields, Pair(ours, theirs), strict=True):
        name = f"{place}/{which}:1"
        plainly = ("--plain-http", name)

        def run(*words: str, namespace: str = "away", at: Path = address) -> Outcome:
            return ctr(at, *words, namespace=namespace)

        assert run("images", "import", "--no-unpack", files["IMAGE"]).code == 0
        assert run("images", "tag", ONE, name).code == 0
        pushed = run("images", "push", *plainly)
        assert pushed.code == 0, pushed.err
        fetched = run("content", "fetch", *plainly, namespace="back")
        assert fetched.code == 0, fetched.err
        assert run("images", "ls", "-q", namespace="back").out.decode() == f"{name}\n"
        assert run("leases", "ls", "-q", namespace="back").out == b""
        with (
            connect(str(address), namespace="away") as away,
            connect(str(address), namespace="back") as back,
        ):
            manifest = away.tagged(name).digest
            assert back.tagged(name).digest == manifest
            assert back.read(manifest) == away.read(manifest)


def test_a_pull_brings_all_and_then_asks_for_snapshots(
    ours: Path, files: dict[str, str], place: str, folder: Path
) -> None:
    """Content and image are in; that it cannot be unpacked is said."""
    name = f"{place}/pulled:1"
    assert ctr(ours, "images", "import", "--no-unpack", files["IMAGE"], namespace="p").code == 0
    assert ctr(ours, "images", "tag", ONE, name, namespace="p").code == 0
    assert ctr(ours, "images", "push", "--plain-http", name, namespace="p").code == 0
    pulled = ctr(ours, "images", "pull", "--plain-http", name, namespace="q")
    assert pulled.code == 1
    assert b"not implemented" in pulled.err
    with contentdb.open(folder / "store", namespace="q") as store:
        manifest = json.loads(store.read(store.tagged(name).digest))
        for blob in (manifest["config"], *manifest["layers"]):
            assert store.exists(blob["digest"])


def test_events_are_told_to_ctr(ours: Path) -> None:
    """It says nothing when it begins to listen, so the tag moves until it has told of it."""
    command = ["ctr", "-a", str(ours), "events", 'topic=="/images/update"']
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as listening,
        connect(str(ours), namespace="events") as store,
    ):
        assert listening.stdout is not None
        digest = store.add(b"x").digest
        while not select.select([listening.stdout], [], [], 0.01)[0]:
            store.tag("n", digest)
        told = listening.stdout.readline().decode()
        listening.kill()
    assert re.search(r' events /images/update \{"name":"n"\}$', told.strip()), told
