"""What mirrors and other places of a registry mean to lists, pushes, retries and interrupts."""

import base64
import json
import signal
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from tests.cli import shell
from tests.cli.shell import call, only_line
from tests.hostile.server import (
    INDEX,
    MANIFEST,
    Image,
    Reply,
    Request,
    Server,
    descriptor,
    manifest_reply,
    reply,
    sha,
)
from tests.oci.conftest import Start

IMAGE = Image()
TOP = sha(IMAGE.manifest)
TAGS = b'{"tags":["v1"]}'
BASIC = "Basic " + base64.b64encode(b"me:pw").decode()


def honest(request: Request) -> bytes:
    return IMAGE.answer(request._replace(path=request.path.partition("?")[0]))


def hosts(folder: Path, source: Server, *mirrors: Server, settings: str = "") -> Path:
    """Write a `hosts.toml` for a registry; return the directory to name."""
    own = folder / "hosts" / source.name
    own.mkdir(parents=True)
    tables = "".join(f'[host."http://{one.name}"]\n' for one in mirrors)
    (own / "hosts.toml").write_text(f'server = "http://{source.name}"\n{settings}\n{tables}')
    return folder / "hosts"


def conf(folder: Path, text: str) -> Path:
    (folder / "registries.conf").write_text(text)
    return folder / "registries.conf"


def pull(root: Path, source: Server, *options: object) -> None:
    result = call(root, "pull", "--plain-http", "-q", f"{source.name}/a/b:v1", *options)
    assert (result.exit_code, result.stdout) == (0, TOP + "\n"), result.stderr


def keep_image(root: Path) -> None:
    with contentdb.open(root) as store:
        for blob in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
            store.add(blob)


# -- lists -------------------------------------------------------------------------------------


def test_lists_use_the_credentials_of_the_repository(
    root: Path, tmp_path: Path, start: Start
) -> None:
    def script(request: Request) -> Reply:
        known = request.headers.get("authorization") == BASIC
        return reply(200, TAGS) if known else reply(401, WWW_Authenticate='Basic realm="x"')

    source = start(script)
    auths = {f"{source.name}/team": {"auth": BASIC.removeprefix("Basic ")}}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": auths}))
    words = ("--plain-http", f"{source.name}/team/app", "--authfile", tmp_path / "auth.json")
    result = call(root, "remote-tags", *words)
    assert (result.exit_code, result.stdout) == (0, "v1\n"), result.stderr


@pytest.mark.parametrize("command", ["remote-tags", "referrers"])
def test_lists_refuse_a_repository_that_is_blocked(
    command: str, root: Path, tmp_path: Path, start: Start
) -> None:
    source = start(lambda _request: reply(200, TAGS))
    file = conf(tmp_path, f"[[registry]]\nlocation='{source.name}/bad'\nblocked=true\n")
    words = ("--plain-http", f"{source.name}/bad/app", "--registries-conf", file)
    refused = call(root, command, *words)
    assert refused.exit_code == 1
    assert str(file) in only_line(refused.stderr)
    assert source.requests == []


def test_tags_are_listed_where_the_repository_is(root: Path, tmp_path: Path, start: Start) -> None:
    source = start(lambda request: reply(200 if "/team/app" in request.path else 404, TAGS))
    text = f"[[registry]]\nprefix='{source.name}/x'\nlocation='{source.name}/team'\ninsecure=true\n"
    words = (f"{source.name}/x/app", "--registries-conf", conf(tmp_path, text))
    assert call(root, "remote-tags", *words).stdout == "v1\n"


def listing(*referrers: bytes) -> bytes:
    entries = [descriptor(MANIFEST, one) for one in referrers]
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


def test_a_list_is_changed_as_the_registry_has_it_not_a_mirror(
    root: Path, tmp_path: Path, start: Start
) -> None:
    """The mirror's copy lacks the newest signature, which must not be lost."""
    kept = {"index": listing(b"1", b"2", b"3")}

    def script(request: Request) -> Reply:
        if request.method == "PUT":
            kept["index"] = request.body
            return reply(201)
        return manifest_reply(kept["index"], INDEX) if "/sha256-" in request.path else reply(404)

    source = start(script)
    mirror = start(
        lambda request: (
            manifest_reply(listing(b"1", b"2"), INDEX) if "/sha256-" in request.path else reply(404)
        )
    )
    folder = hosts(tmp_path, source, mirror)
    words = ("--plain-http", f"{source.name}/a/b@{TOP}", "--hosts-dir", folder)
    assert call(root, "referrers", "-q", *words).stdout.split() == [sha(b"1"), sha(b"2"), sha(b"3")]
    removed = call(root, "referrers", "-q", *words, "--remove", sha(b"1"))
    assert removed.stdout.split() == [sha(b"2"), sha(b"3")]
    assert kept["index"] == listing(b"2", b"3")


