"""A writer of content that another namespace holds: it starts at the end, and only commits.

containerd's clients expect that of a server with a shared content policy: they look at the offset,
find nothing left to send, and commit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from contentdb import files
from contentdb.declared import check_commit
from contentdb.digest import Digest
from contentdb.errors import (
    AlreadyExistsError,
    DigestMismatchError,
    FailedPreconditionError,
)
from contentdb.labels import labelling
from contentdb.local.commit.claim import claim_as, elsewhere
from contentdb.local.commit.publish import Candidate, settled
from contentdb.local.index import Outcome
from contentdb.local.ingest.begin import ref_locked
from contentdb.local.ingest.writer import LocalWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Buffer

    from contentdb.content import Info, Status
    from contentdb.labels import Labelling
    from contentdb.local.index import Blob

    _Unsent = tuple[Digest, Blob]

__all__ = ["UnsentWriter"]

_PIECE_BYTES = 1 << 20


class UnsentWriter(LocalWriter):
    """A `LocalWriter` with nothing to send if another namespace holds the expected content."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - those of its parent
        super().__init__(*arguments)
        self._unsent: _Unsent | None = None
        if self._intake.expected is not None:
            row = elsewhere(self._parts, self._intake.expected)
            if row is not None and self._intake.row.total in {None, row.size}:
                self._unsent = self._intake.expected, row

    @property
    def offset(self) -> int:
        """Size of the content that need not be sent; else bytes that have reached the file."""
        return super().offset if self._unsent is None else self._unsent[1].size

    @property
    def digest(self) -> Digest:
        """Digest of the content that need not be sent; else of all bytes so far."""
        return super().digest if self._unsent is None else self._unsent[0]

    @property
    def is_unsent(self) -> bool:
        """Whether the content need not be sent, and nothing was written yet."""
        return self._unsent is not None

    def status(self) -> Status:
        """Describe the ingest as its writer sees it; others see the size of its file."""
        status = super().status()
        return status if self._unsent is None else status._replace(total=self._unsent[1].size)

    def write(self, data: Buffer, /) -> int:
        """Append; content that need not be sent is copied into the file first."""
        self._unshare(data)
        return super().write(data)

    def feed(self, data: Buffer) -> None:
        """Append like `write`, but the buffer must not change until `settle`."""
        self._unshare(data)
        super().feed(data)

    def truncate(self, size: int | None = 0, /) -> int:
        """Go back to offset 0, under the same lock: the content will be sent."""
        super().truncate(size)
        if size == 0:
            self._unsent = None
        return self.offset

    def _unshare(self, data: Buffer) -> None:
        if self._unsent is None or not memoryview(data).nbytes:
            return
        with self._gate:
            digest, _ = self._unsent
            fd = self._parts.shards.open(digest)
            if fd is None:
                raise self._gone_error(digest)
            try:
                self.truncate()
                while piece := files.read(fd, _PIECE_BYTES, digest):
                    super().write(piece)
            finally:
                files.let_go(fd)

    def commit(
        self,
        *,
        size: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        exist_ok: bool = True,
        keep_labels: bool = False,
    ) -> Info:
        """Commit like the parent; content that need not be sent gets a row in this namespace.

        Raises:
            FailedPreconditionError: It was deleted in the namespace that held it; the ingest
                stays, at offset 0.
        """
        unsent = self._unsent
        if unsent is None:
            return super().commit(
                size=size,
                expected=expected,
                labels=labels,
                exist_ok=exist_ok,
                keep_labels=keep_labels,
            )
        with self._gate:
            self._require_open()
            try:
                digest, row = unsent
                if expected is not None and (wanted := Digest(expected)) != digest:
                    raise DigestMismatchError(expected=wanted, actual=digest, ref=self.ref)
                check_commit(self.ref, self._declared, row.size, size=size, expected=expected)
                labels_of_call = labelling(labels, keep_labels=keep_labels or not exist_ok)
                return self._claim(self._make_claim(unsent, labels_of_call), exist_ok=exist_ok)
            finally:
                self._end()

    def _make_claim(self, unsent: _Unsent, labels: Labelling) -> Candidate:
        digest, row = unsent
        made = Candidate(
            self._parts.shards,
            digest,
            row.size,
            row.checksum,
            labels.new,
            time.time_ns(),
            self._intake.row.ref,
            self._intake.row.token,
        )
        made.labelling = labels
        return made

    def _claim(self, made: Candidate, *, exist_ok: bool) -> Info:
        outcome = claim_as(self._parts, made)
        if outcome is Outcome.GONE:
            raise self._gone_error(made.digest)
        if outcome is Outcome.FENCED:
            raise ref_locked(self._parts, self.ref)
        self._file.take_away()
        if outcome is Outcome.EXISTS and not exist_ok:
            raise AlreadyExistsError(made.digest)
        return settled(self._parts, made, outcome)

    def _gone_error(self, digest: Digest) -> FailedPreconditionError:
        return FailedPreconditionError(
            f"content {digest} was deleted in the namespace that held it; "
            f"open ref {self.ref!r:.80} again and send it"
        )
