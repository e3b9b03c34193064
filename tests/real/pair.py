"""A contentdb server and a containerd side by side: what ctr says of both, and an image."""

from __future__ import annotations

import io
import json
import re
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from contentdb.digest import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.daemon import Outcome

__all__ = ["Pair", "image", "packed", "plain"]


class Pair(NamedTuple):
    """The two servers of a comparison."""

    ours: Path
    theirs: Path


def plain(outcome: Outcome, *, ordered: bool) -> tuple[int, list[str], list[str]]:
    """Leave out what no two runs share: ages, hours, the order of ingests and of labels."""

    def lines(data: bytes) -> list[str]:
        text = data.decode(errors="backslashreplace")
        text = re.sub(r"Less than a second|\d+ (?:second|minute)s?|About a minute", "AGE", text)
        text = re.sub(r'time="[^"]*"', "TIME", text)
        found = [re.sub(r"\S+=\S+", _sorted_labels, line) for line in text.splitlines()]
        found = [re.sub(r"[ \t]+", " ", line) for line in found]
        return found if ordered else sorted(found)

    return outcome.code, lines(outcome.out), lines(outcome.err)


def _sorted_labels(found: re.Match[str]) -> str:
    """Go gives the keys of a map in an order of its own at every run."""
    return ",".join(sorted(found[0].split(",")))


def image() -> bytes:
    """A small OCI image, as a tar that `ctr image import` takes."""
    files: dict[str, bytes] = {}

    def blob(data: bytes, media_type: str) -> dict[str, object]:
        digest = Digest.of(data)
        files[f"blobs/sha256/{digest.encoded}"] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    layer_tar = packed({"hello": b"hello"})
    prefix = "application/vnd.oci.image"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [Digest.of(layer_tar)]},
        "config": {},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{prefix}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{prefix}.config.v1+json"),
        "layers": [blob(layer_tar, f"{prefix}.layer.v1.tar")],
    }
    entry = blob(json.dumps(manifest).encode(), f"{prefix}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "example.test/hello:1"}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return packed(files)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
