"""A store opened with ``mode="r"``: all that can be read is right, and nothing is written."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest, files, forks
from contentdb.local.index import connect, live, walks
from contentdb.local.mounts import is_read_only
from contentdb.local.owner import may_only_read
from tests.cli.shell import call, run
from tests.fixtures import Child
from tests.inside import parts_of
from tests.users import OTHERS, as_user, place_for_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Tree = dict[str, tuple[object, ...]]

LABELS = {"what": "changed last"}
WORDS = [b"%d" % number for number in range(25)]
FIRST = Digest.of(WORDS[0])

_USED = """
from contentdb import Digest
store = contentdb.open(root)
store.update(Digest.of(b"0"), {"what": "changed last"})
print("used", flush=True)
sys.stdin.readline()
"""
_OPEN = "store = contentdb.open(root)\nprint('used', flush=True)\nsys.stdin.readline()"


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk holds its snapshot from page to page."""
    monkeypatch.setattr(walks, "_PAGE_ROWS", 10)


@pytest.fixture
def place() -> Iterator[Path]:
    """Where every user may look."""
    yield from place_for_all()


@pytest.fixture
def root(place: Path) -> Path:
    root = place / "store"
    with contentdb.open(root) as store:
        with store.batch():
            for word in WORDS:
                store.add(word)
        with store.writer("under way", total=10) as writer:
            writer.write(b"half")
    return root


def cold(root: Path) -> None:
    """Nothing has it open, and it is one file."""
    with contentdb.open(root) as store:
        store.update(FIRST, LABELS)


def hot(root: Path) -> None:
    """Its last user was killed: the last commit is in the log alone."""
    with Child(_USED, root) as child:
        assert child.heard() == "used"
        child.kill()


def without_memory(root: Path) -> None:
    """As a copy may be, made while the store was in use."""
    hot(root)
    (root / "index.sqlite-shm").unlink()


def without_frames(root: Path) -> None:
    """Its last user was killed before it wrote anything."""
    cold(root)
    with Child(_OPEN, root) as child:
        assert child.heard() == "used"
        child.kill()
    assert (root / "index.sqlite-wal").stat().st_size == 0


STATES = [cold, hot, without_memory, without_frames]


def tree(root: Path) -> Tree:
    """All that a write to the store would change."""
    found: Tree = {}
    for path in [root, *sorted(root.rglob("*"))]:
        seen = path.lstat()
        kept: tuple[object, ...] = (seen.st_ino, seen.st_size, seen.st_mode, seen.st_uid)
        # The kernel may notice late what the last user wrote to the memory that it shared, and
        # for root SQLite sets the owner of its files, to what it is.
        if not path.name.endswith(("-shm", "-wal")):
            kept += (seen.st_mtime_ns, seen.st_ctime_ns)
        if path.is_file():
            kept += (path.read_bytes(),)
        found[str(path.relative_to(root))] = kept
    return found


def read_all(root: Path) -> None:
    """Use all that reads, and compare with what was stored."""
    with contentdb.open(root, mode="r") as store:
        assert store.mode == "r"
        assert store.info(FIRST).labels == LABELS
        assert store.read(FIRST) == WORDS[0]
        assert store.exists(FIRST)
        assert store.path(FIRST).read_bytes() == WORDS[0]
        assert store.resolve(FIRST[:20]) == FIRST
        assert {info.digest for info in store.walk()} == {Digest.of(word) for word in WORDS}
        assert [info.digest for info in store.walk("labels.what")] == [FIRST]
        assert [status.ref for status in store.statuses()] == ["under way"]
        assert store.status("under way").offset == 4
        assert not store.status("under way").held
        assert store.usage().blobs == len(WORDS)
        assert list(store.verify()) == []
        assert store.prune(older_than=3600, dry_run=True) == []
        assert store.reindex(dry_run=True).kept == len(WORDS)
        with pytest.raises(contentdb.NotFoundError):
            store.info(Digest.of(b"absent"))


