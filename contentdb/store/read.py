"""Bytes out, by digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from contentdb.digest import Digest
from contentdb.engine import Capability
from contentdb.errors import InvalidArgumentError, InvalidDigestError
from contentdb.short_digest import beginnings, only_one
from contentdb.store.front import Front
from contentdb.streams.export import target_path

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from contentdb.content import ExportLink, Info, Reader

__all__ = ["Read"]

_LINKS: Final = ("reflink", "hardlink", "copy")


class Read(Front):
    """Plays `contentdb.content.Provider`, and looks single blobs up."""

    def open(self, digest: str, *, verify: bool = True) -> Reader:
        """Open a blob for reading, as a seekable binary stream that knows its size.

        Read from the beginning to the end, the bytes are verified as they pass: the read that
        reaches the end raises instead of handing out a bad tail. It goes on reading when the
        blob is deleted or the store closed meanwhile.

        Args:
            digest: Which.
            verify: False saves the hashing, for callers that read parts only.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its file is gone, or no file of ours; or later, from a read.
        """
        return self._engine.open(Digest(digest), verify=verify)

    def read(self, digest: str) -> bytes:
        """Return all bytes of a blob, verified against its digest.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its bytes do not match; it is served no more until it is healed.
        """
        return self._engine.read(Digest(digest))

    def path(self, digest: str) -> Path:
        """Return the read-only file that holds a blob's bytes, which are not verified here.

        It is the store's: read it, link it, but never write to it. It is gone with a delete.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its file is gone.
            StoreError: The root was moved or replaced since the store was opened.
            FailedPreconditionError: The blob has no file here, but at a server.
        """
        wanted = Digest(digest)
        self._require(Capability.PATHS, "path")
        return self._engine.path(wanted)

    def export(
        self, digest: str, path: str | os.PathLike[str], *, link: ExportLink = "reflink"
    ) -> Path:
        """Write a blob to a path of the caller's, verified, whole or not at all; gives the path.

        Of what is there, only a regular file of this process's user is replaced, never a link or a
        device, and nothing inside a store. Not synced.

        Args:
            digest: Which.
            path: Where to.
            link: ``reflink`` shares the blocks until either side changes, ``hardlink`` shares the
                read-only file itself; both become a copy where the filesystem cannot.

        Raises:
            NotFoundError, CorruptBlobError: As `read`.
            StorageError: The target cannot be written, or is not to be replaced.
        """
        wanted = Digest(digest)
        if link not in _LINKS:
            raise InvalidArgumentError(f"link is one of {', '.join(_LINKS)}, not {link!r}")
        return self._engine.export(wanted, target_path(path), link)

    def info(self, digest: str) -> Info:
        """Return what is known of a blob; its file is not looked at.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: It was found damaged before.
        """
        return self._engine.info(Digest(digest))

    def exists(self, digest: str) -> bool:
        """Whether the blob is stored, its file there in full, and not known to be damaged."""
        return self._engine.exists(Digest(digest))

    def resolve(self, prefix: str) -> Digest:
        """Find the one blob whose digest begins so, with or without its algorithm.

        Raises:
            NotFoundError: There is none.
            AmbiguousDigestError: There are several.
            MalformedDigestError: No digest begins so.
        """
        try:
            digest = Digest(prefix)
        except InvalidDigestError as error:
            return only_one(prefix, self._engine.abbreviated(beginnings(prefix, error)))
        return self._engine.listed(digest)
