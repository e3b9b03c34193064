"""The writer that a caller gets: it checks arguments, and an engine's ingest does the work."""

from __future__ import annotations

import io

from contentdb.declared import Declared, check_total
from contentdb.digest import Digest
from contentdb.errors import FailedPreconditionError, SizeMismatchError
from contentdb.labels import NO_LABELS, labelling
from contentdb.light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import NoReturn, Self

    from typing_extensions import Buffer

    from contentdb.content import Info, Status
    from contentdb.engine import HeldIngest
    from contentdb.streams.pump import Comparing

__all__ = ["IngestWriter"]


def _check_commit(
    ref: str, declared: Declared, offset: int, *, size: int | None, expected: str | None
) -> Digest | None:
    """Compare what a commit expects with what its ingest declared, and both with what came in.

    Args:
        ref: The ingest's.
        declared: When it was begun or resumed.
        offset: Bytes that came in.
        size: Size in bytes that the commit expects, if any.
        expected: Digest that the commit expects, if any.

    Returns:
        The digest that the content must have, if any.

    Raises:
        FailedPreconditionError: The commit expects another digest than was declared.
        SizeMismatchError: More or fewer bytes came in than was declared or is expected.
    """
    wanted = None if expected is None else Digest(expected)
    if None not in {wanted, declared.expected} and wanted != declared.expected:
        raise FailedPreconditionError(
            f"ref {ref!r:.80} was begun for content {declared.expected}, not {wanted}; "
            "commit it as it was begun, or resume=False starts over and abort() drops it"
        )
    for one in (size, declared.total):
        if one is not None and one != offset:
            raise SizeMismatchError(expected=one, actual=offset, ref=ref)
    return wanted or declared.expected


class IngestWriter(io.RawIOBase):
    """A `contentdb.content.Writer`; for one thread at a time. Leaving its block closes it.

    It is a binary file too, for objects that only append to one: a `zipfile.ZipFile`, an
    `io.TextIOWrapper`. If they close it, the ingest stays; to commit, flush and detach them first.
    """

    def __init__(self, held: HeldIngest) -> None:
        self._held = held

    # -- what it is --------------------------------------------------------------------------

    @property
    def ref(self) -> str:
        """The caller's name for the ingest."""
        return self._held.ref

    @property
    def offset(self) -> int:
        """Bytes that have reached the file."""
        return self._held.offset

    @property
    def digest(self) -> Digest:
        """Digest of all bytes so far, by the algorithm of the expected digest, else SHA-256."""
        return self._held.digest

    @property
    def closed(self) -> bool:
        """Whether it was closed or committed, or was opened by the parent of a fork."""
        return self._held.closed

    @property
    def is_unsent(self) -> bool:
        """Whether another namespace holds the content, so that only the commit is left to do."""
        return self._held.is_unsent

    def status(self) -> Status:
        """Describe the ingest as it is now."""
        return self._held.status()

    # -- bytes in ----------------------------------------------------------------------------

    def write(self, data: Buffer, /) -> int:
        """Append; the returned count has reached the file. Not durable before `commit`.

        Raises:
            StorageError: The system refused; `offset` says how many bytes reached the file.
        """
        return self._held.write(data)

    def feed(self, data: Buffer) -> None:
        """Append like `write`, but the buffer must not change until `settle`."""
        self._held.feed(data)

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` buffers of `feed` are in use."""
        self._held.settle(pending=pending)

    def truncate(self, size: int | None = 0, /) -> int:
        """Go back to offset 0, the ref still held; no other offset is possible.

        None means the present offset, as for any file: nothing is removed.
        """
        self._held.check_open()
        if size == 0:
            self._held.restart()
        elif size not in {None, self.offset}:
            raise io.UnsupportedOperation("a writer goes back to offset 0 alone")
        return self.offset

    def redeclare(
        self, *, total: int | None, expected: Digest | None, metadata: str | None = None
    ) -> None:
        """Replace the declared size and digest, the ref still held; may be repeated.

        Not durable, like the beginning of an ingest.

        Args:
            total: The size in bytes; None if it is unknown.
            expected: The digest; None if it is unknown.
            metadata: The metadata of the ingest, packed; None leaves it as it is.

        Raises:
            RefLockedError: Another writer has taken over the ingest.
        """
        self._held.redeclare(Declared(check_total(total), expected, metadata))

    def comparison(self) -> Comparing:
        """Begin to compare a source with the bytes received, before anything is appended."""
        return self._held.comparison()

    # -- the end -----------------------------------------------------------------------------

    def commit(
        self,
        *,
        size: int | None = None,
        expected: str | None = None,
        labels: Mapping[str, str] | None = None,
        exist_ok: bool = True,
        keep_labels: bool = False,
    ) -> Info:
        """Verify and publish the bytes, and end the writer in any case. Durable when it returns.

        If the content is stored already, the ingest is removed and the blob's Info is returned.

        Args:
            size: Size in bytes that it must have.
            expected: Digest that it must have.
            labels: Labels of the blob; if it is stored already they are added to its own.
            exist_ok: With False, content that is stored already is an error.
            keep_labels: Leave the labels of a blob that is stored already as they are.

        Raises:
            SizeMismatchError, DigestMismatchError: Nothing is published, the ingest stays.
            FailedPreconditionError: ``expected`` is not the digest declared before; as above.
            AlreadyExistsError: Not with ``exist_ok``; the ingest is removed, the blob unchanged.
            WriterClosedError: It was closed before; nothing changes.
            DurabilityError: A sync failed; nothing is published, the bytes are dropped.
        """
        held = self._held
        held.check_open()
        try:
            given = NO_LABELS
            if labels is not None:
                given = labelling(labels, keep_labels=keep_labels or not exist_ok)
            wanted = _check_commit(
                held.ref, held.declared, held.offset, size=size, expected=expected
            )
            return held.commit(wanted, given, exist_ok=exist_ok)
        finally:
            try:
                held.close()
            except BaseException:  # from a signal handler; the ref must be freed
                held.close()
                raise

    def close(self) -> None:
        """Keep the bytes for a later resume, and free the ref; may be repeated."""
        self._held.close()

    # -- a file that is written at its end alone ---------------------------------------------

    def writable(self) -> bool:
        """Return True; it can neither be read nor sought in."""
        return True

    def tell(self) -> int:
        """Return the offset, where every write goes."""
        return self.offset

    def flush(self) -> None:
        """Do nothing: all bytes have reached the file; `commit` makes them durable."""
        self._held.check_open()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._held.close()

    def __reduce__(self) -> NoReturn:
        """Raise: only this process holds the ref."""
        raise TypeError(
            f"the writer of ref {self.ref!r:.80} cannot be pickled or copied; "
            "close it, and open the ref again from a store that was"
        )

    def __del__(self) -> None:
        """Leave the rest to the ingest, which frees its ref without a sync once it is forgotten."""
