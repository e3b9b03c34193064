"""A copy downloads only what its target lacks, and leaves no tag unless all of it is there."""

import json
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import contentdb
from contentdb import oci
from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError
from tests.cli.shell import call, only_line, records, start
from tests.hostile.server import (
    INDEX,
    LAYER,
    MANIFEST,
    Reply,
    Request,
    Server,
    descriptor,
    reply,
    sha,
)
from tests.oci.filled import (
    IMAGE,
    INNER,
    LAYER_DIGEST,
    ONE,
    OUTER,
    SBOM,
    SIGNATURE,
    THREE,
    TOP,
    TWO,
    artifact,
    index_of,
    list_under,
    nested,
    nothing,
    put,
    source_of,
    with_artifacts,
)
from tests.oci.shelf import Rule, Shelf, serving


class Two(NamedTuple):
    """Two registries, and the clients of them."""

    servers: tuple[Server, Server]
    clients: tuple[oci.Registry, oci.Registry]

    def copy(
        self,
        store: contentdb.Store,
        *,
        target: str = "x/y:v2",
        **options: Any,  # noqa: ANN401 - those of `oci.copy`
    ) -> oci.Copied:
        return oci.copy(
            store,
            f"{self.servers[0].name}/a/b:v1",
            f"{self.servers[1].name}/{target}",
            source_registry=self.clients[0],
            target_registry=self.clients[1],
            **options,
        )


@contextmanager
def two(source: Shelf, target: Shelf) -> Iterator[Two]:
    with serving(source) as (one, reads), serving(target) as (other, writes):
        yield Two((one, other), (reads, writes))


@contextmanager
def one(shelf: Shelf) -> Iterator[Two]:
    """The same registry on both sides."""
    with serving(shelf) as (server, client):
        yield Two((server, server), (client, client))


def asked(shelf: Shelf, data: bytes) -> int:
    """How often a blob was downloaded."""
    return shelf.count(f"GET /v2/a/b/blobs/{sha(data)}")


def documents_of(shelf: Shelf, repository: str = "x/y") -> dict[str, bytes]:
    return {key[1]: kept[1] for key, kept in shelf.manifests.items() if key[0] == repository}


# -- from one registry to another ----------------------------------------------------------


def test_all_bytes_arrive_and_documents_follow_their_parts(store: contentdb.Store) -> None:
    target = Shelf()
    with two(source_of(), target) as both:
        copied = both.copy(store)
    assert documents_of(target) == {"v2": IMAGE.manifest, TOP: IMAGE.manifest}
    assert target.manifests["x/y", "v2"][0] == MANIFEST
    assert set(target.blobs.values()) == {IMAGE.config, IMAGE.layer}
    writes = [line.split("?")[0] for line in target.log if line.startswith(("POST", "PUT"))]
    assert writes[-1] == "PUT /v2/x/y/manifests/v2"
    assert sum("/manifests/" in line for line in writes) == 1
    assert (copied.digest, copied.documents) == (TOP, (TOP,))
    assert set(copied.uploaded) == {sha(IMAGE.config), LAYER_DIGEST}
    assert (copied.mounted, copied.existing, copied.warnings) == ((), (), ())
    assert copied.fetched_bytes == sum(map(len, (IMAGE.manifest, IMAGE.config, IMAGE.layer)))
    assert store.read(LAYER_DIGEST) == IMAGE.layer


def test_the_store_knows_both_places_of_what_went_through_it(store: contentdb.Store) -> None:
    with two(source_of(), Shelf()) as both:
        both.copy(store)
        names = [server.name for server in both.servers]
    labels = store.info(LAYER_DIGEST).labels
    assert labels[f"containerd.io/distribution.source.{names[0]}"] == "a/b"
    assert labels[f"containerd.io/distribution.source.{names[1]}"] == "x/y"


def test_what_the_target_has_is_not_downloaded(store: contentdb.Store) -> None:
    source, target = source_of(), Shelf()
    target.blobs[LAYER_DIGEST] = IMAGE.layer
    with two(source, target) as both:
        copied = both.copy(store)
        assert copied.existing == (LAYER_DIGEST,)
        assert (asked(source, IMAGE.layer), asked(source, IMAGE.config)) == (0, 1)
        again = both.copy(store)
    assert (len(again.existing), again.uploaded) == (2, ())
    assert (asked(source, IMAGE.layer), asked(source, IMAGE.config)) == (0, 1)
    assert target.count("PUT /v2/x/y/manifests/") == 1
    assert not store.exists(LAYER_DIGEST)


