"""What is known of content that becomes a blob, and how its file or record is found."""

from __future__ import annotations

import time

from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.file_times import is_time_of
from contentdb.values import Info

if TYPE_CHECKING:
    from contentdb.digest import Digest
    from contentdb.labels import Labelling
    from contentdb.local.blobs import Shards
    from contentdb.local.index import Blob, LeaseKey, Location
    from contentdb.local.packs.directory import PackDirectory
    from contentdb.local.resources import Parts

__all__ = ["Candidate", "candidate_of"]


class Candidate:
    """The facts of a file that becomes a blob; an `Entry` of `contentdb.local.index`."""

    __slots__ = ("checksum", "digest", "labelling", "lease", "location", "now_ns",
                 "only_if", "packs", "ref", "reserved", "seen_ns", "shards", "size", "token",
                 "whole_ns")  # fmt: skip

    def __init__(
        self,
        shards: Shards,
        digest: Digest,
        size: int,
        checksum: int,
        labels: Labelling,
        now_ns: int,
        ref: str | None = None,
        token: str | None = None,
    ) -> None:
        self.shards = shards
        self.digest = digest
        self.size = size
        self.checksum = checksum
        self.labelling = labels
        self.now_ns = now_ns & ~1  # see `contentdb.local.index.record`
        self.ref = ref
        self.token = token
        self.lease: LeaseKey | None = None
        self.reserved: str | None = None
        self.packs: PackDirectory | None = None
        self.location: Location | None = None
        self.only_if: frozenset[int | None] | None = None
        self.whole_ns = self.now_ns
        """Modification time of the file that is known to be whole: ours, or one with its name."""
        self.seen_ns: int | None = None

    def present(self) -> bool:
        """Return whether the blob's file still has its name and size; one stat."""
        found = self.shards.stat(self.digest)
        self.seen_ns = None if found is None else found.st_mtime_ns
        return found is not None and found.st_size == self.size

    def has_content(self, blob: Blob) -> bool:
        """Return whether the file or the pack of a live row is there, its bytes not read."""
        if blob.location is None or self.packs is None:
            return self.present()
        return self.packs.has(blob.location, self.digest, blob.size)

    def end_record(self, location: Location, *, is_elsewhere: bool) -> None:
        """Mark the record that an earlier blob of this content had, on disk."""
        if self.packs is not None:
            self.packs.end_record(location, is_elsewhere=is_elsewhere)

    def stamp(self, moment_ns: int, *, instead_of_ns: int | None = None) -> None:
        """Set the time that vouches for the file, unless another file has the name by now."""
        seen_ns = self.seen_ns
        if seen_ns is None or seen_ns == moment_ns or is_time_of(seen_ns, moment_ns):
            return
        if seen_ns in {self.whole_ns, instead_of_ns}:
            self.shards.stamp(self.digest, moment_ns)
            self.seen_ns = self.whole_ns = moment_ns

    def label(self, later: Labelling) -> None:
        """Add the labels of another call with the same content."""
        self.labelling = self.labelling.then(later)

    def info(self) -> Info:
        """Return the Info of the blob that recording this candidate makes."""
        labels = dict(self.labelling.new) or None
        return Info(self.digest, self.size, self.now_ns, self.now_ns, labels)


def candidate_of(
    parts: Parts,
    digest: Digest,
    size: int,
    checksum: int,
    labels: Labelling,
    ref: str | None = None,
    token: str | None = None,
) -> Candidate:
    """Return the candidate of content that is to be stored now, that of an ingest by its ref."""
    made = Candidate(parts.shards, digest, size, checksum, labels, time.time_ns(), ref, token)
    made.lease, made.packs = parts.lease, parts.packs
    return made
