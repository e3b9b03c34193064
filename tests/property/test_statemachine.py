"""The whole API against a dictionary: whatever is done in whatever order, the two agree."""

from __future__ import annotations

import io
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import contentdb
from contentdb import Digest, files
from contentdb.local.index.index import Index
from contentdb.local.packs.record import content_at
from contentdb.local.upkeep import doubts, verify
from tests.fixtures import blob_files
from tests.inside import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Few of each, so that calls meet: the same content by many ways, the same ref again and again.
CONTENTS = [b"", b"a", b"content", bytes(70_000), bytes(range(256)) * 1000]
REFS = ["r", "../../x", "a b\nc"]
contents = st.integers(0, len(CONTENTS) - 1).map(lambda at: CONTENTS[at])
refs = st.sampled_from(REFS)
algorithms = st.sampled_from(["sha256", "sha256", "sha512"])
labels = st.dictionaries(
    st.sampled_from(["a", "b.c", "io.example/k"]), st.sampled_from(["", "1", "é"])
)


class Ingest(NamedTuple):
    """What the model knows of an ingest."""

    data: bytes
    expected: str | None


class StoreMachine(RuleBasedStateMachine):
    """A store and its model, driven together."""

    pack_below = 0

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="contentdb-machine-"))
        self.root = self.place / "store"
        self.blobs: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.ingests: dict[str, Ingest] = {}
        self.writers: dict[str, contentdb.Writer] = {}
        self.others: set[str] = set()
        """Digests in the other namespace."""
        self.readers: list[tuple[contentdb.Reader, bytes]] = []
        self.tags: dict[str, str] = {}
        """Digests by name."""

    @initialize()
    def begin(self) -> None:
        # Power cuts are the crash suites' concern; here the number of steps counts.
        self.store = contentdb.open(self.root, durability="process", pack_below=self.pack_below)

    def teardown(self) -> None:
        for reader, data in self.readers:
            assert reader.read() == data
            reader.close()
        with suppress(AttributeError):
            self.store.close()
        shutil.rmtree(self.place)

    # -- content in --------------------------------------------------------------------------

    @rule(
        data=contents, algorithm=algorithms, given=labels, kind=st.sampled_from(["bytes", "file"])
    )
    def add(self, data: bytes, algorithm: str, given: dict[str, str], kind: str) -> None:
        digest = Digest.of(data, algorithm)
        source = data if kind == "bytes" else io.BytesIO(data)
        info = self.store.add(source, expected=digest, labels=given)
        assert (info.digest, info.size, info.new) == (digest, len(data), digest not in self.blobs)
        self.label(digest, data, given)
        assert dict(info.labels) == self.blobs[digest][1]

    def label(self, digest: str, data: bytes, given: dict[str, str]) -> None:
        """Note content that came in, and its labels beside those that it had."""
        _, have = self.blobs.get(digest, (data, {}))
        new = {key: value for key, value in given.items() if value}
        self.blobs[digest] = (data, have | new)

    @rule(many=st.lists(st.tuples(contents, labels), max_size=6))
    def add_many(self, many: list[tuple[bytes, dict[str, str]]]) -> None:
        each_labels = [given for _, given in many]
        infos = list(self.store.add_many((data for data, _ in many), labels=each_labels))
        assert [info.digest for info in infos] == [Digest.of(data) for data, _ in many]
        for data, given in many:
            self.label(Digest.of(data), data, given)

    @rule(many=st.lists(contents, max_size=5), ends=st.sampled_from(["well", "with an error"]))
    def batch(self, many: list[bytes], ends: str) -> None:
        """What was added in the block is kept, however it ends."""
        with suppress(ZeroDivisionError), self.store.batch():
            for data in many:
                assert self.store.add(data).digest == Digest.of(data)
            if ends == "with an error":
                raise ZeroDivisionError
        for data in many:
            self.blobs.setdefault(Digest.of(data), (data, {}))

    @rule(ref=refs, data=contents, given=labels)
    def ingest(self, ref: str, data: bytes, given: dict[str, str]) -> None:
        """It takes in the source, whatever was written under the ref before."""
        if ref in self.writers:
            with pytest.raises(contentdb.RefLockedError):
                self.store.ingest(ref, io.BytesIO(data), wait=False)
            return
        before = self.ingests.get(ref, Ingest(b"", None))
        is_longer = data.startswith(before.data)
        # A digest that was declared before the first byte does not bind another source.
        is_expected = not before.data or before.expected in {None, Digest.of(data)}
        if is_longer and not is_expected:
            with pytest.raises(contentdb.DigestMismatchError):
                self.store.ingest(ref, io.BytesIO(data))
            self.ingests[ref] = before._replace(data=data)
        elif not is_longer and before.data.startswith(data) and before.expected != Digest.of(data):
            with pytest.raises(contentdb.SizeMismatchError):
                self.store.ingest(ref, io.BytesIO(data))
        else:  # where it is other content, nothing counts that was said of the earlier one
            info = self.store.ingest(ref, io.BytesIO(data), labels=given)
            assert (info.digest, info.size) == (Digest.of(data), len(data))
            assert info.new == (info.digest not in self.blobs)
            self.label(info.digest, data, given)
            self.ingests.pop(ref, None)

    @rule(data=contents)
    def add_with_a_wrong_digest(self, data: bytes) -> None:
        with pytest.raises(contentdb.DigestMismatchError):
            self.store.add(data + b"!", expected=Digest.of(b"never stored"))

    @rule(ref=refs, data=contents, declare=st.booleans(), resume=st.booleans())
    def open_writer(self, ref: str, data: bytes, *, declare: bool, resume: bool) -> None:
        expected = Digest.of(data) if declare else None
        before = self.ingests.get(ref, Ingest(b"", None))
        if ref in self.writers:
            self.refused((contentdb.RefLockedError, contentdb.AlreadyExistsError), ref, expected)
        elif expected in self.blobs:
            self.refused(contentdb.AlreadyExistsError, ref, expected)
        elif resume and None not in {expected, before.expected} and expected != before.expected:
            self.refused(contentdb.FailedPreconditionError, ref, expected)
        else:
            self.opened(ref, expected, resume=resume)

    def refused(
        self,
        error: type[Exception] | tuple[type[Exception], ...],
        ref: str,
        expected: str | None,
    ) -> None:
        with pytest.raises(error):
            self.store.writer(ref, expected=expected, resume=True)

    def opened(self, ref: str, expected: str | None, *, resume: bool) -> None:
        before = self.ingests.get(ref, Ingest(b"", None)) if resume else Ingest(b"", None)
        writer = self.store.writer(ref, expected=expected, resume=resume)
        assert writer.offset == len(before.data)
        assert writer.digest == Digest.of(before.data)
        assert writer.status().expected == (expected or before.expected)
        self.writers[ref] = writer
        self.ingests[ref] = before._replace(expected=expected or before.expected)

    @precondition(lambda self: self.writers)
    @rule(ref=refs, data=contents)
    def write(self, ref: str, data: bytes) -> None:
        if ref not in self.writers:
            return
        assert self.writers[ref].write(data) == len(data)
        before = self.ingests[ref]
        self.ingests[ref] = before._replace(data=before.data + data)
        assert self.writers[ref].digest == Digest.of(before.data + data)

    @precondition(lambda self: self.writers)
    @rule(ref=refs)
    def truncate(self, ref: str) -> None:
        if ref in self.writers:
            self.writers[ref].truncate()
            self.ingests[ref] = self.ingests[ref]._replace(data=b"")

    @precondition(lambda self: self.writers)
    @rule(ref=refs)
    def close(self, ref: str) -> None:
        if ref in self.writers:
            self.writers.pop(ref).close()

    @precondition(lambda self: self.writers)
    @rule(
        ref=refs,
        given=labels,
        wrong=st.sampled_from([None, None, None, "size", "digest"]),
        exist_ok=st.booleans(),
    )
    def commit(self, ref: str, given: dict[str, str], wrong: str | None, *, exist_ok: bool) -> None:
        if ref not in self.writers:
            return
        writer = self.writers.pop(ref)
        data, expected = self.ingests[ref]
        digest = Digest.of(data)
        size = len(data) + (wrong == "size")
        asked = Digest.of(b"never stored") if wrong == "digest" else None
        if wrong is not None or expected not in {None, digest}:
            with pytest.raises(contentdb.FailedPreconditionError):
                writer.commit(size=size, expected=asked, labels=given)
        elif digest in self.blobs and not exist_ok:
            with pytest.raises(contentdb.AlreadyExistsError):
                writer.commit(size=size, labels=given, exist_ok=False)
            del self.ingests[ref]
        elif digest in self.blobs:
            assert not writer.commit(size=size, labels=given).new
            self.label(digest, data, given)
            del self.ingests[ref]
        else:
            info = writer.commit(size=size, labels=given, exist_ok=exist_ok)
            assert (info.digest, info.new) == (digest, True)
            self.blobs[digest] = (data, {key: value for key, value in given.items() if value})
            del self.ingests[ref]
        assert writer.closed

    @rule(ref=refs)
    def abort(self, ref: str) -> None:
        if ref in self.writers:
            with pytest.raises(contentdb.RefLockedError):
                self.store.abort(ref)
        elif ref in self.ingests:
            self.store.abort(ref)
            del self.ingests[ref]
        else:
            with pytest.raises(contentdb.NotFoundError):
                self.store.abort(ref)

    # -- what is there -----------------------------------------------------------------------

    @rule(data=contents, algorithm=algorithms)
    def read(self, data: bytes, algorithm: str) -> None:
        digest = Digest.of(data, algorithm)
        assert self.store.exists(digest) == (digest in self.blobs)
        if digest in self.blobs:
            assert self.store.read(digest) == data
        else:
            with pytest.raises(contentdb.NotFoundError):
                self.store.read(digest)

    @rule(data=contents, algorithm=algorithms, given=labels)
    def update(self, data: bytes, algorithm: str, given: dict[str, str]) -> None:
        digest = Digest.of(data, algorithm)
        if digest not in self.blobs:
            with pytest.raises(contentdb.NotFoundError):
                self.store.update(digest, given)
            return
        self.store.update(digest, given)
        self.blobs[digest] = (data, {key: value for key, value in given.items() if value})

    @rule(data=contents, algorithm=algorithms)
    def delete(self, data: bytes, algorithm: str) -> None:
        digest = Digest.of(data, algorithm)
        if self.blobs.pop(digest, None) is None:
            with pytest.raises(contentdb.NotFoundError):
                self.store.delete(digest)
        else:
            self.store.delete(digest)

    @rule(many=st.lists(contents, max_size=6), missing_ok=st.booleans())
    def delete_many(self, many: list[bytes], *, missing_ok: bool) -> None:
        """Up to the first that is absent, or all but those that are."""
        digests = [Digest.of(data) for data in many]
        count = 0
        for digest in digests:
            if self.blobs.pop(digest, None) is not None:
                count += 1
            elif not missing_ok:
                with pytest.raises(contentdb.NotFoundError):
                    self.store.delete_many(digests)
                return
        assert self.store.delete_many(iter(digests), missing_ok=missing_ok) == count

    @rule(data=contents, key=st.sampled_from(["a", "b.c"]), value=st.sampled_from(["", "2"]))
    def update_one_label(self, data: bytes, key: str, value: str) -> None:
        digest = Digest.of(data)
        if digest in self.blobs:
            info = self.store.update(digest, {key: value, "other": "x"}, fields=[f"labels.{key}"])
            _, have = self.blobs[digest]
            now = {name: old for name, old in have.items() if name != key}
            self.blobs[digest] = (data, now | ({key: value} if value else {}))
            assert dict(info.labels) == self.blobs[digest][1]

    @rule(data=contents)
    def export(self, data: bytes) -> None:
        digest = Digest.of(data)
        target = self.place / "exported"
        if digest in self.blobs:
            assert self.store.export(digest, target).read_bytes() == data
        else:
            with pytest.raises(contentdb.NotFoundError):
                self.store.export(digest, target)

    @rule(name=refs, data=contents, only=st.sampled_from(["", "absent", "same", "other"]))
    def tag(self, name: str, data: bytes, only: str) -> None:
        """A name moves if its condition holds, and only to what is stored."""
        digest, have = Digest.of(data), self.tags.get(name)
        wanted = {"": contentdb.ANY, "absent": None, "same": have, "other": Digest.of(b"never")}[
            only
        ]
        if digest not in self.blobs:
            with pytest.raises(contentdb.NotFoundError):
                self.store.tag(name, digest, if_is=wanted)
        elif only == "other" or (only == "absent" and have is not None):
            with pytest.raises(contentdb.ConflictError):
                self.store.tag(name, digest, if_is=wanted)
        else:
            assert self.store.tag(name, digest, if_is=wanted).size == len(data)
            self.tags[name] = digest

    @rule(name=refs)
    def untag(self, name: str) -> None:
        if self.tags.pop(name, None) is None:
            with pytest.raises(contentdb.NotFoundError):
                self.store.untag(name)
        else:
            self.store.untag(name)

    @precondition(lambda self: len(self.readers) < 3)
    @rule(data=contents)
    def open_reader(self, data: bytes) -> None:
        """It is read when all is over, whatever became of its blob."""
        if Digest.of(data) in self.blobs:
            self.readers.append((self.store.open(Digest.of(data)), data))

    @rule(
        sort=st.sampled_from(["size", "-size", "created_at", "-updated_at"]),
        limit=st.integers(0, 4),
    )
    def walk_in_order(self, sort: contentdb.SortOrder, limit: int) -> None:
        found = list(self.store.walk(sort=sort, limit=limit))
        assert len(found) == min(limit, len(self.blobs))
        if sort.endswith("size"):
            sizes = sorted((len(data) for data, _ in self.blobs.values()), reverse=sort[0] == "-")
            assert [info.size for info in found] == sizes[:limit]

    @rule(size=st.sampled_from([0, 1, 70_000]), operator=st.sampled_from(["<", ">=", "==", "!="]))
    def walk_by_size(self, size: int, operator: str) -> None:
        holds: dict[str, Callable[[int], bool]] = {
            "<": lambda have: have < size,
            ">=": lambda have: have >= size,
            "==": lambda have: have == size,
            "!=": lambda have: have != size,
        }
        found = {info.digest for info in self.store.walk(f"size{operator}{size}")}
        assert found == {key for key, (data, _) in self.blobs.items() if holds[operator](len(data))}

    @rule(key=st.sampled_from(["a", "b.c", "io.example/k"]))
    def walk_by_label(self, key: str) -> None:
        found = {info.digest for info in self.store.walk(f'labels."{key}"')}
        assert found == {digest for digest, (_, have) in self.blobs.items() if key in have}

    # -- the store as a whole ----------------------------------------------------------------

    @rule()
    def reopen(self) -> None:
        self.store.close()
        assert all(writer.closed for writer in self.writers.values())
        self.writers.clear()
        self.store = contentdb.open(self.root, create=False, durability="process")

    @rule(data=contents, act=st.sampled_from(["add", "delete", "look"]))
    def another_namespace(self, data: bytes, act: str) -> None:
        """Files are shared, and nothing else is."""
        digest = Digest.of(data)
        with contentdb.open(self.root, durability="process", namespace="other") as other:
            if act == "add":
                other.add(data, labels={"whose": "other"})
                self.others.add(digest)
            elif act == "delete" and digest in self.others:
                other.delete(digest)
                self.others.remove(digest)
            assert {info.digest for info in other.walk()} == self.others
            if digest in self.others:
                assert other.read(digest) == data
            else:
                with pytest.raises(contentdb.NotFoundError):
                    other.read(digest)

    @rule(data=contents, act=st.sampled_from(["add", "commit", "delete"]), calls=st.integers(0, 25))
    def kill(self, data: bytes, act: str, calls: int) -> None:
        """Another process dies within a call: it has happened, or it has not."""
        child = os.fork()
        if child == 0:
            status = 1
            try:
                with suppress(contentdb.ContentDBError):
                    _act_until(self.root, data, act, calls)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status in {0, signal.SIGKILL}
        self.reopen()
        for _ in contentdb.repair(self.store, self.store.verify()):
            pass
        with suppress(contentdb.NotFoundError):
            self.store.abort("killed")
        digest = Digest.of(data)
        if act != "delete" and digest in set(blob_files(self.root)) - self.others:
            self.store.add(data)  # an orphan that an ingest expects is left for that one
        if act == "delete" and not self.store.exists(digest):
            self.blobs.pop(digest, None)
        elif act != "delete" and self.store.exists(digest):
            self.blobs.setdefault(digest, (data, {}))
        for _ in self.store.prune(older_than=3600):
            pass

    @rule(data=contents, quick=st.booleans(), read=st.booleans())
    def damage(self, data: bytes, *, quick: bool, read: bool) -> None:
        """It is found, not served, taken away by whoever meets it, and healed by the content."""
        digest = Digest.of(data)
        if digest not in self.blobs:
            return
        self.spoil(digest, data)
        self.found_and_healed(digest, data, quick=quick, read=read)

    def spoil(self, digest: str, data: bytes) -> None:
        """Change the bytes of a blob's file."""
        path = self.store.path(digest)
        path.chmod(0o600)
        path.write_bytes(data + b"!")
        path.chmod(0o444)

    def found_and_healed(self, digest: str, data: bytes, *, quick: bool, read: bool) -> None:
        findings = list(self.store.verify(quick=quick))
        assert [(finding.kind, finding.digest) for finding in findings] == [("corrupt", digest)]
        if read:
            with pytest.raises(contentdb.CorruptBlobError):
                self.store.read(digest)
        (done,) = contentdb.repair(self.store, findings)
        assert done.action == ("left alone" if read else "quarantined")
        assert len(list((self.root / "quarantine").iterdir())) == 1
        assert not self.store.exists(digest)
        assert self.store.add(data).digest == digest
        assert self.store.read(digest) == data
        for path in (self.root / "quarantine").iterdir():
            path.unlink()

    @rule(
        data=contents,
        given=labels,
        way=st.sampled_from(["add", "add_many", "batch", "ingest", "commit"]),
        act=st.sampled_from(["look", "repair", "prune", "reindex"]),
    )
    def upkeep_between_name_and_row(
        self, data: bytes, given: dict[str, str], way: str, act: str
    ) -> None:
        """A commit that it meets gets its labels, its times and its answer all the same."""
        digest = Digest.of(data)
        with _met(self.root, act) as met:
            info = self.stored_by(way, data, given)
        if met and act == "prune":
            self.drop_unheld()
        is_new = digest not in self.blobs
        self.label(digest, data, given)
        assert info is None or info.new == is_new
        now = self.store.info(digest)
        assert dict(now.labels) == self.blobs[digest][1]
        assert info is None or (info, dict(info.labels)) == (now, dict(now.labels))
        assert not is_new or now.created_ns == now.updated_ns

    def stored_by(self, way: str, data: bytes, given: dict[str, str]) -> contentdb.Info | None:
        if way == "add_many":
            (answer,) = self.store.add_many([data], labels=given)
            return answer
        if way == "batch":
            with self.store.batch():
                self.store.add(data, labels=given)
            return None
        if way == "ingest":
            return self.store.ingest("beside upkeep", io.BytesIO(data), labels=given)
        if way == "commit":
            with self.store.writer("beside upkeep") as writer:
                writer.write(data)
                return writer.commit(labels=given)
        return self.store.add(data, labels=given)

    @rule(quick=st.booleans())
    def verify(self, *, quick: bool) -> None:
        assert list(self.store.verify(quick=quick)) == []

    @rule()
    def prune(self) -> None:
        """Nothing here is older than an hour, so nothing goes but packs of deleted records."""
        pruned = {found.kind for found in self.store.prune(older_than=3600)}
        assert pruned <= ({"pack"} if self.pack_below else set())

    @rule()
    def prune_everything(self) -> None:
        """Ingests that nobody holds go; what is held or committed stays."""
        pruned = {found.name for found in self.store.prune(older_than=0) if found.kind == "ingest"}
        assert pruned == set(self.ingests) - set(self.writers)
        self.drop_unheld()

    def drop_unheld(self) -> None:
        for ref in set(self.ingests) - set(self.writers):
            del self.ingests[ref]

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "store"):
            return
        found = {info.digest: (info.size, dict(info.labels)) for info in self.store.walk()}
        assert found == {digest: (len(data), have) for digest, (data, have) in self.blobs.items()}
        assert list(found) == sorted(found)
        assert set(blob_files(self.root)) == self.files()
        assert {tag.name: tag.digest for tag in self.store.tags()} == self.tags
        statuses = {status.ref: status for status in self.store.statuses()}
        assert {ref: (one.expected, one.held) for ref, one in statuses.items()} == {
            ref: (ingest.expected, ref in self.writers) for ref, ingest in self.ingests.items()
        }
        for ref, ingest in self.ingests.items():
            if ref not in self.writers:
                assert statuses[ref].offset == len(ingest.data)
        usage = self.store.usage()
        assert (usage.blobs, usage.ingests) == (len(self.blobs), len(self.ingests))
        assert usage.blob_bytes == sum(len(data) for data, _ in self.blobs.values())

    def files(self) -> set[str]:
        """All blobs that have a file."""
        return set(self.blobs) | self.others


