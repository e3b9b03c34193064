"""Bad roots, planted links, damaged indexes and blobs: one clear error, nothing lost or left."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import (
    ContentDBError,
    CorruptBlobError,
    Digest,
    IndexDamagedError,
    NewerStoreError,
    NotAStoreError,
    files,
)
from contentdb.local.layout import ingest_name
from tests.fixtures import Child, tree
from tests.inside import blob_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contentdb import Store

DIGEST = Digest.of(b"content")

AS_NOBODY = """
import os
import contentdb.store.open  # while the interpreter's own files can be read
contentdb.open
os.setgid(65534); os.setuid(65534)
try:
    with contentdb.open(root) as store:
        print("read", store.read(args[0]), flush=True)
        store.add(b"more")
        print("added", flush=True)
except contentdb.ContentDBError as error:
    print(type(error).__name__, "|".join(str(error).splitlines()), flush=True)
"""


def one_line(error: pytest.ExceptionInfo[ContentDBError]) -> str:
    """The message, which must be a single line."""
    text = str(error.value)
    assert "\n" not in text
    return text


# -- roots -------------------------------------------------------------------------------------


@pytest.mark.parametrize("create", [True, False])
def test_a_root_that_is_a_file(tmp_path: Path, *, create: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    with pytest.raises(NotAStoreError) as caught:
        contentdb.open(path, create=create)
    assert str(path) in one_line(caught)
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("create", [True, False])
def test_a_root_that_is_something_else(tmp_path: Path, *, create: bool) -> None:
    """A directory with other things in it is not turned into a store."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to whom").write_bytes(b"mine")
    with pytest.raises(ContentDBError) as caught:
        contentdb.open(tmp_path, create=create)
    assert isinstance(caught.value, (NotAStoreError, contentdb.StoreNotFoundError))
    one_line(caught)
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


