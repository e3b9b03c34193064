"""A pull brings what is missing, once, and goes on where it stood."""

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.labels import MEDIA_TYPE
from contentdb.oci.transfer import fetch
from tests.hostile.server import (
    INDEX,
    LAYER,
    MANIFEST,
    Image,
    Reply,
    Request,
    Script,
    Server,
    descriptor,
    manifest_reply,
    reply,
    sha,
)
from tests.oci.shelf import serving

IMAGE = Image()
LAYER_DIGEST = sha(IMAGE.layer)


def asked_for_layer(server: Server) -> list[str | None]:
    """The range of each request for the layer; None is the whole."""
    return [r.headers.get("range") for r in server.requests if r.is_blob(IMAGE.layer)]


def test_an_image_arrives_with_labels_that_lead_through_it(store: contentdb.Store) -> None:
    with serving(IMAGE.answer) as (server, registry):
        pulled = oci.pull(store, f"{server.name}/a/b:v1", registry=registry)
        host = server.name
    assert pulled.digest == sha(IMAGE.manifest)
    assert store.read(LAYER_DIGEST) == IMAGE.layer
    source = f"containerd.io/distribution.source.{host}"
    assert store.info(pulled.digest).labels == {
        "containerd.io/gc.ref.content.config": sha(IMAGE.config),
        "containerd.io/gc.ref.content.l.0": LAYER_DIGEST,
        MEDIA_TYPE: MANIFEST,
        source: "a/b",
    }
    assert store.info(LAYER_DIGEST).labels == {MEDIA_TYPE: LAYER, source: "a/b"}
    assert list(store.statuses()) == []


def test_a_layer_that_comes_in_meanwhile_keeps_its_labels(store: contentdb.Store) -> None:
    """The list of repositories that have it is added to, not replaced."""
    with serving(IMAGE.answer) as (server, registry):
        source = f"containerd.io/distribution.source.{server.name}"

        def store_first(event: oci.Event) -> None:
            if event.kind == "downloading" and event.name == LAYER_DIGEST:
                store.add(IMAGE.layer, labels={source: "other", "mine": "1"})

        oci.pull(store, f"{server.name}/a/b:v1", registry=registry, listen=store_first)
    assert store.info(LAYER_DIGEST).labels == {MEDIA_TYPE: LAYER, source: "a/b,other", "mine": "1"}


def test_what_is_stored_is_not_asked_for(store: contentdb.Store) -> None:
    events: list[oci.Event] = []
    with serving(IMAGE.answer) as (server, registry):
        first = oci.pull(store, f"{server.name}/a/b", registry=registry)
        before = len(server.requests)
        again = oci.pull(
            store, f"{server.name}/c@{first.digest}", registry=registry, listen=events.append
        )
        assert len(server.requests) == before
        source = f"containerd.io/distribution.source.{server.name}"
    assert again.fetched_bytes == 0
    assert {event.kind for event in events} == {"resolving", "resolved", "queued", "exists"}
    assert store.info(LAYER_DIGEST).labels[source] == "a/b,c"


@pytest.mark.parametrize("kept", [1, 1000, len(IMAGE.layer) - 1])
def test_an_interrupted_layer_goes_on_with_a_range(kept: int, store: contentdb.Store) -> None:
    with store.writer(LAYER_DIGEST, total=len(IMAGE.layer), expected=LAYER_DIGEST) as writer:
        writer.write(IMAGE.layer[:kept])
    events: list[oci.Event] = []
    with serving(IMAGE.answer) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry, listen=events.append)
        assert asked_for_layer(server) == [f"bytes={kept}-"]
    assert ("resumed", LAYER_DIGEST, LAYER, kept, len(IMAGE.layer)) in events
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_a_whole_layer_that_was_not_committed_is_not_asked_for(store: contentdb.Store) -> None:
    with store.writer(LAYER_DIGEST, total=len(IMAGE.layer), expected=LAYER_DIGEST) as writer:
        writer.write(IMAGE.layer)
    with serving(IMAGE.answer) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
        assert asked_for_layer(server) == []
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_wrong_bytes_left_by_another_are_thrown_away(store: contentdb.Store) -> None:
    with store.writer(LAYER_DIGEST, total=len(IMAGE.layer), expected=LAYER_DIGEST) as writer:
        writer.write(bytes(1000))
    with serving(IMAGE.answer) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
        assert asked_for_layer(server) == ["bytes=1000-", None]
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_wrong_bytes_of_a_registry_are_not_kept_to_be_resumed(store: contentdb.Store) -> None:
    def script(request: Request) -> Reply:
        wrong = request.is_blob(IMAGE.layer)
        return reply(200, bytes(len(IMAGE.layer))) if wrong else IMAGE.answer(request)

    with serving(script) as (server, registry), pytest.raises(oci.HostileRegistryError):
        oci.pull(store, f"{server.name}/a", registry=registry)
    assert LAYER_DIGEST not in {status.ref for status in store.statuses()}