def test_what_is_stored_is_sent_from_there(store: contentdb.Store) -> None:
    """And told of once: that the target has it, not that the store has."""
    store.add(IMAGE.layer)
    source = source_of()
    events: list[oci.Event] = []
    with two(source, Shelf()) as both:
        copied = both.copy(store, listen=events.append)
    assert set(copied.uploaded) == {sha(IMAGE.config), LAYER_DIGEST}
    assert asked(source, IMAGE.layer) == 0
    kinds = [event.kind for event in events if event.name == LAYER_DIGEST]
    assert kinds == ["queued", "uploading", "done"]


def test_a_blob_is_sent_while_another_is_fetched(store: contentdb.Store) -> None:
    """The config comes only after the target has the layer: else this waits in vain."""
    sent = threading.Event()

    def slow_config(request: Request, _shelf: Shelf) -> Reply | None:
        if request.is_blob(IMAGE.config):
            assert sent.wait(30)
        return None

    def notice(request: Request, _shelf: Shelf) -> Reply | None:
        if request.method == "PUT" and request.body == IMAGE.layer:
            sent.set()
        return None

    with two(source_of(slow_config), Shelf(notice)) as both:
        assert len(both.copy(store, jobs=2).uploaded) == 2


def bytes_of(store: contentdb.Store, digest: Digest) -> int:
    """Return how many bytes of a blob the store has, committed or not."""
    if store.exists(digest):
        return store.info(digest).size
    return sum(ingest.offset for ingest in store.statuses() if ingest.ref == digest)


def test_an_interrupted_copy_asks_only_for_the_rest(store: contentdb.Store) -> None:
    kept = 200_000
    broken = [True]
    ranges: list[str | None] = []

    def source(request: Request, _shelf: Shelf) -> Reply | None:
        if not request.is_blob(IMAGE.layer):
            return None
        ranges.append(request.headers.get("range"))
        if broken:
            head = reply(200, Content_Length=str(len(IMAGE.layer)))
            return iter((head, IMAGE.layer[:kept]))
        return IMAGE.answer(request)

    target = Shelf()
    shelf = source_of(source)
    with two(shelf, target) as both:
        with (
            oci.Registry(both.servers[0].name, plain_http=True, retries=0) as impatient,
            pytest.raises(oci.UnreachableError),
        ):
            both._replace(clients=(impatient, both.clients[1])).copy(store)
        assert documents_of(target) == {}
        broken.clear()
        ranges.clear()
        config = len(IMAGE.config) - bytes_of(store, Digest.of(IMAGE.config))
        copied = both.copy(store)
    assert ranges == [f"bytes={kept}-"]
    assert copied.fetched_bytes == len(IMAGE.manifest) + len(IMAGE.layer) - kept + config
    assert target.blobs[LAYER_DIGEST] == IMAGE.layer


def test_the_digest_of_a_target_must_be_that_of_the_source(store: contentdb.Store) -> None:
    target = Shelf()
    with two(source_of(), target) as both:
        with pytest.raises(InvalidArgumentError, match="another digest"):
            both.copy(store, target=f"x/y@{sha(b'other')}")
        assert target.log == []
        assert both.copy(store, target=f"x/y@{TOP}").digest == TOP
    assert list(documents_of(target)) == [TOP]


# -- within one registry -------------------------------------------------------------------


def apart(request: Request, _shelf: Shelf) -> Reply | None:
    """A registry whose repository ``x/y`` has no blobs yet."""
    lacks = request.method == "HEAD" and request.path.startswith("/v2/x/y/blobs/")
    return reply(404) if lacks else None


def test_within_a_registry_blobs_are_mounted(store: contentdb.Store) -> None:
    shelf = source_of(apart)
    with one(shelf) as both:
        copied = both.copy(store)
    assert set(copied.mounted) == {sha(IMAGE.config), LAYER_DIGEST}
    assert shelf.count("from=a%2Fb") == 2
    assert shelf.count("GET /v2/a/b/blobs/") == 0
    assert copied.fetched_bytes == len(IMAGE.manifest)
    assert documents_of(shelf)["v2"] == IMAGE.manifest
    assert not store.exists(LAYER_DIGEST)


