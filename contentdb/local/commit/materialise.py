"""Give a packed blob a file too, for a caller that wants a path."""

from __future__ import annotations

from contextlib import closing

from contentdb import files
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.publish import replace_file
from contentdb.local.commit.temporary import Temporary
from contentdb.local.file_times import is_time_of
from contentdb.local.packed import read_record

if TYPE_CHECKING:
    from contentdb.digest import Digest
    from contentdb.local.index import Blob
    from contentdb.local.resources import Parts

__all__ = ["make_file"]


def make_file(parts: Parts, digest: Digest, row: Blob, *, always_sync: bool = False) -> bool:
    """Give a packed blob a file too; return False if it was deleted or unpacked meanwhile.

    Durable, if the store is, or with ``always_sync``.

    Raises:
        CorruptBlobError: Its record is damaged.
    """
    if _has_file(parts, digest, row) and not always_sync:
        return True
    data = read_record(parts, digest, row)
    if data is None:
        return False
    with closing(Temporary(parts)) as file:
        files.write_all(file.fd, data, file.path)
        file.seal(row.updated_ns)
        if always_sync or parts.durable:
            files.sync(file.fd, file.path)
        shard = parts.shards.shard_to_name_in(digest)
        try:

            def name(updated_ns: int) -> None:
                files.stamp(file.fd, updated_ns, file.path)
                if not file.link(shard, digest.encoded):  # what has the name may be damaged
                    replace_file(parts, shard, digest.encoded, file.link)

            made = parts.index.act_if_packed(digest, name)
            if made and (always_sync or parts.durable):
                files.sync_directory(shard)
        finally:
            shard.close()
    return made


def _has_file(parts: Parts, digest: Digest, row: Blob) -> bool:
    found = parts.shards.stat(digest)
    return (
        found is not None
        and found.st_size == row.size
        and is_time_of(found.st_mtime_ns, row.updated_ns)
    )