def test_a_size_that_a_manifest_lied_about_is_forgotten(store: contentdb.Store) -> None:
    """Else one liar would keep the honest from bringing the layer, until somebody aborts it."""
    store.writer(LAYER_DIGEST, total=5, expected=LAYER_DIGEST).close()
    with serving(IMAGE.answer) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_an_interrupt_waits_neither_for_a_silent_registry_nor_for_another_pull(
    store: contentdb.Store,
) -> None:
    """The main thread gets it; the others are inside a read, and waiting for a held ref."""
    other = sha(IMAGE.config)
    meanwhile = threading.Event()
    events: list[oci.Event] = []

    def listen(event: oci.Event) -> None:
        events.append(event)
        if {"downloading", "waiting"} <= {seen.kind for seen in events}:
            meanwhile.set()

    def script(request: Request) -> Reply:
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)
        head = reply(200, Content_Length=str(len(IMAGE.layer)))
        return itertools.chain([head], itertools.repeat(b""))

    def interrupt(*_: object, **__: object) -> NoReturn:
        meanwhile.wait(60)
        raise KeyboardInterrupt

    with (
        serving(script) as (server, registry),
        store.writer(other, total=len(IMAGE.config), expected=other),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(fetch, "results_of", interrupt)
        with pytest.raises(KeyboardInterrupt):
            oci.pull(store, f"{server.name}/a", registry=registry, listen=listen)
    assert [event.kind for event in events if event.kind != "queued"][-2:] != ["done", "done"]
    assert not store.exists(LAYER_DIGEST)


def test_a_cut_connection_resumes_at_once(store: contentdb.Store) -> None:
    step = 100_000

    def script(request: Request) -> Reply:
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)
        whole = IMAGE.answer(request)
        head, _, body = whole.partition(b"\r\n\r\n")
        return iter([head + b"\r\n\r\n" + body[:step]])

    with serving(script) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
        assert asked_for_layer(server) == [
            None,
            *(f"bytes={n}-" for n in (100_000, 200_000, 300_000)),
        ]
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_a_server_that_ignores_the_range_is_read_past(store: contentdb.Store) -> None:
    with store.writer(LAYER_DIGEST, total=len(IMAGE.layer), expected=LAYER_DIGEST) as writer:
        writer.write(IMAGE.layer[:70_000])

    def script(request: Request) -> Reply:
        return IMAGE.answer(request._replace(headers={}))

    with serving(script) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def asked(request: Request) -> tuple[int, int | None]:
    """The first byte that a range asks for, and the end, if it has one."""
    first, _, last = request.headers["range"].removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1 if last else None


def part(start: int, stop: int, whole: object = len(IMAGE.layer)) -> bytes:
    span = f"bytes {start}-{stop - 1}/{whole}"
    return reply(206, IMAGE.layer[start:stop], Content_Range=span)


