"""skopeo and contentdb ask the same places, as the same users, by the same files."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.shell import call
from tests.hostile.server import Image, Reply, Request, Server, reply

pytestmark = pytest.mark.real("skopeo")

IMAGE = Image()


@pytest.fixture
def places() -> Iterator[dict[str, Server]]:
    """A registry and two mirrors, of which only the registry has images."""
    with ExitStack() as stack:

        def lacks(request: Request) -> Reply:
            return reply(200, b"{}") if request.path == "/v2/" else reply(404)

        def has(request: Request) -> Reply:
            return lacks(request) if request.path == "/v2/" else IMAGE.answer(request)

        scripts = {"one": lacks, "two": lacks, "source": has}
        yield {name: stack.enter_context(Server(script)) for name, script in scripts.items()}


def asked(places: dict[str, Server]) -> list[tuple[str, str]]:
    """Which place was asked for which manifest."""
    found = [
        (name, request.path)
        for name, server in places.items()
        for request in server.requests
        if request.is_manifest
    ]
    for server in places.values():
        server.requests.clear()
    return found


REGISTRY = """
[[registry]]
prefix = "example.com/team"
location = "{source}/moved"
insecure = true
{registry}
[[registry.mirror]]
location = "{one}/first"
insecure = true
{mirror}
[[registry.mirror]]
location = "{two}"
insecure = true
"""
WILD = """
[[registry]]
prefix = "*.example.com"
insecure = true
location = "{source}"
[[registry.mirror]]
location = "{one}/wild"
insecure = true
[[registry]]
prefix = "a.example.com/team/app"
location = "{two}/longer"
insecure = true
[[registry.mirror]]
location = "{source}/app"
insecure = true
"""
DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (REGISTRY, "example.com/team/app:v1"),
        (REGISTRY, "example.com/team/app" + DIGEST),
        (REGISTRY.replace('"{two}"', '"{two}/whole"'), "example.com/team:v1"),
        (REGISTRY.replace("{mirror}", "pull-from-mirror = 'digest-only'"), "example.com/team/a:v1"),
        (
            REGISTRY.replace("{mirror}", "pull-from-mirror = 'digest-only'"),
            "example.com/team/a" + DIGEST,
        ),
        (REGISTRY.replace("{registry}", "mirror-by-digest-only = true"), "example.com/team/a:v1"),
        (
            REGISTRY.replace("{registry}", "mirror-by-digest-only = true"),
            f"example.com/team/a{DIGEST}",
        ),
        (WILD, "b.example.com/team/app:v1"),
        (WILD, "a.example.com/team/app:v1"),
        (WILD, "a.example.com/team/app/x:v1"),
    ],
)
def test_a_registries_file_means_the_same_to_both(
    text: str, reference: str, places: dict[str, Server], root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "registries.conf"
    names = {name: server.name for name, server in places.items()}
    file.write_text(text.format(**{"registry": "", "mirror": "", **names}))
    skopeo("--registries-conf", file, "inspect", "--raw", f"docker://{reference}")
    theirs = asked(places)
    call(root, "pull", reference, "--registries-conf", file)
    assert theirs
    assert asked(places) == theirs


KEYS = {
    "{host}": "all",
    "{host}/team": "team",
    "{host}/team/app": "app",
    "https://{host}/v1/": "url",
    "http://{host}": "plain",
}


@pytest.mark.parametrize("repository", ["team/app", "team/application", "team/app/x", "other"])
@pytest.mark.parametrize(
    "keys", [list(KEYS), list(KEYS)[:1], list(KEYS)[1:3], list(KEYS)[3:4], list(KEYS)[4:]]
)
def test_an_authfile_means_the_same_to_both(
    keys: list[str], repository: str, places: dict[str, Server], root: Path, tmp_path: Path
) -> None:
    server = places["source"]

    def script(_request: Request) -> Reply:
        return reply(401, WWW_Authenticate='Basic realm="x"')

    server.script = script
    auths = {
        key.format(host=server.name): {
            "auth": base64.b64encode(f"{KEYS[key]}:pw".encode()).decode()
        }
        for key in keys
    }
    file = tmp_path / "auth.json"
    file.write_text(json.dumps({"auths": auths}))
    name = f"{server.name}/{repository}:v1"
    skopeo("inspect", "--raw", "--tls-verify=false", "--authfile", file, f"docker://{name}")
    theirs = users(server)
    call(root, "pull", "--plain-http", name, "--authfile", file)
    assert users(server) == theirs


def users(server: Server) -> set[str]:
    """The users that a registry was told; skopeo may tell it an empty one, contentdb tells none."""
    headers = [request.headers.get("authorization", "") for request in server.requests]
    server.requests.clear()
    told = {base64.b64decode(one.removeprefix("Basic ")).decode() for one in headers if one}
    return told - {":"}


def skopeo(*words: object) -> None:
    """Run it away from this user's own files; whether it succeeds is no matter here."""
    subprocess.run(
        ["skopeo", *map(str, words)],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "XDG_RUNTIME_DIR": "/tmp"},  # noqa: S108 - read only
        capture_output=True,
        check=False,
        timeout=120,
    )
