"""An ingest of content that another namespace holds: it starts at the end, and only commits.

containerd's clients expect that of a server with a shared content policy: they look at the offset,
find nothing left to send, and commit.
"""

from __future__ import annotations

from contentdb import files
from contentdb.errors import (
    DigestMismatchError,
    FailedPreconditionError,
)
from contentdb.light_typing import TYPE_CHECKING
from contentdb.local.commit.claim import claim_as, elsewhere
from contentdb.local.index import Outcome
from contentdb.local.ingest.held import LocalIngest
from contentdb.local.packed import read_record
from contentdb.streams.pump import PIECE_BYTES

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import Buffer

    from contentdb.content import Info, Status
    from contentdb.digest import Digest
    from contentdb.labels import Labelling
    from contentdb.local.commit.candidate import Candidate
    from contentdb.local.index import Blob

    _Unsent = tuple[Digest, Blob]

__all__ = ["UnsentIngest"]

_CLAIMS = 10
"""Attempts to claim a blob that is moved meanwhile."""


class UnsentIngest(LocalIngest):
    """A `LocalIngest` with nothing to send if another namespace holds the expected content."""

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - those of its parent
        super().__init__(*arguments)
        self._unsent: _Unsent | None = None
        total, expected, _ = self.declared
        if expected is not None:
            row = elsewhere(self._parts, expected)
            if row is not None and total in {None, row.size}:
                self._unsent = expected, row

    @property
    def offset(self) -> int:
        """Size of the content that need not be sent; else bytes that have reached the file."""
        return super().offset if self._unsent is None else self._unsent[1].size

    @property
    def digest(self) -> Digest:
        """Digest of the content that need not be sent; else of all bytes so far."""
        return super().digest if self._unsent is None else self._unsent[0]

    @property
    def is_unsent(self) -> bool:  # type: ignore[override]  # a constant of its parent
        """Whether the content need not be sent, and nothing was written yet."""
        return self._unsent is not None

    def status(self) -> Status:
        """Describe the ingest as its writer sees it; others see the size of its file."""
        status = super().status()
        return status if self._unsent is None else status._replace(total=self._unsent[1].size)

    def write(self, data: Buffer) -> int:
        """Append; content that need not be sent is copied into the file first."""
        self._unshare(data)
        return super().write(data)

    def feed(self, data: Buffer) -> None:
        """Append like `write`, but the buffer must not change until `settle`."""
        self._unshare(data)
        super().feed(data)

    def restart(self) -> None:
        """Go back to offset 0, the ref still held: the content will be sent."""
        super().restart()
        self._unsent = None

    def _unshare(self, data: Buffer) -> None:
        if self._unsent is None or not memoryview(data).nbytes:
            return
        with self._gate:
            digest, row = self._unsent
            if row.location is not None:
                self._unshare_record(digest, row)
                return
            fd = self._parts.shards.open(digest)
            if fd is None:
                raise self._gone_error(digest)
            try:
                self.restart()
                while piece := files.read(fd, PIECE_BYTES, digest):
                    super().write(piece)
            finally:
                files.let_go(fd)

    def _unshare_record(self, digest: Digest, row: Blob) -> None:
        now = elsewhere(self._parts, digest) or row
        content = read_record(self._parts, digest, now, self._parts.index.elsewhere)
        if content is None:
            raise self._gone_error(digest)
        self.restart()
        super().write(content)

    def commit(self, wanted: Digest | None, labels: Labelling, *, exist_ok: bool) -> Info:
        """Commit like the parent; content that need not be sent gets a row in this namespace.

        Raises:
            FailedPreconditionError: It was deleted in the namespace that held it; the ingest
                stays, at offset 0.
        """
        unsent = self._unsent
        if unsent is None:
            return super().commit(wanted, labels, exist_ok=exist_ok)
        with self._gate:
            self._require_open()
            try:
                digest, row = unsent
                if wanted not in {None, digest}:
                    raise DigestMismatchError(expected=wanted or "", actual=digest, ref=self.ref)
                made = self._candidate_of(digest, row.size, row.checksum, labels)
                return self._claim(made, row, exist_ok=exist_ok)
            finally:
                self._end()

    def _claim(self, made: Candidate, row: Blob, *, exist_ok: bool) -> Info:
        outcome = claim_as(self._parts, made, row)
        for _ in range(_CLAIMS):  # it was packed or repacked meanwhile
            now = elsewhere(self._parts, made.digest) if outcome is Outcome.GONE else None
            if now is None:
                break
            outcome = claim_as(self._parts, made, now)
        if outcome is Outcome.GONE:
            raise self._gone_error(made.digest)
        if outcome is not Outcome.FENCED:
            self.file.take_away()
        return self._answer(made, outcome, exist_ok=exist_ok)

    def _gone_error(self, digest: Digest) -> FailedPreconditionError:
        return FailedPreconditionError(
            f"content {digest} was deleted in the namespace that held it; "
            f"open ref {self.ref!r:.80} again and send it"
        )
