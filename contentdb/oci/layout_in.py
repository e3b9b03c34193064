"""OCI image layouts, read: a directory or a tar, which may come from a stranger.

Only what ``index.json`` leads to is taken, each blob by the name that its digest gives: no
name in the layout is ever turned into a path, no link is followed, nothing is decompressed.
"""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self

from contentdb.digest import Digest
from contentdb.errors import StorageError
from contentdb.oci.errors import InvalidManifestError, shown
from contentdb.oci.labels import MEDIA_TYPE, merge
from contentdb.oci.layout_out import REF_NAME
from contentdb.oci.manifest import MANIFEST_BYTES, Descriptor, parse_descriptor, parse_document
from contentdb.oci.media import is_document
from contentdb.oci.strict_json import parse_object

if TYPE_CHECKING:
    from typing import BinaryIO

    from contentdb.oci.roles import Content

__all__ = ["Imported", "import_layout"]

_MOST_MEMBERS: Final = 200_000
_MOST_LEVELS: Final = 5
_MOST_ENTRIES: Final = 4096


class Imported(NamedTuple):
    """One image that a layout names."""

    digest: Digest
    media_type: str
    name: str | None
    """Its ``org.opencontainers.image.ref.name``."""


class _Layout(Protocol):
    """Named bytes: what a directory and a tar have in common."""

    def open(self, name: str) -> BinaryIO: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def import_layout(store: Content, source: str | os.PathLike[str]) -> list[Imported]:
    """Take all images of an image layout into the store.

    Each blob is verified and durable when this returns; it may be repeated. Manifests that an
    index names but the layout lacks are left out, as in a layout of one platform.

    Args:
        store: Where to.
        source: The directory, or an uncompressed tar.

    Raises:
        InvalidManifestError: It is no image layout, or a part breaks the rules.
        DigestMismatchError, SizeMismatchError: A blob is not what its name says.
        StorageError: It cannot be read.
    """
    path = Path(source)
    try:
        with _Directory(path) if path.is_dir() else _Tar(path) as layout:
            return _import(store, layout)
    except tarfile.TarError as error:
        raise InvalidManifestError(f"{path} is neither a layout's directory nor its tar") from error
    except OSError as error:
        raise StorageError.of("read the image layout", path, error) from error


class _Directory:
    """A layout's directory. Names are opened one by one, and no link is followed."""

    def __init__(self, root: Path) -> None:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


class _Tar:
    """A layout in a tar, which is read in place."""

    def __init__(self, path: Path) -> None:
        self._tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed by __exit__; "r:" decompresses nothing
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            for count, member in enumerate(self._tar):
                if count >= _MOST_MEMBERS:
                    raise InvalidManifestError(  # noqa: TRY301 - the tar is to be closed
                        f"the tar has more than {_MOST_MEMBERS} members"
                    )
                self._members.setdefault(member.name.removeprefix("./"), member)
        except BaseException:
            self._tar.close()
            raise

    def open(self, name: str) -> BinaryIO:
        member = self._members.get(name)
        if member is None:
            raise FileNotFoundError(2, os.strerror(2), name)
        opened = self._tar.extractfile(member) if member.isreg() and not member.issparse() else None
        if opened is None:
            raise InvalidManifestError(f"{name} in the layout is not a regular file")
        return opened  # type: ignore[return-value]  # a buffered reader

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()


def _import(store: Content, layout: _Layout) -> list[Imported]:
    try:
        marker = parse_object(_small(layout, "oci-layout"), most_bytes=MANIFEST_BYTES)
        index = parse_object(_small(layout, "index.json"), most_bytes=MANIFEST_BYTES)
    except FileNotFoundError as error:
        raise InvalidManifestError(
            f"it is no image layout: there is no {error.filename}"
        ) from error
    if marker.get("imageLayoutVersion") != "1.0.0":
        raise InvalidManifestError("its imageLayoutVersion is not 1.0.0")
    entries = index.get("manifests")
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise InvalidManifestError("its index.json has no list of manifests, or one without end")
    parts = [parse_descriptor(entry, f"manifests[{n}]") for n, entry in enumerate(entries)]
    seen: set[Digest] = set()
    for part in parts:
        _take(store, layout, part, seen, level=0)
    return [Imported(p.digest, p.media_type, p.annotations.get(REF_NAME)) for p in parts]


def _take(
    store: Content, layout: _Layout, part: Descriptor, seen: set[Digest], *, level: int
) -> None:
    if part.digest in seen:
        return
    seen.add(part.digest)
    if not is_document(part.media_type):
        _take_blob(store, layout, part)
        return
    if level >= _MOST_LEVELS:
        raise InvalidManifestError("indexes name indexes without end")
    data = _small(layout, _name(part.digest))
    if len(data) != part.size or Digest.of(data, part.digest.algorithm) != part.digest:
        raise InvalidManifestError(f"{part.digest} in the layout is not what its name says")
    document = parse_document(data, part.media_type)
    for child in document.parts():
        try:
            _take(store, layout, child, seen, level=level + 1)
        except FileNotFoundError:
            if not document.is_index and not store.exists(child.digest):
                raise
    labels = document.links() | {MEDIA_TYPE: document.media_type}
    store.add(data, expected=part.digest, labels=labels)
    merge(store, part.digest, labels)


def _take_blob(store: Content, layout: _Layout, part: Descriptor) -> None:
    labels = {MEDIA_TYPE: part.media_type}
    if not store.exists(part.digest):
        with layout.open(_name(part.digest)) as file:
            store.ingest(part.digest, file, total=part.size, expected=part.digest, labels=labels)
    if store.info(part.digest).size != part.size:
        raise InvalidManifestError(f"{part.digest} does not have {part.size} bytes")
    merge(store, part.digest, labels)


def _name(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _small(layout: _Layout, name: str) -> bytes:
    with layout.open(name) as file:
        data = file.read(MANIFEST_BYTES + 1)
    if len(data) > MANIFEST_BYTES:
        raise InvalidManifestError(f"{shown(name)} has more than {MANIFEST_BYTES} bytes")
    return data