@pytest.mark.parametrize("status", [202, 403])
def test_a_refused_mount_becomes_an_upload(status: int, store: contentdb.Store) -> None:
    def refuse(request: Request, shelf: Shelf) -> Reply | None:
        if "mount=" not in request.path:
            return apart(request, shelf)
        shelf.uploads["mine" + request.path[-80:-70]] = b""
        begun = f"/v2/x/y/blobs/uploads/mine{request.path[-80:-70]}"
        return reply(202, Location=begun) if status == 202 else reply(status)

    shelf = source_of(refuse)
    with one(shelf) as both:
        copied = both.copy(store)
    assert set(copied.uploaded) == {sha(IMAGE.config), LAYER_DIGEST}
    assert asked(shelf, IMAGE.layer) == 1


def test_a_new_tag_in_one_repository_moves_no_blob(store: contentdb.Store) -> None:
    shelf = source_of()
    with one(shelf) as both:
        copied = both.copy(store, target="a/b:v2")
    assert len(copied.existing) == 2
    assert shelf.count("GET /v2/a/b/blobs/") == 0
    assert shelf.manifests["a/b", "v2"][1] == IMAGE.manifest


# -- platforms -----------------------------------------------------------------------------


@pytest.mark.parametrize(("platform", "data"), [("amd64", ONE), ("arm64", TWO)])
def test_one_platform_is_copied_alone(
    platform: str, data: tuple[bytes, bytes, bytes], store: contentdb.Store
) -> None:
    target = Shelf()
    with two(nested(), target) as both:
        copied = both.copy(store, platform=platform)
    assert documents_of(target) == {"v2": data[0], sha(data[0]): data[0]}
    assert set(target.blobs.values()) == set(data[1:])
    assert copied.digest == sha(data[0])
    assert [str(chosen.digest) for chosen in copied.chosen] == [sha(data[0])]
    assert store.exists(sha(OUTER))


def test_all_of_a_nested_index_is_copied(store: contentdb.Store) -> None:
    source, target = nested(), Shelf()
    with two(source, target) as both:
        copied = both.copy(store, all_platforms=True)
    theirs = documents_of(source, "a/b")
    theirs["v2"] = theirs.pop("v1")
    assert documents_of(target) == theirs
    assert target.blobs == source.blobs
    assert (copied.documents[-1], copied.chosen) == (sha(OUTER), ())
    order = [line.rpartition("/")[2] for line in target.log if "PUT /v2/x/y/manifests" in line]
    assert order.index(sha(INNER)) > max(order.index(sha(one[0])) for one in (TWO, THREE))
    assert order[-1] == "v2"


def test_of_several_platforms_the_index_is_copied_with_these(store: contentdb.Store) -> None:
    target = Shelf()
    with two(nested(), target) as both:
        copied = both.copy(store, platform=["amd64", "riscv64"])
    assert set(documents_of(target)) == {"v2", *map(sha, (OUTER, INNER, ONE[0], THREE[0]))}
    assert copied.digest == sha(OUTER)
    assert set(target.blobs.values()) == {*ONE[1:], *THREE[1:]}


def test_a_registry_that_wants_whole_indexes_is_named_with_what_to_do(
    store: contentdb.Store,
) -> None:
    def refuse(request: Request, _shelf: Shelf) -> Reply | None:
        listed = request.method == "PUT" and b'"manifests"' in request.body
        return reply(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}') if listed else None

    target = Shelf(refuse)
    with (
        two(nested(), target) as both,
        pytest.raises(oci.RegistryError, match="one platform alone"),
    ):
        both.copy(store, platform=["amd64", "riscv64"])
    assert ("x/y", "v2") not in target.manifests


# -- artifacts -----------------------------------------------------------------------------


def test_artifacts_of_artifacts_come_too_and_are_found_at_the_target(
    store: contentdb.Store,
) -> None:
    target = Shelf()
    with two(with_artifacts(), target) as both:
        copied = both.copy(store, with_referrers=True)
        registry = both.clients[1]
        signed = list(registry.referrers("x/y", contentdb.Digest(TOP)))
        proof = list(registry.referrers("x/y", contentdb.Digest(sha(SBOM))))
    assert copied.referrers == (sha(SBOM), sha(SIGNATURE))
    assert copied.documents == (sha(SBOM), sha(SIGNATURE), TOP)
    assert ([one.digest for one in signed], [one.digest for one in proof]) == (
        [sha(SBOM)],
        [sha(SIGNATURE)],
    )
    assert documents_of(target)[sha(SIGNATURE)] == SIGNATURE
    assert target.blobs[sha(b"bill")] == b"bill"
    last = [line for line in target.log if line.startswith("PUT")][-1]
    assert last == "PUT /v2/x/y/manifests/v2"


