"""containerd and contentdb ask the same places in the same order, by the same hosts.toml."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_bytes, token_hex

import pytest

from tests.cli.shell import call
from tests.hostile.server import Image, Reply, Request, Server, reply
from tests.real.daemon import containerd, ctr

pytestmark = [pytest.mark.real("containerd", "ctr"), pytest.mark.root]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with containerd(tmp_path_factory.mktemp("daemon") / "theirs") as address:
        yield address


@pytest.fixture
def places() -> Iterator[dict[str, Server]]:
    """A registry and three mirrors: one has all, one has no blobs, one nothing.

    The image is a new one each time, since containerd asks nobody for what it has.
    """
    image = Image()
    image.layer = token_bytes(5000)
    image.config = b'{"architecture":"amd64","os":"linux","x":"%s"}' % token_hex().encode()
    image.manifest = json.dumps(image.document()).encode()

    def has(request: Request) -> Reply:
        whole = image.answer(request._replace(path=request.path.partition("?")[0]))
        return whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.method == "HEAD" else whole

    def lacks_blobs(request: Request) -> Reply:
        return has(request) if request.is_manifest else reply(404)

    scripts = {"has": has, "half": lacks_blobs, "none": lambda _: reply(404), "source": has}
    with ExitStack() as stack:
        yield {name: stack.enter_context(Server(script)) for name, script in scripts.items()}


def asked(places: dict[str, Server]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Who was asked for a tag, and for blobs: containerd asks for both by HEAD first, or twice."""
    tags, blobs = set(), set()
    for name, server in places.items():
        for request in server.requests:
            if request.path.partition("?")[0].endswith("/manifests/v1"):
                tags.add((name, request.path))
            elif "/blobs/" in request.path:
                blobs.add((name, request.path))
        server.requests.clear()
    return tags, blobs


PULL = 'capabilities = ["pull"]'
BOTH = 'capabilities = ["pull", "resolve"]'


@pytest.mark.parametrize("folder", ["{host}_{port}_", "{host}:{port}", "_default"])
def test_a_hosts_file_is_found_at_the_same_places(
    folder: str, places: dict[str, Server], daemon: Path, root: Path, tmp_path: Path
) -> None:
    host, port = places["source"].name.split(":")
    compare(
        tmp_path / folder.format(host=host, port=port), [("has", "", BOTH)], places, daemon, root
    )


@pytest.mark.parametrize(
    "hosts",
    [
        [("has", "", BOTH), ("half", "", BOTH)],
        [("none", "", BOTH), ("half", "", BOTH), ("has", "", BOTH)],
        [("none", "", "")],
        [("has", "", PULL)],
        [("has", "", PULL), ("half", "", BOTH)],
        [("has", "/sub", BOTH)],
        [("has", "/sub/v2", BOTH)],
        [("has", "/sub/v2/", BOTH)],
        [("has", "/sub", f"{BOTH}\noverride_path = true")],
    ],
)
def test_a_hosts_file_means_the_same_to_both(
    hosts: list[tuple[str, str, str]],
    places: dict[str, Server],
    daemon: Path,
    root: Path,
    tmp_path: Path,
) -> None:
    compare(tmp_path / "_default", hosts, places, daemon, root)


def test_a_host_that_may_only_resolve_is_asked_for_no_tag(
    places: dict[str, Server], daemon: Path, root: Path, tmp_path: Path
) -> None:
    hosts = [("has", "", 'capabilities = ["resolve"]')]
    compare(tmp_path / "_default", hosts, places, daemon, root, tags_alone=True)


def compare(
    folder: Path,
    hosts: list[tuple[str, str, str]],
    places: dict[str, Server],
    daemon: Path,
    root: Path,
    *,
    tags_alone: bool = False,  # containerd 1.6 asks any host for a layer
) -> None:
    source = places["source"].name
    folder.mkdir()
    lines = [f'server = "http://{source}"']
    for name, path, settings in hosts:
        lines += [f'[host."http://{places[name].name}{path}"]', settings]
    (folder / "hosts.toml").write_text("\n".join(lines))
    name = f"{source}/a/b:v1"
    hosts_dir = str(folder.parent)
    ctr(
        daemon, "content", "fetch", "--all-platforms", "--hosts-dir", hosts_dir, name,
        namespace=f"n{source.rpartition(':')[2]}",
    )  # fmt: skip
    theirs = asked(places)
    result = call(root, "pull", "-q", name, "--hosts-dir", hosts_dir)
    assert result.exit_code == 0, result.stderr
    assert theirs[0]
    assert theirs[1]
    ours = asked(places)
    assert ours[0] == theirs[0]
    assert tags_alone or ours[1] == theirs[1]