@contextmanager
def _met(root: Path, act: str) -> Iterator[list[str]]:
    """Let another look after the store when a file has its name and its row is to be recorded.

    Gives what it did: nothing, where no row is recorded since the content is there.
    """
    met: list[str] = []
    kept = {name: getattr(Index, name) for name in ("record", "record_packed")}
    grace_s = doubts.GRACE_S

    def put_back() -> None:
        for name, record in kept.items():
            setattr(Index, name, record)

    def looking_first(record: Callable[..., Any]) -> Callable[..., Any]:
        def look_after_it_first(*args: Any) -> Any:  # noqa: ANN401 - passed on
            put_back()
            met.append(act)
            with contentdb.open(root, create=False, durability="process") as other:
                if act == "look":  # as upkeep does that allows a commit its time
                    with other.parts() as parts:
                        found = next(iter(verify.verify(parts, quick=True)), None)
                    assert found is None, found
                else:
                    doubts.GRACE_S = 0  # type: ignore[misc]  # as where the commit takes longer
                    _look_after(other, act)
            return record(*args)

        return look_after_it_first

    for name, record in kept.items():
        setattr(Index, name, looking_first(record))
    try:
        yield met
    finally:
        put_back()
        doubts.GRACE_S = grace_s  # type: ignore[misc]


