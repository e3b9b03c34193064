"""What is written outside of a store harms nothing that is there, whichever call writes it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

import contentdb
from contentdb import oci
from contentdb.errors import CorruptBlobError, InvalidArgumentError, StorageError
from contentdb.streams.export import draft, save
from tests.fixtures import tree
from tests.hostile.server import Image, sha
from tests.stress.planting import plant_socket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Export = Callable[[contentdb.Store, Path], object]

IMAGE = Image()
MANIFEST = contentdb.Digest(sha(IMAGE.manifest))


def save_here(store: contentdb.Store, target: Path) -> None:
    """What a served store's `export` does."""
    with store.open(MANIFEST) as reader:
        save(reader, target)


EXPORTS: dict[str, Export] = {
    "copy": lambda store, target: store.export(MANIFEST, target, link="copy"),
    "reflink": lambda store, target: store.export(MANIFEST, target),
    "hardlink": lambda store, target: store.export(MANIFEST, target, link="hardlink"),
    "remote": save_here,
    "tar": lambda store, target: oci.export_tar(store, target, [MANIFEST]),
}


@pytest.fixture(params=EXPORTS)
def export(request: pytest.FixtureRequest) -> Export:
    """Each call that writes to a path of the caller's."""
    return EXPORTS[request.param]