@pytest.mark.parametrize("state", STATES)
def test_reading_changes_nothing(root: Path, state: Callable[[Path], None]) -> None:
    """6.8: also where the process could write."""
    state(root)
    before = tree(root)
    read_all(root)
    assert tree(root) == before


@pytest.mark.root
@pytest.mark.parametrize("state", STATES)
def test_a_store_on_a_read_only_mount_can_be_read(
    root: Path, place: Path, state: Callable[[Path], None]
) -> None:
    state(root)
    with seen_read_only(root, place) as mount:
        before = tree(mount)
        read_all(mount)
        assert tree(mount) == before
        with pytest.raises(contentdb.StoreReadOnlyError, match=r"Read-only.*mode='r'"):
            contentdb.open(mount)


@pytest.mark.root
@pytest.mark.parametrize("state", STATES)
def test_a_store_of_another_user_can_be_read(root: Path, state: Callable[[Path], None]) -> None:
    """6.8: who owns the root owns the files; that the reader is another does not count."""
    state(root)
    shown(root)
    before = tree(root)
    as_user(OTHERS[0], lambda: read_all(root))
    assert tree(root) == before


@pytest.mark.root
@pytest.mark.parametrize("state", STATES)
def test_a_filesystem_mounted_read_only_can_be_read(
    root: Path, place: Path, state: Callable[[Path], None]
) -> None:
    """Such as a snapshot: a walk needs no copy there."""
    state(root)
    with on_a_disk(root, place) as moved:
        assert is_read_only(moved)
        read_all(moved)


@pytest.mark.root
def test_root_reads_the_store_of_another_and_leaves_no_file_there(root: Path) -> None:
    for path in [root, *root.rglob("*")]:
        os.chown(path, OTHERS[0], OTHERS[0])
    as_user(OTHERS[0], lambda: cold(root), group=OTHERS[0])
    before = tree(root)
    read_all(root)
    assert tree(root) == before


class seen_read_only:  # noqa: N801 - used as a function
    """A bind mount of the store through which nothing can be written."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root, self._mount = root, place / "mount"

    def __enter__(self) -> Path:
        self._mount.mkdir()
        subprocess.run(["mount", "--bind", self._root, self._mount], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", self._mount], check=True)
        return self._mount

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", self._mount], check=True)


class on_a_disk:  # noqa: N801 - used as a function
    """A copy of the store on a filesystem of its own, which is mounted read-only."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root, self._disk = root, place / "disk"

    def __enter__(self) -> Path:
        self._disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self._disk], check=True)
        subprocess.run(["cp", "-a", self._root, self._disk / "store"], check=True)
        subprocess.run(["mount", "-o", "remount,ro", self._disk], check=True)
        return self._disk / "store"

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", self._disk], check=True)


def shown(root: Path) -> None:
    """As ``chmod -R go+rX``."""
    for path in [root, *root.rglob("*")]:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | (0o055 if path.is_dir() else 0o044))


# -- beside writers ------------------------------------------------------------------------------

_WRITER = """
from contentdb import Digest
first = Digest.of(b"0")
count = 0
while True:
    store = contentdb.open(root)
    print("open", flush=True)
    while (word := sys.stdin.readline().strip()) == "write":
        count += 1
        store.add(b"new %d" % count)
        store.update(first, {"count": str(count)})
        print(count, flush=True)
    store.close()
    print("closed", flush=True)
    if sys.stdin.readline().strip() != "open":
        break
"""


def written(child: Child) -> str:
    """Let the child write, and give the label that it set."""
    child.say("write")
    return child.heard()