def test_without_the_wish_no_artifact_is_asked_for(store: contentdb.Store) -> None:
    source = with_artifacts()
    with two(source, Shelf()) as both:
        assert both.copy(store).referrers == ()
    assert source.count("sha256-") == source.count("/referrers/") == 0


def test_of_an_index_left_behind_no_artifact_is_copied(store: contentdb.Store) -> None:
    source, target = nested(), Shelf()
    whole, alone = artifact(OUTER, "whole"), artifact(TWO[0], "alone")
    put(source, whole, alone, blobs=(b"{}", b"proof"), tag="artifacts")
    list_under(source, OUTER, descriptor(MANIFEST, whole))
    list_under(source, TWO[0], descriptor(MANIFEST, alone))
    with two(source, target) as both:
        copied = both.copy(store, platform="arm64", with_referrers=True)
    assert copied.referrers == (sha(alone),)
    assert sha(whole) not in documents_of(target)


def test_an_entry_that_leads_nowhere_is_left_out_with_a_warning(store: contentdb.Store) -> None:
    source, target = with_artifacts(), Shelf()
    other = artifact(ONE[0], "other")
    odd = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.artifact.manifest.v1+json"}'
    put(source, SBOM, other, odd, tag="sbom")
    entries = [descriptor(MANIFEST, data) for data in (b"gone", other, SBOM)]
    list_under(source, IMAGE.manifest, *entries, descriptor("application/x", odd))
    with two(source, target) as both:
        copied = both.copy(store, with_referrers=True)
    assert copied.referrers == (sha(SBOM), sha(SIGNATURE))
    assert len(copied.warnings) == 3
    for data in (b"gone", other, odd):
        assert any(sha(data) in warning for warning in copied.warnings)
        assert sha(data) not in documents_of(target)


def test_artifacts_of_artifacts_without_end_are_refused(store: contentdb.Store) -> None:
    """A registry that makes a new artifact for each that is asked about."""
    made = {TOP: IMAGE.manifest}

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        _, _, name = request.path.rpartition("/")
        if "/referrers/" in request.path:
            fresh = artifact(made[name], "endless")
            made[sha(fresh)] = fresh
            return reply(200, index_of(descriptor(MANIFEST, fresh)), Content_Type=INDEX)
        if request.is_manifest and name in made:
            return reply(200, made[name], Content_Type=MANIFEST)
        return None

    source, target = source_of(rule), Shelf()
    with two(source, target) as both, pytest.raises(oci.InvalidManifestError, match="without end"):
        both.copy(store, with_referrers=True)
    assert len(source.log) < 50
    assert target.log == []


def test_a_flood_of_artifacts_is_refused(store: contentdb.Store) -> None:
    pages = 0

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        nonlocal pages
        if "/referrers/" not in request.path:
            return None
        pages += 1
        entries = [descriptor(MANIFEST, f"{pages} {n}".encode()) for n in range(500)]
        link = f'<{request.path.partition("?")[0]}?page={pages}>; rel="next"'
        return reply(200, index_of(*entries), Content_Type=INDEX, Link=link)

    target = Shelf()
    with (
        two(source_of(rule), target) as both,
        pytest.raises(oci.InvalidManifestError, match="too many artifacts"),
    ):
        both.copy(store, with_referrers=True)
    assert pages == 9
    assert target.log == []


# -- lies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["config", "layer", "manifest"])
def test_a_source_that_lies_leaves_nothing_under_the_tag(part: str, store: contentdb.Store) -> None:
    true = getattr(IMAGE, part)

    def lie(request: Request, _shelf: Shelf) -> Reply | None:
        if request.is_blob(true):
            return reply(200, bytes(len(true)))
        if part == "manifest" and request.is_manifest:
            said = IMAGE.manifest.replace(b'"size"', b'"Size"', 1)
            return reply(200, said, Content_Type=MANIFEST, Docker_Content_Digest=TOP)
        return None

    target = Shelf()
    with two(source_of(lie), target) as both, pytest.raises(oci.HostileRegistryError) as caught:
        both.copy(store)
    assert both.servers[0].name in str(caught.value)
    assert documents_of(target) == {}
    assert sha(true) not in target.blobs
    assert not store.exists(sha(true))