@pytest.mark.parametrize(
    "name",
    ["per%cent", "100%20", "with space", "quo'te", 'dou"ble', "Ünïcødé-漢字", "new\nline", "a?b#c",
     "semi;colon", ":memory:", "-dash", "$HOME"],
)  # fmt: skip
def test_roots_of_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    with contentdb.open(root) as store:
        store.add(b"content", labels={"k": "v"})
        with store.writer("r") as writer:
            writer.write(b"con")
    with contentdb.open(root, create=False) as store:
        assert store.read(DIGEST) == b"content"
        assert store.path(DIGEST) == blob_path(root, DIGEST)
        assert [info.digest for info in store.walk("labels.k==v")] == [DIGEST]
        assert store.status("r").offset == 3
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_root_that_is_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "root").symlink_to("nowhere")
    with pytest.raises(ContentDBError) as caught:
        contentdb.open(tmp_path / "root", create=False)
    one_line(caught)
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_two_stores_in_one_process(tmp_path: Path) -> None:
    """Stores on different roots have nothing to do with each other, the same ref included."""
    with contentdb.open(tmp_path / "a") as one, contentdb.open(tmp_path / "b") as two:
        one.add(b"content")
        assert not two.exists(DIGEST)
        with one.writer("r") as writer, two.writer("r") as other:
            writer.write(b"1")
            other.write(b"22")
        assert (one.status("r").offset, two.status("r").offset) == (1, 2)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user may enter, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(dir="/tmp", prefix="contentdb-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.root
def test_a_root_of_another_user(shared: Path) -> None:
    """Its owner alone may look into a store; others are told so and leave nothing behind."""
    with contentdb.open(shared / "store") as store:
        store.add(b"content")
    before = tree(shared)
    with Child(AS_NOBODY, shared / "store", DIGEST) as child:
        said = child.heard()
    assert said.split()[0] in {"StorageError", "NotAStoreError", "StoreError", "IndexFailedError"}
    assert str(shared / "store") in said
    assert "|" not in said
    assert tree(shared) == before


@pytest.mark.root
def test_a_parent_that_cannot_be_written(shared: Path) -> None:
    with Child(AS_NOBODY, shared / "store", DIGEST) as child:
        said = child.heard()
    assert "Error" in said.split()[0]
    assert "Permission denied" in said
    assert list(shared.iterdir()) == []


# -- planted links -----------------------------------------------------------------------------


def outside(tmp_path: Path) -> Path:
    """A directory that nobody must touch."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "precious").write_bytes(b"precious")
    return path


@pytest.mark.parametrize("name", ["blobs", "ingest", "trash", "quarantine"])
def test_a_link_in_place_of_a_directory(root: Path, tmp_path: Path, name: str) -> None:
    with contentdb.open(root) as store:
        store.add(b"content")
    target = outside(tmp_path)
    shutil.move(root / name, tmp_path / "moved")
    (root / name).symlink_to(target)
    before = tree(target)
    with pytest.raises(ContentDBError, match=name) as caught, contentdb.open(root) as store:  # noqa: PT012
        store.read(DIGEST)
        store.add(b"more")
        store.writer("r").close()
        store.delete(DIGEST)
    one_line(caught)
    assert tree(target) == before


@pytest.mark.parametrize("level", ["algorithm", "shard"])
def test_a_link_in_place_of_a_shard(root: Path, tmp_path: Path, level: str) -> None:
    """A copy of the blob is where the link leads, and still it is not followed."""
    with contentdb.open(root) as store:
        path = store.path(store.add(b"content").digest)
    planted = path.parent if level == "shard" else path.parent.parent
    shutil.move(planted, tmp_path / "moved")
    planted.symlink_to(tmp_path / "moved")
    with contentdb.open(root) as store:
        before = tree(tmp_path / "moved")
        with pytest.raises(ContentDBError) as caught:
            store.read(DIGEST)
        one_line(caught)
        with pytest.raises(ContentDBError):
            store.delete(DIGEST)
        assert tree(tmp_path / "moved") == before


def test_a_link_in_place_of_a_blob(store: Store, tmp_path: Path) -> None:
    target = outside(tmp_path) / "copy"
    target.write_bytes(b"content")
    path = store.path(store.add(b"content").digest)
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(CorruptBlobError) as caught:
        store.read(DIGEST)
    one_line(caught)
    store.add(b"content")
    assert store.read(DIGEST) == b"content"
    assert not path.is_symlink()
    assert target.read_bytes() == b"content"
    assert target.stat().st_mode & 0o200


@pytest.mark.parametrize("plant", ["link", "dangling", "fifo", "directory"])
def test_something_else_in_place_of_an_ingest(
    store: Store, root: Path, tmp_path: Path, plant: str
) -> None:
    target = outside(tmp_path)
    path = root / "ingest" / ingest_name("default", "r")
    if plant == "link":
        path.symlink_to(target / "precious")
    elif plant == "dangling":
        path.symlink_to(target / "new")
    elif plant == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = tree(target)
    with pytest.raises(ContentDBError) as caught:
        store.writer("r")
    one_line(caught)
    assert tree(target) == before
    store.add(b"content")
    assert store.read(DIGEST) == b"content"


def test_a_fifo_in_place_of_a_blob(store: Store) -> None:
    """It is reported, and nobody hangs."""
    path = store.path(store.add(b"content").digest)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CorruptBlobError):
        store.read(DIGEST)


# -- the index ---------------------------------------------------------------------------------


def spoil_text(index: Path) -> None:
    index.write_bytes(b"this is no database, just a text that is long enough to look like a file")


def spoil_zeros(index: Path) -> None:
    index.write_bytes(bytes(index.stat().st_size))


def spoil_cut(index: Path) -> None:
    os.truncate(index, index.stat().st_size // 2 + 100)


def spoil_header(index: Path) -> None:
    with index.open("r+b") as file:
        file.write(b"not SQLite")


@pytest.mark.parametrize("spoil", [spoil_text, spoil_zeros, spoil_cut, spoil_header])
def test_a_damaged_index(root: Path, spoil: Callable[[Path], None]) -> None:
    """It is told, no blob is touched, and reindexing brings every blob back."""
    with contentdb.open(root) as store:
        digests = sorted(store.add(b"%d" % number).digest for number in range(100))
    for name in ("index.sqlite-wal", "index.sqlite-shm"):
        (root / name).unlink(missing_ok=True)
    spoil(root / "index.sqlite")
    before = tree(root)
    with pytest.raises(IndexDamagedError) as caught, contentdb.open(root) as store:
        list(store.walk())
    assert "index.sqlite" in one_line(caught)
    assert tree(root) == before
    contentdb.reindex(root)
    with contentdb.open(root) as store:
        assert [info.digest for info in store.walk()] == digests
        assert list(store.verify()) == []


def test_a_newer_index(root: Path) -> None:
    with contentdb.open(root) as store:
        store.add(b"content")
    index = sqlite3.connect(root / "index.sqlite")
    index.execute("UPDATE alembic_version SET version_num = '9999'")
    index.commit()
    index.close()
    before = tree(root)
    with pytest.raises(NewerStoreError) as caught:
        contentdb.open(root)
    assert "9999" in one_line(caught)
    assert tree(root) == before


def test_a_link_in_place_of_the_index(root: Path, tmp_path: Path) -> None:
    with contentdb.open(root) as store:
        store.add(b"content")
    shutil.move(root / "index.sqlite", tmp_path / "elsewhere.sqlite")
    (root / "index.sqlite").symlink_to(tmp_path / "elsewhere.sqlite")
    before = (tmp_path / "elsewhere.sqlite").read_bytes()
    with pytest.raises(ContentDBError) as caught:
        contentdb.open(root)
    one_line(caught)
    assert (tmp_path / "elsewhere.sqlite").read_bytes() == before


# -- blobs -------------------------------------------------------------------------------------


def rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


HARMS: dict[str, Callable[[Path], None]] = {
    "altered": lambda path: rewrite(path, b"CONTENT"),
    "truncated": lambda path: rewrite(path, b"cont"),
    "emptied": lambda path: rewrite(path, b""),
    "longer": lambda path: rewrite(path, b"content and more"),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_blob_changed_by_hand(store: Store, second: Store, harm: str) -> None:
    """It is reported by reads and by verify, and healed by writing the content again."""
    bystander = store.add(b"bystander").digest
    path = store.path(store.add(b"content").digest)
    HARMS[harm](path)
    kind = "missing" if harm == "removed" else "corrupt"
    assert [(found.kind, found.digest) for found in store.verify()] == [(kind, DIGEST)]
    for one in (store, second):
        with pytest.raises(CorruptBlobError) as caught:
            one.read(DIGEST)
        assert str(path) in one_line(caught)
    store.add(b"content")
    assert store.read(DIGEST) == second.read(DIGEST) == b"content"
    assert path.stat().st_mode & 0o777 == 0o444
    assert list(store.verify()) == []
    assert second.read(bystander) == b"bystander"


def test_a_filter_full_of_sql(store: Store) -> None:
    info = store.add(b"content", labels={"k": "v"})
    for text in (
        'labels.k=="\'); DROP TABLE blobs; --"',
        "labels.\"k' OR '1'='1\"==v",
        'digest=="\' UNION SELECT sql FROM sqlite_master --"',
        'labels.k~="\'; DELETE FROM blobs; --"',
    ):
        assert list(store.walk(text)) == []
    assert list(store.walk()) == [info]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda store: store.walk(limit=2**64), contentdb.InvalidArgumentError),
        (
            lambda store: store.update(DIGEST, {}, fields=["labels.\ud800"]),
            contentdb.InvalidLabelError,
        ),
        (lambda store: store.open(DIGEST).seek(0, 9), ValueError),
        (lambda store: store.open(DIGEST).seek(2**63), ValueError),
    ],
    ids=["limit", "field", "whence", "offset"],
)
def test_numbers_and_texts_that_the_system_does_not_have(
    store: contentdb.Store, call: Callable[[contentdb.Store], object], error: type[Exception]
) -> None:
    store.add(b"content")
    with pytest.raises(error):
        call(store)


def test_a_prune_of_what_is_older_than_ever_finds_nothing(store: contentdb.Store) -> None:
    store.writer("r").close()
    assert list(store.prune(older_than=float("inf"))) == []


def test_a_prune_takes_a_name_that_is_no_text(store: contentdb.Store, root: Path) -> None:
    strange = root / "ingest" / os.fsdecode(b"\xff")
    strange.touch(0o600)
    list(store.prune(older_than=0))
    assert not strange.exists()


def test_a_directory_that_refuses_says_so(
    store: contentdb.Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write anywhere, so it is told by the seam."""

    def refuse(within: files.Directory, name: str, flags: int, mode: int = 0o600) -> int:
        del within, mode
        raise (
            PermissionError(13, "Permission denied")
            if flags & os.O_CREAT
            else FileNotFoundError(2, "No such file or directory", name)
        )

    monkeypatch.setattr(files, "open_file", refuse)
    with pytest.raises(contentdb.StorageError, match="Permission denied"):
        store.writer("r")


@pytest.mark.parametrize("total", [5.5, 10**5000, -1], ids=["broken", "huge", "negative"])
def test_a_size_is_a_whole_number(store: contentdb.Store, total: Any) -> None:  # noqa: ANN401
    with pytest.raises(contentdb.InvalidArgumentError, match="whole number"):
        store.writer("r", total=total)


def test_no_such_link_whatever_the_source(store: contentdb.Store) -> None:
    with pytest.raises(contentdb.InvalidArgumentError, match="link is one of"):
        store.add(b"content", link="bogus")  # type: ignore[arg-type]


@pytest.mark.parametrize("wait", [-1.0, float("nan")])
def test_a_wait_is_a_time(store: contentdb.Store, wait: float) -> None:
    with store.writer("r"), pytest.raises(contentdb.InvalidArgumentError, match="a wait is"):
        store.writer("r", wait=wait)


def test_objects_are_adopted_only_in_a_database(root: Path) -> None:
    """The message names the kind of store, not a place to go to."""
    with (
        contentdb.open(root) as store,
        pytest.raises(contentdb.FailedPreconditionError, match="adopt is for a store in"),
    ):
        store.adopt()
