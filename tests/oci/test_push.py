"""A push gets through to registries that refuse, lose, delay and hide."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import contentdb
from contentdb import oci
from contentdb.oci.labels import source_key
from tests.cli.shell import call, only_line, records
from tests.hostile.server import (
    INDEX,
    LAYER,
    MANIFEST,
    Image,
    Reply,
    Request,
    Server,
    descriptor,
    reply,
    sha,
)
from tests.oci.shelf import Rule, Shelf, serving

IMAGE = Image()
TOP = sha(IMAGE.manifest)
LAYER_DIGEST = sha(IMAGE.layer)
SIZE = len(IMAGE.layer)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[contentdb.Store]:
    with contentdb.open(tmp_path / "store") as opened:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            opened.add(data)
        yield opened


def push(
    store: contentdb.Store, shelf: Shelf, *, digest: str = TOP, chunk_bytes: int | None = None
) -> oci.Pushed:
    """Push, and check that the registry has the bytes."""
    with serving(shelf) as (server, registry):
        pushed = oci.push(
            store, digest, f"{server.name}/a/b:v1", registry=registry, chunk_bytes=chunk_bytes
        )
    assert shelf.blobs[LAYER_DIGEST] == IMAGE.layer
    assert shelf.manifests["a/b", "v1"][1] == store.read(digest)
    return pushed


def on(method: str, answer: Callable[[], Reply], *, times: int = 1000, part: str = "") -> Rule:
    """Answer the first requests of a kind in another way."""
    left = [None] * times

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        if request.method == method and part in request.path and left:
            left.pop()
            return answer()
        return None

    return rule


# -- whole or in chunks --------------------------------------------------------------------


def refuse_patches_over(most: int, code: int) -> Rule:
    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        too_long = request.method == "PATCH" and len(request.body) > most
        return reply(code) if too_long else None

    return rule


def refuse_bodies_over(most: int, code: int) -> Rule:
    return lambda request, _shelf: reply(code) if len(request.body) > most else None


def take_at_most(most: int) -> Rule:
    """A registry that takes the beginning of a chunk, and says so."""

    def rule(request: Request, shelf: Shelf) -> Reply | None:
        name = urlsplit(request.path).path.rpartition("/")[2]
        if request.method != "PATCH" or len(request.body) <= most:
            return None
        shelf.uploads[name] += request.body[:most]
        return shelf.standing(202, name, request.path)

    return rule


def want_chunks_of(least: int) -> Rule:
    def rule(request: Request, shelf: Shelf) -> Reply | None:
        if request.method == "POST":
            name = f"u{len(shelf.uploads)}"
            shelf.uploads[name] = b""
            place = f"/v2/a/b/blobs/uploads/{name}"
            return reply(202, Location=place, OCI_Chunk_Min_Length=str(least))
        if request.method == "PATCH" and len(request.body) < least:
            before = len(shelf.uploads[request.path.rpartition("/")[2]])
            return reply(416) if before + len(request.body) < SIZE else None
        return None

    return rule


WAYS: dict[str, tuple[Rule, int | None, int]] = {
    "no PATCH needed": (refuse_patches_over(0, 405), None, 0),
    "no PATCH": (refuse_patches_over(0, 405), 100_000, 1),
    "PATCH is a bad request": (refuse_patches_over(0, 400), 100_000, 1),
    "PATCH too large": (refuse_patches_over(60_000, 413), 100_000, 1 + 13),
    "PATCH out of range": (refuse_patches_over(60_000, 416), 100_000, 1 + 13),
    "PATCH always too large": (refuse_patches_over(10_000, 413), 100_000, 2),
    "PUT too large": (refuse_bodies_over(300_000, 413), None, 2),
    "PATCH taken in part": (take_at_most(90_000), 100_000, 4),
    "PATCH too small": (want_chunks_of(150_000), 100_000, 3),
}


@pytest.mark.parametrize(("rule", "chunk_bytes", "patches"), WAYS.values(), ids=WAYS.keys())
def test_a_blob_arrives_in_the_way_that_the_registry_takes(
    rule: Rule, chunk_bytes: int | None, patches: int, store: contentdb.Store
) -> None:
    shelf = Shelf(rule)
    push(store, shelf, chunk_bytes=chunk_bytes)
    assert shelf.count("PATCH") == patches


def test_a_blob_is_sent_in_one_request_however_long(store: contentdb.Store) -> None:
    shelf = Shelf()
    push(store, shelf)
    assert (shelf.count("PATCH"), shelf.count("PUT /v2/a/b/blobs")) == (0, 2)


def test_a_refusal_before_the_body_was_sent_is_read(store: contentdb.Store) -> None:
    """As proxies do: they answer 413 by the length alone, and close."""
    big = bytes(16 * 1024 * 1024)
    store.add(big)
    document = IMAGE.document() | {"layers": [descriptor(LAYER, big)]}
    top = store.add(json.dumps(document).encode()).digest
    with Server(lambda _r: None, takes_bodies=False) as server:

        def script(request: Request) -> Reply:
            if request.method == "POST":
                return reply(202, Location="/v2/a/b/blobs/uploads/1")
            if request.is_blob(IMAGE.config):
                return reply(200, Content_Length="")
            closing = iter([reply(413, Connection="close")])
            return closing if request.method in {"PUT", "PATCH"} else reply(404)

        server.script = script
        with (
            oci.Registry(server.name, plain_http=True, pause=lambda _s: None) as registry,
            pytest.raises(oci.RegistryError, match="413"),
        ):
            oci.push(store, top, f"{server.name}/a/b:v1", registry=registry)


@pytest.mark.parametrize("code", [500, 502, 429])
@pytest.mark.parametrize(("method", "chunk_bytes"), [("PUT", None), ("PATCH", 100_000)])
def test_a_registry_that_fails_once_gets_it_again(
    code: int, method: str, chunk_bytes: int | None, store: contentdb.Store
) -> None:
    shelf = Shelf(on(method, lambda: reply(code), times=1, part="/blobs/"))
    push(store, shelf, chunk_bytes=chunk_bytes)


def test_a_chunk_that_breaks_off_is_gone_on_from(store: contentdb.Store) -> None:
    """The registry has kept a part of it, and says so when it is asked."""
    broken: list[str] = []

    def rule(request: Request, shelf: Shelf) -> Reply | None:
        name = request.path.rpartition("/")[2]
        if request.method != "PATCH" or broken:
            return None
        broken.append(name)
        shelf.uploads[name] += request.body[:12_345]
        return iter(())

    shelf = Shelf(rule)
    push(store, shelf, chunk_bytes=100_000)
    assert shelf.count("POST") == 2
    assert shelf.count("GET /v2/a/b/blobs/uploads/") == 1


def test_an_upload_that_the_registry_lost_begins_anew(store: contentdb.Store) -> None:
    rule = on("PATCH", lambda: reply(404), times=1)
    shelf = Shelf(rule)
    push(store, shelf, chunk_bytes=100_000)
    assert shelf.count("POST") == 3


def test_an_answer_that_was_lost_is_not_taken_for_a_failure(store: contentdb.Store) -> None:
    def rule(request: Request, shelf: Shelf) -> Reply | None:
        if request.method == "PUT" and LAYER_DIGEST in shelf.log[-1].replace("%3A", ":"):
            shelf.blobs[LAYER_DIGEST] = request.body
            return iter(())
        return None

    shelf = Shelf(rule)
    push(store, shelf)
    assert shelf.count("POST") == 2


@pytest.mark.parametrize("taken", ["1", "0", ""])
def test_a_registry_that_takes_a_byte_at_a_time_is_given_up(
    taken: str, store: contentdb.Store
) -> None:
    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        if request.method == "PATCH":
            return reply(202, Location=request.path, Range=f"0-{taken}" if taken else "0-0")
        return reply(413) if len(request.body) > 1000 else None

    shelf = Shelf(rule)
    with pytest.raises(oci.RegistryError):
        push(store, shelf, chunk_bytes=100_000)
    assert len(shelf.log) <= 64


def test_a_registry_that_has_more_than_it_was_sent_lies(store: contentdb.Store) -> None:
    shelf = Shelf(on("PATCH", lambda: reply(202, Location="/x", Range=f"0-{SIZE}")))
    with pytest.raises(oci.HostileRegistryError, match="it was sent 100000 bytes"):
        push(store, shelf, chunk_bytes=100_000)


@pytest.mark.parametrize("chunk_bytes", [None, 100_000])
def test_a_blob_is_never_read_whole(chunk_bytes: int | None) -> None:
    read: list[int] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            read.append(-1 if size is None else size)
            return super().read(size)

    def open_at(offset: int) -> Source:
        source = Source(IMAGE.layer)
        source.seek(offset)
        return source

    shelf = Shelf()
    with serving(shelf) as (_, registry):
        upload = registry.upload(
            "a/b", contentdb.Digest(LAYER_DIGEST), SIZE, chunk_bytes=chunk_bytes
        )
        upload.send(open_at)
    assert shelf.blobs[LAYER_DIGEST] == IMAGE.layer
    assert all(0 <= size <= 128 * 1024 for size in read)


@pytest.mark.parametrize("failure", [OSError(5, "its disk"), oci.RegistryError("a", "b", "c")])
def test_a_source_that_fails_is_not_taken_for_the_registry(failure: Exception) -> None:
    """Be it a disk, or another registry that the blob is read from."""

    class Source(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise failure

    shelf = Shelf()
    with serving(shelf) as (_, registry):
        upload = registry.upload("a/b", contentdb.Digest(LAYER_DIGEST), SIZE)
        with pytest.raises(type(failure)) as caught:
            upload.send(lambda _offset: Source())
    assert caught.value is failure
    assert shelf.count("POST") == 1


def test_a_damaged_blob_is_told_as_such_and_tried_in_no_other_way(store: contentdb.Store) -> None:
    path = store.path(LAYER_DIGEST)
    path.chmod(0o644)
    path.write_bytes(bytes(SIZE))
    shelf = Shelf()
    with pytest.raises(contentdb.CorruptBlobError):
        push(store, shelf)
    assert shelf.count("PATCH") == 0


@pytest.mark.parametrize("kind", ["absolute", "query", "relative"])
def test_the_next_step_may_be_named_in_any_way(kind: str, store: contentdb.Store) -> None:
    server_name: list[str] = []

    def rule(request: Request, shelf: Shelf) -> Reply | None:
        if request.method == "POST":
            shelf.uploads["u"] = b""
            path = "/v2/a/b/blobs/uploads/u"
            named = {
                "absolute": f"http://{server_name[0]}{path}",
                "query": f"{path}?_state=a%2Fb%3D%3D&x=1",
                "relative": "u",
            }
            return reply(202, Location=named[kind])
        if kind == "query" and request.method in {"PUT", "PATCH"} and "/blobs/" in request.path:
            return None if "_state=a%2Fb%3D%3D&x=1" in request.path else reply(400)
        return None

    shelf = Shelf(rule)
    with serving(shelf) as (server, registry):
        server_name.append(server.name)
        oci.push(
            store, TOP, f"{server.name}/a/b:v1", registry=registry, chunk_bytes=100_000, jobs=1
        )
    assert shelf.blobs[LAYER_DIGEST] == IMAGE.layer


def test_an_upload_tells_how_far_it_is(store: contentdb.Store) -> None:
    big = bytes(3 * 1024 * 1024)
    store.add(big)
    document = IMAGE.document() | {"layers": [descriptor(LAYER, big)]}
    top = store.add(json.dumps(document).encode()).digest
    events: list[oci.Event] = []
    with serving(Shelf()) as (server, registry):
        oci.push(store, top, f"{server.name}/a/b", registry=registry, listen=events.append)
    offsets = [e.offset for e in events if e.kind == "uploading" and e.name == sha(big)]
    assert offsets == [n * 1024 * 1024 for n in range(4)]


# -- what is there already -----------------------------------------------------------------


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 500])
def test_a_mount_that_is_refused_means_that_the_blob_is_sent(
    code: int, store: contentdb.Store
) -> None:
    shelf = Shelf(on("POST", lambda: reply(code), part="mount="))
    with serving(shelf) as (server, registry):
        store.update(LAYER_DIGEST, {source_key(server.name): "base/img"})
        pushed = oci.push(store, TOP, f"{server.name}/a/b:v1", registry=registry)
    assert set(pushed.uploaded) == {sha(IMAGE.config), LAYER_DIGEST}


@pytest.mark.parametrize("code", [400, 403])
def test_a_token_server_that_refuses_two_repositories_is_asked_for_one(
    code: int, store: contentdb.Store
) -> None:
    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        if request.path.startswith("/token"):
            both = "base" in request.path
            return reply(code) if both else reply(200, b'{"token":"t"}')
        if request.headers.get("authorization") != "Bearer t" or "mount=" in request.path:
            realm = f"http://{request.headers['host']}/token"
            return reply(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"')
        return None

    shelf = Shelf(rule)
    with serving(shelf) as (server, registry):
        store.update(LAYER_DIGEST, {source_key(server.name): "base/img"})
        pushed = oci.push(store, TOP, f"{server.name}/a/b:v1", registry=registry)
    assert LAYER_DIGEST in pushed.uploaded


@pytest.mark.parametrize("code", [400, 401, 403, 405, 500])
def test_a_registry_that_refuses_to_be_asked_gets_everything(
    code: int, store: contentdb.Store
) -> None:
    pushed = push(store, Shelf(on("HEAD", lambda: reply(code))))
    assert len(pushed.uploaded) == 2
    assert not pushed.warnings


def test_a_head_that_leads_astray_is_no_answer(store: contentdb.Store) -> None:
    """A URL that is signed for a GET refuses a HEAD, perhaps by a 401 of its own."""
    with Server(lambda _r: reply(401)) as elsewhere:
        signed = f"http://{elsewhere.name}/signed"
        pushed = push(store, Shelf(on("HEAD", lambda: reply(307, Location=signed))))
        assert elsewhere.requests
    assert len(pushed.uploaded) == 2


@pytest.mark.parametrize("lie", [{"Location": "/v2/a/b/blobs/x"}, {"Content_Encoding": "x-gzip"}])
def test_a_head_whose_answer_cannot_be_used_is_none(
    lie: dict[str, str], store: contentdb.Store
) -> None:
    code = 307 if "Location" in lie else 200
    pushed = push(store, Shelf(on("HEAD", lambda: reply(code, b"", **lie))))
    assert len(pushed.uploaded) == 2


def test_a_blob_of_another_length_is_not_taken_for_there(store: contentdb.Store) -> None:
    pushed = push(store, Shelf(on("HEAD", lambda: reply(200), part="/blobs/")))
    assert len(pushed.uploaded) == 2


def immutable(request: Request, shelf: Shelf) -> Reply | None:
    """Tags may not be changed, be it to the same bytes."""
    name = request.path.rpartition("/")[2]
    if request.method == "PUT" and ("a/b", name) in shelf.manifests:
        return reply(400, b'{"errors":[{"code":"TAG_INVALID"}]}')
    return None


def test_the_same_push_again_to_an_immutable_tag_is_a_success(store: contentdb.Store) -> None:
    shelf = Shelf(immutable)
    push(store, shelf)
    again = push(store, shelf)
    assert len(again.existing) == 2
    assert shelf.count("PUT /v2/a/b/manifests") == 1


def test_other_bytes_under_an_immutable_tag_are_not(store: contentdb.Store) -> None:
    shelf = Shelf(immutable)
    push(store, shelf)
    other = store.add(IMAGE.manifest + b"\n").digest
    with pytest.raises(oci.RegistryError, match="TAG_INVALID"):
        push(store, shelf, digest=other)


# -- what is read back ---------------------------------------------------------------------


def test_a_tag_that_shows_late_is_waited_for(store: contentdb.Store) -> None:
    shelf = Shelf()
    shown: list[str] = []

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        if request.method == "GET" and "/manifests/" in request.path:
            shown.append(request.path)
            return reply(404) if len(shown) < 3 else None
        return None

    shelf.rule = rule
    assert push(store, shelf).warnings == ()
    assert len(shown) == 3


def test_a_tag_that_still_shows_what_it_had_is_waited_for(store: contentdb.Store) -> None:
    shelf = Shelf()
    push(store, shelf)
    before = shelf.manifests["a/b", "v1"]
    other = store.add(IMAGE.manifest + b"\n").digest
    stale = [before, before]

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        if request.method == "GET" and stale:
            media_type, data = stale.pop()
            return reply(200, data, Content_Type=media_type)
        return None

    shelf.rule = rule
    assert push(store, shelf, digest=other).warnings == ()
    assert not stale


@pytest.mark.parametrize(("code", "said"), [(403, "may not read"), (404, "yet"), (405, "back")])
def test_what_may_not_be_read_back_is_a_success_with_a_warning(
    code: int, said: str, store: contentdb.Store, caplog: pytest.LogCaptureFixture
) -> None:
    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        return reply(code) if request.method in {"GET", "HEAD"} else None

    (warning,) = push(store, Shelf(rule)).warnings
    assert said in warning
    assert "a/b:v1" in warning
    assert any(said in record.getMessage() for record in caplog.records)


# -- an index that is not whole ------------------------------------------------------------


@pytest.fixture
def index(store: contentdb.Store) -> str:
    """An index of two platforms, one of them stored."""
    entries = [
        descriptor(MANIFEST, IMAGE.manifest, platform={"os": "linux", "architecture": "amd64"}),
        descriptor(MANIFEST, b"away", platform={"os": "linux", "architecture": "arm64"}),
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    return store.add(json.dumps(document).encode()).digest


def wants_all(request: Request, shelf: Shelf) -> Reply | None:
    """A registry that refuses an index whose manifests it lacks, as docker-registry does."""
    if request.method == "PUT" and request.headers.get("content-type") == INDEX:
        for entry in json.loads(request.body)["manifests"]:
            if ("a/b", entry["digest"]) not in shelf.manifests:
                return reply(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}')
    return None


def test_an_index_that_is_not_whole_is_refused_before_anything_is_sent(
    store: contentdb.Store, index: str
) -> None:
    shelf = Shelf(wants_all)
    with pytest.raises(oci.IncompleteIndexError) as caught:
        push(store, shelf, digest=index)
    assert shelf.log == [f"HEAD /v2/a/b/manifests/{sha(b'away')}"]
    assert caught.value.missing == {sha(b"away"): "linux/arm64"}
    assert caught.value.stored == {TOP: "linux/amd64"}
    assert f"push {TOP} (linux/amd64) instead" in str(caught.value)


def test_an_index_may_lack_what_the_registry_has(store: contentdb.Store, index: str) -> None:
    """As when one platform was pulled from there, and the tag is to have another name."""
    shelf = Shelf(wants_all)
    shelf.manifests["a/b", sha(b"away")] = MANIFEST, b"away"
    push(store, shelf, digest=index)


def test_a_sparse_index_goes_where_the_registry_takes_it(
    store: contentdb.Store, index: str, root: Path
) -> None:
    shelf = Shelf()
    with serving(shelf) as (server, registry):
        oci.push(store, index, f"{server.name}/a/b:v1", registry=registry, sparse=True)
        assert ("a/b", index) in shelf.manifests
        shelf.rule = wants_all
        with pytest.raises(oci.RegistryError, match=f"push {TOP}"):
            oci.push(store, index, f"{server.name}/a/b:v2", registry=registry, sparse=True)


# -- the command ---------------------------------------------------------------------------


def test_the_command_warns_on_standard_error_and_succeeds(root: Path) -> None:
    with contentdb.open(root) as store:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            store.add(data)

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        return reply(403) if request.method in {"GET", "HEAD"} else None

    with serving(Shelf(rule)) as (server, _):
        words = ("push", "--plain-http", "--chunk-bytes", "100000", TOP, f"{server.name}/a/b:v1")
        done = call(root, *words)
        told = records(call(root, *words, "--json").stdout)
    assert (done.exit_code, only_line(done.stdout)) == (0, TOP)
    warning, summary = done.stderr.splitlines()
    assert warning.startswith("contentdb: warning: a/b:v1 was taken, but")
    assert summary.startswith(f"pushed {server.name}/a/b:v1: ")
    assert len(told[0]["warnings"]) == 1


def test_the_command_pushes_an_index_sparse_when_told_to(root: Path) -> None:
    with contentdb.open(root) as store:
        for data in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            store.add(data)
        entries = [descriptor(MANIFEST, IMAGE.manifest), descriptor(MANIFEST, b"away")]
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
        index = store.add(json.dumps(document).encode()).digest
    with serving(Shelf()) as (server, _):
        words = ("push", "--plain-http", index, f"{server.name}/a/b:v1")
        refused = call(root, *words)
        assert (refused.exit_code, call(root, *words, "--sparse").exit_code) == (4, 0)
    assert f"push {TOP} (no platform) instead" in only_line(refused.stderr)