def test_a_source_that_lies_about_a_platforms_manifest_leaves_nothing(
    store: contentdb.Store,
) -> None:
    def lie(request: Request, _shelf: Shelf) -> Reply | None:
        return reply(200, TWO[0], Content_Type=MANIFEST) if sha(ONE[0]) in request.path else None

    target = Shelf()
    with two(nested(lie), target) as both, pytest.raises(oci.HostileRegistryError):
        both.copy(store, all_platforms=True)
    assert target.log == []


def test_a_target_that_gives_back_other_bytes_is_named(store: contentdb.Store) -> None:
    def lie(request: Request, _shelf: Shelf) -> Reply | None:
        other = request.method == "GET" and request.path.endswith("/manifests/v2")
        return reply(200, ONE[0], Content_Type=MANIFEST) if other else None

    with (
        two(source_of(), Shelf(lie)) as both,
        pytest.raises(oci.HostileRegistryError, match="other bytes") as caught,
    ):
        both.copy(store)
    assert both.servers[1].name in str(caught.value)


def test_a_target_that_says_it_has_everything_is_sent_nothing_wrong(
    store: contentdb.Store,
) -> None:
    """It harms itself alone: no blob is stored that did not come."""
    yes = reply(200, Content_Length="")
    liar = Shelf(lambda request, _shelf: yes if request.method == "HEAD" else None)
    with two(source_of(), liar) as both:
        assert len(both.copy(store).existing) == 2
    assert {str(info.digest) for info in store.walk()} == {TOP}


def test_a_failing_target_ends_the_downloads(store: contentdb.Store) -> None:
    """Else a copy of many layers would go on for long before it tells that it failed."""
    layer = bytes(3_000_000)
    document = IMAGE.document() | {"layers": [descriptor(LAYER, layer)]}
    failed = threading.Event()

    def slow(request: Request, _shelf: Shelf) -> Reply | None:
        if not request.is_blob(layer):
            return None

        def pieces() -> Iterator[bytes]:
            yield reply(200, Content_Length=str(len(layer)))
            yield layer[:1_500_000]
            assert failed.wait(30)
            yield layer[1_500_000:2_900_000]

        return pieces()

    def refuse(request: Request, _shelf: Shelf) -> Reply | None:
        return reply(403) if request.method == "PUT" else None

    source = Shelf(slow)
    put(source, json.dumps(document).encode(), blobs=(IMAGE.config, layer))

    def listen(event: oci.Event) -> None:
        if event.kind == "uploading":
            failed.set()

    with two(source, Shelf(refuse)) as both, pytest.raises(oci.UnauthorizedError):
        both.copy(store, listen=listen)
    assert not store.exists(sha(layer))
    assert source.count(f"GET /v2/a/b/blobs/{sha(layer)}") <= 2


def test_a_target_that_takes_nothing_is_known_before_anything_is_downloaded(
    store: contentdb.Store,
) -> None:
    source, target = source_of(), Shelf(lambda _request, _shelf: reply(401))
    with two(source, target) as both, pytest.raises(oci.UnauthorizedError) as caught:
        both.copy(store)
    assert both.servers[1].name in str(caught.value)
    assert source.count("/blobs/") == 0


def test_an_upload_that_is_forgotten_during_the_download_begins_anew(
    store: contentdb.Store,
) -> None:
    target = Shelf()

    def forget(event: oci.Event) -> None:
        if event.kind == "uploading":
            target.uploads.clear()

    with two(source_of(), target) as both:
        assert len(both.copy(store, jobs=1, listen=forget).uploaded) == 2
    assert set(target.blobs.values()) == {IMAGE.config, IMAGE.layer}


@pytest.mark.parametrize("side", ["source", "target"])
def test_an_interrupt_waits_for_neither_registry(side: str, root: Path) -> None:
    silent, reached = threading.Event(), threading.Event()

    def hang(request: Request, _shelf: Shelf) -> Reply | None:
        if request.is_blob(IMAGE.layer) or request.method == "PUT":
            reached.set()
            silent.wait(60)
        return None

    rules = {"source": nothing, "target": nothing} | {side: hang}
    with two(source_of(rules["source"]), Shelf(rules["target"])) as both:
        names = [server.name for server in both.servers]
        words = ("copy", "--plain-http", f"{names[0]}/a/b:v1", f"{names[1]}/x/y")
        running = start(root, *words)
        assert reached.wait(30)
        running.send_signal(signal.SIGINT)
        try:
            _, told = running.communicate(timeout=30)
        finally:
            running.kill()
            silent.set()
    assert running.returncode == 130
    assert b"run the same command again" in told


