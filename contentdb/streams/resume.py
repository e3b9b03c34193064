"""A whole source into an ingest that may have bytes already, of this source or of another.

Where a digest vouches for the whole, what is there is skipped in the source, and the digest at
the end tells whether that was right. Everywhere else, and where it was not, the source is read
from its start and compared with what is there; from the first byte that differs on, its own
bytes take the place of the others. So what is committed is the source's, whatever was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from contentdb.errors import SizeMismatchError
from contentdb.metadata import NO_METADATA, pack_metadata
from contentdb.streams.pump import pump

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from contentdb.content import Progress, Status
    from contentdb.declared import Declared
    from contentdb.digest import Digest
    from contentdb.streams.source import Fill, Origin

__all__ = ["Comparing", "Taking", "take_in"]


class Comparing(Protocol):
    """A source compared with what is there; see `contentdb.local.ingest.intake.Comparison`."""

    @property
    def size(self) -> int:
        """Bytes that were found to be the same."""
        ...

    @property
    def digest(self) -> Digest:
        """Of those bytes."""
        ...

    @property
    def left(self) -> int:
        """Bytes that are there and were not compared yet."""
        ...

    def compare(self, data: Buffer) -> int:
        """Compare the next bytes of the source; how many of them are there."""
        ...

    def end(self) -> None:
        """Keep what is the same alone; the next byte that is written goes behind it."""
        ...


class Taking(Protocol):
    """A writer that can take in a whole source; see `contentdb.local.ingest.writer`."""

    @property
    def ref(self) -> str:
        """The name of the ingest."""
        ...

    @property
    def offset(self) -> int:
        """Bytes that are there."""
        ...

    @property
    def digest(self) -> Digest:
        """Of those bytes."""
        ...

    def status(self) -> Status:
        """What was declared, now or before."""
        ...

    def feed(self, data: Buffer) -> None:
        """Append; the buffer stays as it is until `settle`."""
        ...

    def settle(self, *, pending: int = 0) -> None:
        """Return when no more than so many buffers of `feed` are in use."""
        ...

    def comparison(self) -> Comparing:
        """Let a source be compared with what is there."""
        ...

    def redeclare(
        self, *, total: int | None, expected: Digest | None, metadata: str | None = None
    ) -> None:
        """Let this replace what was declared before."""
        ...


def take_in(
    writer: Taking,
    origin: Origin,
    declared: Declared,
    progress: Progress | None = None,
    *,
    begins_with: Callable[[Origin, int, Digest], bool] | None = None,
) -> None:
    """Make an ingest hold a source from its first byte to its last; not committed yet.

    Args:
        writer: Took the ingest over with what was ``declared``.
        origin: Where the source can be read from.
        declared: What the caller of this very source says of it.
        progress: Called with each piece.
        begins_with: Whether the first bytes of a source have a digest, for a writer that compares
            at a greater cost than it takes to read them.

    Raises:
        SizeMismatchError: The source is longer than declared, or shorter than what is there.
        OSError: What the source raised; what came before it is kept.
    """
    taking = _Taking(writer, declared, progress)
    taking.drop_what_is_of_another_version()
    skips = _may_skip(writer, origin, declared)
    if not skips and begins_with is not None and writer.offset:
        is_read_twice = origin.can_skip and not origin.is_opened
        skips = is_read_twice and begins_with(origin, writer.offset, writer.digest)
    if skips:
        fill = origin.skip_to(writer.offset)
        if fill is not None and taking.goes_on(fill):
            return
    taking.compare(origin.start())


def _may_skip(writer: Taking, origin: Origin, declared: Declared) -> bool:
    """Whether what is there need not be read in the source.

    A digest that the caller gives tells in the end if that was wrong. The same metadata as before,
    an ETag say, is the caller's word for it; it counts for a source that would be asked for again
    from its start. What an earlier try declared says nothing of this source.
    """
    status = writer.status()
    if not (status.offset and origin.can_skip):
        return False
    if status.total is not None and status.offset > status.total:
        return False
    noted = bool(status.metadata) and pack_metadata(status.metadata) == declared.metadata
    return declared.expected is not None or (noted and origin.is_opened)


class _Taking:
    """One source on its way into one ingest; plays `contentdb.streams.pipeline.Taker`."""

    def __init__(self, writer: Taking, declared: Declared, progress: Progress | None) -> None:
        self._writer = writer
        self._declared = declared
        self._metadata = declared.metadata or NO_METADATA
        self._progress = progress
        self._comparison: Comparing | None = None

    def drop_what_is_of_another_version(self) -> None:
        """Let what an earlier try declared not count if the caller's metadata is another.

        Two versions may begin with the same bytes, so that comparing alone would not tell.
        """
        status = self._writer.status()
        noted = str(pack_metadata(status.metadata))
        if status.metadata and self._metadata not in {NO_METADATA, noted}:
            self._declare(self._declared.total, self._declared.expected, noted)

    # -- the two ways --------------------------------------------------------------------------

    def goes_on(self, fill: Fill) -> bool:
        """Append what comes behind what is there; False if the two are not of one content.

        Raises:
            SizeMismatchError: The source ended early; the rest of it may come later.
        """
        status = self._writer.status()
        if pack_metadata(status.metadata) != self._metadata:
            self._declare(status.total, status.expected, NO_METADATA)  # it may be of neither
        if not self._pump(fill):
            return False
        status = self._writer.status()
        if status.total is not None and status.offset < status.total:
            if self._declared.total is None:  # an earlier try said so, of other content perhaps
                return False
            raise SizeMismatchError(expected=status.total, actual=status.offset, ref=status.ref)
        return status.expected is None or self._writer.digest == status.expected

    def compare(self, fill: Fill) -> None:
        """Take the source in from its start."""
        status = self._writer.status()
        told_before = status.total if self._declared.total is None else None
        if told_before is not None and told_before < status.offset:  # it was not kept to
            self._declare(None, self._declared.expected, str(pack_metadata(status.metadata)))
        if status.offset:
            self._comparison = self._writer.comparison()
        else:  # no byte says that what an earlier try declared was said of this source
            self._declare(self._declared.total, self._declared.expected, self._metadata)
        if not self._pump(fill):
            total = self._writer.status().total or 0
            raise SizeMismatchError(expected=total, actual=total + 1, ref=self._writer.ref)
        if self._comparison is not None:
            self._end_early(self._comparison)

    def _pump(self, fill: Fill) -> bool:
        """Take in what comes, up to the total; False if the source goes on behind that."""
        self._tell()
        while (total := self._writer.status().total) is not None:
            pump(fill, self, max(0, total - self._at))
            if self._at < total:
                return True
            if self._writer.status().total == total:  # else that was said of other content
                return not fill(memoryview(bytearray(1)))
        pump(fill, self)
        return True

    @property
    def _at(self) -> int:
        """How many bytes of the source are in."""
        return self._writer.offset if self._comparison is None else self._comparison.size

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._at, self._writer.status().total)

    # -- what `pump` calls ---------------------------------------------------------------------

    def feed(self, data: Buffer) -> None:
        """Compare a piece of the source with what is there, and append what goes beyond it."""
        view = memoryview(data).cast("B")
        if self._comparison is not None:
            view = view[self._comparison.compare(view) :]
            if not view and self._comparison.left:
                self._tell()
                return
            self._end_comparing(self._comparison)
        if view:
            self._writer.feed(view)
        self._tell()

    def settle(self, *, pending: int = 0) -> None:
        """Return when no more than so many pieces are in use."""
        self._writer.settle(pending=pending)

    # -- where comparing ends ------------------------------------------------------------------

    def _end_comparing(self, comparison: Comparing) -> None:
        """Keep what is the same, and go on behind it."""
        differs = comparison.left > 0
        comparison.end()
        self._comparison = None
        if differs:  # what an earlier try declared was said of other content
            self._declare(self._declared.total, self._declared.expected, self._metadata)
        else:
            self._note_metadata()

    def _end_early(self, comparison: Comparing) -> None:
        """Judge a source that ends within what is there: it may be whole all the same."""
        status = self._writer.status()
        is_expected = comparison.digest == status.expected
        if not is_expected and comparison.size != status.total:
            expected = status.offset if status.total is None else status.total
            raise SizeMismatchError(expected=expected, actual=comparison.size, ref=status.ref)
        comparison.end()
        self._comparison = None
        if is_expected or self._declared.total is None:
            self._note_metadata()
        else:  # it is whole, and shorter than the content of an earlier try
            self._declare(self._declared.total, self._declared.expected, self._metadata)

    def _note_metadata(self) -> None:
        """Let the metadata be that of this source, which all that is there is known to be of."""
        status = self._writer.status()
        self._declare(status.total, status.expected, self._metadata)

    def _declare(self, total: int | None, expected: Digest | None, metadata: str) -> None:
        status = self._writer.status()
        now = (status.total, status.expected, pack_metadata(status.metadata))
        if now != (total, expected, metadata):
            self._writer.redeclare(total=total, expected=expected, metadata=metadata)
