"""Imports OCI image layouts: directories or tars, neither of which is trusted.

Only blobs reachable from ``index.json`` are imported, each under the name derived from its
digest. No name from the layout becomes a path, no link is followed, nothing is decompressed.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self

from contentdb.digest import Digest
from contentdb.errors import ContentDBError, StorageError
from contentdb.oci.documents.manifest import (
    MANIFEST_BYTES,
    Descriptor,
    entries_of,
    parse_descriptor,
    parse_document,
)
from contentdb.oci.documents.media_types import is_document
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import InvalidManifestError, shown
from contentdb.oci.labels import MEDIA_TYPE, merge
from contentdb.oci.layout.tarball import Tarball
from contentdb.oci.layout.write import REF_NAME

if TYPE_CHECKING:
    from typing import BinaryIO

    from contentdb.content import ContentStore, ExportLink

__all__ = ["Imported", "import_layout"]

_MOST_LEVELS: Final = 5
_MOST_ENTRIES: Final = 4096


class Imported(NamedTuple):
    """One image of a layout."""

    digest: Digest
    media_type: str
    name: str | None
    """The image's ``org.opencontainers.image.ref.name``."""


class _Layout(Protocol):
    """The common interface of a directory and a tar: files by name."""

    def open(self, name: str) -> BinaryIO: ...
    def path(self, name: str) -> Path | None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def import_layout(
    store: ContentStore, source: str | os.PathLike[str], *, link: ExportLink = "copy"
) -> list[Imported]:
    """Import all images of an image layout into the store.

    Each blob is verified and durable on return; the call may be repeated. Manifests that an index
    lists but the layout lacks are left out, as in a layout of one platform.

    Args:
        store: The store to import into.
        source: The directory, or an uncompressed tar.
        link: How to import a directory's files: ``copy``; ``reflink``, which takes no space where
            the filesystem supports it; or ``hardlink``, for a directory that will never be
            written to again. The last two need a store on this machine's disk.

    Raises:
        InvalidManifestError: The source is not an image layout, or a part breaks the rules.
        DigestMismatchError, SizeMismatchError: A blob does not match its name.
        StorageError: The source cannot be read.
    """
    path = Path(source)
    try:
        with _Directory(path) if path.is_dir() else Tarball(path) as layout:
            return _Import(store, layout, link).run()
    except ContentDBError:
        raise
    except ValueError as error:  # a path with a NUL
        raise InvalidManifestError(f"{path} is neither a layout's directory nor its tar") from error
    except OSError as error:
        raise StorageError.of("read the image layout", path, error) from error


class _Directory:
    """A layout's directory; it opens each component of a name and follows no link."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, name: str) -> BinaryIO:
        *folders, last = name.split("/")
        at = self._fd
        try:
            for folder in folders:
                below = os.open(folder, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                if at != self._fd:
                    os.close(at)
                at = below
            fd = os.open(
                last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at
            )
        finally:
            if at != self._fd:
                os.close(at)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise InvalidManifestError(f"{name} in the layout is not a regular file")
        return os.fdopen(fd, "rb")

    def path(self, name: str) -> Path | None:
        return self._root / name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _Import:
    """One call of `import_layout`."""

    def __init__(self, store: ContentStore, layout: _Layout, link: ExportLink) -> None:
        self._store = store
        self._layout = layout
        self._link = link
        self._seen: set[Digest] = set()

    def run(self) -> list[Imported]:
        try:
            marker = _read_object(self._layout, "oci-layout")
            index = _read_object(self._layout, "index.json")
        except FileNotFoundError as error:
            raise InvalidManifestError("it is no image layout: it lacks a file") from error
        if marker.get("imageLayoutVersion") != "1.0.0":
            raise InvalidManifestError("its imageLayoutVersion is not 1.0.0")
        entries = entries_of(index)
        if len(entries) > _MOST_ENTRIES:
            raise InvalidManifestError("its index.json names manifests without end")
        parts = [parse_descriptor(entry, f"manifests[{n}]") for n, entry in enumerate(entries)]
        for part in parts:
            self._import_part(part, level=0)
        return [Imported(p.digest, p.media_type, p.annotations.get(REF_NAME)) for p in parts]

    def _import_part(self, part: Descriptor, *, level: int) -> None:
        if part.digest in self._seen:
            return
        if is_document(part.media_type):
            self._import_document(part, level)
        else:
            self._import_blob(part)
        self._seen.add(part.digest)

    def _import_document(self, part: Descriptor, level: int) -> None:
        """Import the parts first, so that no stored document lacks its parts."""
        if level >= _MOST_LEVELS:
            raise InvalidManifestError("indexes name indexes without end")
        data = _read_small(self._layout, _name(part.digest))
        if len(data) != part.size or Digest.of(data, part.digest.algorithm) != part.digest:
            raise InvalidManifestError(f"{part.digest} in the layout is not what its name says")
        document = parse_document(data, part.media_type)
        for child in document.parts():
            if not self._may_skip(child, of_index=document.is_index):
                self._import_part(child, level=level + 1)
        labels = document.links() | {MEDIA_TYPE: document.media_type}
        self._store.add(data, expected=part.digest, labels=labels)
        merge(self._store, part.digest, labels)

    def _may_skip(self, child: Descriptor, *, of_index: bool) -> bool:
        """Return whether to skip a part: its file is missing, and that is allowed."""
        stored = is_document(child.media_type) and self._store.exists(child.digest)
        if not of_index and not stored:
            return False
        try:
            self._layout.open(_name(child.digest)).close()
        except FileNotFoundError:
            return True
        return False

    def _import_blob(self, part: Descriptor) -> None:
        labels = {MEDIA_TYPE: part.media_type}
        if not self._store.exists(part.digest):
            self._store_blob(part, labels)
        if self._store.info(part.digest).size != part.size:
            raise InvalidManifestError(f"{part.digest} does not have {part.size} bytes")
        merge(self._store, part.digest, labels)

    def _store_blob(self, part: Descriptor, labels: dict[str, str]) -> None:
        name = _name(part.digest)
        with self._layout.open(name) as file:
            size = file.seek(0, os.SEEK_END)
            if size != part.size:
                raise InvalidManifestError(f"{name} has {size} bytes, not {part.size}")
            file.seek(0)
            path = None if self._link == "copy" else self._layout.path(name)
            if path is None:
                self._store.ingest(
                    part.digest, file, total=part.size, expected=part.digest, labels=labels
                )
            else:
                self._store.add(path, expected=part.digest, labels=labels, link=self._link)


def _read_object(layout: _Layout, name: str) -> dict[str, Any]:
    return parse_object(_read_small(layout, name), most_bytes=MANIFEST_BYTES)


def _name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _read_small(layout: _Layout, name: str) -> bytes:
    with layout.open(name) as file:
        data = file.read(MANIFEST_BYTES + 1)
    if len(data) > MANIFEST_BYTES:
        raise InvalidManifestError(f"{shown(name)} has more than {MANIFEST_BYTES} bytes")
    return data