def test_a_store_that_is_served_will_do(tmp_path: Path, root: Path) -> None:
    pytest.importorskip("grpc", reason="needs the extra `grpc`")
    from contentdb.server.daemon import Server as Daemon

    target = Shelf()
    with tempfile.TemporaryDirectory(prefix="cdb-") as folder, Daemon(root) as daemon:
        socket = Path(folder) / "private" / "c.sock"
        daemon.listen_unix(socket)
        daemon.start()
        with contentdb.connect(str(socket)) as store, two(with_artifacts(), target) as both:
            both.copy(store, with_referrers=True)
            assert store.info(LAYER_DIGEST).size == len(IMAGE.layer)
    assert target.blobs[LAYER_DIGEST] == IMAGE.layer


# -- the command ---------------------------------------------------------------------------


def wanting(user: str, password: str) -> tuple[Rule, list[str]]:
    """A registry that wants credentials, and what each request had of them."""
    seen: list[str] = []
    wanted = oci.Credentials(user, password).basic

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        given = request.headers.get("authorization", "")
        seen.append(given)
        if given == wanted:
            return None
        return reply(401, WWW_Authenticate='Basic realm="here"')

    return rule, seen


@contextmanager
def guarded() -> Iterator[tuple[list[str], list[set[str]]]]:
    """Two registries with a user each: the references, and what each of them saw."""
    mine, saw_mine = wanting("reader", "r-secret")
    theirs, saw_theirs = wanting("writer", "w-secret")
    with two(source_of(mine), Shelf(theirs)) as both:
        names = [server.name for server in both.servers]
        seen: list[set[str]] = []
        yield [f"{names[0]}/a/b:v1", f"{names[1]}/x/y:v2"], seen
        seen += [set(saw_mine), set(saw_theirs)]


KNOWN = [
    {"", oci.Credentials("reader", "r-secret").basic},
    {"", oci.Credentials("writer", "w-secret").basic},
]


def test_each_registry_sees_its_own_credentials_alone(root: Path) -> None:
    users = ("--source-user", "reader:r-secret", "--target-user", "writer:w-secret")
    with guarded() as (places, seen):
        done = call(root, "copy", "--plain-http", *users, *places)
        assert (done.exit_code, only_line(done.stdout)) == (0, TOP)
    assert seen == KNOWN


def test_a_file_has_the_credentials_of_both(root: Path, tmp_path: Path) -> None:
    with guarded() as (places, seen):
        pairs = ("reader:r-secret", "writer:w-secret")
        auths = {
            place.partition("/")[0]: {"auth": oci.Credentials(*pair.split(":")).basic[6:]}
            for place, pair in zip(places, pairs, strict=True)
        }
        file = tmp_path / "auth.json"
        file.write_text(json.dumps({"auths": auths}))
        done = call(root, "copy", "--plain-http", "--authfile", file, *places)
        assert done.exit_code == 0
    assert seen == KNOWN


def test_credentials_of_one_side_are_not_tried_at_the_other(root: Path) -> None:
    with guarded() as (places, seen):
        done = call(
            root, "copy", "--plain-http", "--source-user", "reader:r-secret",
            "--docker-config", root, *places,
        )  # fmt: skip
        assert done.exit_code == 1
        assert places[1].partition("/")[0] in only_line(done.stderr)
        assert "secret" not in done.stderr
    assert seen[1] == {""}