SIZE = len(IMAGE.layer)
RESUMED: dict[str, tuple[Script, int]] = (
    {
        f"open ranges are answered {status}": (
            lambda r, status=status: (
                reply(status) if asked(r)[1] is None else part(asked(r)[0], SIZE)
            ),
            2,
        )
        for status in (400, 416, 501)
    }
    | {
        f"all ranges are refused with {status}": (lambda _r, status=status: reply(status), 3)
        for status in (403, 404, 409, 412, 416)
    }
    | {
        f"all ranges fail with {status}": (lambda _r, status=status: reply(status), 6)
        for status in (502, 503, 504)  # with four retries, then the whole
    }
    | {
        "all ranges fail": (lambda _r: reply(500), 11),  # twice with four retries, then the whole
        "ranges are answered with others": (lambda _r: part(0, SIZE), 3),
        "parts of ranges": (
            lambda _r: reply(206, b"x", Content_Type="multipart/byteranges; boundary=x"),
            3,
        ),
        "less than was asked for": (
            lambda r: part(asked(r)[0], min(SIZE, asked(r)[0] + 70_000)),
            4,
        ),
        "little by little": (lambda r: part(asked(r)[0], asked(r)[0] + 10), 6),
        "the size is not told": (lambda r: part(asked(r)[0], SIZE, "*"), 1),
        "less, and the size is not told": (
            lambda r: part(asked(r)[0], min(SIZE, asked(r)[0] + 70_000), "*"),
            4,
        ),
    }
)


@pytest.mark.parametrize(("resumed", "requests"), RESUMED.values(), ids=RESUMED.keys())
def test_however_a_registry_resumes_the_layer_comes(
    resumed: Script, requests: int, store: contentdb.Store
) -> None:
    kept = 50_000
    with store.writer(LAYER_DIGEST, total=SIZE, expected=LAYER_DIGEST) as writer:
        writer.write(IMAGE.layer[:kept])

    def script(request: Request) -> Reply | None:
        ranged = request.is_blob(IMAGE.layer) and "range" in request.headers
        return resumed(request) if ranged else IMAGE.answer(request)

    with serving(script) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
        assert len(asked_for_layer(server)) == requests
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_two_pulls_at_once_get_a_shared_layer_once(store: contentdb.Store, tmp_path: Path) -> None:
    waiting = threading.Event()

    def script(request: Request) -> Reply:
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)
        whole = IMAGE.answer(request)

        def slowly() -> Iterator[bytes]:
            yield whole[:1000]
            waiting.wait(60)
            yield whole[1000:]

        return slowly()

    def listen(event: oci.Event) -> None:
        if event.kind == "waiting" and event.name == LAYER_DIGEST:
            waiting.set()

    with serving(script) as (server, registry):
        pulls = [
            threading.Thread(
                target=oci.pull,
                args=(store, f"{server.name}/{name}"),
                kwargs={"registry": registry, "listen": listen},
            )
            for name in ("a", "b")
        ]
        for pull in pulls:
            pull.start()
        for pull in pulls:
            pull.join()
        assert waiting.is_set()
        assert asked_for_layer(server) == [None]
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def index_script(request: Request) -> Reply:
    arm = IMAGE.manifest + b" "
    entries = [
        descriptor(MANIFEST, arm, platform={"os": "linux", "architecture": "arm64"}),
        descriptor(MANIFEST, IMAGE.manifest, platform={"os": "linux", "architecture": "amd64"}),
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    if request.path.endswith("/manifests/latest"):
        return manifest_reply(index, INDEX)
    if request.path.endswith(sha(arm)):
        return manifest_reply(arm)
    return IMAGE.answer(request)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"platform": "linux/amd64"}, 2),
        ({"platform": "linux/arm64"}, 2),
        ({"platform": oci.Platform("linux", "arm64", "v8")}, 2),
        ({"platform": ["arm64", "linux/amd64"]}, 3),
        ({"platform": ["arm64", "aarch64"]}, 2),
        ({"all_platforms": True}, 3),
    ],
)
def test_an_index_gives_the_platforms_asked_for(
    options: dict[str, Any], count: int, store: contentdb.Store
) -> None:
    with serving(index_script) as (server, registry):
        pulled = oci.pull(store, f"{server.name}/a", registry=registry, **options)
    assert len(pulled.documents) == count
    assert len(pulled.chosen) == (0 if "all_platforms" in options else count - 1)
    assert {one.digest for one in pulled.chosen} <= set(pulled.documents[1:])
    assert store.info(pulled.digest).labels[MEDIA_TYPE] == INDEX


