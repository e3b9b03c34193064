"""A pull brings the artifacts of what it pulls, if it is told to."""

import json
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.labels import MEDIA_TYPE
from tests.cli.shell import call, only_line, records
from tests.hostile.server import MANIFEST, Request, descriptor, reply, sha
from tests.oci.filled import (
    OUTER,
    SBOM,
    SIGNATURE,
    TOP,
    TWO,
    artifact,
    index_of,
    list_under,
    nested,
    put,
    source_of,
    with_artifacts,
)
from tests.oci.shelf import Shelf, serving

BACK = "containerd.io/gc.bref.content.subject"


def pull(
    store: contentdb.Store, shelf: Shelf, *, platform: str | None = None, wanted: bool = True
) -> oci.Pulled:
    with serving(shelf) as (server, registry):
        return oci.pull(
            store,
            f"{server.name}/a/b:v1",
            registry=registry,
            platform=platform,
            with_referrers=wanted,
        )


def test_artifacts_come_with_labels_that_lead_to_and_fro(store: contentdb.Store) -> None:
    pulled = pull(store, with_artifacts())
    assert pulled.referrers == (sha(SBOM), sha(SIGNATURE))
    assert pulled.documents == (TOP, sha(SBOM), sha(SIGNATURE))
    assert set(pulled.blobs) >= {sha(b"bill"), sha(b"proof"), sha(b"{}")}
    assert store.read(sha(b"bill")) == b"bill"
    labels = store.info(sha(SBOM)).labels
    assert labels[BACK] == TOP
    assert labels["containerd.io/gc.ref.content.l.0"] == sha(b"bill")
    assert labels[MEDIA_TYPE] == MANIFEST
    assert store.info(sha(SIGNATURE)).labels[BACK] == sha(SBOM)
    assert BACK not in store.info(TOP).labels


def test_nothing_but_the_list_is_asked_for_again(store: contentdb.Store) -> None:
    shelf = with_artifacts()
    pull(store, shelf)
    shelf.log.clear()
    again = pull(store, shelf)
    assert again.referrers == (sha(SBOM), sha(SIGNATURE))
    assert not any(
        "/blobs/" in line or sha(SBOM) in line for line in shelf.log if "ref" not in line
    )


def test_without_the_wish_there_are_none(store: contentdb.Store) -> None:
    shelf = with_artifacts()
    assert pull(store, shelf, wanted=False).referrers == ()
    assert shelf.count("referrers") == 0


def test_of_what_was_not_chosen_there_are_none(store: contentdb.Store) -> None:
    """The index is pulled along with the manifest, so its artifacts are wanted; an index of
    artifacts is wanted whole, whatever the platforms."""
    shelf = nested()
    inside = artifact(TWO[0], "inside")
    bundle = json.loads(index_of(descriptor(MANIFEST, inside)))
    bundle["subject"] = descriptor("application/vnd.oci.image.index.v1+json", OUTER)
    whole = json.dumps(bundle).encode()
    left = artifact(TWO[0], "left")
    put(shelf, whole, inside, left, blobs=(b"{}", b"proof"), tag="artifacts")
    list_under(shelf, OUTER, descriptor(bundle["mediaType"], whole))
    list_under(shelf, TWO[0], descriptor(MANIFEST, left))
    pulled = pull(store, shelf, platform="amd64")
    assert pulled.referrers == (sha(whole),)
    assert sha(inside) in pulled.documents
    assert not store.exists(sha(left))
    assert not store.exists(sha(TWO[0]))


def test_an_artifact_that_contradicts_the_image_is_refused(store: contentdb.Store) -> None:
    shelf = source_of()
    false = json.loads(artifact(json.dumps({"mediaType": MANIFEST}).encode(), "false"))
    image = json.loads(shelf.manifests["a/b", TOP][1])
    false["subject"] = descriptor(MANIFEST, shelf.manifests["a/b", TOP][1])
    false["layers"] = [image["layers"][0] | {"size": 7}]
    data = json.dumps(false).encode()
    put(shelf, data, tag="false")
    list_under(shelf, shelf.manifests["a/b", TOP][1], descriptor(MANIFEST, data))
    with pytest.raises(oci.InvalidManifestError, match="is said to have"):
        pull(store, shelf)


def test_wrong_bytes_of_an_artifact_are_refused(store: contentdb.Store) -> None:
    def lie(request: Request, _shelf: Shelf) -> bytes | None:
        wrong = request.path.endswith(sha(SBOM))
        return reply(200, SIGNATURE[: len(SBOM)], Content_Type=MANIFEST) if wrong else None

    with pytest.raises(oci.HostileRegistryError):
        pull(store, with_artifacts(lie))
    assert not store.exists(sha(SBOM))


def test_the_command_tells_what_it_left_out(root: Path) -> None:
    shelf = with_artifacts()
    entries = [descriptor(MANIFEST, data) for data in (b"gone", SBOM)]
    list_under(shelf, shelf.manifests["a/b", TOP][1], *entries)
    with serving(shelf) as (server, _):
        words = ("pull", "--plain-http", "--with-referrers", f"{server.name}/a/b:v1")
        done = call(root, *words, "-q")
        (told,) = records(call(root, *words, "--json").stdout)
    assert only_line(done.stdout) == TOP
    assert sha(b"gone") in only_line(done.stderr)
    assert told["referrers"] == [sha(SBOM), sha(SIGNATURE)]
    assert len(told["warnings"]) == 1
