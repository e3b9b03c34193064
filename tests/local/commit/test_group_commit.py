"""A store of a group: each member does what another's store-owner may do, and nobody else does.

Members are other users than root, who has every right to every file.
"""

from __future__ import annotations

import io
import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import Digest
from tests.users import OTHERS, as_user, place_for_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.root

GROUP = 64_100
MAKER, MEMBER = OTHERS
STRANGER = 64_003
OWN_GROUP = {MAKER: 64_011, MEMBER: 64_012, STRANGER: 64_013}
CONTENT = b"of one member"
DIGEST = Digest.of(CONTENT)


def member(user: int, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the work gives
    """Work as a member of the group, whose own group is another, under a usual umask."""
    return as_user(user, work, group=OWN_GROUP[user], groups=(GROUP,))


def within(root: Path, work: Callable[[contentdb.Store], Any], **options: Any) -> Any:  # noqa: ANN401
    with contentdb.open(root, create=False, **options) as store:
        return work(store)


@pytest.fixture
def place() -> Iterator[Path]:
    yield from place_for_all()


@pytest.fixture
def root(place: Path) -> Path:
    """Made by one member in a directory that was given to the group."""
    root = place / "store"
    root.mkdir()
    os.chown(root, MAKER, GROUP)
    member(MAKER, lambda: contentdb.open(root, shared="group").add(CONTENT))
    return root


def test_all_that_is_made_is_the_groups_whatever_the_umask(root: Path) -> None:
    member(MEMBER, lambda: within(root, fill_every_place))
    for path in [root, *root.rglob("*")]:
        found = path.lstat()
        assert found.st_gid == GROUP, path
        mode = stat.S_IMODE(found.st_mode)
        if path.is_dir():
            assert mode == 0o2770, path
        elif path.parent.parent.parent.name == "blobs":
            assert mode == 0o444, path
        else:
            assert mode == 0o660, path


def fill_every_place(store: contentdb.Store) -> None:
    store.add(b"another algorithm", expected=Digest.of(b"another algorithm", "sha512"))
    list(store.add_many([b"one", b"two"]))
    with store.writer("half") as writer:
        writer.write(b"half")


def test_a_store_remembers_that_it_is_a_groups(root: Path) -> None:
    """And says so of another option than it was made with, before it does anything."""
    assert member(MEMBER, lambda: within(root, lambda store: store.read(DIGEST))) == CONTENT
    assert member(MEMBER, lambda: within(root, lambda store: store.mode)) == "rw"
    member(MEMBER, lambda: contentdb.open(root, shared="group").close())


@pytest.mark.parametrize("user", [MAKER, MEMBER])
def test_each_member_reads_writes_labels_and_deletes(root: Path, user: int) -> None:
    def work(store: contentdb.Store) -> None:
        assert store.read(DIGEST) == CONTENT
        assert not store.add(CONTENT, labels={"more": "of it"}).new
        assert store.update(DIGEST, {"a": "b"}).labels == {"a": "b"}
        assert store.info(DIGEST).labels == {"a": "b"}
        new = store.add(b"new", labels={"c": "d"})
        assert list(store.verify()) == []
        store.delete(DIGEST)
        assert not store.exists(DIGEST)
        with pytest.raises(contentdb.NotFoundError):
            store.read(DIGEST)
        assert store.add(CONTENT).new
        assert [info.digest for info in store.walk(labels={"c": "d"})] == [new.digest]

    member(user, lambda: within(root, work))


def update(labels: dict[str, str], store: contentdb.Store) -> None:
    store.update(DIGEST, labels)


def test_what_one_changes_another_sees_at_once(root: Path) -> None:
    """A file's time says nothing here: only its owner may set it."""
    with contentdb.open(root, mode="r") as reading:
        for user in (MEMBER, MAKER, MEMBER):
            labels = {"by": str(user)}
            member(user, partial(within, root, partial(update, labels)))
            assert reading.info(DIGEST).labels == labels
        member(MEMBER, lambda: within(root, lambda store: store.delete(DIGEST)))
        with pytest.raises(contentdb.NotFoundError):
            reading.read(DIGEST)


def test_an_open_store_remembers_nothing_of_what_others_may_change(root: Path) -> None:
    """Each waits for the other at the end of a pipe."""
    asked, ask = os.pipe()
    done, tell = os.pipe()

    def remember() -> None:
        with contentdb.open(root) as store:
            assert store.info(DIGEST).labels == {}
            assert store.add(CONTENT).labels == {}
            os.write(ask, b"x")
            os.read(done, 1)
            assert store.info(DIGEST).labels == {"a": "b"}
            assert store.add(CONTENT).labels == {"a": "b"}

    child = os.fork()
    if not child:
        os.read(asked, 1)
        member(MEMBER, lambda: within(root, lambda store: store.update(DIGEST, {"a": "b"})))
        os.write(tell, b"x")
        os._exit(0)
    member(MAKER, remember)
    os.waitpid(child, 0)
    for fd in (asked, ask, done, tell):
        os.close(fd)


@pytest.mark.parametrize("killed_at", ["half", "sealed"])
def test_a_member_goes_on_with_the_ingest_of_another_that_is_dead(
    root: Path, killed_at: str
) -> None:
    """Only its owner could make the file read-only: the bytes are copied."""

    def begin(store: contentdb.Store) -> None:
        with store.writer("r") as writer:
            writer.write(b"first half")

    member(MAKER, lambda: within(root, begin))
    if killed_at == "sealed":  # between C3 and C4
        (file,) = [path for path in (root / "ingest").iterdir() if path.stat().st_size]
        file.chmod(0o444)

    def go_on(store: contentdb.Store) -> contentdb.Info:
        assert store.status("r").offset == 10
        info = store.ingest("r", io.BytesIO(b"first half, second half"))
        assert list(store.statuses()) == []
        return info

    info = member(MEMBER, lambda: within(root, go_on))
    assert info.size == 23
    assert (root / "blobs/sha256" / info.digest[7:9] / info.digest[7:]).stat().st_uid == MEMBER


def test_a_member_aborts_and_prunes_what_another_left(root: Path) -> None:
    def leave(store: contentdb.Store) -> None:
        with store.writer("r") as writer:
            writer.write(b"half")
        with store.writer("s") as writer:
            writer.write(b"half")

    member(MAKER, lambda: within(root, leave))
    (root / "ingest" / f".{'0' * 32}-1").write_bytes(b"of one who was killed")
    os.chown(root / "ingest" / f".{'0' * 32}-1", MAKER, GROUP)

    def tidy(store: contentdb.Store) -> None:
        store.abort("r")
        assert store.prune(older_than=0)
        assert list(store.statuses()) == []

    member(MEMBER, lambda: within(root, tidy))
    assert list((root / "ingest").iterdir()) == []


def test_a_member_heals_what_another_stored(root: Path) -> None:
    path = root / "blobs/sha256" / DIGEST[7:9] / DIGEST[7:]
    path.write_bytes(b"x" * len(CONTENT))

    def heal(store: contentdb.Store) -> None:
        with pytest.raises(contentdb.CorruptBlobError):
            store.read(DIGEST)
        assert list((root / "quarantine").iterdir())
        store.add(CONTENT)
        assert store.read(DIGEST) == CONTENT

    member(MEMBER, lambda: within(root, heal))
    assert path.stat().st_uid == MEMBER


def test_a_member_repairs_and_reindexes(root: Path) -> None:
    """An orphan of another is adopted as it is; a wrong mode is its owner's to mend."""
    orphan = Digest.of(b"an orphan")
    path = root / "blobs/sha256" / orphan[7:9] / orphan[7:]
    path.write_bytes(b"an orphan")
    path.chmod(0o444)
    os.chown(path, MAKER, GROUP)

    def mend(store: contentdb.Store) -> None:
        findings = list(store.verify())
        assert [done.action for done in contentdb.repair(store, findings)] == ["adopted"]
        assert store.read(orphan) == b"an orphan"
        assert store.reindex().kept == 2

    age(path)
    member(MEMBER, lambda: within(root, mend))
    (root / "index.sqlite").write_bytes(b"no index any more")
    assert member(MEMBER, lambda: contentdb.reindex(root)).adopted == 2
    for index in root.glob("index.sqlite*"):
        assert stat.S_IMODE(index.stat().st_mode) == 0o660, index
    assert member(MAKER, lambda: within(root, lambda store: store.read(orphan))) == b"an orphan"


def age(path: Path) -> None:
    """Long enough to be no commit in flight."""
    os.utime(path, (1_600_000_000, 1_600_000_000))


def test_a_file_is_moved_in_as_a_copy(root: Path, place: Path) -> None:
    """The source's group is another, so that its file would not be the store's."""
    (place / "inbox").mkdir()
    source = place / "inbox" / "source"
    source.write_bytes(b"moved in")
    for path in (source, source.parent):
        os.chown(path, MEMBER, OWN_GROUP[MEMBER])

    def move(store: contentdb.Store) -> str:
        return store.add(source, link="move").digest

    digest = member(MEMBER, lambda: within(root, move))
    assert not source.exists()
    assert member(MAKER, lambda: within(root, lambda store: store.read(digest))) == b"moved in"


def test_another_user_may_neither_write_nor_read(root: Path) -> None:
    with pytest.raises(contentdb.StorageError, match="Permission denied"):
        as_user(STRANGER, lambda: contentdb.open(root, create=False))
    with pytest.raises(contentdb.NotAStoreError, match=f"belongs to group {GROUP}"):
        contentdb.open(root)  # root is no member
    with contentdb.open(root, mode="r") as store:
        assert store.read(DIGEST) == CONTENT


@pytest.mark.parametrize("planted", ["a link", "a file of another group", "a device"])
def test_what_is_none_of_the_groups_is_not_served(root: Path, place: Path, planted: str) -> None:
    path = root / "blobs/sha256" / DIGEST[7:9] / DIGEST[7:]
    path.unlink()
    outside = place / "outside"
    outside.write_bytes(CONTENT)
    outside.chmod(0o444)
    if planted == "a link":
        path.symlink_to(outside)
    elif planted == "a device":
        os.mknod(path, 0o660 | stat.S_IFCHR, os.makedev(1, 5))
        os.chown(path, STRANGER, GROUP)
    else:
        os.chown(outside, STRANGER, OWN_GROUP[STRANGER])
        path.hardlink_to(outside)

    def read(store: contentdb.Store) -> bytes:
        return store.read(DIGEST)

    with pytest.raises(contentdb.CorruptBlobError):
        member(MEMBER, lambda: within(root, read))


def test_one_that_others_may_write_to_as_well_is_refused(root: Path) -> None:
    root.chmod(0o2777)
    with pytest.raises(contentdb.StoreError, match="others may write"):
        member(MEMBER, lambda: contentdb.open(root))


def test_a_store_for_one_is_refused_as_ever_and_is_not_given_away(place: Path) -> None:
    root = place / "private"
    contentdb.open(root).close()
    with pytest.raises(contentdb.StoreError, match="made for its owner alone"):
        contentdb.open(root, shared="group")
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    root.chmod(0o770)
    with pytest.raises(contentdb.StoreError, match=r"others may write.*--shared=group"):
        contentdb.open(root)


def test_a_group_that_its_maker_is_not_in_is_refused(place: Path) -> None:
    """chmod(2) leaves the bit out without a word."""
    root = place / "store"
    root.mkdir()
    os.chown(root, MAKER, GROUP)
    with pytest.raises(contentdb.StoreError, match=f"its group {GROUP} is none of this user's"):
        as_user(MAKER, lambda: contentdb.open(root, shared="group"), group=OWN_GROUP[MAKER])
    assert list(root.iterdir()) == []
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_an_owner_who_left_the_group_is_refused(root: Path) -> None:
    """What he makes would be closed to the others."""
    with pytest.raises(contentdb.NotAStoreError, match=f"belongs to group {GROUP}"):
        as_user(MAKER, lambda: contentdb.open(root), group=OWN_GROUP[MAKER])


def test_an_empty_directory_of_a_group_is_no_reason_to_share(place: Path) -> None:
    """It is asked for, or the store is its owner's."""
    root = place / "store"
    root.mkdir()
    root.chmod(0o2770)
    contentdb.open(root).close()
    assert stat.S_IMODE(root.stat().st_mode) & 0o777 == 0o700


def test_a_making_that_was_cut_off_goes_on_as_it_was_begun(root: Path) -> None:
    for path in root.glob("index.sqlite*"):
        path.unlink()
    (root / "blobs/sha256" / DIGEST[7:9] / DIGEST[7:]).unlink()
    member(MEMBER, lambda: contentdb.open(root).add(CONTENT))
    assert stat.S_IMODE(root.stat().st_mode) == 0o2770
    assert stat.S_IMODE((root / "index.sqlite").stat().st_mode) == 0o660


def test_the_command_line_makes_it(place: Path) -> None:
    from tests.cli.shell import run

    done = run(place / "store", "init", "--shared=group")
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((place / "store").stat().st_mode) == 0o2770
    assert run(place / "store", "init", "--shared=all").returncode == 2
    assert run(place / "store", "add", __file__).returncode == 0


def test_no_other_word_is_taken(place: Path) -> None:
    with pytest.raises(contentdb.InvalidArgumentError, match="'group' or None"):
        contentdb.open(place / "store", shared="all")  # type: ignore[arg-type]
    assert not Path(place / "store").exists()
