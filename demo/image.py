"""An image comes down from a registry: Debian's docker-registry, on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from demo.commands import Commands, check, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.material import Item

__all__ = ["MISSING", "programs_are_here", "pull_one"]

MISSING = (
    "No docker-registry and skopeo on PATH: the pull of an image is left out.\n"
    "On Debian: apt-get install docker-registry skopeo, then make demo again."
)
_OCI = "application/vnd.oci.image"


def programs_are_here() -> bool:
    """Whether an image can be pulled here."""
    return all(shutil.which(name) for name in ("docker-registry", "skopeo"))


def pull_one(items: list[Item], folder: Path) -> str:
    """Make an image, push it with skopeo, pull it twice; says what came."""
    folder.mkdir()
    layout = folder / "layout"
    blobs = _make_layout(layout, items)
    commands = Commands(folder / "store")
    with _registry(folder) as host:
        reference = f"{host}/demo/app:v1"
        subprocess.run(
            [
                "skopeo", "copy", "--quiet", "--insecure-policy", "--preserve-digests",
                "--dest-tls-verify=false",
                f"oci:{layout}", f"docker://{reference}",
            ],
            check=True,
        )  # fmt: skip
        print(f"   $ contentdb pull --plain-http {reference}")
        print(f"   {commands.run('pull', '--plain-http', reference).strip()}")
        again = commands.run("pull", "--plain-http", reference)
    stored = {found["digest"]: found["size"] for found in commands.records("ls")}
    check(stored == blobs, "the store has each of the image's blobs")
    check(again.strip() in stored, "pull prints a digest that is stored")
    return f"{len(blobs)} objects: manifest, config, {len(blobs) - 2} layers"


# -- the image ----------------------------------------------------------------------------------


def _make_layout(layout: Path, items: list[Item]) -> dict[str, int]:
    """Write an OCI image layout, a layer a file; gives the sizes of its blobs by digest."""
    blobs = layout / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, Any]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": f"{_OCI}.{kind}", "digest": f"sha256:{name}", "size": len(data)}

    layers = [put(_tar(item), "layer.v1.tar") for item in items]
    rootfs = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "config.v1+json"),
        "layers": layers,
    }
    index = {
        "schemaVersion": 2,
        "manifests": [put(json.dumps(manifest).encode(), "manifest.v1+json")],
    }
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return {f"sha256:{blob.name}": blob.stat().st_size for blob in blobs.iterdir()}


def _tar(item: Item) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        entry = tarfile.TarInfo(item.path.name)
        entry.size = item.size
        with item.path.open("rb") as file:
            tar.addfile(entry, file)
    return made.getvalue()


# -- the registry -------------------------------------------------------------------------------


@contextmanager
def _registry(folder: Path) -> Iterator[str]:
    """Serve from a folder on loopback until the block ends; gives ``host:port``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f'storage: {{filesystem: {{rootdirectory: "{folder}/registry"}}}}\n'
        f'http: {{addr: "{host}", secret: demo}}\n'
    )
    with (
        (folder / "registry.log").open("wb") as log,
        subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=log
        ) as server,
    ):
        try:
            until(lambda: _answers(host), "docker-registry answers")
            yield host
        finally:
            server.terminate()


def _answers(host: str) -> bool:
    name, port = host.split(":")
    try:
        with socket.create_connection((name, int(port)), timeout=1):
            return True
    except OSError:
        return False