@pytest.mark.parametrize("trusting", ["target", "source"])
def test_a_token_server_that_one_side_trusts_sees_nothing_of_the_other(
    trusting: str, root: Path
) -> None:
    shown: list[str] = []

    def rule(request: Request, _shelf: Shelf) -> Reply | None:
        if request.path.startswith("/token"):
            shown.append(request.headers.get("authorization", ""))
            return reply(200, b'{"token":"good"}')
        if request.headers.get("authorization") == "Bearer good":
            return None
        port = request.headers["host"].rpartition(":")[2]
        realm = f'Bearer realm="http://localhost:{port}/token",service="s"'
        return reply(401, WWW_Authenticate=realm)

    with two(source_of(rule), Shelf()) as both:
        names = [server.name for server in both.servers]
        done = call(
            root, "copy", "--plain-http", "--source-user", "reader:r-secret",
            f"--{trusting}-trust-realm", "localhost", f"{names[0]}/a/b:v1", f"{names[1]}/x/y",
        )  # fmt: skip
    assert done.exit_code == 0
    assert any(shown) is (trusting == "source")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--user", "a:b"), "--source-user or --target-user"),
        (("-u", "a:b"), "--source-user or --target-user"),
        (("--trust-realm", "auth.example"), "--source-trust-realm or --target-trust-realm"),
        (("--source-key", "{file}"), "--key goes with --cert"),
        (("--platform", "amd64", "--all"), "--platform and --all exclude each other"),
    ],
)
def test_what_does_not_say_whose_it_is_is_refused(
    words: tuple[str, ...], told: str, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "key").touch()
    given = [word.format(file=tmp_path / "key") for word in words]
    done = call(root, "copy", "localhost:1/a", "localhost:1/b", "--plain-http", *given)
    assert done.exit_code == 2
    assert told in done.stderr


def test_the_variable_of_one_user_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENTDB_REGISTRY_USER", "me:secret")
    done = call(root, "copy", "localhost:1/a", "localhost:1/b", "--plain-http")
    assert done.exit_code == 2
    assert "CONTENTDB_REGISTRY_USER" in done.stderr
    assert "secret" not in done.stderr


def test_http_may_be_for_one_side_alone(root: Path) -> None:
    with two(source_of(), Shelf()) as both:
        places = [f"{both.servers[0].name}/a/b:v1", f"{both.servers[1].name}/x/y:v2"]
        half = call(root, "copy", "--source-plain-http", *places)
        assert half.exit_code == 1
        assert f"registry {both.servers[1].name}" in only_line(half.stderr)
        both_ways = ("--source-plain-http", "--target-plain-http")
        assert call(root, "copy", *both_ways, *places).exit_code == 0


def test_the_command_tells_what_it_did(root: Path, tmp_path: Path) -> None:
    target = Shelf()
    target.blobs[LAYER_DIGEST] = IMAGE.layer
    file = tmp_path / "digest"
    with two(with_artifacts(), target) as both:
        words = [
            "copy", "--plain-http", f"{both.servers[0].name}/a/b:v1", f"{both.servers[1].name}/x/y",
        ]  # fmt: skip
        done = call(root, *words, "--digest-file", file)
        (told,) = records(call(root, *words, "--json", "--with-referrers").stdout)
        lines = records(call(root, *words, "-q", "--progress", "json").stderr)
    assert only_line(done.stdout) == file.read_text() == TOP
    summary = done.stderr.splitlines()
    sent = len(IMAGE.config) + len(IMAGE.manifest)
    assert summary[0].startswith(f"copied {words[2]} to {words[3]}:latest: {sent} B sent, 300.")
    assert summary[1] == f"{sent} B fetched into the store"
    assert told["referrers"] == [sha(SBOM), sha(SIGNATURE)]
    assert told["documents"][-1] == told["digest"] == TOP
    assert lines[-1]["event"] == "summary"
    assert (lines[-1]["objects"], lines[-1]["moved_bytes"]) == (3, 0)


def test_what_came_in_two_parts_is_counted_as_sent_whole(root: Path) -> None:
    with contentdb.open(root) as store:
        size = len(IMAGE.layer)
        with store.writer(LAYER_DIGEST, total=size, expected=LAYER_DIGEST) as writer:
            writer.write(IMAGE.layer[:1000])
    with two(source_of(), Shelf()) as both:
        done = call(
            root, "copy", "--plain-http", "--progress", "json",
            f"{both.servers[0].name}/a/b:v1", f"{both.servers[1].name}/x/y",
        )  # fmt: skip
    last = records(done.stderr)[-1]
    assert last["moved_bytes"] == sum(map(len, (IMAGE.manifest, IMAGE.config, IMAGE.layer)))
    assert last["present_bytes"] == 0


def test_a_wrong_reference_is_told_before_anything(root: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(serving(Shelf()))[0]
        done = call(root, "copy", "--plain-http", f"{server.name}/a/b", f"{server.name}/A/b")
        assert done.exit_code == 2
        assert server.requests == []