@pytest.mark.parametrize("through", ["itself", pytest.param("a mount", marks=pytest.mark.root)])
def test_each_commit_of_a_writer_is_seen_whenever_it_comes_and_goes(
    root: Path, place: Path, through: str
) -> None:
    """The index goes from one file to one with a log and back, under the reader."""
    seen = root
    mounted = seen_read_only(root, place)
    if through == "a mount":
        seen = mounted.__enter__()
    try:
        with (
            contentdb.open(seen, mode="r") as store,
            Child(_WRITER, root) as child,
        ):
            for _ in range(3):
                assert child.heard() == "open"
                for _ in range(2):
                    count = written(child)
                    assert store.info(FIRST).labels == {"count": count}
                child.say("close")
                assert child.heard() == "closed"
                blobs = len(WORDS) + int(store.info(FIRST).labels["count"])
                assert store.usage().blobs == blobs
                forget_connections(store)
                assert store.usage().blobs == blobs
                child.say("open")
            assert child.heard() == "open"
            last = written(child)
            child.kill()
            assert store.info(FIRST).labels == {"count": last}
    finally:
        if through == "a mount":
            mounted.__exit__()


def forget_connections(store: contentdb.Store) -> None:
    """As a fork does: the next look-up sees what lies there now."""
    parts_of(store).index.before_fork()
    forks.free()


@pytest.mark.parametrize("state", STATES)
def test_a_walk_is_of_one_moment_and_keeps_no_writer_waiting(
    root: Path, state: Callable[[Path], None]
) -> None:
    state(root)
    with contentdb.open(root, mode="r") as store:
        walk = store.walk()
        seen = [next(walk).digest]
        with Child(_WRITER, root) as child:
            assert child.heard() == "open"
            written(child)
            assert store.usage().blobs == len(WORDS) + 1
            child.kill()
        seen += [info.digest for info in walk]
    assert sorted(seen) == sorted(Digest.of(word) for word in WORDS)


def test_a_store_open_for_writing_keeps_its_locks_where_the_process_reads_it_too(
    root: Path,
) -> None:
    """Closing any descriptor of a file drops all locks that its process has on it.

    Without them the other process is the last user by its own lights, and removes the log.
    """
    with contentdb.open(root, mode="r") as reading:
        assert reading.usage().blobs == len(WORDS)
        with contentdb.open(root) as store:
            store.update(FIRST, {"count": "1"})
            forget_connections(reading)
            assert reading.info(FIRST).labels == {"count": "1"}
            with Child("contentdb.open(root).close()\nprint('closed', flush=True)", root) as child:
                assert child.heard() == "closed"
                assert child.end() == 0
            store.update(FIRST, {"count": "2"})
            assert reading.info(FIRST).labels == {"count": "2"}
    with contentdb.open(root) as store:
        assert store.info(FIRST).labels == {"count": "2"}


def test_this_process_opens_no_index_that_it_has_locked_without_locks(root: Path) -> None:
    """The index is alone in the process only while no other connection to it is open."""
    path = str(root / "index.sqlite")
    with live.alone(path) as alone:
        assert alone
    connection = connect.connect(path)
    with live.alone(path) as alone:
        assert not alone
    connection.close()
    with live.alone(path) as alone:
        assert alone


# -- what is refused -----------------------------------------------------------------------------

READING = {
    "adopt",  # refused by any store on files
    "close", "durability", "exists", "export", "info", "mode", "namespace", "open", "parts",
    "leases", "path", "place", "policy", "queue_status", "read", "resolve", "root", "sharing",
    "status", "statuses", "tagged", "tags", "usage", "verify", "walk", "why",
    "urls",  # as "adopt"
}  # fmt: skip
CHANGING: dict[str, Callable[[Any], object]] = {
    "abort": lambda store: store.abort("under way"),
    "add": lambda store: store.add(b"new"),
    "add_many": lambda store: store.add_many([b"new"]),
    "batch": lambda store: store.batch(),
    "clear_policy": lambda store: store.clear_policy(),
    "collect": lambda store: store.collect(no_roots=True),
    "delete": lambda store: store.delete(FIRST),
    "delete_many": lambda store: store.delete_many([FIRST]),
    "end_lease": lambda store: store.end_lease("l"),
    "ingest": lambda store: store.ingest("new", io.BytesIO()),
    "lease": lambda store: store.lease(),
    "mend": lambda store: store.mend(contentdb.Finding("missing", FIRST, "", "")),
    "pack": lambda store: store.pack(),
    "unpack": lambda store: store.unpack(),
    "repack": lambda store: store.repack(),
    "reindex": lambda store: store.reindex(),
    "prune": lambda store: store.prune(older_than=0),
    "set_policy": lambda store: store.set_policy(max_bytes=1),
    "tag": lambda store: store.tag("n", FIRST),
    "untag": lambda store: store.untag("n"),
    "update": lambda store: store.update(FIRST, {}),
    "use_lease": lambda store: store.use_lease("l"),
    "writer": lambda store: store.writer("new"),
}