def test_a_pull_of_another_platform_leaves_the_edges_to_the_first(store: contentdb.Store) -> None:
    """All entries have one, stored or not, as containerd does it: no platform takes another's."""
    with serving(index_script) as (server, registry):
        for platform in ("linux/arm64", "linux/amd64"):
            pulled = oci.pull(store, f"{server.name}/a", registry=registry, platform=platform)
            labels = store.info(pulled.digest).labels
            edges = {key: to for key, to in labels.items() if "gc.ref" in key}
            assert edges == {
                "containerd.io/gc.ref.content.m.0": sha(IMAGE.manifest + b" "),
                "containerd.io/gc.ref.content.m.1": sha(IMAGE.manifest),
            }


def test_a_platform_that_is_not_there_is_told_with_those_that_are(store: contentdb.Store) -> None:
    with (
        serving(index_script) as (server, registry),
        pytest.raises(oci.ObjectNotFoundError, match="linux/amd64, linux/arm64"),
    ):
        oci.pull(store, f"{server.name}/a", registry=registry, platform="windows/amd64")


def test_docker_media_types_and_sha512_are_taken(store: contentdb.Store) -> None:
    wide = str(contentdb.Digest.of(IMAGE.layer, "sha512"))
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": descriptor("application/vnd.docker.container.image.v1+json", IMAGE.config),
        "layers": [descriptor(LAYER, IMAGE.layer) | {"digest": wide}],
    }
    data = json.dumps(document).encode()

    def script(request: Request) -> Reply:
        if request.is_manifest:
            return manifest_reply(data, str(document["mediaType"]))
        if request.path.endswith(wide):
            return reply(200, IMAGE.layer)
        return IMAGE.answer(request)

    with serving(script) as (server, registry):
        oci.pull(store, f"{server.name}/a", registry=registry)
    assert store.read(wide) == IMAGE.layer


@pytest.mark.parametrize(
    "served", ["binary/octet-stream", "text/html", "application/x-tar", "application/json", ""]
)
def test_a_web_servers_guess_at_the_type_is_passed_over(
    served: str, store: contentdb.Store
) -> None:
    def script(request: Request) -> Reply:
        if request.is_manifest:
            return reply(200, IMAGE.manifest, Content_Type=served)
        return IMAGE.answer(request)

    with serving(script) as (server, registry):
        pulled = oci.pull(store, f"{server.name}/a", registry=registry)
    assert pulled.media_type == MANIFEST


@pytest.mark.parametrize("said", ["x-gzip", "GZip"])
def test_a_web_server_that_says_gzip_of_a_layer_that_is_one_is_believed_by_the_digest(
    said: str, store: contentdb.Store
) -> None:
    """Apache's mime_magic says so of files; the second answer is that of a resumed request."""
    asked = []

    def script(request: Request) -> Reply:
        honest = bytes(IMAGE.answer(request))
        if not request.is_blob(IMAGE.layer):
            return honest
        asked.append(request)
        head, _, body = honest.partition(b"\r\n\r\n")
        kept = body[: len(body) // 2] if len(asked) == 1 else body
        return iter([head + f"\r\nContent-Encoding: {said}\r\n\r\n".encode() + kept])

    with serving(script) as (server, registry):
        oci.pull(store, f"{server.name}/a/b:v1", registry=registry)
    assert store.read(LAYER_DIGEST) == IMAGE.layer
    assert len(asked) == 2


def test_what_is_compressed_on_the_way_has_no_length_and_is_refused(store: contentdb.Store) -> None:
    def script(request: Request) -> Reply:
        if not request.is_blob(IMAGE.layer):
            return IMAGE.answer(request)
        return iter([b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n" + IMAGE.layer])

    with (
        serving(script) as (server, registry),
        pytest.raises(oci.HostileRegistryError, match="encoded, though asked not to"),
    ):
        oci.pull(store, f"{server.name}/a/b:v1", registry=registry)


def test_an_artifact_with_a_subject_is_taken_alone(store: contentdb.Store) -> None:
    document = IMAGE.document() | {
        "artifactType": "application/x.signature",
        "subject": descriptor(MANIFEST, b"not here"),
    }
    data = json.dumps(document).encode()

    def script(request: Request) -> Reply:
        return manifest_reply(data) if request.is_manifest else IMAGE.answer(request)

    with serving(script) as (server, registry):
        pulled = oci.pull(store, f"{server.name}/a", registry=registry)
    assert pulled.documents == (sha(data),)
    assert oci.parse_document(data).artifact_type == "application/x.signature"