# -- writes ------------------------------------------------------------------------------------


def test_nothing_is_written_by_a_client_that_asks_mirrors(root: Path, start: Start) -> None:
    """A blob that a mirror has is none that the registry has."""
    source = start(lambda _request: reply(404))
    mirror = start(
        lambda request: reply(200 if request.method == "HEAD" else 404, Content_Length="")
    )
    keep_image(root)
    place = oci.Endpoint.of(source.name, plain_http=True)
    places = oci.Endpoints(place, (oci.Endpoint.at(f"http://{mirror.name}"),), place)
    with (
        contentdb.open(root) as store,
        oci.open_registry(source.name, places) as registry,
        pytest.raises(contentdb.InvalidArgumentError, match="writes=True"),
    ):
        oci.push(store, TOP, f"{source.name}/a/b:v1", registry=registry)
    assert source.requests == []


def test_headers_of_a_hosts_file_authorize_an_upload(
    root: Path, tmp_path: Path, start: Start
) -> None:
    """No token is asked for where they suffice."""
    kept: dict[str, bytes] = {}

    def script(request: Request) -> Reply:
        path = request.path.partition("?")[0]
        if request.headers.get("authorization") != BASIC:
            realm = f'Bearer realm="http://{source.name}/token"'
            return reply(401, WWW_Authenticate="" if path == "/token" else realm)
        if request.method == "POST":
            return reply(202, Location=f"{path}1")
        if request.method == "PUT":
            kept[path] = request.body
            return reply(201)
        return manifest_reply(kept[path]) if path in kept else reply(404, Content_Length="")

    source = start(script)
    keep_image(root)
    folder = hosts(tmp_path, source, settings=f"[header]\nAuthorization = '{BASIC}'")
    words = ("--plain-http", f"{source.name}/a/b:v1", "--hosts-dir", folder)
    result = call(root, "push", TOP, *words)
    assert (result.exit_code, result.stdout) == (0, TOP + "\n"), result.stderr


# -- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"{}"])
def test_a_mirror_whose_tag_is_no_manifest_is_gone_past(
    page: bytes, root: Path, tmp_path: Path, start: Start
) -> None:
    source, mirror = start(honest), start(lambda _request: reply(200, page))
    pull(root, source, "--hosts-dir", hosts(tmp_path, source, mirror))
    assert len(mirror.requests) == 1


def test_another_place_is_no_retry(root: Path, tmp_path: Path, start: Start) -> None:
    def breaks(request: Request) -> Reply:
        if sha(IMAGE.layer) not in request.path:
            return honest(request)
        head = f"HTTP/1.1 200 X\r\nContent-Length: {len(IMAGE.layer)}\r\n\r\n"
        return iter([head.encode() + IMAGE.layer[:150000]])

    source = start(honest)
    folder = hosts(tmp_path, source, start(breaks), start(breaks))
    pull(root, source, "--hosts-dir", folder, "--retries", "0")


def test_a_pull_that_waits_for_a_silent_mirror_is_interrupted(
    root: Path, tmp_path: Path, start: Start
) -> None:
    """The mirror takes connections and says nothing, while a thread finds out what it speaks."""
    source = start(honest)
    with contentdb.open(root) as store:
        store.add(IMAGE.manifest)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        text = (
            f"[[registry]]\nlocation='{source.name}'\ninsecure=true\n"
            f"[[registry.mirror]]\nlocation='127.0.0.1:{silent.getsockname()[1]}'\ninsecure=true\n"
        )
        words = ("--registries-conf", conf(tmp_path, text))
        running = shell.start(root, "pull", f"{source.name}/a/b@{TOP}", *words)
        connection, _ = silent.accept()
        with running, closing(connection):
            time.sleep(0.5)
            began = time.monotonic()
            running.send_signal(signal.SIGINT)
            try:
                running.communicate(timeout=15)
            finally:
                running.kill()
    assert time.monotonic() - began < 15
    assert running.returncode != 0
