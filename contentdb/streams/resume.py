"""Storing a whole source in an ingest that may have bytes already, of this source or another.

If the caller gives a digest of the whole, the source is read only from the ingest's offset on, and
the digest at the end tells whether the bytes before were right. Without a digest, or if they were
not right, the source is read from its start and compared with the ingest's bytes; from the first
difference on, the source's bytes replace them. So the commit always stores the source.
"""

from __future__ import annotations

from contentdb.declared import Declared
from contentdb.errors import SizeMismatchError
from contentdb.light_typing import TYPE_CHECKING
from contentdb.metadata import NO_METADATA, pack_metadata
from contentdb.streams.pump import pump

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from contentdb.content import Progress
    from contentdb.digest import Digest
    from contentdb.streams.origin import Origin
    from contentdb.streams.pump import Comparing, Taking
    from contentdb.streams.source import Fill

__all__ = ["take_in"]


def take_in(
    writer: Taking,
    origin: Origin,
    declared: Declared,
    progress: Progress | None = None,
    *,
    begins_with: Callable[[Origin, int, Digest], bool] | None = None,
) -> None:
    """Write a source into an ingest, from its first byte to its last, without the commit.

    Args:
        writer: The writer that took the ingest over with ``declared``.
        origin: The source.
        declared: What the caller of this call declared.
        progress: Called with each piece.
        begins_with: Tells whether the first bytes of a source have a digest; given where the
            writer's comparison costs more than to read these bytes twice.

    Raises:
        SizeMismatchError: The source is longer than declared, or shorter than the ingest's bytes.
        OSError: Raised by the source; the bytes before it are kept.
    """
    taking = _Taking(writer, declared, progress)
    taking.forget_other_version()
    skips = _may_skip(writer, origin, declared)
    if not skips and begins_with is not None and writer.offset:
        is_read_twice = origin.can_skip and not origin.is_opened
        skips = is_read_twice and begins_with(origin, writer.offset, writer.digest)
    if skips:
        fill = origin.skip_to(writer.offset)
        if fill is not None and taking.append(fill):
            return
    taking.compare(origin.start())


def _may_skip(writer: Taking, origin: Origin, declared: Declared) -> bool:
    """Return whether the source may be read from the ingest's offset instead of its start.

    It may with a digest of the caller, which shows in the end whether the bytes before were right.
    It may also, for a source that is opened at an offset, with the same metadata as before, such as
    an ETag. A digest that only an earlier try declared does not count: it may be of other content.
    """
    status = writer.status()
    if not (status.offset and origin.can_skip):
        return False
    if status.total is not None and status.offset > status.total:
        return False
    noted = bool(status.metadata) and pack_metadata(status.metadata) == declared.metadata
    return declared.expected is not None or (noted and origin.is_opened)


