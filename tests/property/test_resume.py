"""Whatever an earlier try left under a ref, and whatever it declared: the next source is stored.

Or it is refused, for one of few reasons; and nothing else is stored then.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import contentdb
from contentdb import Digest, FailedPreconditionError
from contentdb.testing.streams import Opening, dribble, piped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb import Openable, Source, Store

CONTENT = st.text("ab", max_size=6).map(str.encode)
KINDS: list[Callable[[bytes], Source | Openable]] = [io.BytesIO, piped, dribble, Opening]


class Said(NamedTuple):
    """What is declared, which may be of something else."""

    total: int | None
    expected: Digest | None
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, content: bytes) -> st.SearchStrategy[Said]:
        """Whatever may be said of a content."""
        return st.builds(
            cls,
            st.sampled_from([None, len(content)]),
            st.sampled_from([None, Digest.of(content), Digest.of(content, "sha512")]),
            st.sampled_from([None, {"etag": content.decode()}]),
        )

    def fits(self, content: bytes) -> bool:
        """Whether it is true of a content."""
        return self.total in {None, len(content)} and (
            self.expected is None or self.expected.matches(content)
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all examples: each leaves it empty."""
    with contentdb.open(tmp_path_factory.mktemp("resuming"), durability="process") as store:
        yield store


@given(data=st.data(), kept=CONTENT, source=CONTENT, make=st.sampled_from(KINDS))
def test_what_is_stored_is_the_source(
    store: Store,
    data: st.DataObject,
    kept: bytes,
    source: bytes,
    make: Callable[[bytes], Source | Openable],
) -> None:
    before = data.draw(CONTENT.flatmap(Said.of), "declared before")
    now = data.draw(st.one_of(Said.of(source), CONTENT.flatmap(Said.of)), "declared now")
    for info in store.walk():  # where the last example failed
        store.delete(info.digest)
    with store.writer("r", **before._asdict()) as writer:
        writer.write(kept)
    try:
        # An ETag is the caller's word: it is not given here for other content.
        etag = now.metadata if now.metadata == {"etag": source.decode()} else None
        if before.metadata == etag and not source.startswith(kept):
            etag = None
        digest = store.ingest("r", make(source), **now._replace(metadata=etag)._asdict()).digest
    except FailedPreconditionError:
        assert list(store.walk()) == []
        cut_short = kept.startswith(source) and kept != source
        told_before = not before.fits(source) and source.startswith(kept)
        assert not now.fits(source) or (
            (now.expected is None and told_before)
            or (now.total is None and now.expected is None and cut_short)
        )
        store.abort("r")
    else:
        stored = store.read(digest)
        assert now.fits(stored)
        assert digest == (now.expected or Digest.of(source, digest.algorithm))
        # What is expected may have been there, or been completed by a source that is another.
        assert stored == source or now.expected is not None
        assert [info.digest for info in store.walk()] == [digest]
        store.delete(digest)
    assert list(store.statuses()) == []
