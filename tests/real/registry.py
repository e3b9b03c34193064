"""A real registry on loopback, an image made by umoci, and the commands of contentdb."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import urllib3

from tests.ports import free_ports
from tests.real.tokens import ISSUER, SERVICE, token_server

PROGRAMS = ("docker-registry", "skopeo", "umoci", "jq", "htpasswd", "openssl")
Auth = Literal["open", "password", "token"]
USER, PASSWORD = "tester", "let-me-in"

_CONFIG = """\
version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: "{folder}/data"}}
  delete: {{enabled: true}}
  cache: {{blobdescriptor: inmemory}}
http: {{addr: "{address}", secret: abc}}
{auth}
"""


def run(*command: str | Path, **options: object) -> str:
    """Run to the end and give its standard output; a failure shows what it said."""
    done = subprocess.run(  # type: ignore[call-overload]
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return str(done.stdout)


def contentdb_command(root: Path, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "contentdb", "--root", str(root), *map(str, arguments)]


@contextlib.contextmanager
def registry(folder: Path, *, auth: Auth = "open") -> Iterator[str]:
    """Serve from a folder until the block ends; gives ``host:port``."""
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with (
        _guarded(folder, auth) as settings,
        (folder / "log").open("wb") as log,
        _served(folder, address, settings, log) as server,
    ):
        try:
            retries = urllib3.Retry(connect=100, backoff_factor=0.01, backoff_max=0.1)
            with urllib3.PoolManager() as pool:
                pool.request("GET", f"http://{address}/v2/", retries=retries)
            yield address
        finally:
            server.terminate()


def _served(folder: Path, address: str, auth: str, log: BinaryIO) -> subprocess.Popen[bytes]:
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(folder=folder, address=address, auth=auth))
    return subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)


@contextlib.contextmanager
def _guarded(folder: Path, auth: Auth) -> Iterator[str]:
    """What the configuration says about who may come in."""
    if auth == "password":
        (folder / "htpasswd").write_text(run("htpasswd", "-Bbn", USER, PASSWORD))
        yield f'auth: {{htpasswd: {{realm: test, path: "{folder}/htpasswd"}}}}'
    elif auth == "token":
        with token_server(folder, USER, PASSWORD) as (realm, cert):
            yield (
                f'auth: {{token: {{realm: "{realm}", service: {SERVICE}, issuer: {ISSUER}, '
                f'rootcertbundle: "{cert}"}}}}'
            )
    else:
        yield ""


def make_image(folder: Path, *, layers: int = 3, layer_bytes: int = 3_000_000) -> Path:
    """An image layout with one image, ``made``, of several incompressible layers."""
    image = folder / "image"
    run("umoci", "init", "--layout", image)
    run("umoci", "new", "--image", f"{image}:made")
    for n in range(layers):
        content = folder / f"layer{n}"
        content.mkdir()
        (content / f"file{n}").write_bytes(os.urandom(layer_bytes))
        run("umoci", "insert", "--rootless", "--image", f"{image}:made", content, f"/opt/{n}")
    return image


def skopeo_copy(source: str, target: str, *options: str) -> None:
    run(
        "skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false",
        *options, source, target,
    )  # fmt: skip


def blobs_of(layout: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}


def top_digest(layout: Path) -> str:
    return str(json.loads((layout / "index.json").read_bytes())["manifests"][-1]["digest"])
