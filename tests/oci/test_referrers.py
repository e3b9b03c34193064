"""Artifacts are found by their subject, with and without the registry's API; tags are listed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import contentdb
from contentdb import oci
from tests.cli.shell import call, only_line, records
from tests.hostile.server import (
    CONFIG,
    INDEX,
    MANIFEST,
    Image,
    Reply,
    Request,
    descriptor,
    reply,
    sha,
)
from tests.oci.shelf import Shelf, serving

IMAGE = Image()
SUBJECT = contentdb.Digest(sha(IMAGE.manifest))
TAG = "sha256-" + SUBJECT.encoded
SIGNATURE = "application/vnd.example.signature"


def artifact(n: int = 0, **more: object) -> bytes:
    document = IMAGE.document() | {"subject": descriptor(MANIFEST, IMAGE.manifest), **more}
    return json.dumps(document | {"annotations": {"n": str(n)}}).encode()


SIGNED = artifact(artifactType=SIGNATURE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(tmp_path / "store") as opened:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest, SIGNED, artifact(1), artifact(2)):
            opened.add(data)
        yield opened


def push(store: contentdb.Store, shelf: Shelf, data: bytes) -> oci.Pushed:
    with serving(shelf) as (server, registry):
        return oci.push(store, sha(data), f"{server.name}/a/b@{sha(data)}", registry=registry)


def listed(shelf: Shelf, artifact_type: str | None = None) -> list[oci.Descriptor]:
    with serving(shelf) as (_, registry):
        return list(registry.referrers("a/b", SUBJECT, artifact_type=artifact_type))


def fallback(shelf: Shelf) -> dict[str, Any]:
    media_type, data = shelf.manifests["a/b", TAG]
    assert media_type == INDEX
    index: dict[str, Any] = json.loads(data)
    return index


def api(request: Request, shelf: Shelf) -> Reply | None:
    """The referrers API, a page for each artifact."""
    path, _, query = request.path.partition("?")
    if request.method == "PUT" and b'"subject"' in request.body:
        shelf.answer(request._replace(method="PUT", headers=request.headers | {"again": "1"}))
        return reply(201, OCI_Subject=str(SUBJECT))
    if path != f"/v2/a/b/referrers/{SUBJECT}":
        return None
    found = [
        descriptor(MANIFEST, data, artifactType=json.loads(data).get("artifactType", "a/b"))
        for name, (_, data) in sorted(shelf.manifests.items())
        if b'"subject"' in data and name[1] == sha(data)
    ]
    at = int(query.partition("at=")[2] or "0")
    page = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": found[at : at + 1]})
    more = {"Link": f'<{path}?at={at + 1}>; rel="next"'} if at + 1 < len(found) else {}
    return reply(200, page.encode(), Content_Type=INDEX, **more)


def with_api() -> Shelf:
    return Shelf(lambda request, shelf: None if "again" in request.headers else api(request, shelf))


def test_an_artifact_gets_into_the_index_of_its_subject(store: contentdb.Store) -> None:
    shelf = Shelf()
    assert push(store, shelf, SIGNED).warnings == ()
    assert fallback(shelf) == {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": sha(SIGNED),
                "size": len(SIGNED),
                "artifactType": SIGNATURE,
                "annotations": {"n": "0"},
            }
        ],
    }
    (found,) = listed(shelf)
    assert (found.digest, found.artifact_type) == (sha(SIGNED), SIGNATURE)
    assert found.annotations == {"n": "0"}


def test_the_index_keeps_what_others_put_into_it(store: contentdb.Store) -> None:
    theirs = descriptor(MANIFEST, b"theirs", artifactType="a/b", **{"x-theirs": [1]})
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [theirs], "annotations": {}}
    shelf = Shelf()
    shelf.manifests["a/b", TAG] = INDEX, json.dumps(index).encode()
    for data in (SIGNED, artifact(1), SIGNED):
        push(store, shelf, data)
    kept = fallback(shelf)
    assert [entry["digest"] for entry in kept["manifests"]] == [
        theirs["digest"], sha(SIGNED), sha(artifact(1)),
    ]  # fmt: skip
    assert kept["manifests"][0] == theirs
    assert kept["annotations"] == {}


def test_an_artifact_without_a_type_has_that_of_its_config(store: contentdb.Store) -> None:
    shelf = Shelf()
    push(store, shelf, artifact(1))
    assert fallback(shelf)["manifests"][0]["artifactType"] == CONFIG


def test_an_entry_that_another_push_overwrote_is_added_again(store: contentdb.Store) -> None:
    other = descriptor(MANIFEST, b"other")
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other]}).encode()
    overwritten: list[str] = []

    def rule(request: Request, shelf: Shelf) -> Reply | None:
        if request.method == "PUT" and request.path.endswith(TAG) and not overwritten:
            overwritten.append(request.path)
            shelf.manifests["a/b", TAG] = INDEX, index
            return reply(201)
        return None

    shelf = Shelf(rule)
    push(store, shelf, SIGNED)
    assert [one["digest"] for one in fallback(shelf)["manifests"]] == [sha(b"other"), sha(SIGNED)]


def test_a_registry_with_the_api_gets_no_tag(store: contentdb.Store) -> None:
    shelf = with_api()
    for data in (SIGNED, artifact(1), artifact(2), SIGNED):
        push(store, shelf, data)
    assert ("a/b", TAG) not in shelf.manifests
    assert {one.digest for one in listed(shelf)} == {
        sha(data) for data in (SIGNED, artifact(1), artifact(2))
    }
    assert [one.digest for one in listed(shelf, SIGNATURE)] == [sha(SIGNED)]
    assert shelf.log[-3].endswith("?artifactType=application%2Fvnd.example.signature")


def test_an_artifact_that_is_there_unlisted_is_listed_by_the_next_push(
    store: contentdb.Store,
) -> None:
    """As after a push that was killed in between."""
    shelf = Shelf()
    push(store, shelf, SIGNED)
    del shelf.manifests["a/b", TAG]
    push(store, shelf, SIGNED)
    assert len(fallback(shelf)["manifests"]) == 1


def test_an_account_that_may_not_read_the_index_does_not_overwrite_it(
    store: contentdb.Store,
) -> None:
    shelf = Shelf(lambda r, _s: reply(403) if r.method == "GET" and TAG in r.path else None)
    shelf.manifests["a/b", TAG] = INDEX, b"theirs"
    (warning,) = push(store, shelf, SIGNED).warnings
    assert TAG in warning
    assert shelf.manifests["a/b", TAG] == (INDEX, b"theirs")


@pytest.mark.parametrize("theirs", [IMAGE.manifest, b"[]"])
def test_another_thing_under_the_tag_is_not_overwritten(
    theirs: bytes, store: contentdb.Store
) -> None:
    shelf = Shelf()
    shelf.manifests["a/b", TAG] = MANIFEST, theirs
    with pytest.raises(oci.RegistryError, match="what has the tag of a list of referrers is none"):
        push(store, shelf, SIGNED)
    assert shelf.manifests["a/b", TAG] == (MANIFEST, theirs)


def test_an_index_that_is_full_is_told(store: contentdb.Store) -> None:
    shelf = Shelf()
    many = [descriptor(MANIFEST, str(n).encode()) for n in range(4096)]
    full = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": many}).encode()
    shelf.manifests["a/b", TAG] = INDEX, full
    with pytest.raises(oci.RegistryError, match="list of referrers is full"):
        push(store, shelf, SIGNED)


@pytest.mark.parametrize("code", [400, 403, 404, 405])
def test_what_refuses_the_api_is_asked_for_the_tag(code: int, store: contentdb.Store) -> None:
    shelf = Shelf(lambda r, _s: reply(code) if "/referrers/" in r.path else None)
    push(store, shelf, SIGNED)
    assert [one.digest for one in listed(shelf)] == [sha(SIGNED)]


def test_a_page_for_people_is_no_list(store: contentdb.Store) -> None:
    page = reply(200, b"<html>", Content_Type="text/html; charset=utf-8")
    shelf = Shelf(lambda r, _s: page if "/referrers/" in r.path else None)
    push(store, shelf, SIGNED)
    assert [one.digest for one in listed(shelf)] == [sha(SIGNED)]


def test_nothing_refers_to_what_has_no_index() -> None:
    assert listed(Shelf()) == []


def test_a_long_digest_has_a_tag_that_is_cut() -> None:
    shelf = Shelf()
    with serving(shelf) as (_, registry):
        assert list(registry.referrers("a/b", contentdb.Digest.of(b"x", "sha512"))) == []
    assert len(shelf.log[-1].rpartition("/")[2]) == len("sha512-") + 64


# -- tags ----------------------------------------------------------------------------------


def tags(request: Request, _shelf: Shelf) -> Reply | None:
    """Three tags, two on the first page."""
    if not request.path.startswith("/v2/a/b/tags/list"):
        return None
    if "last=" in request.path:
        return reply(200, b'{"name":"a/b","tags":["v3"]}')
    link = '</v2/a/b/tags/list?last=v2&n=2>; title="a, b>;"; rel="next"'
    return reply(200, b'{"name":"a/b","tags":["v1","v2"]}', Link=link)


def test_tags_come_a_page_at_a_time() -> None:
    shelf = Shelf(tags)
    with serving(shelf) as (_, registry):
        found = registry.tags("a/b")
        assert next(found) == "v1"
        assert len(shelf.log) == 1
        assert list(found) == ["v2", "v3"]


def test_a_repository_without_tags_has_none() -> None:
    with serving(Shelf(lambda _r, _s: reply(200, b'{"name":"a/b","tags":null}'))) as (_, registry):
        assert list(registry.tags("a/b")) == []


# -- the commands --------------------------------------------------------------------------


def test_the_command_lists_referrers(store: contentdb.Store, root: Path) -> None:
    shelf = Shelf()
    push(store, shelf, SIGNED)
    push(store, shelf, artifact(1))
    shelf.manifests["a/b", "v1"] = MANIFEST, IMAGE.manifest
    with serving(shelf) as (server, _):
        words = ("referrers", "--plain-http", f"{server.name}/a/b:v1")
        lines = call(root, *words).stdout.splitlines()
        assert lines[0].split() == ["DIGEST", "SIZE", "ARTIFACT", "TYPE"]
        assert lines[1].startswith(sha(SIGNED))
        assert lines[1].endswith(SIGNATURE)
        only = call(root, *words, "-q", "--artifact-type", SIGNATURE)
        assert only_line(only.stdout) == sha(SIGNED)
        told = records(call(root, *words, "--json").stdout)
        by_digest = ("referrers", "--plain-http", "-q", f"{server.name}/a/b@{SUBJECT}")
        assert len(call(root, *by_digest).stdout.splitlines()) == 2
    assert told[0] == {
        "digest": sha(SIGNED),
        "size": len(SIGNED),
        "media_type": MANIFEST,
        "artifact_type": SIGNATURE,
        "annotations": {"n": "0"},
    }


def test_the_command_takes_a_referrer_out_of_the_index(store: contentdb.Store, root: Path) -> None:
    shelf = Shelf()
    push(store, shelf, SIGNED)
    push(store, shelf, artifact(1))
    with serving(shelf) as (server, _):
        words = ("referrers", "--plain-http", f"{server.name}/a/b@{SUBJECT}", "--remove")
        done = call(root, *words, sha(SIGNED), "-q")
        assert only_line(done.stdout) == sha(artifact(1))
        again = call(root, *words, sha(SIGNED))
        wrong = call(root, *words, "sha256:abc")
    assert (again.exit_code, wrong.exit_code) == (4, 2)
    assert f"does not list {sha(SIGNED)}" in only_line(again.stderr)
    assert ("a/b", sha(SIGNED)) in shelf.manifests


def test_the_command_lists_tags(root: Path) -> None:
    with serving(Shelf(tags)) as (server, _):
        words = ("remote-tags", "--plain-http", f"{server.name}/a/b")
        assert call(root, *words).stdout == "v1\nv2\nv3\n"
        assert call(root, *words, "--limit", "2").stdout == "v1\nv2\n"
        assert records(call(root, *words, "--json").stdout)[2] == {"tag": "v3"}
        missing = call(root, "remote-tags", "--plain-http", f"{server.name}/nope")
        assert missing.exit_code == 4
        assert "nope" in only_line(missing.stderr)


def test_what_a_file_says_of_a_repository_holds_for_its_lists(
    store: contentdb.Store, root: Path, tmp_path: Path
) -> None:
    """Not only what it says of the registry."""
    conf = tmp_path / "registries.conf"
    shelf = Shelf()
    push(store, shelf, SIGNED)
    shelf.manifests["a/b", "v1"] = MANIFEST, IMAGE.manifest
    with serving(shelf) as (server, _):
        before = list(shelf.log)
        conf.write_text(f"[[registry]]\nlocation='{server.name}/a'\nblocked=true\n")
        options = ("--plain-http", "--registries-conf", conf)
        for words in (
            ("referrers", f"{server.name}/a/b:v1"),
            ("remote-tags", f"{server.name}/a/b"),
        ):
            done = call(root, words[0], *options, words[1])
            assert done.exit_code == 1
            assert str(conf) in only_line(done.stderr)
        assert shelf.log == before
        moves = f"[[registry]]\nprefix='{server.name}/old'\nlocation='{server.name}/a'\n"
        conf.write_text(f"{moves}insecure=true\n")
        moved = call(root, "referrers", *options, "-q", f"{server.name}/old/b:v1")
        assert only_line(moved.stdout) == sha(SIGNED)