def test_every_method_is_known_to_read_or_to_change() -> None:
    public = {name for name in dir(contentdb.Store) if not name.startswith("_")}
    assert public == READING | CHANGING.keys() | {"capabilities", "hold"}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", CHANGING)
def test_what_would_change_the_store_is_refused_at_once(root: Path, name: str) -> None:
    before = tree(root)
    with contentdb.open(root, mode="r") as store:
        with pytest.raises(contentdb.StoreReadOnlyError, match="mode='r'") as caught:
            CHANGING[name](store)
        assert caught.value.root == str(root)
    assert tree(root) == before
    with pytest.raises(contentdb.StoreClosedError):
        CHANGING[name](store)


def test_repair_is_refused_before_it_touches_anything(root: Path) -> None:
    """A wrong mode would be mended without the index."""
    with contentdb.open(root, mode="r") as store:
        store.path(FIRST).chmod(0o600)
        findings = list(store.verify())
        with pytest.raises(contentdb.StoreReadOnlyError):
            contentdb.repair(store, findings)
        planned = contentdb.repair(store, findings, dry_run=True)
        assert [done.action for done in planned] == ["made read-only"]
        assert stat.S_IMODE(store.path(FIRST).stat().st_mode) == 0o600


def test_there_is_nothing_to_make(place: Path) -> None:
    """Whatever ``create`` says."""
    with pytest.raises(contentdb.StoreNotFoundError):
        contentdb.open(place / "none", mode="r", create=True)
    (place / "empty").mkdir()
    with pytest.raises(contentdb.StoreNotFoundError):
        contentdb.open(place / "empty", mode="r")
    assert list(place.iterdir()) == [place / "empty"]
    assert list((place / "empty").iterdir()) == []
    with pytest.raises(contentdb.InvalidArgumentError, match="is 'rw' or 'r'"):
        contentdb.open(place / "none", mode="w")  # type: ignore[arg-type]


# -- damage --------------------------------------------------------------------------------------


def test_a_damaged_blob_is_told_and_stays_where_it_is(root: Path) -> None:
    path = root / "blobs" / "sha256" / FIRST[7:9] / FIRST[7:]
    path.chmod(0o644)
    path.write_bytes(b"x")
    before = tree(root)
    with contentdb.open(root, mode="r") as store:
        for _ in range(2):
            with pytest.raises(contentdb.CorruptBlobError, match="do not match"):
                store.read(FIRST)
        with store.open(FIRST) as reader, pytest.raises(contentdb.CorruptBlobError):
            reader.read()
        with pytest.raises(contentdb.CorruptBlobError):
            store.export(FIRST, root.parent / "out")
        assert [finding.kind for finding in store.verify()] == ["corrupt"]
    assert tree(root) == before


def test_a_lost_file_is_told(root: Path) -> None:
    (root / "blobs" / "sha256" / FIRST[7:9] / FIRST[7:]).unlink()
    before = tree(root)
    with contentdb.open(root, mode="r") as store:
        for call in (store.read, store.open, store.path):
            with pytest.raises(contentdb.CorruptBlobError, match="gone"):
                call(FIRST)
    assert tree(root) == before


