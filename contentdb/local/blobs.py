"""The committed files: name them, open them, and remove their names.

A name in here is a promise: the file was whole, verified and, in a durable store, on disk
before it got that name. That is why reads need not ask the index.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

import xxhash

from contentdb import files
from contentdb.digest import signed
from contentdb.errors import CorruptBlobError, StorageError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.layout import ALGORITHM, ALGORITHM_AND_SHARD, ENCODED, SHARD
from contentdb.local.shards import PLANTED, ShardDirectories
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from contentdb.digest import Digest
    from contentdb.files import Directory

__all__ = ["Shards"]

_SYNC_ALL: Final = 16
"""From this many directories on, one sync of the filesystem costs less than a sync of each."""


class Shards(ShardDirectories):
    """The blobs' files, each found by its digest."""

    def __init__(self, blobs: Directory) -> None:
        super().__init__(blobs)
        self._real: set[str] = set()
        """Shards that were opened once, and therefore are no links."""

    def path(self, digest: Digest) -> str:
        """Return the path of a blob's file, whether or not it exists."""
        return f"{self._blobs.path}/{digest[ALGORITHM]}/{digest[SHARD]}/{digest[ENCODED]}"

    def shard(self, digest: Digest) -> Directory:
        """Open the directory of a blob's file; the caller closes it."""
        return files.open_directory(digest[SHARD], within=self._algorithm(digest[ALGORITHM]))

    def shard_to_name_in(self, digest: Digest) -> Directory:
        """Open the directory in which a blob's file gets its name; make it if it is missing."""
        try:
            return self.shard(digest)
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
        self.complete(digest.algorithm)
        return self.shard(digest)

    # -- one blob ----------------------------------------------------------------------------

    def open(self, digest: Digest) -> int | None:
        """Open a blob's file for upkeep, which is no use of it; return None if there is none.

        Raises:
            CorruptBlobError: Something else than a file of ours has the blob's name.
        """
        opened = self.open_found(digest, is_use=False)
        return None if opened is None else opened[0]

    def open_found(
        self, digest: Digest, *, is_use: bool = True
    ) -> tuple[int, os.stat_result] | None:
        """Open a blob's file for reading; return its stat too, or None if there is none.

        Without ``is_use`` reads leave the file's time of access, where the system allows that.
        """
        within, name = self._locate(digest)
        if within is None:
            return None
        try:
            fd = _open_to_read(within, name, is_use=is_use)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise StorageError.of("open", within.child(name), error) from error
        except StorageError as error:
            if error.errno not in PLANTED:
                raise
            raise CorruptBlobError(digest, within.child(name), str(error)) from error
        try:
            found = files.stat_open(fd, within.child(name))
        except StorageError:
            files.let_go(fd)
            raise
        if not files.is_private_file(found, within):  # a device may have no end
            files.let_go(fd)
            raise CorruptBlobError(
                digest, within.child(name), "it is not a regular file of the store's owner"
            )
        return fd, found

    def _locate(self, digest: Digest) -> tuple[Directory | None, str]:
        """Return a directory and a blob's path within it; None where no such blob can be.

        The first use opens the shard itself, which refuses a link; later ones pass through it.
        """
        name = f"{digest[SHARD]}/{digest[ENCODED]}"
        if digest[ALGORITHM_AND_SHARD] not in self._real:
            try:
                self.shard(digest).close()
            except StorageError as error:
                self._check_absent(digest, error)
                return None, name
            self._real.add(digest[ALGORITHM_AND_SHARD])
        return self._algorithms[digest[ALGORITHM]], name

    def _check_absent(self, digest: Digest, error: StorageError) -> None:
        """Raise, unless the blob cannot exist because its algorithm was never used."""
        if error.errno == errno.ENOENT:
            return
        if error.errno not in PLANTED:
            raise error
        raise CorruptBlobError(digest, error.path, "not a directory of the store") from error

    def size(self, digest: Digest) -> int | None:
        """Return the length of a blob's file in bytes; None if there is no regular file of ours."""
        found = self.stat(digest)
        return None if found is None else found.st_size

    def is_gone(self, digest: Digest) -> bool:
        """Return whether a blob's file is gone; to be called before its row is marked for it."""
        return self.stat(digest) is None and not (
            self.renew(digest) and self.stat(digest) is not None
        )

    def renew(self, digest: Digest) -> bool:
        """Open the algorithm's directory again if it was replaced; return whether it was.

        If another process has removed and remade the directories, those open here are empty.
        """
        within = self._algorithms.get(digest[ALGORITHM])
        return within is not None and within.renew(within.fd, make=False)

    def stat(self, digest: Digest) -> os.stat_result | None:
        """Return the stat of a blob's file; None if there is no regular file of ours."""
        try:
            within = self._algorithms.get(digest[ALGORITHM]) or self._algorithm(digest[ALGORITHM])
        except StorageError as error:
            if error.errno not in {errno.ENOENT, *PLANTED}:
                raise
            return None
        found = files.stat_name(within, f"{digest[SHARD]}/{digest[ENCODED]}")
        return found if found is not None and files.is_private_file(found, within) else None

    def stamp(self, digest: Digest, moment_ns: int) -> None:
        """Set the modification time of a blob's file, if it is there; see `local/info_cache.py`."""
        name = f"{digest[SHARD]}/{digest[ENCODED]}"
        try:
            within = self._algorithm(digest[ALGORITHM])
        except StorageError as error:
            if error.errno == errno.ENOENT:  # its algorithm was never used
                return
            raise
        if (found := files.stat_name(within, name)) is None:
            return
        times = (found.st_atime_ns, moment_ns)  # that of access tells of the last use
        try:
            os.utime(name, ns=times, dir_fd=within.fd, follow_symlinks=False)
        except OSError as error:
            found = files.stat_name(within, name) if error.errno == errno.EPERM else None
            if found is not None and found.st_uid != os.geteuid():  # another member's file
                return
            if error.errno not in {errno.ENOENT, *PLANTED}:
                raise StorageError.of("set the time of", within.child(name), error) from error

    def time(self, digest: Digest) -> _FileTime:
        """Return an object that finds and sets the modification time of a blob's file."""
        return _FileTime(self, digest)

    def holds(self, digest: Digest, size: int, checksum: int) -> bool:
        """Return whether the file exists and its bytes have that size and XXH3-64 checksum."""
        try:
            fd = self.open(digest)
        except CorruptBlobError:
            return False
        if fd is None:
            return False
        try:
            if files.stat_open(fd, digest).st_size != size:
                return False
            running = xxhash.xxh3_64()
            while piece := files.read(fd, PIECE_BYTES, digest):
                running.update(piece)
        finally:
            files.let_go(fd)
        return signed(running.intdigest()) == checksum

    def move(self, digest: Digest, target: Directory, new_name: str) -> bool:
        """Move a blob's file to another directory by rename; return False if there was none."""
        try:
            shard = self.shard(digest)
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        try:
            files.rename(shard, digest.encoded, target, new_name)
        except FileNotFoundError:
            return False
        finally:
            shard.close()
        return True

    def sync_names(self, digests: Iterable[Digest]) -> None:
        """Put the names in the shards of these blobs on disk."""
        touched = {digest[ALGORITHM_AND_SHARD]: digest for digest in digests}
        if len(touched) >= _SYNC_ALL and files.sync_filesystem(self._blobs):
            return
        for digest in touched.values():
            try:
                shard = self.shard(digest)
            except StorageError as error:
                if error.errno == errno.ENOENT:  # its algorithm was never used
                    continue
                raise
            try:
                files.sync_directory(shard)
            finally:
                shard.close()


def _open_to_read(within: Directory, name: str, *, is_use: bool) -> int:
    if not is_use:
        with suppress(PermissionError):  # the file of another member of the group, or no right
            return files.open_file(within, name, os.O_RDONLY | os.O_NOATIME)
    return files.open_file(within, name, os.O_RDONLY)


class _FileTime:
    """A `contentdb.local.index.FileTime`."""

    __slots__ = ("_digest", "_shards")

    def __init__(self, shards: Shards, digest: Digest) -> None:
        self._shards = shards
        self._digest = digest

    def find(self) -> int | None:
        found = self._shards.stat(self._digest)
        return None if found is None else found.st_mtime_ns

    def set(self, moment_ns: int) -> None:
        self._shards.stamp(self._digest, moment_ns)