class _Taking:
    """Writes one source into one ingest; implements `contentdb.streams.pump.Taker`."""

    def __init__(self, writer: Taking, declared: Declared, progress: Progress | None) -> None:
        self._writer = writer
        self._declared = declared
        self._metadata = declared.metadata or NO_METADATA
        self._progress = progress
        self._comparison: Comparing | None = None

    def forget_other_version(self) -> None:
        """Replace an earlier try's total and digest if its metadata differs from the caller's.

        Two versions of a source may begin with the same bytes, so comparing is not enough.
        """
        status = self._writer.status()
        noted = str(pack_metadata(status.metadata))
        if status.metadata and self._metadata not in {NO_METADATA, noted}:
            self._declare(self._declared.total, self._declared.expected, noted)

    # -- the two ways --------------------------------------------------------------------------

    def append(self, fill: Fill) -> bool:
        """Append the source from the offset on; return False if the whole is not one content.

        Raises:
            SizeMismatchError: The source ended early; a later try may bring the rest.
        """
        status = self._writer.status()
        if pack_metadata(status.metadata) != self._metadata:
            self._declare(status.total, status.expected, NO_METADATA)  # the bytes may mix the two
        if not self._pump(fill):
            return False
        status = self._writer.status()
        if status.total is not None and status.offset < status.total:
            if self._declared.total is None:  # declared by an earlier try, perhaps of other content
                return False
            raise SizeMismatchError(expected=status.total, actual=status.offset, ref=status.ref)
        return status.expected is None or self._writer.digest == status.expected

    def compare(self, fill: Fill) -> None:
        """Read the source from its start, compare, and append or replace."""
        status = self._writer.status()
        earlier_total = status.total if self._declared.total is None else None
        if earlier_total is not None and earlier_total < status.offset:  # the try exceeded it
            self._declare(None, self._declared.expected, str(pack_metadata(status.metadata)))
        if status.offset:
            self._comparison = self._writer.comparison()
        else:  # without bytes to compare, an earlier try's declarations may be of another source
            self._declare(self._declared.total, self._declared.expected, self._metadata)
        if not self._pump(fill):
            total = self._writer.status().total or 0
            raise SizeMismatchError(expected=total, actual=total + 1, ref=self._writer.ref)
        if self._comparison is not None:
            self._end_early(self._comparison)

    def _pump(self, fill: Fill) -> bool:
        """Read the source up to the total; return False if it has more bytes."""
        self._report()
        while (total := self._writer.status().total) is not None:
            pump(fill, self, max(0, total - self._at))
            if self._at < total:
                return True
            if self._writer.status().total == total:  # else a difference has replaced the total
                return not fill(memoryview(bytearray(1)))
        pump(fill, self)
        return True

    @property
    def _at(self) -> int:
        """Count of the source's bytes that are in the ingest."""
        return self._writer.offset if self._comparison is None else self._comparison.size

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(self._at, self._writer.status().total)

    # -- what `pump` calls ---------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """Compare a piece of the source with the ingest's bytes, and append the rest of it."""
        view = memoryview(data).cast("B")
        if self._comparison is not None:
            view = view[self._comparison.compare(view) :]
            if not view and self._comparison.left:
                self._report()
                return
            self._end_comparing(self._comparison)
        if view:
            self._writer.feed(view)
        self._report()

    def settle(self, *, pending: int = 0) -> None:
        """Wait until at most ``pending`` pieces are in use."""
        self._writer.settle(pending=pending)

    # -- where comparing ends ------------------------------------------------------------------

    def _end_comparing(self, comparison: Comparing) -> None:
        """Keep the bytes that are the same; the next bytes are appended behind them."""
        differs = comparison.left > 0
        comparison.end()
        self._comparison = None
        if differs:  # the earlier try declared other content
            self._declare(self._declared.total, self._declared.expected, self._metadata)
        else:
            self._note_metadata()

    def _end_early(self, comparison: Comparing) -> None:
        """Accept a source that is shorter than the ingest's bytes, if it is whole; else raise."""
        status = self._writer.status()
        is_expected = comparison.digest == status.expected
        if not is_expected and comparison.size != status.total:
            expected = status.offset if status.total is None else status.total
            raise SizeMismatchError(expected=expected, actual=comparison.size, ref=status.ref)
        comparison.end()
        self._comparison = None
        if is_expected or self._declared.total is None:
            self._note_metadata()
        else:  # the source is whole, and shorter than the content of an earlier try
            self._declare(self._declared.total, self._declared.expected, self._metadata)

    def _note_metadata(self) -> None:
        """Store this source's metadata, now that all bytes of the ingest are known to be its."""
        status = self._writer.status()
        self._declare(status.total, status.expected, self._metadata)

    def _declare(self, total: int | None, expected: Digest | None, metadata: str) -> None:
        status = self._writer.status()
        now = (status.total, status.expected, pack_metadata(status.metadata))
        if now != (total, expected, metadata):
            self._writer.redeclare(Declared(total, expected, metadata))