def test_directories_that_a_copy_lacks_are_not_made(root: Path) -> None:
    """Tools that copy drop empty ones; ``ingest/`` is where the bytes of an ingest are."""
    cold(root)
    with contentdb.open(root) as store:
        store.abort("under way")
    for name in ("ingest", "trash", "quarantine"):
        (root / name).rmdir()
    before = tree(root)
    with contentdb.open(root, mode="r") as store:
        assert list(store.statuses()) == []
        assert store.info(FIRST).labels == LABELS
        assert list(store.verify()) == []
        with Child("contentdb.open(root).add(b'new')", root) as child:
            assert child.end() == 0  # it locks the root, which the reader has not
    shutil.rmtree(root / "blobs")
    with pytest.raises(contentdb.StorageError, match="blobs"):
        contentdb.open(root, mode="r")
    assert before


def test_without_the_byte_of_namespaces_the_index_is_asked(root: Path) -> None:
    """The blob of another namespace is not served because a copy lacks a file."""
    with contentdb.open(root, namespace="other") as store:
        other = store.add(b"of the other").digest
    (root / "index.sqlite-shared").unlink()
    before = tree(root)
    with contentdb.open(root, mode="r") as store, pytest.raises(contentdb.NotFoundError):
        store.read(other)
    with contentdb.open(root, mode="r", namespace="other") as store:
        assert store.read(other) == b"of the other"
        with pytest.raises(contentdb.NotFoundError):
            store.read(FIRST)
    assert tree(root) == before


def test_reading_in_a_namespace_that_was_never_used_announces_none(root: Path) -> None:
    before = tree(root)
    with (
        contentdb.open(root, mode="r", namespace="other") as store,
        pytest.raises(contentdb.NotFoundError),
    ):
        store.read(FIRST)
    assert tree(root) == before


def test_an_export_by_hard_link_is_a_copy(root: Path, place: Path) -> None:
    """A link would change the store's file."""
    with contentdb.open(root, mode="r") as store:
        out = store.export(FIRST, place / "out", link="hardlink")
        assert out.read_bytes() == WORDS[0]
        assert store.path(FIRST).stat().st_nlink == 1


# -- other users ---------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("name", ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"])
def test_a_file_of_the_index_that_may_not_be_read_is_named(root: Path, name: str) -> None:
    hot(root)
    shown(root)
    (root / name).chmod(0o600)

    def usage() -> None:
        contentdb.open(root, mode="r").close()

    with pytest.raises(contentdb.StorageError, match=f"{name}: Permission denied"):
        as_user(OTHERS[0], usage)


@pytest.mark.root
def test_whether_an_ingest_is_held_is_not_guessed(root: Path) -> None:
    """Its file's lock says so, and that can only be asked by one who may read it."""
    shown(root)
    (ingest,) = (root / "ingest").iterdir()
    ingest.chmod(0o600)

    def status() -> object:
        with contentdb.open(root, mode="r") as store:
            return store.status("under way")

    with pytest.raises(contentdb.StorageError, match=f"{ingest.name}: Permission denied"):
        as_user(OTHERS[0], status)


@pytest.mark.root
def test_another_user_is_told_how_to_read(root: Path) -> None:
    shown(root)
    with pytest.raises(contentdb.NotAStoreError, match=r"belongs to user 0.*mode='r'"):
        as_user(OTHERS[0], lambda: contentdb.open(root))


@pytest.mark.root
def test_files_of_a_third_user_are_not_served(root: Path) -> None:
    shown(root)
    os.chown(root / "blobs" / "sha256" / FIRST[7:9] / FIRST[7:], OTHERS[1], -1)
    with pytest.raises(contentdb.CorruptBlobError, match="of the store's owner"):
        as_user(OTHERS[0], lambda: contentdb.open(root, mode="r").read(FIRST))


