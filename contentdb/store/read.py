"""Reading by digest: bytes, files and records of single blobs."""

from __future__ import annotations

from contentdb.digest import Digest
from contentdb.engine import Capability
from contentdb.errors import InvalidArgumentError, InvalidDigestError
from contentdb.light_typing import TYPE_CHECKING, cast
from contentdb.store.front import Front

if TYPE_CHECKING:
    import os
    from datetime import timedelta
    from pathlib import Path
    from typing import Final

    from contentdb.content import ExportLink, Info, Reader
    from contentdb.engine import UrlEngine

__all__ = ["Read"]

_LINKS: Final = ("reflink", "hardlink", "copy")


class Read(Front):
    """Implements `contentdb.content.Provider`, and looks up single blobs."""

    def open(self, digest: str, *, verify: bool = True) -> Reader:
        """Open a blob for reading, as a seekable binary stream that knows its size.

        Bytes read from the beginning to the end are verified: the read that reaches the end of a
        damaged blob raises instead of returning the last bytes. The stream stays usable when the
        blob is deleted or the store closed.

        Args:
            digest: The blob.
            verify: False saves the hashing, for callers that read only parts.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its file is gone, or is not one of the store's. A read may raise it
                too.
        """
        return self._engine.open(Digest(digest), verify=verify)

    def read(self, digest: str) -> bytes:
        """Return all bytes of a blob, verified against its digest.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its bytes do not match. The store serves it again once its content
                is stored again.
        """
        return self._engine.read(Digest(digest))

    def path(self, digest: str) -> Path:
        """Return the path of the read-only file with a blob's bytes, which are not verified.

        The file is the store's: read it or link it, but never write to it. A delete removes it.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: Its file is gone.
            StoreError: The root was moved or replaced since the store was opened.
            FailedPreconditionError: The store is behind a server, so its files are not here.
        """
        wanted = Digest(digest)
        self._require(Capability.PATHS, "path")
        return self._engine.path(wanted)

    def export(
        self, digest: str, path: str | os.PathLike[str], *, link: ExportLink = "reflink"
    ) -> Path:
        """Write a blob to a path of the caller's, verified, whole or not at all; return the path.

        It replaces a regular file of this process's user, but no link or device, and nothing
        inside a store. The file is not synced.

        Args:
            digest: The blob.
            path: The file to make.
            link: ``reflink`` shares the blocks until either side changes, ``hardlink`` shares the
                read-only file itself; both become a copy where the filesystem cannot.

        Raises:
            NotFoundError, CorruptBlobError: As in `read`.
            StorageError: The file cannot be written, or something is there that is not replaced.
        """
        wanted = Digest(digest)
        if link not in _LINKS:
            raise InvalidArgumentError(f"link is one of {', '.join(_LINKS)}, not {link!r}")
        from contentdb.streams.export import target_path  # few commands export

        return self._engine.export(wanted, target_path(path), link)

    def urls(self, digest: str, *, expires: timedelta | None = None) -> list[str]:
        """Return URLs by which anyone may GET a blob from the object store, without a credential.

        The bytes of the answers, one after the other, are the blob's: a blob of up to 8 MiB has
        one URL, a longer one a URL for each segment. Nothing verifies them on their way: compare
        their digest. A delete of the blob ends no URL before a `prune` has removed its objects.

        Args:
            digest: The blob.
            expires: For how long the URLs work: a second to seven days, None for an hour, by this
                host's clock. They end with the credentials of this process, if those end earlier.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: An earlier read or verify found it damaged.
            FailedPreconditionError: The store keeps no bytes at ``s3://``, or those of this blob
                in its row: `read` them.
        """
        from datetime import timedelta  # few callers ask

        wanted = Digest(digest)
        span: object = timedelta(hours=1) if expires is None else expires
        if not isinstance(span, timedelta) or not timedelta(0, 1) <= span <= timedelta(7):
            raise InvalidArgumentError(
                f"expires is a timedelta of 1 second to 7 days, not {expires!r:.80}"
            )
        self._require(Capability.URLS, "urls")
        return cast("UrlEngine", self._engine).urls(wanted, span // timedelta(0, 1))

    def info(self, digest: str) -> Info:
        """Return what the index knows of a blob; its file is not checked.

        Raises:
            NotFoundError: There is no such blob.
            CorruptBlobError: An earlier read or verify found it damaged.
        """
        return self._engine.info(Digest(digest))

    def exists(self, digest: str) -> bool:
        """Return whether the blob is stored, its file has its size, and no damage is known."""
        return self._engine.exists(Digest(digest))

    def resolve(self, prefix: str) -> Digest:
        """Return the one stored digest with a prefix, given with or without its algorithm.

        Raises:
            NotFoundError: No stored digest has it.
            AmbiguousDigestError: Several stored digests have it.
            MalformedDigestError: No digest can have it.
        """
        try:
            digest = Digest(prefix)
        except InvalidDigestError as error:
            from contentdb.store.short_digest import beginnings, only_one

            return only_one(prefix, self._engine.abbreviated(beginnings(prefix, error)))
        return self._engine.listed(digest)
