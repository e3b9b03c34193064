"""Image layouts: what goes out comes in again, and a stranger's layout cannot lead astray."""

import io
import json
import os
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import contentdb
from contentdb import oci
from contentdb.content import ExportLink
from contentdb.errors import ContentDBError, StorageError
from contentdb.oci.layout import write
from tests.hostile.server import INDEX, LAYER, MANIFEST, Image, descriptor, sha

IMAGE = Image()
TOP = sha(IMAGE.manifest)
WITHDRAWN = "application/vnd.oci.artifact.manifest.v1+json"


def write_layout(root: Path, *blobs: bytes, top: bytes = IMAGE.manifest) -> Path:
    folder = root / "blobs" / "sha256"
    folder.mkdir(parents=True)
    for blob in (IMAGE.config, IMAGE.layer, top, *blobs):
        (folder / sha(blob)[7:]).write_bytes(blob)
    (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index = {"schemaVersion": 2, "manifests": [descriptor(MANIFEST, top)]}
    (root / "index.json").write_text(json.dumps(index))
    return root


def blob_path(root: Path, data: bytes) -> Path:
    return root / "blobs" / "sha256" / sha(data)[7:]


@pytest.mark.parametrize("link", ["copy", "reflink", "hardlink"])
def test_a_directory_comes_in_with_only_what_its_index_leads_to(
    link: ExportLink, store: contentdb.Store, tmp_path: Path
) -> None:
    layout = write_layout(tmp_path / "layout", b"of no use")
    assert oci.import_layout(store, layout, link=link) == [(TOP, MANIFEST, None, ())]
    stored = {str(info.digest) for info in store.walk()}
    assert stored == {TOP, sha(IMAGE.config), sha(IMAGE.layer)}
    assert store.info(TOP).labels["containerd.io/gc.ref.content.l.0"] == sha(IMAGE.layer)


def test_a_tar_made_twice_has_the_same_bytes_and_comes_in_again(
    store: contentdb.Store, tmp_path: Path
) -> None:
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    for target in (one, two):
        oci.export_tar(store, target, [TOP], tags={TOP: "v1"})
    assert one.read_bytes() == two.read_bytes()
    with contentdb.open(tmp_path / "other") as other:
        assert oci.import_layout(other, one) == [(TOP, MANIFEST, "v1", ())]
        assert other.read(sha(IMAGE.layer)) == IMAGE.layer


def test_a_tag_used_again_moves_and_the_rest_stays(store: contentdb.Store, tmp_path: Path) -> None:
    second = IMAGE.manifest + b"\n"
    oci.import_layout(store, write_layout(tmp_path / "a"))
    oci.import_layout(store, write_layout(tmp_path / "b", top=second))
    target = tmp_path / "out"
    oci.export_layout(store, target, [TOP], tags={TOP: "v1"})
    oci.export_layout(store, target, [TOP], tags={TOP: "old"})
    oci.export_layout(store, target, [sha(second)], tags={sha(second): "v1"})
    with contentdb.open(tmp_path / "other") as other:
        names = {image.name: image.digest for image in oci.import_layout(other, target)}
    assert names == {"v1": sha(second), "old": TOP}


def test_an_export_shares_the_stores_files(store: contentdb.Store, tmp_path: Path) -> None:
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    oci.export_layout(store, tmp_path / "out", [TOP])
    exported = blob_path(tmp_path / "out", IMAGE.layer)
    assert exported.samefile(store.path(sha(IMAGE.layer)))


def test_an_export_of_what_lacks_a_layer_is_refused_before_it_begins(
    store: contentdb.Store, tmp_path: Path
) -> None:
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    store.delete(sha(IMAGE.layer))
    with pytest.raises(contentdb.NotFoundError):
        oci.export_layout(store, tmp_path / "out", [TOP])
    assert not (tmp_path / "out").exists()


def swap_for_link(root: Path) -> None:
    path = blob_path(root, IMAGE.layer)
    path.rename(root / "elsewhere")
    path.symlink_to(root / "elsewhere")


def swap_folder_for_link(root: Path) -> None:
    (root / "blobs").rename(root / "elsewhere")
    (root / "blobs").symlink_to(root / "elsewhere")


def swap_for_pipe(root: Path) -> None:
    path = blob_path(root, IMAGE.layer)
    path.unlink()
    os.mkfifo(path)


def swap_index(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "index.json").write_text(text)


def swap_index_for_link(root: Path) -> None:
    (root / "index.json").unlink()
    (root / "index.json").symlink_to("/etc/passwd")


BAD: dict[str, Callable[[Path], object]] = {
    "blob a link": swap_for_link,
    "folder a link": swap_folder_for_link,
    "blob a pipe": swap_for_pipe,
    "blob missing": lambda root: blob_path(root, IMAGE.layer).unlink(),
    "blob of other bytes": lambda root: blob_path(root, IMAGE.layer).write_bytes(
        bytes(len(IMAGE.layer))
    ),
    "blob too long": lambda root: blob_path(root, IMAGE.layer).write_bytes(IMAGE.layer + b"x"),
    "blob too short": lambda root: blob_path(root, IMAGE.layer).write_bytes(b"x"),
    "manifest of other bytes": lambda root: blob_path(root, IMAGE.manifest).write_bytes(b"{}"),
    "another version": lambda root: (root / "oci-layout").write_text('{"imageLayoutVersion":"2"}'),
    "no index": lambda root: (root / "index.json").unlink(),
    "index a link": swap_index_for_link,
    "index without list": swap_index("{}"),
    "index of what is no longer read": swap_index(
        json.dumps({"manifests": [descriptor(WITHDRAWN, IMAGE.manifest)]})
    ),
    "index that climbs": swap_index(
        json.dumps({"manifests": [descriptor(MANIFEST, b"") | {"digest": "sha256:../../x"}]})
    ),
    "index without end": swap_index('{"manifests":[' + "[" * 100_000),
}


@pytest.mark.parametrize("harm", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("link", ["copy", "hardlink"])
def test_a_bad_layout_is_refused(
    link: ExportLink, harm: Callable[[Path], object], store: contentdb.Store, tmp_path: Path
) -> None:
    layout = write_layout(tmp_path / "layout")
    harm(layout)
    with pytest.raises(ContentDBError):
        oci.import_layout(store, layout, link=link)
    assert not store.exists(TOP)
    for info in store.walk():
        assert contentdb.Digest.of(store.path(info.digest).read_bytes()) == info.digest


def write_index(root: Path, *manifests: bytes) -> bytes:
    """A layout whose one image is an index; gives it."""
    named = [descriptor(MANIFEST, manifest) for manifest in manifests]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": named}).encode()
    write_layout(root, *manifests, index)
    top = {"schemaVersion": 2, "manifests": [descriptor(INDEX, index)]}
    (root / "index.json").write_text(json.dumps(top))
    return index


def test_what_is_taken_in_can_be_given_out_again(store: contentdb.Store, tmp_path: Path) -> None:
    """An import takes no deeper index within an index than an export or a push does."""
    documents, media_type = [IMAGE.manifest], MANIFEST
    for _ in range(4):
        inner = [descriptor(media_type, documents[-1])]
        outer = {"schemaVersion": 2, "mediaType": INDEX, "manifests": inner}
        documents.append(json.dumps(outer).encode())
        media_type = INDEX
    layout = write_layout(tmp_path / "layout", *documents)

    def name(top: bytes) -> None:
        text = json.dumps({"schemaVersion": 2, "manifests": [descriptor(INDEX, top)]})
        (layout / "index.json").write_text(text)

    name(documents[4])
    with pytest.raises(oci.InvalidManifestError, match="without end"):
        oci.import_layout(store, layout)
    assert list(store.walk()) == []
    name(documents[3])
    [image] = oci.import_layout(store, layout)
    oci.export_layout(store, tmp_path / "out", [image.digest])


OTHER = json.dumps(IMAGE.document() | {"annotations": {"an": "other"}}).encode()


def test_a_layout_that_lacks_a_platform_is_refused_unless_that_is_meant(
    store: contentdb.Store, tmp_path: Path
) -> None:
    """It may have been cut off: nothing is stored, and the error names what is missing."""
    index = write_index(tmp_path / "layout", IMAGE.manifest, OTHER)
    blob_path(tmp_path / "layout", OTHER).unlink()
    with pytest.raises(oci.IncompleteLayoutError, match=r"layout.*--partial") as refused:
        oci.import_layout(store, tmp_path / "layout")
    assert refused.value.missing == (sha(OTHER),)
    assert sha(OTHER) in str(refused.value)
    assert list(store.walk()) == []
    taken = oci.import_layout(store, tmp_path / "layout", partial=True)
    assert taken == [(sha(index), INDEX, None, (sha(OTHER),))]
    stored = {str(info.digest) for info in store.walk()}
    assert stored == {sha(index), TOP, sha(IMAGE.config), sha(IMAGE.layer)}


def test_what_the_store_has_already_is_not_missing(store: contentdb.Store, tmp_path: Path) -> None:
    write_index(tmp_path / "layout", IMAGE.manifest, OTHER)
    blob_path(tmp_path / "layout", OTHER).unlink()
    blob_path(tmp_path / "layout", IMAGE.layer).unlink()
    for data in (OTHER, IMAGE.layer):
        store.add(data)
    (taken,) = oci.import_layout(store, tmp_path / "layout")
    assert taken.missing == ()


@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("kept", [None, 5])
def test_no_manifest_that_is_there_may_lack_a_layer(
    store: contentdb.Store, tmp_path: Path, *, partial: bool, kept: int | None
) -> None:
    """A layer that is there only to some byte is missing too."""
    write_index(tmp_path / "layout", IMAGE.manifest, OTHER)
    layer = blob_path(tmp_path / "layout", IMAGE.layer)
    layer.unlink() if kept is None else os.truncate(layer, kept)
    with pytest.raises(oci.IncompleteLayoutError) as refused:
        oci.import_layout(store, tmp_path / "layout", partial=partial)
    assert refused.value.missing == (sha(IMAGE.layer),)
    assert ("--partial" in str(refused.value)) is not partial
    assert list(store.walk()) == []


def test_of_two_images_the_whole_one_is_taken(store: contentdb.Store, tmp_path: Path) -> None:
    root = write_layout(tmp_path / "layout")
    entries = [descriptor(MANIFEST, IMAGE.manifest), descriptor(MANIFEST, OTHER)]
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    whole, lost = oci.import_layout(store, root, partial=True)
    assert (whole.digest, whole.missing) == (TOP, ())
    assert (lost.digest, lost.missing) == (sha(OTHER), (sha(OTHER),))
    assert not store.exists(sha(OTHER))


def tar_with(tmp_path: Path, kind: bytes, linkname: str) -> Path:
    """A layout's tar whose layer is a link of some kind."""
    path = tmp_path / "bad.tar"
    layout = write_layout(tmp_path / "layout")
    with tarfile.open(path, "w") as tar:
        for file in (layout / "oci-layout", layout / "index.json"):
            tar.add(file, file.name)
        for data in (IMAGE.config, IMAGE.manifest):
            member = tarfile.TarInfo(f"blobs/sha256/{sha(data)[7:]}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        member = tarfile.TarInfo(f"blobs/sha256/{sha(IMAGE.layer)[7:]}")
        member.type, member.linkname = kind, linkname
        tar.addfile(member)
    return path


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_tar_whose_blob_is_no_file_is_refused(
    kind: bytes, store: contentdb.Store, tmp_path: Path
) -> None:
    with pytest.raises(oci.InvalidManifestError):
        oci.import_layout(store, tar_with(tmp_path, kind, "oci-layout"))


@pytest.mark.parametrize("data", [b"", b"rubbish" * 1000, b"\x1f\x8b\x08\x00" + bytes(600)])
def test_what_is_no_tar_is_refused(data: bytes, store: contentdb.Store, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(oci.InvalidManifestError):
        oci.import_layout(store, path)


def test_layers_media_type_is_kept(store: contentdb.Store, tmp_path: Path) -> None:
    oci.import_layout(store, write_layout(tmp_path / "layout"))
    assert store.info(sha(IMAGE.layer)).labels == {"contentdb.media-type": LAYER}


def test_an_empty_layout_of_another_tool_is_added_to(
    store: contentdb.Store, tmp_path: Path
) -> None:
    """As `umoci init` makes it."""
    oci.import_layout(store, write_layout(tmp_path / "in", IMAGE.layer, IMAGE.config))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.json").write_bytes(b'{"schemaVersion": 2, "manifests": null}')
    oci.export_layout(store, tmp_path / "out", [sha(IMAGE.manifest)])
    index = json.loads((tmp_path / "out" / "index.json").read_bytes())
    assert [entry["digest"] for entry in index["manifests"]] == [sha(IMAGE.manifest)]


def test_an_export_does_not_go_out_of_its_directory(store: contentdb.Store, tmp_path: Path) -> None:
    oci.import_layout(store, write_layout(tmp_path / "in", IMAGE.layer, IMAGE.config))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "blobs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="symbolic link"):
        oci.export_layout(store, tmp_path / "out", [sha(IMAGE.manifest)])
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("key", ["GNU.sparse.size", "GNU.sparse.realsize", "size"])
def test_a_tar_with_numbers_that_are_none_is_refused(
    store: contentdb.Store, tmp_path: Path, key: str
) -> None:
    with tarfile.open(tmp_path / "in.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("oci-layout")
        member.pax_headers = {key: "9" * 30 if key == "size" else "zz"}
        tar.addfile(member, io.BytesIO())
    with pytest.raises(oci.InvalidManifestError):
        oci.import_layout(store, tmp_path / "in.tar")


def test_exports_into_one_directory_at_once_keep_each_others_images(
    store: contentdb.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reads the index, and waits a moment for the other one before it writes."""
    both = threading.Barrier(2)
    merge = write._merge

    def slowly(root: Path, fresh: list[dict[str, object]]) -> bytes:
        index = merge(root, fresh)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)
        return index

    monkeypatch.setattr(write, "_merge", slowly)
    oci.import_layout(store, write_layout(tmp_path / "in"))

    def export(tag: str) -> None:
        oci.export_layout(store, tmp_path / "layout", [TOP], tags={contentdb.Digest(TOP): [tag]})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(export, ["v1", "v2"]))
    assert len(json.loads((tmp_path / "layout" / "index.json").read_bytes())["manifests"]) == 2
