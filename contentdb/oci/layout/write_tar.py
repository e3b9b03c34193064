"""Exports images as the tar of an image layout, which ``docker load`` takes too.

Beside ``index.json`` stands a ``manifest.json``, as in what ``docker save`` writes since Docker 25.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from contentdb.digest import Digest
from contentdb.oci.documents.graph import tree_of
from contentdb.oci.layout.compressed import compression_of, compressor
from contentdb.oci.layout.docker_archive import MANIFEST_JSON, docker_manifest
from contentdb.oci.layout.survey import blob_name
from contentdb.oci.layout.write import MARKER, entries_for, index_of, sizes_of
from contentdb.streams.export import draft

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from contentdb.content import ContentStore
    from contentdb.oci.documents.graph import Tree
    from contentdb.oci.layout.names import Names

__all__ = ["export_tar"]


def export_tar(
    store: ContentStore,
    target: str | os.PathLike[str] | BinaryIO,
    digests: Iterable[str],
    *,
    tags: Names | None = None,
) -> list[Digest]:
    """Write images as a tar of an image layout; the same images give the same bytes.

    A file appears whole or not at all. It is compressed if its name ends in ``.tar.gz``, ``.tgz``,
    ``.tar.zst`` or ``.tzst``. A stream gets a plain tar in order, and stays open. Arguments and
    errors are as for `export_layout`.

    Raises:
        MissingExtraError: The name asks for zstd, and the package for it is not installed.
    """
    trees = [tree_of(store, Digest(digest)) for digest in digests]
    if isinstance(target, str | os.PathLike):
        path = Path(target)
        with (
            draft(path) as new,
            Path(new.path).open("xb") as file,
            compressor(file, compression_of(path.name)) as out,
        ):
            _write(store, out, trees, tags or {})
    else:
        _write(store, target, trees, tags or {})
    return [tree.top.digest for tree in trees]


def _write(store: ContentStore, out: BinaryIO, trees: list[Tree], tags: Names) -> None:
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", MARKER)
        _add(tar, "index.json", index_of(list(entries_for(trees, tags))))
        for_docker = docker_manifest(trees, tags)
        if for_docker is not None:
            _add(tar, MANIFEST_JSON, for_docker)
        for digest in sorted({digest for tree in trees for digest in sizes_of(tree)}):
            with store.open(digest) as reader:
                tar.addfile(_member(blob_name(digest), reader.size), reader)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o444
    return member


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_member(name, len(data)), io.BytesIO(data))
