"""Exports OCI image layouts: a directory with hard links to the store's files, or a tar.

The form is https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contentdb.digest import Digest
from contentdb.errors import StorageError
from contentdb.oci.documents.graph import tree_of
from contentdb.oci.documents.manifest import MANIFEST_BYTES, entries_of
from contentdb.oci.documents.media_types import OCI_INDEX
from contentdb.oci.documents.strict_json import parse_object
from contentdb.streams.export import draft, refuse_stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from contentdb.content import ContentStore, ExportLink
    from contentdb.oci.documents.graph import Node, Tree

    Names = Mapping[Digest, str] | Mapping[str, str]

__all__ = ["REF_NAME", "export_layout", "export_tar"]

REF_NAME: Final = "org.opencontainers.image.ref.name"
_MARKER: Final = b'{"imageLayoutVersion":"1.0.0"}'


def export_layout(
    store: ContentStore,
    target: str | os.PathLike[str],
    digests: Iterable[str],
    *,
    tags: Names | None = None,
    link: ExportLink = "hardlink",
) -> list[Digest]:
    """Write images into an image layout, or add them to an existing one.

    A hard link shares the store's read-only file: writing to it in place damages the store.
    ``index.json`` is replaced last, atomically, so a reader never sees an image without its parts.

    Args:
        store: The store to export from.
        target: The directory; created if absent.
        digests: Indexes and manifests.
        tags: Names for digests, as ``org.opencontainers.image.ref.name``.
        link: ``hardlink``, ``reflink`` or ``copy``; falls back to a copy.

    Returns:
        The digests that this call has listed in the layout.

    Raises:
        NotFoundError: A part is not stored.
        StorageError: The directory cannot be written or is inside a store, or one of its files
            exists as a link or another file that is not regular.
    """
    root = Path(target)
    trees = [tree_of(store, Digest(digest)) for digest in digests]
    refuse_stores(root, os.path.realpath(root))
    try:
        _make_folder(root / "blobs", parents=True)
        for tree in trees:
            for digest, size in _sizes(tree).items():
                path = root / _blob_name(digest)
                _make_folder(path.parent)
                if not _is_file(path, size):
                    store.export(digest, path, link=link)
        index = _merge(root, [_entry(tree.top, tags or {}) for tree in trees])
        _replace(root / "oci-layout", _MARKER)
        _replace(root / "index.json", index)
    except OSError as error:
        raise StorageError.of("write the image layout", root, error) from error
    return [tree.top.digest for tree in trees]


def _make_folder(path: Path, *, parents: bool = False) -> None:
    """Create a directory of the layout, or use the existing one; refuse a symbolic link."""
    path.mkdir(parents=parents, exist_ok=True)
    if path.is_symlink():
        cause = OSError(errno.ELOOP, "it is a symbolic link")
        raise StorageError("write the image layout", str(path), cause)


def export_tar(
    store: ContentStore,
    target: str | os.PathLike[str],
    digests: Iterable[str],
    *,
    tags: Names | None = None,
) -> list[Digest]:
    """Write images as a tar of an image layout; the same images give the same bytes.

    The file appears whole or not at all. Arguments and errors are as for `export_layout`.
    """
    path = Path(target)
    trees = [tree_of(store, Digest(digest)) for digest in digests]
    with draft(path) as new, tarfile.open(new.path, "x", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", _MARKER)
        _add(tar, "index.json", _index([_entry(tree.top, tags or {}) for tree in trees]))
        for digest in sorted({digest for tree in trees for digest in _sizes(tree)}):
            with store.open(digest) as reader:
                member = _member(_blob_name(digest), reader.size)
                tar.addfile(member, reader)
    return [tree.top.digest for tree in trees]


def _sizes(tree: Tree) -> dict[Digest, int]:
    """Return the digests of an image's blobs and documents, with their sizes in bytes."""
    sizes = {blob.digest: blob.size for blob in tree.blobs}
    return sizes | {node.digest: len(node.data) for node in tree.nodes}


def _is_file(path: Path, size: int) -> bool:
    """Return whether the layout has the blob whole; a crash may have left a shorter file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _blob_name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _entry(node: Node, tags: Names) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "mediaType": node.document.media_type,
        "digest": node.digest,
        "size": len(node.data),
    }
    if node.digest in tags:
        entry["annotations"] = {REF_NAME: tags[node.digest]}
    return entry


def _index(entries: list[dict[str, Any]]) -> bytes:
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return json.dumps(index, separators=(",", ":")).encode()


def _merge(root: Path, fresh: list[dict[str, Any]]) -> bytes:
    """Return the index with more entries; a new entry replaces an old one of the same name."""
    try:
        old = parse_object((root / "index.json").read_bytes(), most_bytes=MANIFEST_BYTES)
    except FileNotFoundError:
        return _index(fresh)
    names = {_name(entry) for entry in fresh} - {None}
    same = [(entry["digest"], _name(entry)) for entry in fresh]
    kept = [
        entry
        for entry in entries_of(old)
        if isinstance(entry, dict)
        and _name(entry) not in names
        and (entry.get("digest"), _name(entry)) not in same
    ]
    return json.dumps(old | {"manifests": kept + fresh}, separators=(",", ":")).encode()


def _name(entry: Mapping[str, Any]) -> str | None:
    annotations = entry.get("annotations")
    name = annotations.get(REF_NAME) if isinstance(annotations, dict) else None
    return name if isinstance(name, str) else None


def _replace(path: Path, data: bytes) -> None:
    with draft(path) as new:
        Path(new.path).write_bytes(data)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o444
    return member


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_member(name, len(data)), io.BytesIO(data))