def _look_after(store: contentdb.Store, act: str) -> None:
    if act == "repair":
        contentdb.repair(store, store.verify(quick=True))
    elif act == "reindex":
        store.reindex()
    else:
        store.prune(older_than=0)


def _act_until(root: Path, data: bytes, act: str, calls: int) -> None:
    """Do something, and die before the call of the seam of that number; not to be returned from."""
    left = iter(range(calls))

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def die_or_do(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - passed through
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return die_or_do

    store = contentdb.open(root, create=False, durability="process")
    for name in (
        "link", "link_unnamed", "rename", "stat_name", "unlink", "write", "write_at", "sync", "lock"
    ):  # fmt: skip
        setattr(files, name, dying(getattr(files, name)))
    if act == "add":
        store.add(data)
    elif act == "delete":
        store.delete(Digest.of(data))
    else:
        with store.writer("killed") as writer:
            writer.write(data)
            writer.commit()


class PackedStoreMachine(StoreMachine):
    """A store that packs the smaller contents, and lets them have files besides."""

    pack_below = 1000

    def __init__(self) -> None:
        super().__init__()
        self.loose: set[str] = set()
        """Small blobs of the first namespace that have no record."""
        self.copied: set[str] = set()
        """Packed blobs that have a file too, or had one: it goes with the last namespace's blob."""
        self.killed = False
        """Whether a process was: what it had begun may come back with a new index."""

    def is_small(self, digest: str) -> bool:
        return digest in {
            Digest.of(data, algorithm)
            for data in CONTENTS
            if len(data) < self.pack_below
            for algorithm in ("sha256", "sha512")
        }

    def files(self) -> set[str]:
        """Those of large blobs, and those that were asked for; they go with the blob."""
        there = super().files()
        self.loose &= set(self.blobs)
        self.copied &= there
        return {digest for digest in there if not self.is_small(digest)} | self.loose | self.copied

    # -- moves -------------------------------------------------------------------------------

    @rule(data=contents, algorithm=algorithms)
    def path(self, data: bytes, algorithm: str) -> None:
        """A packed blob gets a file, which stays."""
        digest = Digest.of(data, algorithm)
        if digest not in self.blobs:
            with pytest.raises(contentdb.NotFoundError):
                self.store.path(digest)
            return
        inode = self.store.path(digest).stat().st_ino
        assert self.store.path(digest).read_bytes() == data
        assert self.store.path(digest).stat().st_ino == inode
        if self.is_small(digest):
            self.copied.add(digest)

    @rule(dry_run=st.booleans())
    def unpack(self, *, dry_run: bool) -> None:
        packed = {digest for digest in self.blobs if self.is_small(digest)} - self.loose
        assert self.store.unpack(dry_run=dry_run) == len(packed)
        if not dry_run:
            self.loose |= packed
            self.copied |= packed

    @rule(dry_run=st.booleans())
    def pack(self, *, dry_run: bool) -> None:
        """Their files go; those of blobs that were packed before stay."""
        assert self.store.pack(dry_run=dry_run) == len(self.loose)
        if not dry_run:
            self.copied -= self.loose
            self.loose.clear()

    @rule()
    def repack(self) -> None:
        """Nobody else has a pack, so all that is worth it is taken back at once."""
        assert self.store.repack() >= 0
        assert self.store.repack(dry_run=True) == 0

    # -- damage ------------------------------------------------------------------------------

    def spoil(self, digest: str, data: bytes) -> None:
        """Change the bytes of a record; the empty one has none, nor has a loose blob."""
        if not self.spoil_record(digest):
            super().spoil(digest, data)

    def spoil_record(self, digest: str) -> bool:
        row = parts_of(self.store).index.blob(Digest(digest))
        if row is None or row.location is None or not row.size:
            return False
        with (self.root / "packs" / f"{row.location.pack}.pack").open("r+b") as pack:
            pack.seek(row.location.offset + content_at(digest))
            byte = pack.read(1)[0]
            pack.seek(row.location.offset + content_at(digest))
            pack.write(bytes([byte ^ 1]))
        return True

    def found_and_healed(self, digest: str, data: bytes, *, quick: bool, read: bool) -> None:
        """A blob that has both a file and a record loses neither its content nor a label by one."""
        is_packed = self.is_small(digest) and digest not in self.loose
        has_both = is_packed and (digest in self.copied or not data)
        if not has_both:
            super().found_and_healed(digest, data, quick=quick, read=read)
            if digest in self.loose:  # it is stored anew, as a record
                self.loose.remove(digest)
                self.copied.discard(digest)
            return
        (finding,) = self.store.verify(quick=quick)
        assert (finding.kind, finding.digest) == ("corrupt", digest)
        if read:
            assert self.store.read(digest) == data
        (done,) = contentdb.repair(self.store, [finding])
        was_record = bool(data)
        assert done.action == ("left alone" if read and was_record else "quarantined")
        assert self.store.read(digest) == data
        assert len(list((self.root / "quarantine").iterdir())) == 1
        for path in (self.root / "quarantine").iterdir():
            path.unlink()
        if was_record:
            self.loose.add(digest)
        else:
            self.copied.discard(digest)

    @rule(data=st.sampled_from(CONTENTS[1:3]), quick=st.booleans(), read=st.booleans())
    def damage_what_was_just_stored(self, data: bytes, *, quick: bool, read: bool) -> None:
        """Most contents that are drawn have no record."""
        self.add(data, "sha256", {}, "bytes")
        self.damage(data, quick=quick, read=read)

    @rule(data=contents, read=st.booleans())
    def damage_a_copy(self, data: bytes, *, read: bool) -> None:
        """The file of a packed blob: the record is served, and `path` makes a new file."""
        digest = Digest.of(data)
        if digest not in self.copied - self.loose or digest not in self.blobs:
            return
        StoreMachine.spoil(self, digest, data)
        (finding,) = self.store.verify()
        assert (finding.kind, finding.digest) == ("corrupt", digest)
        if read:
            assert self.store.read(digest) == data
        assert self.store.path(digest).read_bytes() == data
        assert list(self.store.verify()) == []

    # -- a lost index --------------------------------------------------------------------------

    @precondition(lambda self: not self.killed)
    @rule()
    def lose_the_index(self) -> None:
        """It is made again from records and files, without tags.

        Files are of the first namespace then.
        """
        self.store.close()
        for path in self.root.glob("index.sqlite*"):
            path.unlink()
        contentdb.reindex(self.root)
        self.writers.clear()
        self.ingests.clear()
        self.tags.clear()
        self.store = contentdb.open(self.root, create=False, durability="process")
        self.store.prune(older_than=0)
        known = {Digest.of(data, name): data for data in CONTENTS for name in ("sha256", "sha512")}
        found = {info.digest: dict(info.labels) for info in self.store.walk()}
        large = {digest for digest in self.others if not self.is_small(digest)}
        assert set(self.blobs) <= set(found) <= set(self.blobs) | self.others
        self.loose |= {one for one in found.keys() - self.blobs.keys() if self.is_small(one)}
        self.others -= large
        self.blobs = {digest: (known[Digest(digest)], have) for digest, have in found.items()}

    @rule(data=contents, act=st.sampled_from(["add", "commit", "delete"]), calls=st.integers(0, 25))
    def kill(self, data: bytes, act: str, calls: int) -> None:
        """As in a loose store."""
        self.killed = True
        super().kill(data, act, calls)


# Each step is many calls, and some are processes.
StoreMachine.TestCase.settings = settings(
    max_examples=max(20, settings().max_examples // 2), stateful_step_count=30
)
TestStoreMachine = StoreMachine.TestCase

PackedStoreMachine.TestCase.settings = settings(
    max_examples=max(20, settings().max_examples // 4), stateful_step_count=30
)
TestPackedStoreMachine = PackedStoreMachine.TestCase