def test_a_root_that_others_may_write_to_is_refused(root: Path) -> None:
    root.chmod(0o777)
    with pytest.raises(contentdb.StoreError, match="others may write"):
        contentdb.open(root, mode="r")


@pytest.mark.root
def test_an_owner_without_the_right_to_write_may_read(root: Path) -> None:
    """Root has every right, so another does this."""
    cold(root)
    for path in [root, *root.rglob("*")]:
        os.chown(path, OTHERS[0], OTHERS[0])
    root.chmod(0o555)
    as_user(OTHERS[0], lambda: read_all(root), group=OTHERS[0])
    with pytest.raises(contentdb.StoreReadOnlyError, match="Permission denied"):
        as_user(OTHERS[0], lambda: contentdb.open(root))
    assert as_user(OTHERS[0], lambda: may_only_read(root))
    assert may_only_read(root)
    assert not may_only_read(root / "none")


# -- forks and the end ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_both_sides_of_a_fork_go_on_reading(root: Path, state: Callable[[Path], None]) -> None:
    state(root)
    with contentdb.open(root, mode="r") as store:
        walk = store.walk()
        next(walk)
        child = os.fork()
        if not child:
            os._exit(store.info(FIRST).labels != LABELS or len(list(walk)) != len(WORDS) - 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store.info(FIRST).labels == LABELS
        assert len(list(walk)) == len(WORDS) - 1


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_left_among_temporary_files(
    root: Path, place: Path, monkeypatch: pytest.MonkeyPatch, state: Callable[[Path], None]
) -> None:
    import tempfile

    state(root)
    (place / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place / "tmp"))
    read_all(root)
    assert list((place / "tmp").iterdir()) == []


def test_a_lock_that_is_never_free_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contentdb.local.index import readonly

    monkeypatch.setattr(readonly, "BUSY_S", 0.01)
    directory = files.open_directory(str(root))
    try:
        with contentdb.open(root, mode="r") as store:
            assert files.lock(directory.fd, str(root))
            with pytest.raises(contentdb.IndexBusyError):
                store.usage()
    finally:
        directory.close()


def test_the_import_of_the_library_does_not_pay_for_it() -> None:
    code = "import sys, contentdb; sys.exit('contentdb.local.index.readonly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- the command line ----------------------------------------------------------------------------

COMMANDS: list[tuple[str, ...]] = [
    ("ls",), ("cat", FIRST), ("path", FIRST), ("info", FIRST), ("active",), ("du",), ("verify",),
]  # fmt: skip


@pytest.mark.root
def test_commands_that_only_read_do_so_where_nothing_can_be_written(
    root: Path, place: Path
) -> None:
    hot(root)
    with seen_read_only(root, place) as mount:
        before = tree(mount)
        for words in COMMANDS:
            result = call(mount, *words)
            assert result.exit_code == 0, result.output
        out = place / "out"
        assert call(mount, "export", FIRST, out).exit_code == 0
        assert out.read_bytes() == WORDS[0]
        for words in (("rm", FIRST), ("add", str(out)), ("label", FIRST, "a=b"), ("prune",)):
            done = run(mount, *words)
            assert done.returncode == 1, words
            assert b"Read-only file system; what is there can be read" in done.stderr
        assert tree(mount) == before


@pytest.mark.root
def test_a_read_only_server_serves_where_nothing_can_be_written(root: Path, place: Path) -> None:
    grpc = pytest.importorskip("contentdb.server.daemon", reason="needs the extra `grpc`")
    hot(root)
    with seen_read_only(root, place) as mount:
        before = tree(mount)
        with grpc.Server(mount, read_only=True) as server:
            server.listen_unix(place / "private" / "c.sock")
            server.start()
            remote = contentdb.connect(str(place / "private" / "c.sock"))
            assert remote.read(FIRST) == WORDS[0]
            assert remote.info(FIRST).labels == LABELS
            remote.close()
        assert tree(mount) == before