@pytest.fixture
def store(store: contentdb.Store) -> contentdb.Store:
    """With an image in it."""
    for blob in (IMAGE.config, IMAGE.layer, IMAGE.manifest):
        store.add(blob)
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where to export to."""
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def link_to_file(target: Path) -> None:
    (target.parent / "precious").write_bytes(b"precious")
    target.symlink_to("precious")


def link_to_nothing(target: Path) -> None:
    target.symlink_to("nothing")


def link_to_folder(target: Path) -> None:
    (target.parent / "elsewhere").mkdir()
    target.symlink_to("elsewhere")


def device(target: Path) -> None:
    os.mknod(target, stat.S_IFCHR | 0o666, os.makedev(1, 3))  # as /dev/null


def block_device(target: Path) -> None:
    os.mknod(target, stat.S_IFBLK | 0o600, os.makedev(7, 250))


def file_of_another(target: Path) -> None:
    target.write_bytes(b"precious")
    os.chown(target, 12345, 12345)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (link_to_file, "a symbolic link"),
        (link_to_nothing, "a symbolic link"),
        (link_to_folder, "a symbolic link"),
        (os.mkfifo, "a FIFO"),
        (plant_socket, "a socket"),
        (os.mkdir, "a directory"),
        pytest.param(device, "a device", marks=pytest.mark.root),
        pytest.param(block_device, "a device", marks=pytest.mark.root),
        pytest.param(file_of_another, "user 12345", marks=pytest.mark.root),
    ],
)
def test_only_a_regular_file_of_this_user_is_replaced(
    store: contentdb.Store,
    folder: Path,
    export: Export,
    make: Callable[[Path], object],
    told: str,
) -> None:
    """4.4b: an export replaces nothing else."""
    target = folder / "target"
    make(target)
    before = os.lstat(target)
    with pytest.raises(StorageError, match=told):
        export(store, target)
    assert os.path.samestat(os.lstat(target), before)
    others = {"target", "precious", "elsewhere"}
    assert {path.name for path in folder.iterdir()} <= others
    assert not (folder / "nothing").exists()
    for precious in folder.glob("precious"):
        assert precious.read_bytes() == b"precious"


def test_what_is_not_replaced_is_told_with_a_way_that_works(
    store: contentdb.Store, folder: Path
) -> None:
    (folder / "link").symlink_to("nothing")
    for write in (lambda path: store.export(MANIFEST, path), lambda path: save_here(store, path)):
        with pytest.raises(StorageError, match=rf"`contentdb cat {MANIFEST} > FILE`"):
            write(folder / "link")


def test_what_comes_to_the_target_meanwhile_is_not_replaced(folder: Path) -> None:
    """It is looked at again once the new file is whole, which may be hours later."""
    target = folder / "target"

    def write() -> None:
        with draft(target) as new:
            (folder / new.name).write_bytes(b"whole")
            link_to_file(target)

    with pytest.raises(StorageError, match="symbolic link"):
        write()
    assert sorted(path.name for path in folder.iterdir()) == ["precious", "target"]
    assert target.is_symlink()


def lose_index(root: Path) -> None:
    for path in root.glob("index.sqlite*"):
        path.unlink()


def lose_empty_directories(root: Path) -> None:
    for name in ("ingest", "trash", "quarantine"):
        (root / name).rmdir()


@pytest.mark.parametrize("harm", [os.stat, lose_index, lose_empty_directories])
@pytest.mark.parametrize("inside", ["new", "index.sqlite", "blobs/sha256/00/new", "BLOB"])
def test_nothing_is_written_into_another_store(
    store: contentdb.Store, tmp_path: Path, harm: Callable[[Path], object], inside: str
) -> None:
    """4.4b: not even into one that is no whole store any more."""
    with contentdb.open(tmp_path / "other") as other:
        blob = other.path(other.add(IMAGE.config).digest)
    harm(other.root)
    before = tree(other.root)
    target = other.root / inside.replace("BLOB", str(blob.relative_to(other.root)))
    for export in (*EXPORTS.values(), layout_at):
        with pytest.raises(StorageError, match="inside the store at"):
            export(store, target)
    assert tree(other.root) == before


@pytest.mark.parametrize("target", [None, b"bytes", 5], ids=repr)
def test_a_target_that_is_no_path_is_refused_by_name(
    store: contentdb.Store,
    target: Any,  # noqa: ANN401
) -> None:
    """B: it is an error of the library, before the blob is opened."""
    with pytest.raises(contentdb.InvalidArgumentError, match="a target is a path"):
        store.export(MANIFEST, target)


def test_nothing_is_written_into_this_store(
    store: contentdb.Store, folder: Path, export: Export
) -> None:
    """Not by way of a link to one of its folders either."""
    (folder / "way").symlink_to(store.root / "quarantine")
    before = tree(store.root)
    for target in (store.path(MANIFEST), folder / "way" / "target"):
        with pytest.raises(StorageError, match="inside the store at"):
            export(store, target)
    assert tree(store.root) == before


def layout_at(store: contentdb.Store, target: Path) -> None:
    oci.export_layout(store, target, [MANIFEST])


@pytest.mark.parametrize("name", ["index.json", "oci-layout", f"blobs/sha256/{MANIFEST.encoded}"])
def test_a_layout_is_not_written_through_a_link(
    store: contentdb.Store, folder: Path, name: str
) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    (folder / "precious").write_bytes(b'{"manifests":[]}')
    target.symlink_to(folder / "precious")
    with pytest.raises(StorageError, match="symbolic link"):
        oci.export_layout(store, folder, [MANIFEST])
    assert target.is_symlink()
    assert (folder / "precious").read_bytes() == b'{"manifests":[]}'


def test_a_layout_of_images_is_no_store(store: contentdb.Store, folder: Path) -> None:
    oci.export_layout(store, folder, [MANIFEST])
    store.export(MANIFEST, folder / "blobs" / "beside")
    oci.export_layout(store, folder, [MANIFEST])


def test_a_link_to_a_folder_is_followed_and_a_second_name_of_a_file_left(
    store: contentdb.Store, folder: Path, export: Export
) -> None:
    """A file that has another name is replaced under this one alone."""
    (folder.parent / "way").symlink_to(folder)
    target = folder.parent / "way" / "target"
    (folder / "other name").write_bytes(b"precious")
    (folder / "target").hardlink_to(folder / "other name")
    export(store, target)
    assert (folder / "other name").read_bytes() == b"precious"
    assert IMAGE.manifest in target.read_bytes()


def test_damage_leaves_the_target_and_nothing_beside_it(
    store: contentdb.Store, folder: Path
) -> None:
    """4.4b: an export that fails leaves the target as it was."""
    layer = contentdb.Digest(sha(IMAGE.layer))
    path = store.path(layer)
    path.chmod(0o600)
    path.write_bytes(bytes(reversed(IMAGE.layer)))
    path.chmod(0o400)
    (folder / "target").write_bytes(b"before")
    with store.open(layer) as reader, pytest.raises(CorruptBlobError):
        save(reader, folder / "target")
    with pytest.raises(CorruptBlobError):
        store.export(layer, folder / "target")
    assert tree(folder) == {"target": b"before"}


@pytest.mark.parametrize("name", ["", ".", "..", "nul\0inside", "x" * 300, "missing/target"])
def test_what_names_no_file_is_refused(store: contentdb.Store, folder: Path, name: str) -> None:
    for write in (EXPORTS["copy"], EXPORTS["remote"], EXPORTS["tar"]):
        with pytest.raises((StorageError, InvalidArgumentError)):
            write(store, folder / name)
    assert tree(folder) == {}


def test_a_blob_of_a_layout_that_was_cut_short_is_written_again(
    store: contentdb.Store, folder: Path
) -> None:
    """An export is not synced, so a power cut may leave it so."""
    oci.export_layout(store, folder, [MANIFEST], link="copy")
    exported = folder / "blobs" / "sha256" / MANIFEST.encoded
    os.truncate(exported, 5)
    oci.export_layout(store, folder, [MANIFEST], link="copy")
    assert exported.read_bytes() == IMAGE.manifest
