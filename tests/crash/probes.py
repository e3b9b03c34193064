"""Rules that no crash is needed to break: locks, checks, fences, and steps that must not meet.

Each probe works on a store with contents 900 to 903 and raises `AssertionError`. Where two
actors must meet at one moment, the second acts inside a call of the first: no timing decides.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, Any, Final

import contentdb
from tests.crash.ledger import content, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["PROBES"]


def _must(holds: object, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)


@contextlib.contextmanager
def _refused(kind: type[BaseException], rule: str) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(rule)


def _elsewhere(work: Callable[[], object]) -> bool:
    """Whether work in another process ended without an error."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def a_ref_has_one_writer(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("held") as writer:
        writer.write(b"mine")
        with _refused(contentdb.RefLockedError, "two threads hold one ref"):
            store.writer("held")
        with _refused(contentdb.RefLockedError, "an ingest is aborted under its writer"):
            store.abort("held")

        def take() -> None:
            with contentdb.open(root) as other:
                other.writer("held")

        _must(not _elsewhere(take), "two processes hold one ref")


def a_dead_writer_frees_its_ref(root: Path) -> None:
    def die() -> None:
        contentdb.open(root).writer("dead").write(b"half")
        os._exit(0)

    _elsewhere(die)
    with contentdb.open(root) as store, store.writer("dead", resume=True) as writer:
        _must(writer.offset == 4, "bytes of a killed writer are lost")


def a_writer_is_dead_after_a_fork(root: Path) -> None:
    with contentdb.open(root) as store, store.writer("forked") as writer:
        writer.write(content(7))

        def write_on() -> None:
            with contextlib.suppress(contentdb.ContentDBError):
                writer.write(b"child")

        _elsewhere(write_on)
        info = writer.commit()
        _must(store.read(info.digest) == content(7), "a forked child wrote on")


def wrong_content_is_not_committed(root: Path) -> None:
    with contentdb.open(root) as store:
        with store.writer("wrong") as writer:
            writer.write(content(0))
            with _refused(contentdb.DigestMismatchError, "a wrong digest is committed"):
                writer.commit(expected=digest_of(1))
        with (
            store.writer("wrong", resume=True) as writer,
            _refused(contentdb.SizeMismatchError, "a wrong size is committed"),
        ):
            writer.commit(size=1)
        _must(not store.exists(digest_of(0)), "refused content is published")
        with _refused(contentdb.DigestMismatchError, "add takes wrong content"):
            store.add(content(5), expected=digest_of(1))


def a_declaration_cannot_change(root: Path) -> None:
    with contentdb.open(root) as store:
        store.writer("declared", total=10).close()
        with _refused(contentdb.FailedPreconditionError, "a declared total is overwritten"):
            store.writer("declared", total=11, resume=True).close()


def a_new_try_is_no_resume(root: Path) -> None:
    with contentdb.open(root) as store:
        with store.writer("tried") as writer:
            writer.write(content(3)[:1000])
        with store.writer("tried") as writer:
            writer.write(content(0))
            _must(writer.commit().digest == digest_of(0), "a new try goes on with an earlier one")


def another_source_is_not_mixed_in(root: Path) -> None:
    with contentdb.open(root) as store:
        with store.writer("mixed") as writer:
            writer.write(content(9)[:1000])
        info = store.ingest("mixed", io.BytesIO(content(3)))
        _must(info.digest == digest_of(3), "a source is mixed with an earlier one")


def resumed_bytes_are_hashed(root: Path) -> None:
    with contentdb.open(root) as store:
        with store.writer("resumed") as writer:
            writer.write(content(3)[:1000])
        with store.writer("resumed", resume=True) as writer:
            writer.write(content(3)[1000:])
            _must(writer.commit().digest == digest_of(3), "the digest is not of all bytes")


def a_blob_is_read_only(root: Path) -> None:
    with contentdb.open(root) as store:
        for number in (0, 3):
            path = store.path(store.add(content(number)).digest)
            _must(not path.stat().st_mode & 0o333, "a blob can be written to")
        store.ingest("mode", io.BytesIO(content(1)))
        _must(not store.path(digest_of(1)).stat().st_mode & 0o333, "a blob can be written to")


