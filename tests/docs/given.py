"""What a block of a document takes for granted: made before it runs, by the words in its text.

``<!-- given: a store, a damaged blob -->`` above a block calls the functions of those names.
"""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING, Final

import pytest

import contentdb
from tests.docs.blocks import CHECKOUT, blocks_of
from tests.real.registry import make_image, registry, run, skopeo_copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

HELLO: Final = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


class Place:
    """A directory to run in, its environment, and what must be ended afterwards."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder = folder
        self.root = folder / ".content"
        self.ends = ends
        self.environment: dict[str, str] = {}

    def file_of(self, digest: str) -> Path:
        return self.root / "blobs/sha256" / digest[7:9] / digest[7:]

    def prepare(self, given: str) -> None:
        for words in filter(None, given.split(", ")):
            if words.startswith("files "):
                self._files(shlex.split(words)[1:])
            else:
                GIVEN[words](self)

    def _files(self, names: list[str]) -> None:
        for name in names:
            (self.folder / name).write_text(f"what {name} holds\n")


def a_store(place: Place) -> None:
    """Two blobs, ``hello`` and another."""
    with contentdb.open(place.root) as store:
        store.add(b"hello", labels={"kind": "greeting"})
        store.add(b"good bye")


def a_paused_ingest(place: Place) -> None:
    with contentdb.open(place.root) as store, store.writer("stuck", total=100) as writer:
        writer.truncate()
        writer.write(b"half")


def a_damaged_blob(place: Place) -> None:
    path = place.file_of(HELLO)
    path.chmod(0o644)
    path.write_bytes(b"jello")
    path.chmod(0o444)


def a_missing_blob(place: Place) -> None:
    place.file_of(HELLO).unlink()


def an_orphan(place: Place) -> None:
    with contentdb.open(place.root) as store:
        digest = contentdb.Digest.of(b"without a row")
        if store.exists(digest):
            store.delete(digest)
    place.file_of(digest).write_bytes(b"without a row")


def a_damaged_index(place: Place) -> None:
    index = place.root / "index.sqlite"
    index.write_bytes(b"not a database at all" * 1000)


def no_index(place: Place) -> None:
    for path in place.root.glob("index.sqlite*"):
        path.unlink()


def an_open_mode(place: Place) -> None:
    place.root.chmod(0o775)


def a_held_ref(place: Place) -> None:
    store = place.ends.enter_context(contentdb.open(place.root))
    writer = place.ends.enter_context(store.writer("busy", total=100))
    writer.truncate()
    writer.write(b"half")


def a_backup(place: Place) -> None:
    """Of the store, by the words of the document itself, which may be said again."""
    document = (CHECKOUT / "docs/operations.md").read_text()
    (block,) = (each for each in blocks_of("", document) if "VACUUM INTO" in each.code)
    run("bash", "-euc", block.code, cwd=place.folder)


def a_registry(place: Place) -> None:
    """An image of several layers in a registry on this machine, as ``$REPOSITORY:latest``."""
    for program in ("docker-registry", "skopeo", "umoci", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}; .ci/run installs what tests need")
    image = place.folder / "image"
    if not image.exists():
        make_image(place.folder)
    host = place.ends.enter_context(registry(place.folder / f"registry-{os.urandom(4).hex()}"))
    skopeo_copy(f"oci:{image}:made", f"docker://{host}/team/app:latest")
    place.environment |= {"REPOSITORY": f"{host}/team/app", "CONTENTDB_PLAIN_HTTP": "1"}


GIVEN: Final[dict[str, Callable[[Place], None]]] = {
    "a store": a_store,
    "a paused ingest": a_paused_ingest,
    "a damaged blob": a_damaged_blob,
    "a missing blob": a_missing_blob,
    "an orphan": an_orphan,
    "a damaged index": a_damaged_index,
    "no index": no_index,
    "an open mode": an_open_mode,
    "a held ref": a_held_ref,
    "a backup": a_backup,
    "a registry": a_registry,
}
