"""Imports images from OCI image layouts and from archives of ``docker save``; none is trusted.

Only blobs reachable from ``index.json`` or ``manifest.json`` are imported, each under the name
derived from its digest. No name from the layout becomes a path, no link leads out of it, and no
layer is decompressed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from contentdb.errors import ContentDBError, StorageError
from contentdb.oci.documents.manifest import (
    MANIFEST_BYTES,
    NEUTRAL,
    Descriptor,
    entries_of,
    parse_descriptor,
)
from contentdb.oci.documents.strict_json import parse_object
from contentdb.oci.errors import IncompleteLayoutError, InvalidLayoutError, InvalidManifestError
from contentdb.oci.labels import MEDIA_TYPE, merge
from contentdb.oci.layout.directory import Directory
from contentdb.oci.layout.docker_archive import MANIFEST_JSON, DockerArchive
from contentdb.oci.layout.names import name_in
from contentdb.oci.layout.survey import (
    Survey,
    blob_name,
    children_of,
    names_document,
    read_document,
    read_small,
)
from contentdb.oci.layout.tarball import Tarball

if TYPE_CHECKING:
    from contentdb.content import ContentStore, ExportLink, Source
    from contentdb.digest import Digest
    from contentdb.oci.layout.survey import Files

__all__ = ["Imported", "import_layout"]

_MOST_ENTRIES: Final = 4096


class Imported(NamedTuple):
    """One image of a layout."""

    digest: Digest
    media_type: str
    name: str | None
    """The whole reference in its ``io.containerd.image.name``, or else its
    ``org.opencontainers.image.ref.name``."""
    missing: tuple[Digest, ...] = ()
    """With ``partial``, what the layout lists and lacks; the image's own digest comes first if it
    was left out itself."""


def import_layout(
    store: ContentStore,
    source: str | os.PathLike[str] | Source,
    *,
    link: ExportLink = "copy",
    partial: bool = False,
) -> list[Imported]:
    """Import all images of an image layout, or of an archive by ``docker save``, into the store.

    Each blob is verified and durable on return; the call may be repeated. Nothing is stored of a
    layout that lacks what it lists and the store does not have, unless ``partial``. An image of
    ``docker save`` gets an OCI manifest, which depends on the archive alone.

    Args:
        store: The store to import into.
        source: The directory; or a tar, plain or compressed by gzip or zstd, as a path or as a
            stream to read once. What is compressed or a stream is spooled to a temporary file.
        link: How to import a directory's files: ``copy``; ``reflink``, which takes no space where
            the filesystem supports it; or ``hardlink``, for a directory that will never be
            written to again. The last two need a store on this machine's disk.
        partial: Import the images that are whole, and indexes with those of their manifests that
            are; leave out the rest. Also read a tar that was cut off, up to there.

    Raises:
        IncompleteLayoutError: It lacks what it lists; with ``partial``, no image is whole.
        InvalidLayoutError: It is no image layout or archive, or a part breaks the rules.
        DigestMismatchError, SizeMismatchError: A blob does not match its name.
        MissingExtraError: It is compressed by zstd, and the package for it is not installed.
        StorageError: The source cannot be read, or there is no room to spool it.
    """
    given = Path(source) if isinstance(source, str | os.PathLike) else source
    shown = str(given if isinstance(given, Path) else getattr(given, "name", "<stream>"))
    try:
        with _open(given, partial=partial) as files:
            return _Import(store, *_list(files), link).run(shown, partial=partial)
    except InvalidLayoutError:
        raise
    except InvalidManifestError as error:
        raise InvalidLayoutError(shown, error.reason) from error
    except ContentDBError:
        raise
    except ValueError as error:  # a path with a NUL
        raise InvalidLayoutError(shown, str(error)) from error
    except OSError as error:
        raise StorageError.of("read the image layout", shown, error) from error


def _open(source: Path | Source, *, partial: bool) -> Directory | Tarball:
    if isinstance(source, Path) and source.is_dir():
        return Directory(source)
    return Tarball(source, partial=partial)


def _list(files: Directory | Tarball) -> tuple[Files, list[Descriptor]]:
    """Return the files by their names in a layout, and the images."""
    if _has(files, "index.json"):
        _check_version(files)
        return files, _entries(files)
    if isinstance(files, Tarball) and _has(files, MANIFEST_JSON):
        archive = DockerArchive(files)
        return archive, archive.entries
    if _has(files, MANIFEST_JSON):
        advice = "import its tar: `tar -c -C DIRECTORY . | contentdb import-oci -`"
        reason = f"it has no index.json, but {MANIFEST_JSON}; if docker save made it, {advice}"
        raise InvalidManifestError(reason)
    raise InvalidManifestError(
        f"it has neither the index.json of an image layout nor the {MANIFEST_JSON} of docker save"
    )


def _has(files: Files, name: str) -> bool:
    try:
        files.open(name).close()
    except FileNotFoundError:
        return False
    return True


def _check_version(files: Files) -> None:
    """Refuse a layout of another major version; tools exist that write none."""
    try:
        version = _read_object(files, "oci-layout").get("imageLayoutVersion")
    except FileNotFoundError:
        return
    if not isinstance(version, str) or not version.startswith("1."):
        raise InvalidManifestError("its imageLayoutVersion is not 1.0.0")


def _entries(files: Files) -> list[Descriptor]:
    entries = entries_of(_read_object(files, "index.json"))
    if len(entries) > _MOST_ENTRIES:
        raise InvalidManifestError("its index.json names manifests without end")
    return [_entry(files, entry, f"manifests[{n}]") for n, entry in enumerate(entries)]


def _entry(files: Files, raw: object, where: str) -> Descriptor:
    """Parse an entry; if its media type is missing or neutral, the document tells it."""
    untyped = isinstance(raw, dict) and not raw.get("mediaType")
    given = {**raw, "mediaType": min(NEUTRAL)} if isinstance(raw, dict) and untyped else raw
    part = parse_descriptor(given, where)
    if part.media_type not in NEUTRAL:
        return part
    try:
        _, document = read_document(files, part)
    except (FileNotFoundError, InvalidManifestError) as error:
        if untyped:
            raise InvalidManifestError(f"{where}.mediaType is missing") from error
        return part
    return part._replace(media_type=document.media_type)


class _Import:
    """One call of `import_layout`."""

    def __init__(
        self, store: ContentStore, files: Files, entries: list[Descriptor], link: ExportLink
    ) -> None:
        self._store = store
        self._files = files
        self._entries = entries
        self._link = link
        self._survey = Survey(files, store.exists)
        self._seen: set[tuple[Digest, bool]] = set()

    def run(self, source: str, *, partial: bool) -> list[Imported]:
        found = [
            self._survey.look(part, is_manifest=names_document(part)) for part in self._entries
        ]
        missing = list(dict.fromkeys(digest for one in found for digest in one.missing))
        if missing and not (partial and any(one.usable for one in found)):
            raise IncompleteLayoutError(source, missing, partial=partial)
        images = []
        for part, one in zip(self._entries, found, strict=True):
            lacks = one.missing
            if one.usable:
                self._import_part(part, is_manifest=names_document(part), level=0)
            else:
                lacks = tuple(dict.fromkeys((part.digest, *lacks)))
            images.append(Imported(part.digest, part.media_type, name_in(part.annotations), lacks))
        return images

    def _import_part(self, part: Descriptor, *, is_manifest: bool, level: int) -> None:
        found = self._survey.look(part, is_manifest=is_manifest, level=level)
        if (part.digest, is_manifest) in self._seen or not found.usable:
            return
        if not is_manifest:
            self._import_blob(part)
        elif found.here:
            self._import_document(part, level)
        self._seen.add((part.digest, is_manifest))

    def _import_document(self, part: Descriptor, level: int) -> None:
        """Import the parts first, so that no stored document lacks its parts."""
        data, document = read_document(self._files, part)
        for child, is_manifest in children_of(document):
            self._import_part(child, is_manifest=is_manifest, level=level + 1)
        labels = document.links() | {MEDIA_TYPE: document.media_type}
        self._store.add(data, expected=part.digest, labels=labels)
        merge(self._store, part.digest, labels)

    def _import_blob(self, part: Descriptor) -> None:
        labels = {MEDIA_TYPE: part.media_type}
        if not self._store.exists(part.digest):
            self._store_blob(part, labels)
        if self._store.info(part.digest).size != part.size:
            raise InvalidManifestError(f"{part.digest} does not have {part.size} bytes")
        merge(self._store, part.digest, labels)

    def _store_blob(self, part: Descriptor, labels: dict[str, str]) -> None:
        name = blob_name(part.digest)
        with self._files.open(name) as file:
            size = file.seek(0, os.SEEK_END)
            if size != part.size:
                raise InvalidManifestError(f"{name} has {size} bytes, not {part.size}")
            file.seek(0)
            path = None if self._link == "copy" else self._files.path(name)
            if path is None:
                self._store.ingest(
                    part.digest, file, total=part.size, expected=part.digest, labels=labels
                )
            else:
                self._store.add(path, expected=part.digest, labels=labels, link=self._link)


def _read_object(files: Files, name: str) -> dict[str, Any]:
    return parse_object(read_small(files, name), most_bytes=MANIFEST_BYTES)
