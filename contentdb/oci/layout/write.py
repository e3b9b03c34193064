"""Exports images to a layout's directory, with hard links to the store's files.

The form is https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contentdb.digest import Digest
from contentdb.errors import InvalidArgumentError, StorageError
from contentdb.oci.documents.graph import tree_of
from contentdb.oci.documents.manifest import MANIFEST_BYTES, entries_of
from contentdb.oci.documents.media_types import OCI_INDEX
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.layout.names import REF_NAME, annotations_of, names_for
from contentdb.oci.layout.survey import blob_name
from contentdb.streams.export import draft, refuse_stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from contentdb.content import ContentStore, ExportLink
    from contentdb.oci.documents.graph import Tree
    from contentdb.oci.layout.names import Names

__all__ = ["MARKER", "entries_for", "export_layout", "index_of", "left_out", "sizes_of"]

MARKER: Final = b'{"imageLayoutVersion":"1.0.0"}'


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
    Several calls may write into one directory at once.

    Args:
        store: The store to export from.
        target: The directory; created if absent.
        digests: Indexes and manifests.
        tags: One name or several for each digest, as ``org.opencontainers.image.ref.name``; a
            reference, such as ``team/app:v1``, is also written whole, as
            ``io.containerd.image.name``.
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
            for digest, size in sizes_of(tree).items():
                path = root / blob_name(digest)
                _make_folder(path.parent)
                if not _is_file(path, size):
                    store.export(digest, path, link=link)
        with _alone(root):
            index = _merge(root, list(entries_for(trees, tags or {})))
            _replace(root / "oci-layout", MARKER)
            _replace(root / "index.json", index)
    except OSError as error:
        raise StorageError.of("write the image layout", root, error) from error
    return [tree.top.digest for tree in trees]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other exports out while ``index.json`` is read and replaced: else one's images go."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a filesystem without locks for directories
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _make_folder(path: Path, *, parents: bool = False) -> None:
    """Create a directory of the layout, or use the existing one; refuse a symbolic link."""
    path.mkdir(parents=parents, exist_ok=True)
    if path.is_symlink():
        cause = OSError(errno.ELOOP, "it is a symbolic link")
        raise StorageError("write the image layout", str(path), cause)


def sizes_of(tree: Tree) -> dict[Digest, int]:
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


def entries_for(trees: Iterable[Tree], tags: Names) -> Iterator[dict[str, Any]]:
    """Yield the entries of ``index.json``: one for each name of each image.

    Raises:
        InvalidArgumentError: Two images would have one name.
    """
    owners: dict[str, Digest] = {}
    for node in (tree.top for tree in trees):
        for name in names_for(tags, node.digest):
            if owners.setdefault(name, node.digest) != node.digest:
                raise InvalidArgumentError(f"two images cannot both be {name!r}; name each anew")
        entry: dict[str, Any] = {
            "mediaType": node.document.media_type,
            "digest": node.digest,
            "size": len(node.data),
        }
        named = [{"annotations": annotations_of(name)} for name in names_for(tags, node.digest)]
        yield from (entry | annotations for annotations in named or [{}])


def index_of(entries: list[dict[str, Any]]) -> bytes:
    """Return an ``index.json``."""
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    return json.dumps(index, separators=(",", ":")).encode()


def left_out(store: ContentStore, digest: Digest) -> list[Digest]:
    """Return what an image's indexes list and an export leaves out, since it is not stored."""
    return [part.digest for part in tree_of(store, digest).absent]


def _merge(root: Path, fresh: list[dict[str, Any]]) -> bytes:
    """Return the index with more entries; a new entry replaces an old one of the same name."""
    try:
        old = parse_object((root / "index.json").read_bytes(), most_bytes=MANIFEST_BYTES)
    except FileNotFoundError:
        return index_of(fresh)
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