def _damage(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def damage_is_not_served(root: Path) -> None:
    with contentdb.open(root) as store:
        _damage(store.path(digest_of(900)), b"x" + content(900)[1:])
        with _refused(contentdb.CorruptBlobError, "damaged bytes are served"):
            store.read(digest_of(900))
        with (
            _refused(contentdb.CorruptBlobError, "a damaged stream is served"),
            store.open(digest_of(900)) as reader,
        ):
            reader.read()


def damage_is_found_and_healed(root: Path) -> None:
    with contentdb.open(root) as store:
        _damage(store.path(digest_of(900)), b"x" + content(900)[1:])
        _damage(store.path(digest_of(901)), content(901)[:-1])
        store.path(digest_of(902)).unlink()
        found = {(finding.kind, str(finding.digest)) for finding in store.verify()}
        expected = {("corrupt", 900), ("corrupt", 901), ("missing", 902)}
        _must(found >= {(kind, digest_of(n)) for kind, n in expected}, f"verify finds {found}")
        for _ in contentdb.repair(store, store.verify()):
            pass
        for number in (900, 901, 902):
            store.add(content(number))
            _must(store.read(digest_of(number)) == content(number), "a blob is not healed")
        _must(not list(store.verify()), "something is left after the repair")


def damaged_files_are_replaced(root: Path) -> None:
    """Storing the content again heals it at once, before anybody has verified."""
    with contentdb.open(root) as store:
        _damage(store.path(digest_of(900)), b"short")
        store.path(digest_of(901)).unlink()
        for number in (900, 901):
            store.ingest(f"heal-{number}", io.BytesIO(content(number)))
            _must(store.read(digest_of(number)) == content(number), "a blob is not healed")


def a_commit_meets_a_delete(root: Path) -> None:
    """The file goes away between its name and its row: it is named again."""

    def delete() -> None:
        with contentdb.open(root) as other:
            other.delete(digest_of(0))

    with contentdb.open(root) as store:
        store.add(content(0))
        with _before("record", delete):
            store.ingest("meets", io.BytesIO(content(0)))
        _must(store.exists(digest_of(0)), "a commit is lost to a delete before it")
        _must(store.read(digest_of(0)) == content(0), "a row without its file")


def _before(method: str, act: Callable[[], object]) -> contextlib.AbstractContextManager[None]:
    """Act once, in another process, just before the index does something."""
    return _beside(method, act, after=False)


@contextlib.contextmanager
def _beside(method: str, act: Callable[[], object], *, after: bool) -> Iterator[None]:
    from contentdb.local.index.index import Index

    original = getattr(Index, method)
    met: list[bool] = []

    def meeting(self: Index, *arguments: Any) -> Any:  # noqa: ANN401 - passed through
        if met:
            return original(self, *arguments)
        met.append(True)
        if not after:
            met.append(_elsewhere(act))
        result = original(self, *arguments)
        if after:
            met.append(_elsewhere(act))
        return result

    setattr(Index, method, meeting)
    try:
        yield
    finally:
        setattr(Index, method, original)
    _must(met == [True, True], f"what should happen beside {method} fails")


def _pruned(root: Path) -> None:
    """As where the commit that it meets takes longer than a prune allows for."""
    from contentdb.local.upkeep import doubts

    doubts.GRACE_S = 0  # type: ignore[misc]  # in a process of its own
    with contentdb.open(root) as store:
        store.prune(older_than=0)


def a_group_meets_a_delete(root: Path) -> None:
    """A prune takes files away between their names and their rows: they are stored again."""
    with contentdb.open(root) as store:
        with _before("record", lambda: _pruned(root)):
            results = list(store.add_many([content(0)]))
        _must([info.digest for info in results] == [digest_of(0)], f"a prune fails it: {results}")
        _must(store.read(digest_of(0)) == content(0), "a row without its file")


def upkeep_meets_a_commit(root: Path) -> None:
    """Its file is adopted between its name and its row: labels, times and answer are its own."""

    def adopt() -> None:
        with contentdb.open(root) as store:
            found = contentdb.Finding("orphan", contentdb.Digest(digest_of(0)), "", "")
            (done,) = contentdb.repair(store, [found])
            _must(done.action == "adopted", "an orphan is not adopted")

    with contentdb.open(root) as store, store.writer("meets") as writer:
        writer.write(content(0))
        with _before("record", adopt):
            info = writer.commit(labels={"of": "the commit"}, exist_ok=False)
        _must(info.new, "a commit is not told that its content is new")
        _must(dict(info.labels) == {"of": "the commit"}, "a commit loses its labels")
        _must(store.info(digest_of(0)) == info, "a commit is told other times than are recorded")


def verify_meets_a_commit(root: Path) -> None:
    """A file that has its name and not yet its row is waited for, and nothing is found."""
    from contentdb.local.upkeep import verify

    def look() -> None:
        with contentdb.open(root) as store, store.parts() as parts:
            found = next(iter(verify.verify(parts, quick=True)), "nothing")
            _must(found is None, "a commit in flight is taken for an orphan")
            _must(not store.prune(older_than=0), "a commit in flight is pruned")

    with contentdb.open(root) as store, _before("record", look):
        store.add(content(0))


def rot_of_the_right_size_is_healed(root: Path) -> None:
    """Content at hand heals a file that was written to, whose size and row say nothing of it."""
    with contentdb.open(root) as store:
        for number, store_again in (
            (900, lambda: store.add(content(900))),
            (901, lambda: store.add(content(901), expected=digest_of(901))),
            (902, lambda: list(store.add_many([content(902)]))),
            (903, lambda: store.ingest("rot", io.BytesIO(content(903)))),
        ):
            _damage(store.path(digest_of(number)), b"x" + content(number)[1:])
            store_again()
            _must(store.read(digest_of(number)) == content(number), "rot is taken for content")


def a_move_reads_what_is_stored(root: Path) -> None:
    """Decay moves no time: before the source goes, which may be the last good copy, it is found."""
    with contentdb.open(root) as store:
        path = store.path(digest_of(900))
        _damage(path, b"x" + content(900)[1:])
        moment_ns = store.info(digest_of(900)).updated_ns
        os.utime(path, ns=(moment_ns, moment_ns))
        source = root.parent / "outside" / "moved"
        source.write_bytes(content(900))
        store.add(source, link="move")
        _must(store.read(digest_of(900)) == content(900), "the last good copy is removed")


def a_deletion_that_was_begun_is_seen_by_all(root: Path) -> None:
    """Its process died between the halves: what is not listed is not served either."""
    from contentdb.local.index.index import Index

    def die_half_way() -> None:
        with contentdb.open(root) as other:
            Index.bury_all = lambda *_: os._exit(0)  # type: ignore[method-assign]
            other.delete(digest_of(900))

    with contentdb.open(root) as store:
        _must(store.exists(digest_of(900)), "what is stored is not there")
        _elsewhere(die_half_way)
        _must(not store.exists(digest_of(900)), "a deletion that was begun is not seen")
        with _refused(contentdb.NotFoundError, "a blob is served that is not there"):
            store.read(digest_of(900))


def a_prune_meets_a_commit(root: Path) -> None:
    """An orphan gets its row just before it is pruned: it stays."""
    _planted(root, 0)

    def add() -> None:
        with contentdb.open(root) as other:
            other.add(content(0))

    with contentdb.open(root) as store:
        with _before("unless_claimed", add):
            list(store.prune(older_than=0))
        _must(store.read(digest_of(0)) == content(0), "an acknowledged blob is pruned")


def a_commit_follows_a_burial(root: Path) -> None:
    """The blob is stored again just after its row went: nothing of the delete is left to do."""

    def add() -> None:
        with contentdb.open(root) as other:
            other.add(content(900))

    with contentdb.open(root) as store:
        with _beside("bury_all", add, after=True):
            store.delete(digest_of(900))
        _must(store.exists(digest_of(900)), "an acknowledged commit is lost to an older delete")
        _must(store.read(digest_of(900)) == content(900), "a row without its file")


def a_group_is_spared_by_who_opens(root: Path) -> None:
    """The temporary files of a batch are left alone by a process that opens the store."""

    def look() -> None:
        with contentdb.open(root) as other:
            list(other.prune(older_than=0))

    with contentdb.open(root) as store:
        with store.batch():
            store.add(content(0))
            _must(_elsewhere(look), "a store cannot be opened beside a batch")
        _must(store.read(digest_of(0)) == content(0), "a batch lost what it was given")


def a_blob_is_not_written_by_its_ingest(root: Path) -> None:
    """A commit was killed between name and row: going on with its ref leaves the blob alone."""
    name = digest_of(0)[7:]
    blob = root / "blobs" / "sha256" / name[:2] / name
    with contentdb.open(root) as store:
        with store.writer("named") as writer:
            writer.write(content(0))
        (file,) = (root / "ingest").iterdir()
        file.chmod(0o444)
        os.link(file, blob)
        with store.writer("named", resume=True) as writer:
            _must(writer.offset == len(content(0)), "bytes of a killed writer are lost")
            writer.truncate()
            writer.write(content(1))
        file.unlink()
        os.link(blob, file)
        store.writer("named").close()
        _must(blob.read_bytes() == content(0), "a blob is written to")


def a_delete_meets_a_commit(root: Path) -> None:
    """The blob is stored again between the halves of its deletion: it stays."""

    def add() -> None:
        with contentdb.open(root) as other:
            other.add(content(900))

    with contentdb.open(root) as store:
        with _before("bury_all", add):
            store.delete(digest_of(900))
        _must(store.exists(digest_of(900)), "an acknowledged commit is lost to an older delete")
        _must(store.read(digest_of(900)) == content(900), "a row without its file")


def a_fenced_writer_cannot_commit(root: Path) -> None:
    """A writer whose lock file was removed by hand finds its ref taken, and harms nothing."""
    with contentdb.open(root) as store, store.writer("fenced") as old:
        old.write(content(0))
        for path in (root / "ingest").iterdir():
            path.unlink()
        with store.writer("other"):
            pass

        def take() -> None:
            with contentdb.open(root) as other, other.writer("fenced") as new:
                new.write(b"new")

        _must(_elsewhere(take), "a ref cannot be taken over from a removed lock file")
        with _refused(contentdb.ContentDBError, "a writer that lost its ref commits"):
            old.commit()
        name = digest_of(0)[7:]
        named = root / "blobs" / "sha256" / name[:2] / name
        _must(not named.exists() or named.read_bytes() == content(0), "other bytes got its name")
        statuses = {status.ref: status.offset for status in store.statuses()}
        _must(statuses.get("fenced") == 3, "a writer that lost its ref ended another's ingest")


def a_token_of_another_ends_a_commit(root: Path) -> None:
    """The row names another writer: whatever the files look like, nothing is recorded."""
    import sqlite3

    def take() -> None:
        connection = sqlite3.connect(root / "index.sqlite")
        connection.execute("UPDATE ingests SET token = 'another'")
        connection.commit()

    with contentdb.open(root) as store:
        writer = store.writer("taken")
        writer.write(content(0))
        _must(_elsewhere(take), "the row cannot be changed")
        with _refused(contentdb.RefLockedError, "a commit is recorded for another writer"):
            writer.commit()
        _must(not store.exists(digest_of(0)), "a commit is recorded for another writer")


def a_commit_ends_its_ingest(root: Path) -> None:
    with contentdb.open(root) as store:
        store.ingest("ends", io.BytesIO(content(0)))
        _must(not list(store.statuses()), "the row of a committed ingest stays")
        _must(not os.listdir(root / "ingest"), "the file of a committed ingest stays")


def a_prune_spares_what_is_young(root: Path) -> None:
    with contentdb.open(root) as store:
        with store.writer("young") as writer:
            writer.write(b"young")
        list(store.prune(older_than=3600))
        _must(store.status("young").offset == 5, "a young ingest is pruned")
        with store.writer("young", resume=True):
            list(store.prune(older_than=0))
            _must(store.status("young").offset == 5, "a held ingest is pruned")
        _must(len(list(store.walk())) == 4, "a blob is pruned")


def _planted(root: Path, number: int) -> None:
    name = digest_of(number)[7:]
    path = root / "blobs" / "sha256" / name[:2] / name
    path.write_bytes(content(number))
    path.chmod(0o444)


def an_orphan_that_is_expected_is_spared(root: Path) -> None:
    """Between the name and the row of a commit there is an orphan: it must not be pruned."""
    with contentdb.open(root) as store, store.writer("coming", expected=digest_of(0)) as writer:
        writer.write(content(0)[:10])
        _planted(root, 0)
        list(store.prune(older_than=0))
        name = digest_of(0)[7:]
        _must(
            (root / "blobs" / "sha256" / name[:2] / name).exists(), "an expected orphan is pruned"
        )


def nothing_is_followed(root: Path) -> None:
    """A symbolic link in the place of a blob or an ingest is refused."""
    outside = root.parent / "outside" / "file"
    with contentdb.open(root) as store:
        path = store.path(digest_of(900))
        path.unlink()
        (outside.parent / "same").write_bytes(content(900))
        path.symlink_to(outside.parent / "same")
        with _refused(contentdb.ContentDBError, "a symbolic link is read as a blob"):
            store.read(digest_of(900))
        store.writer("planted").close()
        (ingest,) = (root / "ingest").iterdir()
        ingest.unlink()
        ingest.symlink_to(outside)
        with _refused(contentdb.ContentDBError, "a symbolic link is written to as an ingest"):
            store.writer("planted").close()


PROBES: Final[dict[str, Callable[[Path], None]]] = {
    probe.__name__: probe
    for probe in (
        a_ref_has_one_writer,
        a_dead_writer_frees_its_ref,
        a_writer_is_dead_after_a_fork,
        wrong_content_is_not_committed,
        a_declaration_cannot_change,
        a_new_try_is_no_resume,
        another_source_is_not_mixed_in,
        resumed_bytes_are_hashed,
        a_blob_is_read_only,
        damage_is_not_served,
        damage_is_found_and_healed,
        damaged_files_are_replaced,
        a_commit_meets_a_delete,
        a_delete_meets_a_commit,
        a_group_meets_a_delete,
        upkeep_meets_a_commit,
        verify_meets_a_commit,
        rot_of_the_right_size_is_healed,
        a_move_reads_what_is_stored,
        a_deletion_that_was_begun_is_seen_by_all,
        a_prune_meets_a_commit,
        a_commit_follows_a_burial,
        a_group_is_spared_by_who_opens,
        a_blob_is_not_written_by_its_ingest,
        a_fenced_writer_cannot_commit,
        a_token_of_another_ends_a_commit,
        a_commit_ends_its_ingest,
        a_prune_spares_what_is_young,
        an_orphan_that_is_expected_is_spared,
        nothing_is_followed,
    )
}
